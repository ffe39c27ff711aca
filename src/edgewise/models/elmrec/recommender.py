"""ELMRec as a recommender and explainer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from edgewise.configuration import with_overrides
from edgewise.data.candidates import CandidateLists
from edgewise.data.interactions import Histories
from edgewise.data.recommendations import Recommendations
from edgewise.data.split import Split
from edgewise.decoding.beam import beam_search
from edgewise.decoding.candidates import score_candidates
from edgewise.decoding.diverse import diverse_beam_search
from edgewise.decoding.trie import TokenTable
from edgewise.errors import ConfigError, ModelFolderError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.models.elmrec.backbone import build_t5, is_from_scratch
from edgewise.models.elmrec.config import ELMRecConfig
from edgewise.models.elmrec.examples import build_data, wordings
from edgewise.models.elmrec.knowledge import GraphKnowledge, build_graph
from edgewise.models.elmrec.modeling import ELMRecModel, GraphTable
from edgewise.models.elmrec.presets import preset
from edgewise.prompts.batch import Batch, assemble
from edgewise.prompts.entity_tokens import PieceTable, build_piece_table
from edgewise.prompts.templates import Task
from edgewise.prompts.tokenizer import corpus_of, load_tokenizer, train_tokenizer
from edgewise.prompts.writing import PromptWriter
from edgewise.training.loop import Progress, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TOKENS_AT_ONCE = 20_000


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
    ) -> Self:
        """Learn from train rows, keeping the weights of the best epoch on validation rows.

        Args:
            split: its test part is not touched.
            folder: for checkpoints and TensorBoard logs.
            resume: go on from the folder's checkpoint.
            show_progress: print a progress bar.
        """
        config, dataset = self.config, split.dataset
        generator = torch.Generator().manual_seed(config.seed)
        tokenizer = _tokenizer_for(config, split)
        table = build_piece_table(tokenizer, dataset.num_users, dataset.num_items)
        t5 = build_t5(config.backbone, tokenizer, generator)
        graph = BipartiteGraph.from_interactions(split.train, dataset.num_users, dataset.num_items)
        built = build_graph(graph, config.graph, t5.config.d_model, config.seed)
        data = build_data(config, split, table, tokenizer, built.folds)
        model = ELMRecModel(
            t5, config.prompts, config.whole_words, built.lookup, table.num_nodes, generator
        )
        self.curves = train(
            model,
            data,
            config.training,
            seed=config.seed,
            folder=None if folder is None else Path(folder),
            resume=resume,
            show_progress=show_progress,
        )
        knowledge = built.knowledge
        if config.graph.features == "trained":
            with torch.no_grad():
                features = built.lookup.propagation().cpu().numpy()  # type: ignore[operator]
            knowledge = replace(knowledge, features=features)
        self._become(model, tokenizer, table, knowledge, split.known_before("valid"), data.tasks)
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
        self._spellings = TokenTable(*table.item_targets())
        self._writer = PromptWriter(table, self.config.prompts.max_history)
        self._wordings = wordings(self.config.prompts)

    @property
    def model(self) -> ELMRecModel:
        """The fitted network."""
        if self._model is None:
            raise ConfigError("this ELMRec is not fitted yet: call fit(split) or load(folder) first")
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
        """
        self._require("sequential")
        known = histories or self.histories
        users = np.asarray(users, dtype=np.int64)
        rows = [known[user] for user in users]
        return self._search(users, users, rows, k, None)

    def recommend_new(self, histories: Sequence[np.ndarray], k: int = 10) -> Recommendations:
        """The next k items of people who are not in the data, from the items they have.

        Their graph vectors are propagated from those items, and they are spelled as an unknown
        user. ``user_index`` counts the histories.
        """
        self._require("sequential")
        rows = [np.asarray(row, dtype=np.int64) for row in histories]
        nobody = np.full(len(rows), -1)
        return self._search(np.arange(len(rows)), nobody, rows, k, self._newcomers(rows))

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
            histories: of all users, for the sequential prompt.
            new_users: one history a list for people who are not in the data; ``user_index`` of the
                lists is then not read.
            task: ``direct`` (the default where it was trained) puts the candidates into the prompt,
                ``sequential`` the history.
        """
        task = task or ("direct" if "direct" in self.tasks else "sequential")
        self._require(task)
        lists = [candidates[row] for row in range(len(candidates))]
        users = candidates.user_index if new_users is None else np.full(len(lists), -1)
        newcomers = None if new_users is None else self._newcomers(new_users)
        if task == "direct":
            prompts = self._writer.direct(users, lists, self._wordings.for_inference(task))
        else:
            known = histories or self.histories
            rows = new_users if new_users is not None else [known[user] for user in users]
            prompts = self._writer.sequential(users, rows, self._wordings.for_inference(task))
        scores: list[np.ndarray] = []
        for rows_at_once, states, mask in self._encoded(task, prompts, newcomers):
            part = [lists[row] for row in rows_at_once]
            scores += score_candidates(self.model.t5, states, mask, self._spellings, part)
        return np.concatenate([*scores, np.empty(0, dtype=np.float32)])

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """Why each user may like each item, in one line (diverse beam search)."""
        self._require("explanation")
        users, items = (np.array(column) for column in zip(*pairs, strict=True)) if pairs else ([], [])
        wording = self._wordings.for_inference("explanation")
        prompts = self._writer.explanation(np.asarray(users), np.asarray(items), wording)
        texts: list[str] = []
        search = self.config.decoding
        for _, states, mask in self._encoded("explanation", prompts, None, rows_at_once=16):
            tokens = diverse_beam_search(
                self.model.t5,
                states,
                mask,
                num_beams=search.explanation_beams,
                num_groups=search.explanation_groups,
                diversity_penalty=search.diversity_penalty,
                min_new_tokens=search.min_explanation_tokens,
                max_new_tokens=self.config.prompts.explanation_tokens,
                eos_token_id=self.table.eos_id,
                pad_token_id=self.table.pad_id,
            )
            texts += self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
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
        newcomers: np.ndarray | None,
    ) -> Recommendations:
        """Beam search over the catalogue for k + N items, then Section 4.2's reranking."""
        search = self.config.decoding
        wording = self._wordings.for_inference("sequential")
        prompts = self._writer.sequential(users, histories, wording)
        wanted = k + (search.num_extra_candidates if search.rerank else 0)
        items: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for rows, states, mask in self._encoded("sequential", prompts, newcomers):
            seen = [np.unique(histories[row]) for row in rows] if search.rerank else None
            found, likelihood = beam_search(
                self.model.t5,
                states,
                mask,
                self._spellings.trie,
                num_beams=search.num_beams,
                num_results=wanted,
                banned=seen,
            )
            exists = found >= 0
            items += [row[keep][:k] for row, keep in zip(found, exists, strict=True)]
            scores += [row[keep][:k] for row, keep in zip(likelihood, exists, strict=True)]
        return Recommendations.from_lists(names, items, scores)

    def _newcomers(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([self.knowledge.new_user(np.asarray(row)) for row in histories])

    @torch.no_grad()
    def _encoded(
        self,
        task: Task,
        prompts: Sequence[np.ndarray],
        newcomers: np.ndarray | None,
        rows_at_once: int | None = None,
    ) -> Iterator[tuple[range, torch.Tensor, torch.Tensor]]:
        """Encode prompts a few at a time: their rows, encoder states and mask."""
        device = next(self.model.t5.parameters()).device
        start = 0
        while start < len(prompts):
            # Three tokens a piece is what an id takes; a batch is bounded in tokens, not rows.
            size = rows_at_once or max(1, _TOKENS_AT_ONCE // (3 * max(1, len(prompts[start]))))
            rows = range(start, min(start + size, len(prompts)))
            batch = assemble(self.table, task, [prompts[row] for row in rows])
            if newcomers is not None:
                batch = replace(batch, newcomers=torch.from_numpy(newcomers[rows.start : rows.stop]))
            states, mask = self._encode(batch.to(device))
            yield rows, states, mask
            start = rows.stop

    def _encode(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.random.fork_rng(devices=[]):
            # Only "random" whole words draw numbers; a fixed seed makes them repeatable.
            torch.manual_seed(self.config.seed)
            return self.model.encode(batch)

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


def _tokenizer_for(config: ELMRecConfig, split: Split) -> PreTrainedTokenizerBase:
    if is_from_scratch(config.backbone.name):
        return train_tokenizer(corpus_of(split), config.backbone.vocab_size)
    return load_tokenizer(config.backbone.name)
