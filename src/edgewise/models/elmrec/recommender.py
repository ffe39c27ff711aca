"""What a training run is about to do, told before its first step.

A fitted network reads prompts, and answers with items, scores or texts.

ELMRec on disk: safetensors, JSON and the tokenizer's own files. Nothing is pickled.

ELMRec as a recommender and explainer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_model, save_model
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

from edgewise.config import check, to_dict, updated, with_overrides
from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.decoding.constrained_beam import beam_search, rerank
from edgewise.decoding.diverse_beam import diverse_beam_search
from edgewise.decoding.exact_scores import score_candidates
from edgewise.decoding.trie import TokenTable
from edgewise.errors import ConfigError, ModelFolderError, UnknownIdError
from edgewise.files import read_model, writing_model
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.models.elmrec.backbone import (
    build_t5,
    build_tokenizer,
    is_from_scratch,
    tell_pieces_apart,
)
from edgewise.models.elmrec.batch import assemble
from edgewise.models.elmrec.config import DecodingConfig, ELMRecConfig, preset
from edgewise.models.elmrec.data import ELMRecData, build_data, wordings
from edgewise.models.elmrec.graph_embeddings import GraphFeatures, build_graph
from edgewise.models.elmrec.model import ELMRecModel, GraphTable, build_catalogue_pointer
from edgewise.models.elmrec.prompts import EntityTokenTable, PromptWriter, build_entity_token_table
from edgewise.models.tokenizers import load_tokenizer
from edgewise.recommender import Task
from edgewise.training.trainer import Curves, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class FitPlan:
    """The size of a training run.

    Attributes:
        examples: of each task that is trained: users, or explained pairs.
        steps_per_epoch: batches of all tasks together.
        epochs: passes at most.
        num_parameters: numbers that are learned.
    """

    examples: Mapping[Task, int]
    steps_per_epoch: int
    epochs: int
    num_parameters: int

    @classmethod
    def of(cls, model: nn.Module, data: ELMRecData, epochs: int) -> FitPlan:
        """The plan of training a model on some data."""
        examples: dict[Task, int] = {t: len(data.pool.examples[t]) for t in data.tasks}
        learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
        return cls(examples, data.steps_per_epoch, epochs, learned)


_TOKENS_AT_ONCE = 20_000
_EXPLANATIONS_AT_ONCE = 16


class Encoded(NamedTuple):
    """Prompts ``rows`` as encoder states ``float[B, S, D]`` with their mask ``[B, S]``.

    ``shift`` is added to every decoder input, ``float[B, D]``, and ``pointed`` to the candidates of
    a direct prompt, ``float[B, C]``, or to all items for a sequential one, ``float[B, I]``, if
    there is a pointer.
    """

    rows: range
    states: torch.Tensor
    mask: torch.Tensor
    shift: torch.Tensor | None
    pointed: torch.Tensor | None


@dataclass(frozen=True, eq=False)
class Inference:
    """Answers prompts of any number; each is encoded once, a bounded number of tokens at a time.

    Attributes:
        model: in evaluation mode.
        table: tokens of all pieces.
    """

    model: ELMRecModel
    table: EntityTokenTable

    @cached_property
    def spellings(self) -> TokenTable:
        """How the decoder spells every item."""
        return TokenTable(*self.table.item_targets)

    def rank(
        self,
        prompts: Sequence[np.ndarray],
        k: int,
        search: DecodingConfig,
        histories: Sequence[np.ndarray],
        user_vectors: np.ndarray | None = None,
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Beam search over the catalogue for k + N items, then Section 4.2's reranking.

        What the user has is banned inside the search, so that lists are full wherever k unseen
        items exist, or filtered out after it, as :class:`DecodingConfig` says.

        Returns:
            Items and log-likelihoods of each prompt, best first.
        """
        wanted = k + (search.num_extra_candidates if search.rerank else 0)
        during, after = (search.rerank and search.filtering == way for way in ("during", "after"))
        items: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for rows, states, mask, shift, pointed in self.encoded("sequential", prompts, user_vectors):
            seen = [np.unique(histories[row]) for row in rows]
            found, likelihood = beam_search(
                self.model.t5,
                states,
                mask,
                self.spellings.trie,
                num_beams=search.num_beams,
                num_results=wanted,
                banned=seen if during else None,
                decoder_shift=shift,
                pointed=pointed,
                strength=self.model.spelling_strength("sequential"),
            )
            if after:
                found, likelihood = rerank(found, likelihood, seen, k)
            exists = found >= 0
            items += [row[keep][:k] for row, keep in zip(found, exists, strict=True)]
            scores += [row[keep][:k] for row, keep in zip(likelihood, exists, strict=True)]
        return items, scores

    def score(
        self,
        task: Task,
        prompts: Sequence[np.ndarray],
        lists: Sequence[np.ndarray],
        user_vectors: np.ndarray | None = None,
    ) -> np.ndarray:
        """The exact log-likelihood of every item of each prompt's list, ``float32[total]``."""
        among = self.model.prompts.direct_likelihood == "candidates"
        scores: list[np.ndarray] = []
        for rows, states, mask, shift, pointed in self.encoded(task, prompts, user_vectors):
            part = [lists[row] for row in rows]
            scores += score_candidates(
                self.model.t5,
                states,
                mask,
                self.spellings,
                part,
                decoder_shift=shift,
                among_candidates=among and task == "direct",
                pointed=pointed if task == "direct" else None,
                pointed_items=pointed if task == "sequential" else None,
                strength=self.model.spelling_strength(task),
            )
        return np.concatenate([*scores, np.empty(0)]).astype(np.float32)

    def write(
        self, prompts: Sequence[np.ndarray], search: DecodingConfig, max_tokens: int
    ) -> list[list[int]]:
        """The likeliest text of each explanation prompt, as tokens."""
        texts: list[list[int]] = []
        for _, states, mask, shift, _ in self.encoded(
            "explanation", prompts, max_rows=_EXPLANATIONS_AT_ONCE
        ):
            tokens = diverse_beam_search(
                self.model.t5,
                states,
                mask,
                num_beams=search.explanation_beams,
                num_groups=search.explanation_groups,
                diversity_penalty=search.diversity_penalty,
                min_new_tokens=search.min_explanation_tokens,
                max_new_tokens=max_tokens,
                eos=self.table.eos_id,
                pad=self.table.pad_id,
                decoder_shift=shift,
            )
            texts += tokens.tolist()
        return texts

    @torch.no_grad()
    def encoded(
        self,
        task: Task,
        prompts: Sequence[np.ndarray],
        user_vectors: np.ndarray | None = None,
        max_rows: int | None = None,
    ) -> Iterator[Encoded]:
        """Encode prompts a few at a time.

        Args:
            task: of all prompts.
            prompts: one array of pieces each.
            user_vectors: of :class:`~edgewise.models.elmrec.batch.Batch`, ``float32[B, D]``.
            max_rows: prompts at a time at most.
        """
        device = next(self.model.t5.parameters()).device
        lengths = [int(self.table.lengths[prompt].sum()) for prompt in prompts]
        for rows in bounded_rows(lengths, _TOKENS_AT_ONCE, max_rows):
            batch = assemble(self.table, task, [prompts[row] for row in rows])
            if user_vectors is not None:
                vectors = torch.from_numpy(user_vectors[rows.start : rows.stop])
                batch = replace(batch, user_vectors=vectors)
            batch = batch.to(device)
            states, mask = self.model.encode(batch)
            shift, pointed = self.model.decoder_shift(batch), self.model.point(batch, states)
            yield Encoded(rows, states, mask, shift, pointed)


def check_known(kind: str, indices: np.ndarray, size: int) -> None:
    """Raise UnknownIdError unless all user or item indices lie in ``0..size - 1``."""
    strange = indices[(indices < 0) | (indices >= size)]
    if len(strange):
        raise UnknownIdError(
            f"{kind}_index {int(strange[0])}: this model knows {kind}s 0 to {size - 1}; look up "
            "indices in the data set it was fitted on"
        )


def bounded_rows(lengths: Sequence[int], budget: int, max_rows: int | None) -> Iterator[range]:
    """Split rows so that no part, padded to its longest row, exceeds a budget of tokens."""
    start, longest = 0, 0
    for row, length in enumerate(lengths):
        count, longest = row - start, max(longest, length)
        if count and ((count + 1) * longest > budget or count == max_rows):
            yield range(start, row)
            start, longest = row, length
    if lengths:
        yield range(start, len(lengths))


T = TypeVar("T", bound="ELMRec")

KIND = "elmrec"


def save_elmrec(recommender: ELMRec, folder: str | Path) -> None:
    """Write weights, graph features, known histories, tokenizer and configuration."""
    table, knowledge = recommender.table, recommender.knowledge
    settings = {
        "config": to_dict(recommender.config),
        "t5": recommender.model.t5.config.to_dict(),
        "num_users": table.num_users,
        "num_items": table.num_items,
        "tasks": list(recommender.tasks),
        "scale": knowledge.scale,
    }
    with writing_model(folder, KIND, settings) as partial:
        save_model(recommender.model, str(partial / "model.safetensors"))
        recommender.tokenizer.save_pretrained(partial / "tokenizer")
        arrays = {
            "features": knowledge.features,
            "item_degrees": knowledge.item_degrees.astype(np.int64),
            "singular_values": knowledge.singular_values,
            "history_offsets": recommender.histories.offsets,
            "history_items": recommender.histories.values,
        }
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_arrays(contiguous, partial / "graph.safetensors")


def load_elmrec(cls: type[T], folder: str | Path) -> T:
    """Rebuild the recommender from its folder."""
    folder = Path(folder)
    settings = read_model(folder, KIND)
    try:
        return _rebuilt(cls, folder, settings)
    except (ConfigError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelFolderError(
            f"{folder} cannot be read by this version of edgewise: {error}. Fit and save it again."
        ) from error


def _rebuilt(cls: type[T], folder: Path, settings: Mapping[str, Any]) -> T:
    config = updated(ELMRecConfig(), settings["config"])
    recommender = cls(config)
    tokenizer = load_tokenizer(folder / "tokenizer")
    table = build_entity_token_table(tokenizer, settings["num_users"], settings["num_items"])
    arrays = load_arrays(folder / "graph.safetensors")
    knowledge = GraphFeatures(
        arrays["features"],
        arrays["item_degrees"],
        arrays["singular_values"],
        settings["scale"],
        config.graph,
    )
    t5 = T5ForConditionalGeneration(T5Config.from_dict(settings["t5"]))
    model = ELMRecModel(
        t5,
        config.prompts,
        config.whole_words,
        None,
        table.num_nodes,
        torch.Generator(),
        config.graph.normalize,
        build_catalogue_pointer(config.prompts, table, t5.config.d_model, torch.Generator()),
    )
    load_model(model, folder / "model.safetensors")
    histories = Ragged(arrays["history_offsets"], arrays["history_items"])
    recommender._become(model, tokenizer, table, knowledge, histories, tuple(settings["tasks"]))
    return recommender


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

    summary = (
        "A small T5 language model reads users and items as text. Each name it reads also carries "
        "a vector that has travelled along the graph of who bought what, so the model knows who is "
        "near whom before it reads a word."
    )
    node_vectors_summary = (
        "they have travelled along the graph: users who buy alike and items bought together lie "
        "together, and the graph was never told about shelves, it saw purchases alone"
    )

    def __init__(self, config: ELMRecConfig | None = None) -> None:
        self.config = config or ELMRecConfig()
        self.curves: Curves | None = None
        self._model: ELMRecModel | None = None

    @classmethod
    def from_preset(cls, name: str, overrides: Iterable[str] = ()) -> Self:
        """A recommender with a named preset's settings.

        Args:
            name: see :data:`edgewise.models.elmrec.config.PRESETS`.
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
        table = build_entity_token_table(tokenizer, dataset.num_users, dataset.num_items)
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
        table: EntityTokenTable,
        knowledge: GraphFeatures,
        histories: Ragged,
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

    def node_vectors(self) -> np.ndarray:
        """What whole words carry of users, then items (Eq. 7, or spectral), ``float32[N, D]``."""
        return self.knowledge.features

    # Recommending

    def recommend(
        self, users: np.ndarray, k: int = 10, *, histories: Ragged | None = None
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
        histories: Ragged | None = None,
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

    def _histories_of(self, users: np.ndarray, histories: Ragged | None) -> list[np.ndarray]:
        known = self.histories if histories is None else histories
        self._check_users(users)
        if len(users) and int(users.max()) >= len(known):
            raise UnknownIdError(
                f"user_index {int(users.max())}: the given histories cover {len(known)} users; "
                "pass those of all users, or use recommend_new for people not in the data"
            )
        self._check_items(known.values)
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
        save_elmrec(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a folder written by :meth:`save`.

        Raises:
            ModelFolderError: it is missing, truncated, altered or another model's.
        """
        return load_elmrec(cls, folder)
