"""RSL, RecSysLLM: whole ids and attributes are masked and written back (Chu et al. 2023).

Paper: "Leveraging Large Language Models for Pre-trained Recommender Systems", arXiv 2308.10837. A
language model learns about users and items by filling blanks in sentences about them. A blank is
always a whole entity, an id or an attribute however many tokens it has, the blanks of a sentence
are filled one after the other in shuffled order, and positions follow the entities. No code is
released, and the paper's model is a far larger GLM; this is a rebuild of the idea on the T5, the
prompts and the search that ELMRec, P5 and POD are made of here.

A prompt ``user_1 item_3 item_7 item_2`` with ``item_7`` and the answer ``item_9`` masked:

    encoder: user_1 item_3 [M] item_2 [M]      positions 1 2 3 4 5
    decoder: item_9 </s> item_7 </s>           positions 5 5 3 3, in this order or the other

Recommending masks the answer alone, so that a list is the same search as ELMRec's and a candidate's
score its exact log-likelihood.

What we assume, where the paper is silent or its model another one:

- **Blanks.** The answer is one in every ranking example, at the end of the prompt. Beside it every
  user and item of a history is one with probability ``spans.mask_rate``, of direct prompts the user
  alone: nobody could guess a random candidate.
- **Attributes** are the brand and the categories of an item. They stand in sentences of their own,
  ``item brand category ...``, of which at least one entity is masked; a third of all batches.
- **Order.** A new random one for each example; each span ends with the end token.
- **Dynamic positions.** Entities are counted, not tokens: all tokens of an entity share a learned
  embedding of its place, times ``whole_words.*_alpha``, in the encoder as in the decoder, where it
  also says which blank is being filled. Within a span T5's relative positions count, where GLM has
  a second absolute one.
- **The mask** is the checkpoint's first sentinel, or the unknown token of a tokenizer of ours.
- **LoRA** (``lora.rank``) adapts queries and values of all attention and freezes the rest of the
  T5; soft prompts and positions are learned. From random weights there is nothing to adapt.
- **Explanations**, reviews and ratings, the paper's further tasks, are left out.

Shapes: B prompts, S source tokens, T target tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from edgewise.config import Settings, check, section, setting
from edgewise.data.dataset import Catalog
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.models.base import TorchRecommender
from edgewise.models.elmrec.batch import (
    Batch,
    bounded_rows,
    laid_out,
    order_of_appearance,
    padded_rows,
)
from edgewise.models.elmrec.config import (
    ELMRecConfig,
    GraphConfig,
    PromptConfig,
    WholeWordConfig,
)
from edgewise.models.elmrec.data import ELMRecData, TrainingPool, build_data
from edgewise.models.elmrec.model import ELMRecModel
from edgewise.models.elmrec.prompts import EntityTokenTable
from edgewise.models.elmrec.recommender import TOKENS_AT_ONCE, ELMRec, Encoded
from edgewise.models.lora import add_low_rank
from edgewise.recommender import TASKS, Task
from edgewise.training.trainer import Stage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SENTINEL = "<extra_id_0>"
_ATTRIBUTES: Task = "explanation"  # whose turn, soft prompt and seed sentences of attributes take


class SpanConfig(Settings):
    """Which entities are masked."""

    SECTION = "spans"

    mask_rate: float = setting(
        0.15, "Share of a history's users and items that are masked beside the answer.", ge=0, lt=1
    )
    attributes: bool = setting(
        True, "Learn from brand and categories of items, too, in batches of their own."
    )
    attribute_tokens: int = setting(8, "Of an attribute at most.", ge=1)


class LoRAConfig(Settings):
    """Low-rank adapters."""

    SECTION = "lora"

    rank: int = setting(0, "Of the adapters; 0 = all weights are trained.", symbol="r", ge=0)
    alpha: float = setting(16.0, "Strength of the adapters, over rank.", symbol="alpha", gt=0)


_INCREMENTAL = {"direct": "incremental", "sequential": "incremental", "explanation": "incremental"}
# At full strength places drown the random token embeddings that they are added to.
_SOFTLY = {f"{task}_alpha": 0.3 for task in TASKS}
_NO_GRAPH = {"features": "random", "num_propagation_layers": 0, "num_folds": 0}
_RANKING: tuple[Task, ...] = ("sequential", "direct")


class RSLConfig(ELMRecConfig):
    """ELMRec's settings without the graph, with spans and adapters."""

    prompts: PromptConfig = section(PromptConfig, tasks=_RANKING)
    whole_words: WholeWordConfig = section(WholeWordConfig, **_INCREMENTAL)
    graph: GraphConfig = section(GraphConfig, **_NO_GRAPH)
    spans: SpanConfig = section(SpanConfig)
    lora: LoRAConfig = section(LoRAConfig)

    def model_post_init(self, context: Any) -> None:
        """Refuse what ELMRec refuses, and parts of ELMRec that know no spans."""
        super().model_post_init(context)
        prompts, words = self.prompts, self.whole_words
        check(set(prompts.tasks) <= set(_RANKING), "prompts.tasks of rsl: sequential and direct")
        heads = prompts.item_head or prompts.candidate_head
        check(
            not heads and prompts.direct_likelihood == "vocabulary",
            "rsl writes spans over the whole vocabulary: leave prompts.item_head, "
            "prompts.candidate_head and prompts.direct_likelihood as they are",
        )
        check(prompts.ids == "spelled", "rsl writes ids token by token: leave prompts.ids spelled")
        kinds = {words.kind(task) for task in TASKS}
        check(
            kinds == {"incremental"} and words.injection == "addition",
            "rsl tells masks apart by their places: leave the kinds of whole_words incremental and "
            "whole_words.injection addition",
        )


@dataclass(frozen=True)
class SpanBatch(Batch):
    """Prompts with masks, and the spans that fill them.

    Attributes:
        positions: the place of the entity that a target token belongs to, ``int64[B, T]``; of
            prompts without targets the place of the answer, ``int64[B, 1]``.
    """

    positions: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 1))


@dataclass(frozen=True, eq=False)
class SpanWriter:
    """Spells prompts with masks.

    Attributes:
        table: spells users, items and words of templates.
        words: tokens of all of the table's words, of the mask, and of attributes.
    """

    table: EntityTokenTable
    words: Ragged

    @classmethod
    def of(
        cls,
        table: EntityTokenTable,
        tokenizer: PreTrainedTokenizerBase,
        attributes: Sequence[np.ndarray] = (),
    ) -> SpanWriter:
        """With the tokenizer's mask and the tokens of some attributes."""
        mask: Any = tokenizer.get_vocab().get(_SENTINEL, tokenizer.unk_token_id)
        rows = [*table.tokens.rows(), np.array([mask]), *attributes]
        return cls(table, Ragged.of_rows([row.astype(np.int64) for row in rows]))

    @property
    def mask(self) -> int:
        """The whole word that stands for what is to be filled in; attributes come after it."""
        return len(self.table.tokens)

    def is_entity(self, words: np.ndarray) -> np.ndarray:
        """Whether each whole word is counted: a user, an item, a mask or an attribute."""
        return (words <= self.table.unknown_user) | (words >= self.mask)

    def masked(
        self, prompt: np.ndarray, chosen: np.ndarray, answer: np.ndarray
    ) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
        """A prompt with masks, and what fills them.

        Args:
            prompt: whole words.
            chosen: which of them become masks, ``bool[words]``.
            answer: tokens of the item after the prompt, end token included; empty = there is none.

        Returns:
            Whole words, and each span's place among the entities, from 1, with its tokens.
        """
        place = np.cumsum(self.is_entity(prompt))
        spans = [
            (int(place[n]), np.append(self.words[prompt[n]], self.table.eos_id))
            for n in np.flatnonzero(chosen)
        ]
        words = np.where(chosen, self.mask, prompt)
        if len(answer):
            words = np.append(words, self.mask)
            spans.append((int(place[-1]) + 1, answer))
        return words, spans

    def assemble(
        self,
        task: Task,
        prompts: Sequence[np.ndarray],
        spans: Sequence[Sequence[tuple[int, np.ndarray]]] | None = None,
    ) -> SpanBatch:
        """Prompts as tensors, with the spans of each in the order in which they are written."""
        rows = Ragged.of_rows(prompts)
        tokens = self.words.take(rows.values)
        word = tokens.row_of_value
        cells = Ragged.of_lengths(
            np.bincount(rows.row_of_value[word], minlength=len(prompts)), tokens.values
        )
        order = laid_out(cells, order_of_appearance(rows, self.is_entity(rows.values))[word], 0)
        nothing = torch.full((len(prompts),), -1)
        labels, positions = None, order.amax(dim=1, keepdim=True)
        if spans is not None:
            told = [np.concatenate([span for _, span in row]) for row in spans]
            places = [np.repeat([p for p, _ in row], [len(s) for _, s in row]) for row in spans]
            labels = torch.from_numpy(padded_rows(told, -100))
            positions = torch.from_numpy(padded_rows(places, 0))
        return SpanBatch(
            input_ids=laid_out(cells, tokens.values, self.table.pad_id),
            attention_mask=laid_out(cells, np.ones_like(tokens.values), 0),
            node=torch.full_like(order, -1),  # no graph is read
            order=order,
            edge_fold=nothing,
            user=nothing,
            task=task,
            labels=labels,
            positions=positions,
        )


@dataclass(frozen=True)
class SpanPool(TrainingPool):
    """ELMRec's draws as prompts with masks, and sentences of attributes.

    Attributes:
        spans: spells them.
        mask_rate: share of entities masked beside the answer.
        attributes: whole words of each item's attributes, none of them empty.
        described: the items that have some.
    """

    spans: SpanWriter = None  # type: ignore[assignment]
    mask_rate: float = 0.0
    attributes: Ragged = None  # type: ignore[assignment]
    described: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.examples[_ATTRIBUTES] = np.arange(len(self.described))

    def batch(
        self, task: Task, number: int, batch_size: int, part: slice = slice(None)
    ) -> SpanBatch:
        prompts, targets, _, unknown = self.drawn(task, number, batch_size)
        rng = np.random.default_rng((self.seed, TASKS.index(task), number, 3))
        rows = zip(prompts, targets, unknown, strict=True)
        found = [self._with_masks(task, *row, rng) for row in rows]
        batch = self.spans.assemble(task, *map(list, zip(*found, strict=True)))
        return batch.take(part) if len(prompts[part]) else batch

    def asked(self, task: Task, prompts: list[np.ndarray], targets: list[np.ndarray]) -> Batch:
        masked = self.spans.masked
        rows = zip(prompts, targets, strict=True)
        found = [masked(prompt, np.zeros(len(prompt), bool), answer) for prompt, answer in rows]
        return self.spans.assemble(task, *map(list, zip(*found, strict=True)))

    def _with_masks(
        self,
        task: Task,
        prompt: np.ndarray,
        answer: np.ndarray,
        unknown: bool,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
        """One example: masks drawn, spans shuffled."""
        table = self.table
        is_user = prompt < table.num_users
        if unknown:
            prompt = np.where(is_user, table.unknown_user, prompt)
        may = self.spans.is_entity(prompt) & (prompt != table.unknown_user)
        if task == "direct":
            may &= is_user
        chosen = may & (rng.random(len(prompt)) < self.mask_rate)
        if not len(answer) and not chosen.any():
            chosen[rng.choice(np.flatnonzero(may))] = True
        words, spans = self.spans.masked(prompt, chosen, answer)
        return words, [spans[n] for n in rng.permutation(len(spans))]

    def _explanation(
        self, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
        """Sentences of attributes: an item and what it has, in random order, nothing to answer."""
        items = self.described[rows] + self.table.num_users
        facts = zip(items, self.attributes.take(rows).rows(), strict=True)
        prompts = [np.append(item, rng.permutation(row)).astype(np.int64) for item, row in facts]
        return prompts, [np.empty(0, np.int64)] * len(rows), np.full(len(rows), -1)


def attributes_of(
    catalog: Catalog, tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> tuple[list[np.ndarray], np.ndarray, Ragged]:
    """Brands and categories.

    Returns:
        Tokens of every distinct attribute; items that have some, ``int64[n]``; and each one's
        attributes by their place among the distinct ones.
    """
    numbers: dict[str, int] = {}
    described: list[int] = []
    rows: list[np.ndarray] = []
    for item, (brand, categories) in enumerate(zip(catalog.brand, catalog.categories, strict=True)):
        names = dict.fromkeys(name.strip() for name in (brand, *categories) if name.strip())
        if names:
            described.append(item)
            rows.append(np.array([numbers.setdefault(name, len(numbers)) for name in names]))
    texts = list(numbers)
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    tokens = [np.array(row[:max_tokens], dtype=np.int64) for row in encoded]
    return tokens, np.array(described, dtype=np.int64), Ragged.of_rows(rows)


class RSLModel(ELMRecModel):
    """ELMRec's network, whose decoder is told the place of the entity that it writes."""

    def __init__(
        self,
        t5: T5ForConditionalGeneration,
        prompts: PromptConfig,
        whole_words: WholeWordConfig,
        graph: nn.Module | None,
        generator: torch.Generator,
    ) -> None:
        super().__init__(t5, prompts, whole_words, graph, generator)
        # The mask behind the longest prompt needs a place of its own.
        places = self.order_embeddings.detach()
        more = torch.randn(1, places.shape[1], generator=generator) * places.std()
        self.order_embeddings = nn.Parameter(torch.cat([places, more]))

    def decoder_shift(self, batch: Batch) -> torch.Tensor:
        """The embedding of the answer's place, for every token of the answer, ``[B, D]``."""
        assert isinstance(batch, SpanBatch)
        return self._of_places(batch.order.amax(dim=1), batch.task)

    def _target_logits(
        self, batch: Batch, labels: torch.Tensor, states: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        assert isinstance(batch, SpanBatch)
        inputs = self.t5.get_input_embeddings()(
            self.t5.prepare_decoder_input_ids_from_labels(labels)
        )
        return self.t5(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),  # type: ignore[arg-type]
            attention_mask=mask,
            decoder_inputs_embeds=inputs + self._of_places(batch.positions, batch.task),
        ).logits.float()

    def _of_places(self, places: torch.Tensor, task: Task) -> torch.Tensor:
        places = places.clamp(max=len(self.order_embeddings) - 1)
        return self.whole_words.alpha(task) * F.embedding(places, self.order_embeddings)


class RSL(ELMRec):
    """Recommends by filling the blank at the end of a prompt; see the module."""

    name, label = "rsl", "RSL"
    summary = (
        "A small T5 language model that learned to fill blanks: whole users, items, brands and "
        "categories were hidden from it in sentences about them. The next item is one more blank."
    )
    node_vectors_summary = (
        "they are the mean of what its id is spelled with, so that ids that share a piece lie "
        "together, whoever they are"
    )
    paper = "Chu et al. 2023, arXiv 2308.10837"
    Config = RSLConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "backbone": {"name": "tiny", "vocab_size": 600, "mimetic_init": False},
            "prompts": {"num_negatives": 24, "template_rate": 0.0, "history_sampling": "prefix"},
            "whole_words": _SOFTLY,
            "training": {"epochs": 20, "batch_size": 32, "learning_rate": 2e-3},
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "backbone": {"name": "cpu", "dropout": 0.0},
            "prompts": {"num_negatives": 24, "template_rate": 0.1, "history_sampling": "prefix"},
            "whole_words": _SOFTLY,
            "training": {
                "epochs": 10,
                "batch_size": 32,
                "learning_rate": 5e-4,
                "embedding_lr_multiplier": 5.0,
                "schedule": "cosine",
                "warmup_steps": 50,
            },
        },
        # A checkpoint and adapters, as far from the paper's model as its size; for a GPU.
        "paper": {
            "backbone": {"name": "google-t5/t5-small", "mimetic_init": False},
            "prompts": {"template_rate": 0.5},
            "lora": {"rank": 8},
            "training": {"epochs": 100, "learning_rate": 1e-3},
            "decoding": {"rerank_extra": 0, "filtering": "after"},
        },
        # The same size from random weights, all of them trained.
        "paper-from-scratch": {
            "backbone": {"name": "t5-small", "mimetic_init": False},
            "prompts": {"template_rate": 0.5},
            "training": {"epochs": 100, "learning_rate": 1e-3},
            "decoding": {"rerank_extra": 0, "filtering": "after"},
        },
    }
    TASKS: ClassVar[tuple[Task, ...]] = _RANKING
    config: RSLConfig
    network: RSLModel

    def _network(
        self,
        t5: T5ForConditionalGeneration,
        graph: nn.Module,
        generator: torch.Generator,
        start: np.ndarray | None = None,
    ) -> RSLModel:
        config = self.config
        if config.lora.rank:
            add_low_rank(t5, config.lora.rank, config.lora.alpha, generator)
        return RSLModel(t5, config.prompts, config.whole_words, graph, generator)

    def stages(self, split: Split) -> Sequence[Stage]:
        """One stage that alternates the tasks and sentences of attributes."""
        config = self.config
        catalog = split.dataset.catalog
        if not config.spans.attributes:
            catalog = Catalog.empty(len(catalog))
        tokens, described, facts = attributes_of(
            catalog, self.tokenizer, config.spans.attribute_tokens
        )
        spans = SpanWriter.of(self.table, self.tokenizer, tokens)
        words = replace(facts, values=facts.values.astype(np.int64) + spans.mask + 1)
        mask_rate = config.spans.mask_rate
        pool = partial(
            SpanPool, spans=spans, mask_rate=mask_rate, attributes=words, described=described
        )
        data = build_data(config, split, self.table, self.tokenizer, None, pool)
        self.tasks = data.tasks
        self._count_priors(split)
        if len(described):
            data = replace(data, tasks=(*data.tasks, _ATTRIBUTES))
        return [Stage("training", data, config.training)]

    def plan(self, stages: Sequence[Stage]) -> tuple[tuple[str, str], ...]:
        """The examples of each task, and the length of the training."""
        (stage,) = stages
        assert isinstance(stage.data, ELMRecData)
        counts = {task: len(rows) for task, rows in stage.data.pool.examples.items()}
        rows = [(task, f"{counts[task]:,} users") for task in self.tasks]
        if _ATTRIBUTES in stage.data.tasks:
            rows.append(("attributes", f"{counts[_ATTRIBUTES]:,} items"))
        return (*rows, *TorchRecommender.plan(self, stages), *self._told_priors())

    def node_vectors(self) -> np.ndarray:
        """The mean embedding of the tokens of users, then items, ``float32[N, D]``."""
        tokens = self.table.tokens.take(np.arange(self.table.num_nodes))
        weight = self.network.t5.get_input_embeddings().weight
        assert isinstance(weight, torch.Tensor)
        found = weight.detach().float().cpu().numpy()[tokens.values]
        return np.add.reduceat(found, tokens.offsets[:-1]) / tokens.lengths[:, None]

    @torch.no_grad()
    def encoded(
        self,
        task: Task,
        prompts: Sequence[np.ndarray],
        user_embeddings: np.ndarray | None = None,
        max_rows: int | None = None,
    ) -> Iterator[Encoded]:
        """Encode prompts with a mask at their end; see :meth:`ELMRec.encoded`."""
        spans = SpanWriter.of(self.table, self.tokenizer)
        masked = [np.append(prompt, spans.mask) for prompt in prompts]
        lengths = [int(spans.words.lengths[prompt].sum()) for prompt in masked]
        for rows in bounded_rows(lengths, TOKENS_AT_ONCE, max_rows):
            batch = spans.assemble(task, [masked[row] for row in rows]).to(self.device)
            states, mask = self.answering.encode(batch)
            yield Encoded(rows, states, mask, self.network.decoder_shift(batch), None)
