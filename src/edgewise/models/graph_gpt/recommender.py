"""What a training run is about to do, told before its first step.

A fitted network reads prompts, and answers with items, scores or texts.

The stages of training, one after the other through the one loop.

The graph-attentive GPT-2 on disk: safetensors, JSON and the tokenizer's own files.

The graph-attentive GPT-2 as a recommender and explainer.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_model, save_model
from torch import nn
from transformers import GPT2Config, GPT2Model

from edgewise.config import check, to_dict, updated, with_overrides
from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.data.texts import explanation_split
from edgewise.errors import ConfigError, DataError, ModelFolderError, UnknownIdError
from edgewise.files import read_model, writing_model
from edgewise.graph.transitions import transition_features
from edgewise.models.graph_gpt.attention_bias import attention_mask
from edgewise.models.graph_gpt.backbone import (
    attention_implementation,
    build_gpt,
    build_tokens,
    start_items,
)
from edgewise.models.graph_gpt.batch import Distances, assemble
from edgewise.models.graph_gpt.config import (
    RECOMMENDING,
    DecodingConfig,
    GraphGPTConfig,
    Stage,
    StageTraining,
    preset,
)
from edgewise.models.graph_gpt.distances import build_distances
from edgewise.models.graph_gpt.model import GraphGPTModel
from edgewise.models.graph_gpt.prompts import NOBODY, WORDINGS, HistoryWriter, explanation_prompt
from edgewise.models.graph_gpt.stages import build_stage
from edgewise.models.graph_gpt.stages.sequence import build_sequence
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.models.tokenizers import load_tokenizer
from edgewise.recommender import Task
from edgewise.training.curves import Curves
from edgewise.training.trainer import TrainingData, train


@dataclass(frozen=True)
class StagePlan:
    """The size of one stage.

    Attributes:
        name: of the stage.
        examples: prompts of an epoch.
        steps_per_epoch: batches.
        epochs: passes at most.
    """

    name: Stage
    examples: int
    steps_per_epoch: int
    epochs: int


@dataclass(frozen=True)
class FitPlan:
    """The size of a training run.

    Attributes:
        stages: in the order in which they are trained; those without data are left out.
        num_parameters: numbers that are learned.
    """

    stages: tuple[StagePlan, ...]
    num_parameters: int

    @classmethod
    def of(
        cls, model: nn.Module, stages: Mapping[Stage, TrainingData], training: StageTraining
    ) -> FitPlan:
        """The plan of training a model on the stages' data."""
        learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
        plans = (
            StagePlan(name, num_examples(data), data.steps_per_epoch, training.of(name).epochs)
            for name, data in stages.items()
        )
        return cls(tuple(plans), learned)


def num_examples(data: Any) -> int:
    """Prompts in one epoch of a stage: its own count, or all rows of its schedule."""
    if hasattr(data, "num_examples"):
        return data.num_examples
    return sum(len(group) for group in data.schedule.lengths)


_PAIRS_AT_ONCE = 1_000_000
_SCORES_AT_ONCE = 5_000_000
_TEXTS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Inference:
    """Answers prompts of any number; each is read once, a bounded number of tokens at a time.

    Attributes:
        model: in evaluation mode.
        tokens: numbers of words, users and items.
        distances: of the train graph; None where attention does without.
    """

    model: GraphGPTModel
    tokens: TokenSpace
    distances: Distances | None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.gpt.wte.weight.device

    def rank(
        self,
        prompts: Sequence[np.ndarray],
        readers: np.ndarray,
        seen: Sequence[np.ndarray],
        k: int,
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The k likeliest items that were not seen (Eq. 7): one pass scores all items.

        Args:
            prompts: tokens of each.
            readers: whose history each tells, -1 for people who are not in the data, ``int64[n]``.
            seen: items of each that are not to be found.
            k: items each; fewer only where fewer are unseen.

        Returns:
            Items and log-likelihoods of each prompt, best first.
        """
        items: list[np.ndarray] = [np.empty(0, np.int64)] * len(prompts)
        scores: list[np.ndarray] = [np.empty(0, np.float32)] * len(prompts)
        for rows, likelihood in self.likelihoods(prompts, readers):
            chunk = [np.asarray(seen[row], dtype=np.int64) for row in rows]
            places = np.repeat(np.arange(len(chunk)), [len(row) for row in chunk])
            likelihood[places, np.concatenate(chunk)] = -torch.inf
            best, found = likelihood.topk(min(k, likelihood.shape[1]))
            for row, values, numbers in zip(rows, best.cpu(), found.cpu(), strict=True):
                exists = torch.isfinite(values)
                items[row], scores[row] = numbers[exists].numpy(), values[exists].numpy()
        return items, scores

    def score(
        self, prompts: Sequence[np.ndarray], readers: np.ndarray, lists: Sequence[np.ndarray]
    ) -> np.ndarray:
        """The log-likelihood of every item of each prompt's list, ``float32[total]``."""
        scores: list[np.ndarray] = [np.empty(0, np.float32)] * len(prompts)
        for rows, likelihood in self.likelihoods(prompts, readers):
            for place, row in enumerate(rows):
                wanted = torch.as_tensor(np.asarray(lists[row], dtype=np.int64))
                scores[row] = likelihood[place, wanted.to(self.device)].cpu().numpy()
        return np.concatenate([*scores, np.empty(0, np.float32)]).astype(np.float32)

    @torch.no_grad()
    def likelihoods(
        self, prompts: Sequence[np.ndarray], readers: np.ndarray
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Log-likelihoods of all items after each prompt, prompts of similar length together.

        Yields:
            Rows ``int64[b]``, and ``float[b, I]`` that the caller may write to.
        """
        lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        most = max(1, _SCORES_AT_ONCE // max(1, self.tokens.num_items))
        for part in bounded_parts(lengths[order], _PAIRS_AT_ONCE, most):
            rows = order[part]
            chosen = [prompts[row] for row in rows]
            batch = assemble(self.tokens, chosen, distances=self.distances, readers=readers[rows])
            states = self.model.last_hidden(batch.to(self.device))
            yield rows, self.model.item_logits(states).float().log_softmax(-1)

    def write(self, prompts: Sequence[np.ndarray], config: DecodingConfig) -> list[list[int]]:
        """The text that follows each prompt, the likeliest token at every step.

        Args:
            prompts: all of one length.
            config: the shortest and the longest text.
        """
        texts: list[list[int]] = []
        for start in range(0, len(prompts), _TEXTS_AT_ONCE):
            texts += self._written(prompts[start : start + _TEXTS_AT_ONCE], config)
        return texts

    @torch.no_grad()
    def _written(self, prompts: Sequence[np.ndarray], config: DecodingConfig) -> list[list[int]]:
        batch = assemble(self.tokens, prompts, space="text", distances=self.distances)
        batch = batch.to(self.device)
        states, past = self.model.read(batch.input_ids, self.model.mask(batch), keep=True)
        present, written = batch.attention_mask, batch.input_ids[:, :0]
        for length in range(config.explanation_tokens):
            logits = self.model.text_logits(states[:, -1]).float()
            logits[:, self._never(may_end=length >= config.min_explanation_tokens)] = -torch.inf
            logits[self._blank_again(written)] = -torch.inf
            token = logits.argmax(-1, keepdim=True)
            written = torch.cat([written, token], 1)
            if (written == self.tokens.end_token).any(1).all():
                break
            # A word has no place in the graph: it looks at all tokens before it with R = 0.
            present = torch.cat([present, torch.ones_like(token)], 1)
            states, past = self.model.read(
                token, attention_mask(present, None)[:, :, -1:], past, keep=True
            )
        return [self._up_to_end(row) for row in written.tolist()]

    def _never(self, may_end: bool) -> list[int]:
        end, pad = self.tokens.end_token, self.tokens.pad_token
        return [pad] * (pad != end) + [end] * (not may_end)

    def _blank_again(self, written: torch.Tensor) -> torch.Tensor:
        """White space after white space, which could go on for ever, ``bool[B, T]``."""
        blank = torch.from_numpy(self.tokens.blank_tokens).to(written.device)
        last = written[:, -1:]
        return blank[last].any(1)[:, None] & blank

    def _up_to_end(self, row: list[int]) -> list[int]:
        end = self.tokens.end_token
        return row[: row.index(end)] if end in row else row


def check_known(kind: str, indices: np.ndarray, size: int) -> None:
    """Raise UnknownIdError unless all user or item indices lie in ``0..size - 1``."""
    strange = indices[(indices < 0) | (indices >= size)]
    if len(strange):
        raise UnknownIdError(
            f"{kind}_index {int(strange[0])}: this model knows {kind}s 0 to {size - 1}; look up "
            "indices in the data set it was fitted on"
        )


def bounded_parts(lengths: np.ndarray, budget: int, most: int) -> Iterator[slice]:
    """Split rows of rising lengths so that no part has more than ``budget`` pairs of tokens.

    Args:
        lengths: tokens of each row, rising.
        budget: rows times the longest one squared, at most; a single row may exceed it.
        most: rows of a part at most.
    """
    start = 0
    while start < len(lengths):
        sizes = np.arange(1, min(most, len(lengths) - start) + 1)
        fits = sizes * lengths[start : start + len(sizes)] ** 2 <= budget
        stop = start + max(1, int(np.count_nonzero(fits)))
        yield slice(start, stop)
        start = stop


_log = logging.getLogger("edgewise")


def build_stages(
    config: GraphGPTConfig, split: Split, tokens: TokenSpace, distances: Distances | None
) -> dict[Stage, TrainingData]:
    """What each stage learns from, in order; a stage without data is left out.

    Raises:
        DataError: none is left that learns to recommend.
    """
    stages: dict[Stage, TrainingData] = {}
    for stage in config.stages:
        if stage == "sequence":
            data = build_sequence(config, split, tokens, distances)
        else:
            data = build_stage(stage, config, split, tokens, distances)
        if data is not None:
            stages[stage] = data
    _say_what_is_missing(config, split, stages)
    if not any(stage in RECOMMENDING for stage in stages):
        raise DataError(
            f"data set {split.dataset.name!r} has no train rows for the stages "
            f"{', '.join(config.stages)}: nothing to learn recommending from"
        )
    return stages


def _say_what_is_missing(
    config: GraphGPTConfig, split: Split, stages: Mapping[Stage, TrainingData]
) -> None:
    name = split.dataset.name
    in_time = config.history.order == "time" or "sequence" in stages
    if stages and in_time and split.train.timestamp is None:
        _log.warning("%s has no timestamps: the order of its rows is taken for time's", name)
    if config.content_weight > 0 and "content" not in stages:
        _log.warning(
            "%s has no content: content_weight = %g is without effect", name, config.content_weight
        )


def train_stages(
    model: GraphGPTModel,
    stages: Mapping[Stage, TrainingData],
    config: GraphGPTConfig,
    folder: Path | None,
    *,
    resume: bool,
    show_progress: bool,
) -> dict[str, Curves]:
    """Train every stage, each from the best weights of the one before.

    A stage that a resumed run had finished puts its best weights back and trains no more.

    Returns:
        The learning curves of each stage.
    """
    curves: dict[str, Curves] = {}
    for stage, data in stages.items():
        curves[stage] = train(
            model,
            data,
            config.training.of(stage),
            seed=config.seed,
            folder=None if folder is None else folder / stage,
            resume=resume,
            show_progress=show_progress,
        )
        if stage == "content":
            model.hold_on_to_content()
    return curves


def clear_stages(folder: Path) -> None:
    """Remove earlier checkpoints of all stages.

    The loop clears a stage when it comes to it; by then a run that stopped before would resume from
    a checkpoint that some older run left there.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    for stage in ("content", *RECOMMENDING):
        shutil.rmtree(folder / stage, ignore_errors=True)


def learns_explanations(
    config: GraphGPTConfig, split: Split, stages: Mapping[Stage, TrainingData]
) -> bool:
    """Whether the content stage read users' reasons for buying."""
    read = "content" in stages and config.content.reviews
    return read and len(explanation_split(split).train) > 0


T = TypeVar("T", bound="GraphGPT")

KIND = "graph-gpt"


def save_graph_gpt(recommender: GraphGPT, folder: str | Path) -> None:
    """Write weights, known histories, the graph's edges, tokenizer and configuration."""
    model, tokens = recommender.model, recommender.tokens
    settings = {
        "config": to_dict(recommender.config),
        "gpt": model.gpt.config.to_dict(),
        "num_users": tokens.num_users,
        "num_items": tokens.num_items,
        "stages": list(recommender.stages),
        "explains": "explanation" in recommender.tasks,
    }
    with writing_model(folder, KIND, settings) as partial:
        save_model(model, str(partial / "model.safetensors"))
        tokens.tokenizer.save_pretrained(partial / "tokenizer")
        _save_histories(recommender.histories, partial / "histories.safetensors")
        _save_histories(recommender.edges, partial / "edges.safetensors")


def _save_histories(histories: Ragged, file: Path) -> None:
    arrays = {"offsets": histories.offsets, "items": histories.values}
    save_arrays({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)


def _load_histories(file: Path) -> Ragged:
    arrays = load_arrays(file)
    return Ragged(arrays["offsets"], arrays["items"])


def load_graph_gpt(cls: type[T], folder: str | Path) -> T:
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
    config = updated(GraphGPTConfig(), settings["config"])
    recommender = cls(config)
    tokenizer = load_tokenizer(folder / "tokenizer")
    tokens = TokenSpace(tokenizer, settings["num_users"], settings["num_items"])
    found = settings["gpt"]["vocab_size"]
    if found != len(tokens):
        raise ValueError(
            f"the network has {found} tokens, but words, users and items make {len(tokens)}"
        )
    gpt_config = GPT2Config.from_dict(
        settings["gpt"], attn_implementation=attention_implementation()
    )
    model = GraphGPTModel(
        GPT2Model(gpt_config),
        tokens.num_text,
        tokens.num_users,
        config.attention,
        config.content_weight,
    )
    load_model(model, folder / "model.safetensors")
    histories = _load_histories(folder / "histories.safetensors")
    recommender.edges = _load_histories(folder / "edges.safetensors")
    distances = build_distances(config.attention, recommender.edges, tokens.num_items)
    stages = tuple(settings["stages"])
    recommender._become(model, tokens, distances, histories, stages, settings["explains"])
    return recommender


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

    summary = (
        "A small GPT-2 language model reads every user and every item as one word of its own. "
        "Where it decides which words to attend to, two of these words that are near each other in "
        "the graph of who bought what are raised, so the model looks first at what is near."
    )
    node_vectors_summary = (
        "they are the model's own words for users and items, learned from texts and purchases"
    )

    def __init__(self, config: GraphGPTConfig | None = None) -> None:
        self.config = config or GraphGPTConfig()
        self.curves: Curves | None = None
        self.stage_curves: dict[str, Curves] = {}
        self._model: GraphGPTModel | None = None

    @classmethod
    def from_preset(cls, name: str, overrides: Iterable[str] = ()) -> Self:
        """A recommender with a named preset's settings.

        Args:
            name: see :data:`edgewise.models.graph_gpt.config.PRESETS`.
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
        histories: Ragged,
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

    def node_vectors(self) -> np.ndarray:
        """The embeddings of the tokens of users, then items, ``float32[N, D]``."""
        table = self.model.gpt.get_input_embeddings().weight
        return table[self.tokens.num_text :].detach().float().cpu().numpy()

    # Recommending

    def recommend(
        self, users: np.ndarray, k: int = 10, *, histories: Ragged | None = None
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
        histories: Ragged | None = None,
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
        save_graph_gpt(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a folder written by :meth:`save`.

        Raises:
            ModelFolderError: it is missing, truncated, altered or another model's.
        """
        return load_graph_gpt(cls, folder)
