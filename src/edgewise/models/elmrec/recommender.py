"""ELMRec as a recommender and explainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from edgewise.configuration import check, with_overrides
from edgewise.data.candidates import CandidateLists
from edgewise.data.interactions import Histories
from edgewise.data.recommendations import Recommendations
from edgewise.data.split import Split
from edgewise.errors import ConfigError, UnknownIdError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.models.elmrec.backbone import (
    build_t5,
    build_tokenizer,
    is_from_scratch,
    tell_pieces_apart,
)
from edgewise.models.elmrec.catalogue_pointer import build_catalogue_pointer
from edgewise.models.elmrec.config import ELMRecConfig
from edgewise.models.elmrec.examples import build_data, wordings
from edgewise.models.elmrec.inference import Inference, check_known
from edgewise.models.elmrec.knowledge import GraphKnowledge, build_graph
from edgewise.models.elmrec.modeling import ELMRecModel, GraphTable
from edgewise.models.elmrec.plan import FitPlan
from edgewise.models.elmrec.presets import preset
from edgewise.prompts.entity_tokens import PieceTable, build_piece_table
from edgewise.prompts.templates import Task
from edgewise.prompts.writing import PromptWriter
from edgewise.training.loop import Progress, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class ELMRec:
    """Recommends by a T5 whose whole-word vectors carry the graph or the order of events.

    Paper: Wang et al., "Enhancing High-order Interaction Awareness in LLM-based Recommender Model",
    EMNLP 2024, arXiv 2409.19979.

    Example:
        >>> model = ELMRec.from_preset("tiny").fit(split)          # doctest: +SKIP
        >>> model.recommend(np.array([0, 1]), k=5)                 # doctest: +SKIP

    Attributes:
        config: all settings.
        curves: losses of the last :meth:`fit`.
    """

    def __init__(self, config: ELMRecConfig | None = None) -> None:
        self.config = config or ELMRecConfig()
        self.curves: Progress | None = None
        self._model: ELMRecModel | None = None

    @classmethod
    def from_preset(cls, name: str, overrides: Iterable[str] = ()) -> Self:
        """A recommender with a named preset's settings.

        Args:
            name: see :data:`edgewise.models.elmrec.presets.PRESETS`.
            overrides: ``section.key=value`` strings.
        """
        return cls(with_overrides(preset(name), overrides))

    def __repr__(self) -> str:
        state = "not fitted" if self._model is None else f"{self.tasks}"
        return f"ELMRec(backbone={self.config.backbone.name!r}, {state})"

    # Learning

    def fit(
        self,
        split: Split,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        show_progress: bool = False,
        on_plan: Callable[[FitPlan], None] | None = None,
    ) -> Self:
        """Learn from train rows, keeping the weights of the best epoch on validation rows.

        Args:
            split: its test part is not touched.
            folder: for checkpoints and TensorBoard logs.
            resume: go on from the folder's checkpoint.
            show_progress: print a progress bar.
            on_plan: told what is about to be trained, before the first step.
        """
        config, dataset = self.config, split.dataset
        generator = torch.Generator().manual_seed(config.seed)
        tokenizer = build_tokenizer(config.backbone, split)
        table = build_piece_table(tokenizer, dataset.num_users, dataset.num_items)
        t5 = build_t5(config.backbone, tokenizer, generator, config.graph.rank)
        if config.backbone.similarity_start and is_from_scratch(config.backbone.name):
            tell_pieces_apart(t5, table.item_targets[0], config.graph.rank, generator)
        edges = split.graph_edges()
        graph = BipartiteGraph.from_interactions(edges, dataset.num_users, dataset.num_items)
        built = build_graph(graph, config.graph, t5.config.d_model, config.seed)
        data = build_data(config, split, table, tokenizer, built.folds)
        model = ELMRecModel(
            t5,
            config.prompts,
            config.whole_words,
            built.lookup,
            table.num_nodes,
            generator,
            config.graph.normalize,
            build_catalogue_pointer(
                config.prompts,
                table,
                t5.config.d_model,
                generator,
                split.known_before("valid"),
            ),
        )
        if on_plan is not None:
            on_plan(FitPlan.of(model, data, config.training.epochs))
        self.curves = train(
            model,
            data,
            config.training,
            seed=config.seed,
            folder=None if folder is None else Path(folder),
            resume=resume,
            show_progress=show_progress,
        )
        histories = split.known_before("valid")
        self._become(model, tokenizer, table, built.learned(), histories, data.tasks)
        return self

    def _become(
        self,
        model: ELMRecModel,
        tokenizer: PreTrainedTokenizerBase,
        table: PieceTable,
        knowledge: GraphKnowledge,
        histories: Histories,
        tasks: tuple[Task, ...],
    ) -> None:
        """Take on what was learned; from here on the whole train graph is read."""
        model.graph = GraphTable(torch.from_numpy(knowledge.features)[None])
        device = next(model.t5.parameters()).device
        self._model = model.to(device).eval()
        self.tokenizer, self.table, self.knowledge = tokenizer, table, knowledge
        self.histories, self.tasks = histories, tasks
        self._inference = Inference(self._model, table)
        self._writer = PromptWriter(table, self.config.prompts.max_history)
        self._wordings = wordings(self.config.prompts)

    @property
    def model(self) -> ELMRecModel:
        """The fitted network."""
        if self._model is None:
            raise ConfigError(
                "this ELMRec is not fitted yet: call fit(split) or load(folder) first"
            )
        return self._model

    # Recommending

    def recommend(
        self, users: np.ndarray, k: int = 10, *, histories: Histories | None = None
    ) -> Recommendations:
        """The next k items of each user out of the whole catalogue (sequential task).

        Args:
            users: user indices.
            k: items each; fewer only where fewer unseen items exist.
            histories: of all users; those known at :meth:`fit` if left out.

        Raises:
            UnknownIdError: a user or an item of a history is not in the data set.
        """
        self._require("sequential")
        users = np.asarray(users, dtype=np.int64)
        rows = self._histories_of(users, histories)
        return self._search(users, users, rows, k, self._moved("sequential", users, rows))

    def recommend_new(self, histories: Sequence[np.ndarray], k: int = 10) -> Recommendations:
        """The next k items of people who are not in the data, from the items they have.

        Their graph vectors are propagated from those items, and they are spelled as an unknown
        user. ``user_index`` counts the histories.

        Raises:
            UnknownIdError: an item is not in the data set.
        """
        self._require("sequential")
        rows = [np.asarray(row, dtype=np.int64) for row in histories]
        nobody = np.full(len(rows), -1)
        return self._search(np.arange(len(rows)), nobody, rows, k, self._vectors_of_new(rows))

    def score_candidates(
        self,
        candidates: CandidateLists,
        *,
        histories: Histories | None = None,
        new_users: Sequence[np.ndarray] | None = None,
        task: Task | None = None,
    ) -> np.ndarray:
        """The exact log-likelihood of every candidate, aligned with ``candidates.items``.

        Args:
            candidates: lists of any lengths.
            histories: of all users; those known at :meth:`fit` if left out.
            new_users: one history a list for people who are not in the data; ``user_index`` of the
                lists is then not read.
            task: ``direct`` (the default where it was trained) puts the candidates into the prompt,
                ``sequential`` the history.

        Raises:
            UnknownIdError: a user or an item is not in the data set.
        """
        task = task or ("direct" if "direct" in self.tasks else "sequential")
        self._require(task)
        lists = [candidates[row] for row in range(len(candidates))]
        self._check_items(candidates.items)
        if new_users is None:
            users = candidates.user_index
            rows = self._histories_of(users, histories)
            vectors = self._moved(task, users, rows)
        else:
            users, rows = np.full(len(lists), -1), new_users
            vectors = self._vectors_of_new(new_users)
        wording = self._wordings.for_inference(task)
        if task == "direct":
            prompts = self._writer.direct(users, lists, wording)
        else:
            prompts = self._writer.sequential(users, rows, wording)
        return self._inference.score(task, prompts, lists, vectors)

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """Why each user may like each item, in one line (diverse beam search).

        Raises:
            UnknownIdError: a user or an item is not in the data set.
        """
        self._require("explanation")
        users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        self._check_users(users)
        self._check_items(items)
        prompts = self._writer.explanation(
            users, items, self._wordings.for_inference("explanation")
        )
        longest = self.config.prompts.explanation_tokens
        tokens = self._inference.write(prompts, self.config.decoding, longest)
        texts = (str(self.tokenizer.decode(row, skip_special_tokens=True)) for row in tokens)
        return [" ".join(text.split()) for text in texts]

    def _require(self, task: Task) -> None:
        _ = self.model
        if task not in self.tasks:
            raise ConfigError(
                f"this model was not trained for the {task} task, only for "
                f"{', '.join(self.tasks)}: fit one with {task} in prompts.tasks"
            )

    def _search(
        self,
        names: np.ndarray,
        users: np.ndarray,
        histories: Sequence[np.ndarray],
        k: int,
        user_vectors: np.ndarray | None,
    ) -> Recommendations:
        """The k best items of each prompt; ``users`` are spelled, ``names`` stand in the result."""
        check(k >= 1, f"k = {k}: must be 1 or more")
        wording = self._wordings.for_inference("sequential")
        prompts = self._writer.sequential(users, histories, wording)
        search = self.config.decoding
        items, scores = self._inference.rank(prompts, k, search, histories, user_vectors)
        return Recommendations.from_lists(names, items, scores)

    def _histories_of(self, users: np.ndarray, histories: Histories | None) -> list[np.ndarray]:
        known = self.histories if histories is None else histories
        self._check_users(users)
        if len(users) and int(users.max()) >= len(known):
            raise UnknownIdError(
                f"user_index {int(users.max())}: the given histories cover {len(known)} users; "
                "pass those of all users, or use recommend_new for people not in the data"
            )
        self._check_items(known.items)
        return [known[user] for user in users]

    def _moved(
        self, task: Task, users: np.ndarray, histories: Sequence[np.ndarray]
    ) -> np.ndarray | None:
        """Graph vectors of users, moved by the items they took since :meth:`fit`.

        Only spectral features can be moved: a user's vector is that of his items, as in the train
        graph.

        Returns:
            ``float32[B, D]``; None where the task reads no graph or nothing has moved.
        """
        spectral = self.knowledge.config.features == "spectral"
        if not spectral or self.config.whole_words.kind(task) != "graph":
            return None
        vectors = self.knowledge.features[users]
        moved = False
        for row, (user, items) in enumerate(zip(users, histories, strict=True)):
            if set(items.tolist()) != set(self.histories[user].tolist()):
                vectors[row], moved = self.knowledge.new_user(items), True
        return vectors if moved else None

    def _vectors_of_new(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Graph vectors of people not in the data, ``float32[B, D]``."""
        rows = [np.asarray(row, dtype=np.int64) for row in histories]
        self._check_items(np.concatenate([*rows, np.empty(0, dtype=np.int64)]))
        width = self.knowledge.features.shape[1]
        vectors = [self.knowledge.new_user(row) for row in rows]
        return np.array(vectors, dtype=np.float32).reshape(len(rows), width)

    def _check_users(self, users: np.ndarray) -> None:
        check_known("user", users, self.table.num_users)

    def _check_items(self, items: np.ndarray) -> None:
        check_known("item", items, self.table.num_items)

    # Keeping

    def save(self, folder: str | Path) -> None:
        """Write the model folder (safetensors, JSON, tokenizer), whole or not at all."""
        from edgewise.models.elmrec.storage import save_elmrec

        save_elmrec(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a folder written by :meth:`save`.

        Raises:
            ModelFolderError: it is missing, truncated, altered or another model's.
        """
        from edgewise.models.elmrec.storage import load_elmrec

        return load_elmrec(cls, folder)
