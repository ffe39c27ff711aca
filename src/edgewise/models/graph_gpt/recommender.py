"""The graph-attentive GPT-2 as a recommender and explainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch

from edgewise.configuration import check, with_overrides
from edgewise.data.candidates import CandidateLists
from edgewise.data.interactions import Histories
from edgewise.data.recommendations import Recommendations
from edgewise.data.split import Split
from edgewise.errors import ConfigError, UnknownIdError
from edgewise.graph.transitions import transition_features
from edgewise.models.graph_gpt.backbone import build_gpt, build_tokens, start_items
from edgewise.models.graph_gpt.batch import Distances
from edgewise.models.graph_gpt.config import GraphGPTConfig, Stage
from edgewise.models.graph_gpt.graph import build_distances
from edgewise.models.graph_gpt.inference import Inference, check_known
from edgewise.models.graph_gpt.modeling import GraphGPTModel
from edgewise.models.graph_gpt.plan import FitPlan
from edgewise.models.graph_gpt.presets import preset
from edgewise.models.graph_gpt.prompting import NOBODY, HistoryWriter
from edgewise.models.graph_gpt.stages.writing import explanation_prompt
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.models.graph_gpt.training import (
    build_stages,
    clear_stages,
    learns_explanations,
    train_stages,
)
from edgewise.models.graph_gpt.wordings import WORDINGS
from edgewise.prompts.templates import Task
from edgewise.training.progress import Progress


class GraphGPT:
    """Recommends by a GPT-2 whose attention is biased by the user-item graph.

    Paper: "LLM-Enhanced User-Item Interactions: Leveraging Edge Information for Optimized
    Recommendations", whose authors call their code LLM4REC; see docs/graph-attention.md.

    Example:
        >>> model = GraphGPT.from_preset("tiny").fit(split)        # doctest: +SKIP
        >>> model.recommend(np.array([0, 1]), k=5)                 # doctest: +SKIP

    Attributes:
        config: all settings.
        curves: losses of the last stage of the last :meth:`fit`, or None.
        stage_curves: losses of each of its stages.
    """

    def __init__(self, config: GraphGPTConfig | None = None) -> None:
        self.config = config or GraphGPTConfig()
        self.curves: Progress | None = None
        self.stage_curves: dict[str, Progress] = {}
        self._model: GraphGPTModel | None = None

    @classmethod
    def from_preset(cls, name: str, overrides: Iterable[str] = ()) -> Self:
        """A recommender with a named preset's settings.

        Args:
            name: see :data:`edgewise.models.graph_gpt.presets.PRESETS`.
            overrides: ``section.key=value`` strings.
        """
        return cls(with_overrides(preset(name), overrides))

    def __repr__(self) -> str:
        state = "not fitted" if self._model is None else f"{self.tasks}"
        return f"GraphGPT(backbone={self.config.backbone.name!r}, {state})"

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
        """Learn stage by stage from train rows, keeping each stage's best weights.

        The stages that learn to recommend choose their epoch on validation rows.

        Args:
            split: its test part is not touched.
            folder: for checkpoints and TensorBoard logs, a folder a stage.
            resume: go on from the folder's checkpoints; finished stages are not trained again.
            show_progress: print a progress bar.
            on_plan: told what is about to be trained, before the first step.
        """
        config, dataset = self.config, split.dataset
        tokens = build_tokens(config.backbone, split, WORDINGS)
        gpt = build_gpt(config.backbone, tokens, torch.Generator().manual_seed(config.seed))
        histories = split.known_before("valid")
        if config.backbone.item_start == "transitions":
            vectors = transition_features(
                histories, dataset.num_items, gpt.config.hidden_size, config.seed
            )
            start_items(gpt, tokens, vectors, config.backbone.init_std)
        self.edges = split.graph_histories()
        distances = build_distances(config.attention, self.edges, dataset.num_items)
        stages = build_stages(config, split, tokens, distances)
        model = GraphGPTModel(
            gpt, tokens.num_text, tokens.num_users, config.attention, config.content_weight
        )
        if on_plan is not None:
            on_plan(FitPlan.of(model, stages, config.training))
        place = None if folder is None else Path(folder)
        if place is not None and not resume:
            clear_stages(place)
        self.stage_curves = train_stages(
            model, stages, config, place, resume=resume, show_progress=show_progress
        )
        self.curves = list(self.stage_curves.values())[-1]
        explained = learns_explanations(config, split, stages)
        self._become(model, tokens, distances, histories, tuple(stages), explained)
        return self

    def _become(
        self,
        model: GraphGPTModel,
        tokens: TokenSpace,
        distances: Distances | None,
        histories: Histories,
        stages: tuple[Stage, ...],
        explained: bool,
    ) -> None:
        """Take on what was learned."""
        self._model = model.eval()
        self.tokens, self.histories, self.stages = tokens, histories, stages
        ranking: tuple[Task, ...] = ("sequential", "direct")
        self.tasks: tuple[Task, ...] = (*ranking, "explanation") if explained else ranking
        self._inference = Inference(self._model, tokens, distances)
        self._writer = HistoryWriter.of(self.config, tokens, stages)

    @property
    def model(self) -> GraphGPTModel:
        """The fitted network."""
        if self._model is None:
            raise ConfigError(
                "this GraphGPT is not fitted yet: call fit(split) or load(folder) first"
            )
        return self._model

    # Recommending

    def recommend(
        self, users: np.ndarray, k: int = 10, *, histories: Histories | None = None
    ) -> Recommendations:
        """The k likeliest items of each user out of the whole catalogue (Section 3.5, Eq. 7).

        Args:
            users: user indices.
            k: items each; fewer only where fewer unseen items exist.
            histories: of all users; those known at :meth:`fit` if left out.

        Raises:
            UnknownIdError: a user or an item of a history is not in the data set.
        """
        self._require("sequential")
        users = np.asarray(users, dtype=np.int64)
        return self._search(users, users, self._histories_of(users, histories), k)

    def recommend_new(self, histories: Sequence[np.ndarray], k: int = 10) -> Recommendations:
        """The k likeliest items of people who are not in the data, from the items they have.

        Their prompts hold no user's token; the items they have count as edges, as train items do.
        ``user_index`` counts the histories.

        Raises:
            UnknownIdError: an item is not in the data set.
        """
        self._require("sequential")
        rows = self._histories_of_new(histories)
        return self._search(np.arange(len(rows)), np.full(len(rows), NOBODY), rows, k)

    def score_candidates(
        self,
        candidates: CandidateLists,
        *,
        histories: Histories | None = None,
        new_users: Sequence[np.ndarray] | None = None,
        task: Task | None = None,
    ) -> np.ndarray:
        """The log-likelihood of every candidate among all items, aligned with the lists' items.

        Args:
            candidates: lists of any lengths.
            histories: of all users; those known at :meth:`fit` if left out.
            new_users: one history a list for people who are not in the data; ``user_index`` of the
                lists is then not read.
            task: ``direct`` and ``sequential`` are one and the same for this model.

        Raises:
            UnknownIdError: a user or an item is not in the data set.
        """
        self._require(task or "sequential")
        self._check_items(candidates.items)
        if new_users is None:
            users = candidates.user_index
            rows = self._histories_of(users, histories)
        else:
            users, rows = np.full(len(candidates), NOBODY), self._histories_of_new(new_users)
        lists = [candidates[row] for row in range(len(candidates))]
        return self._inference.score(self._writer.prompts(users, rows), users, lists)

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """Why each user may like each item, in the words that the content stage learned.

        Raises:
            ConfigError: the content stage was not trained, or had no reasons for buying to read.
            UnknownIdError: a user or an item is not in the data set.
        """
        self._require("explanation")
        users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        self._check_users(users)
        self._check_items(items)
        prompts = [
            explanation_prompt(user, item, self.tokens)
            for user, item in zip(users.tolist(), items.tolist(), strict=True)
        ]
        written = self._inference.write(prompts, self.config.decoding)
        texts = (str(self.tokens.tokenizer.decode(row)) for row in written)
        return [" ".join(text.split()) for text in texts]

    def _require(self, task: Task) -> None:
        _ = self.model
        if task not in self.tasks:
            raise ConfigError(
                f"this model was not trained for the {task} task, only for "
                f"{', '.join(self.tasks)}: fit one with content in stages and content.reviews on "
                "a data set that has reviews"
            )

    def _search(
        self, names: np.ndarray, users: np.ndarray, histories: Sequence[np.ndarray], k: int
    ) -> Recommendations:
        """The k best items of each prompt; ``users`` are written, ``names`` stand in the result."""
        check(k >= 1, f"k = {k}: must be 1 or more")
        prompts = self._writer.prompts(users, histories)
        found = self._inference.rank(prompts, users, histories, k)
        return Recommendations.from_lists(names, *found)

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

    def _histories_of_new(self, histories: Sequence[np.ndarray]) -> list[np.ndarray]:
        rows = [np.asarray(row, dtype=np.int64) for row in histories]
        self._check_items(np.concatenate([*rows, np.empty(0, dtype=np.int64)]))
        return rows

    def _check_users(self, users: np.ndarray) -> None:
        check_known("user", users, self.tokens.num_users)

    def _check_items(self, items: np.ndarray) -> None:
        check_known("item", items, self.tokens.num_items)

    # Keeping

    def save(self, folder: str | Path) -> None:
        """Write the model folder (safetensors, JSON, tokenizer), whole or not at all."""
        from edgewise.models.graph_gpt.storage import save_graph_gpt

        save_graph_gpt(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a folder written by :meth:`save`.

        Raises:
            ModelFolderError: it is missing, truncated, altered or another model's.
        """
        from edgewise.models.graph_gpt.storage import load_graph_gpt

        return load_graph_gpt(cls, folder)
