"""Stage 1: crowd contextual prompts, language-model loss on what follows the colon (Eq. 5).

Texts of items and train reviews are gathered (:func:`collect_texts`), and so are the brands and
categories that items have in common, the second-order prompts of Section 3.3.2
(:func:`shared_names`). A :class:`ContentWriter` turns them into numbered prompts
(:class:`ContentPrompts`), which share the stage with interaction events (:class:`ContentData`).

Shapes: N prompts, n texts, W windows of lists.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress

import numpy as np

from edgewise.data.dataset import Catalog, Interactions
from edgewise.data.hashing import keyed_uniform
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.data.texts import ExplanationPairs, explanation_split
from edgewise.models.graph_gpt.batch import IGNORED, Distances, PromptBatch, assemble
from edgewise.models.graph_gpt.config import ContentConfig, GraphGPTConfig
from edgewise.models.graph_gpt.prompts import (
    CONTENT_TEMPLATES,
    SECOND_ORDER,
    ContentKind,
    PromptTemplate,
    SecondOrder,
)
from edgewise.models.graph_gpt.stages.events import EventPrompts
from edgewise.models.graph_gpt.stages.schedule import (
    Latest,
    Schedule,
    ScheduledData,
    Stream,
    chunks_of,
    share_of,
)
from edgewise.models.graph_gpt.tokens import TokenSpace

PLURALS: dict[ContentKind, str] = {
    "title": "titles",
    "brand": "brands",
    "categories": "categories",
    "description": "descriptions",
    "review": "review texts",
    "reason": "reasons for buying",
    "shared_brand": "brands that some items share",
    "shared_category": "categories that some items share",
}
# Without brands it goes without saying that no items share one.
_IMPLIED: dict[ContentKind, SecondOrder] = {
    "brand": "shared_brand",
    "categories": "shared_category",
}
KINDS: tuple[ContentKind, ...] = tuple(CONTENT_TEMPLATES)
MAX_VALIDATION_TEXTS = 1000
HELD_OUT_SHARE = 0.05
_TEXTS = 0
_log = logging.getLogger("edgewise")


# Texts


@dataclass(frozen=True)
class Texts:
    """Texts of one kind.

    Attributes:
        kind: chooses the template.
        user, item: whom and what each text is about, ``int64[n]``; ``user`` is -1 where the
            template names none.
        text: one line each.
    """

    kind: ContentKind
    user: np.ndarray
    item: np.ndarray
    text: Sequence[str]

    def __len__(self) -> int:
        return len(self.text)

    def take(self, rows: np.ndarray) -> Texts:
        """Some of them, in the order given."""
        return Texts(
            self.kind, self.user[rows], self.item[rows], [self.text[int(row)] for row in rows]
        )


def collect_texts(split: Split, config: ContentConfig) -> Iterator[Texts]:
    """Each kind of text that the configuration asks for; those the data lacks are empty.

    Item contents come from the catalogue, reviews and reasons for buying from train rows alone.
    """
    if config.contents:
        yield from _item_contents(split.dataset.catalog)
    if config.reviews:
        yield _reviews(split.train)
        yield _reasons(explanation_split(split).train)


def held_out_reasons(split: Split) -> Texts:
    """Reasons of validation rows whose user and item have no train row together."""
    return _reasons(explanation_split(split).valid)


def _item_contents(catalog: Catalog) -> Iterator[Texts]:
    lists = [", ".join(dict.fromkeys(names)) for names in catalog.categories]
    nobody, items = np.full(len(catalog), -1), np.arange(len(catalog))
    yield _present("title", nobody, items, catalog.title)
    yield _present("brand", nobody, items, catalog.brand)
    yield _present("categories", nobody, items, lists)
    yield _present("description", nobody, items, catalog.description)


def _reviews(rows: Interactions) -> Texts:
    texts = [""] * len(rows) if rows.review is None else rows.review.fill_null("").to_list()
    return _present("review", rows.user_index, rows.item_index, texts)


def _reasons(pairs: ExplanationPairs) -> Texts:
    return _present("reason", pairs.user_index, pairs.item_index, pairs.text)


def _present(kind: ContentKind, user: np.ndarray, item: np.ndarray, texts: Sequence[str]) -> Texts:
    """The texts that are not empty, white space made one space."""
    lines = [" ".join(text.split()) for text in texts]
    present = np.array([bool(line) for line in lines], dtype=bool)
    users, items = user[present].astype(np.int64), item[present].astype(np.int64)
    return Texts(kind, users, items, list(compress(lines, present)))


def encode_texts(tokens: TokenSpace, texts: Sequence[str], max_tokens: int) -> Ragged:
    """Tokens of texts as they follow a colon: with a space before them.

    A text of more than ``max_tokens`` is cut, and then not closed by the end token: its end is not
    to be learned.
    """
    if not texts:
        return Ragged.of_rows([])
    spaced = [f" {text}" for text in texts]
    # A tokenizer warns of texts longer than its model reads, though they are cut here.
    encoded = tokens.tokenizer(spaced, add_special_tokens=False, verbose=False)["input_ids"]
    end = [tokens.end_token]
    rows = [row[:max_tokens] if len(row) > max_tokens else row + end for row in encoded]
    return Ragged.of_rows([np.array(row, dtype=np.int32) for row in rows])


# Shared names


@dataclass(frozen=True)
class SharedName:
    """A brand or category and the items that have it, rising."""

    kind: SecondOrder
    name: str
    items: Sequence[int]


def shared_names(catalog: Catalog) -> Iterator[SharedName]:
    """Brands, then categories, of at least two items.

    A name that every item of the catalogue has tells nothing of any of them and is left out too, as
    is the root of most category trees.
    """
    yield from _shared("shared_brand", [(brand,) for brand in catalog.brand])
    yield from _shared("shared_category", catalog.categories)


def _shared(kind: SecondOrder, names_of_item: Sequence[Sequence[str]]) -> Iterator[SharedName]:
    members: dict[str, list[int]] = defaultdict(list)
    for item, names in enumerate(names_of_item):
        for name in {" ".join(name.split()): None for name in names}:
            members[name].append(item)
    members.pop("", None)
    for name in sorted(members):
        if 2 <= len(members[name]) < len(names_of_item):
            yield SharedName(kind, name, members[name])


@dataclass(frozen=True, eq=False)
class SharedLists:
    """Lists of items cut into windows, each list shuffled anew each epoch.

    Attributes:
        items: of every list.
        window: items of a window at most.
        seed: of the order.
    """

    items: Ragged
    window: int
    seed: int

    @cached_property
    def windows(self) -> np.ndarray:
        """List, first place and end of every window, ``int64[W, 3]``.

        A last window of a single item takes one more from the window before it.
        """
        rows = [
            (number, min(start, length - 2), min(start + self.window, length))
            for number, length in enumerate(self.items.lengths.tolist())
            for start in range(0, length, self.window)
        ]
        return np.array(rows, dtype=np.int64).reshape(-1, 3)

    def items_of(self, window: int, epoch: int) -> np.ndarray:
        """Items of a window in an epoch, ``int64[n]``."""
        number, start, end = self.windows[window]
        first = self.items.offsets[number]
        return self._shuffled(epoch)[first + start : first + end]

    @cached_property
    def _shuffled(self) -> Latest[np.ndarray]:
        return Latest(self._draw)

    def _draw(self, epoch: int) -> np.ndarray:
        places = np.arange(len(self.items.values))
        draw = keyed_uniform(self.seed, int(Stream.CONTENT_LISTS), epoch, places)
        return self.items.values[self.items.ranked(draw)]


# Prompts


@dataclass(frozen=True, eq=False)
class ContentPrompts:
    """Numbered prompts: first the texts of users and items, then the windows of shared names.

    Attributes:
        templates: of every kind, in the order of ``KINDS``.
        kind: of every prompt, ``int64[N]``.
        user, item: of every text, ``int64[n]``; ``user`` is -1 where the template names none.
        answers: tokens of every text, then of every shared name.
        lists: items of every shared name.
        tokens: numbers of users and items.
        distances: of the train graph, or None.
    """

    templates: Sequence[PromptTemplate]
    kind: np.ndarray
    user: np.ndarray
    item: np.ndarray
    answers: Ragged
    lists: SharedLists
    tokens: TokenSpace
    distances: Distances | None

    def __len__(self) -> int:
        return len(self.kind)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of every prompt with its answer, ``int64[N]``."""
        fixed = np.array([template.num_fixed for template in self.templates])[self.kind]
        windows = self.lists.windows
        listed = np.concatenate([np.zeros(len(self.user), np.int64), windows[:, 2] - windows[:, 1]])
        return fixed + listed + self.num_targets

    @cached_property
    def num_targets(self) -> np.ndarray:
        """Tokens of every prompt's answer, ``int64[N]``."""
        shared = len(self.user) + self.lists.windows[:, 0]
        return self.answers.lengths[np.concatenate([np.arange(len(self.user)), shared])]

    def targets_per_row(self, rows: np.ndarray) -> float:
        """Tokens of some prompts' answers, on average."""
        return float(self.num_targets[rows].mean())

    def batch(
        self, rows: np.ndarray, epoch: int, targets_per_row: float | None = None
    ) -> PromptBatch:
        """Some prompts, or a process's part of them, with their answers as targets."""
        written = [self._written(row, epoch) for row in rows.tolist()]
        prompts = [np.concatenate([prompt, answer[:-1]]) for prompt, answer in written]
        targets = [
            np.concatenate([np.full(len(prompt) - 1, IGNORED), answer])
            for prompt, answer in written
        ]
        return assemble(
            self.tokens,
            prompts,
            targets,
            space="text",
            distances=self.distances,
            targets_per_row=targets_per_row,
        )

    def _written(self, row: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        template, num_texts = self.templates[self.kind[row]], len(self.user)
        if row < num_texts:
            user = self.tokens.user_token(self.user[row : row + 1])
            item = self.tokens.item_token(self.item[row : row + 1])
            return template.fill(user=user, item=item), self.answers[row]
        window = row - num_texts
        items = self.tokens.item_token(self.lists.items_of(window, epoch))
        answer = num_texts + int(self.lists.windows[window, 0])
        return template.fill(items=items), self.answers[answer]


class ContentWriter:
    """Turns gathered texts into prompts.

    Args:
        tokens: numbers of users and items.
        max_tokens: of the longest input.
        config: length of texts and windows.
        distances: of the train graph, or None.

    Raises:
        ConfigError: the longest input has no room for a prompt and its answer.
    """

    def __init__(
        self,
        tokens: TokenSpace,
        max_tokens: int,
        config: ContentConfig,
        distances: Distances | None,
    ) -> None:
        self.tokens, self.distances = tokens, distances
        self.templates = [PromptTemplate.of(CONTENT_TEMPLATES[kind], tokens) for kind in KINDS]
        texts = [t.room(max_tokens, needed=1) for t in self.templates[: -len(SECOND_ORDER)]]
        lists = [t.room(max_tokens, needed=4) for t in self.templates[-len(SECOND_ORDER) :]]
        # Half of a short input for the items, so that the name they share fits as well.
        self.window = min(config.window, min(lists) // 2)
        self.max_text = min(config.max_text_tokens, *texts, min(lists) - self.window)

    def prompts(
        self, texts: Sequence[Texts], shared: Sequence[SharedName], seed: int
    ) -> ContentPrompts:
        """Number the prompts of texts, then those of shared names."""
        items = Ragged.of_rows([np.array(group.items, dtype=np.int64) for group in shared])
        lists = SharedLists(items, self.window, seed)
        kind_of_text = [np.full(len(group), KINDS.index(group.kind)) for group in texts]
        kind_of_list = np.array([KINDS.index(group.kind) for group in shared], dtype=np.int64)
        lines = [line for group in texts for line in group.text] + [g.name for g in shared]
        nothing = np.empty(0, dtype=np.int64)
        return ContentPrompts(
            self.templates,
            np.concatenate([*kind_of_text, kind_of_list[lists.windows[:, 0]]]),
            np.concatenate([nothing, *(group.user for group in texts)]),
            np.concatenate([nothing, *(group.item for group in texts)]),
            encode_texts(self.tokens, lines, self.max_text),
            lists,
            self.tokens,
            self.distances,
        )


# The stage


@dataclass(frozen=True, eq=False)
class ContentData(ScheduledData):
    """Training data of the content stage: texts, windows and users.

    Texts and second-order lists share batches; interaction events, whose targets are items, have
    batches of their own in between. Validated on reasons for buying from validation rows, else on
    item texts kept out of training.

    Attributes:
        prompts: of texts and lists.
        events: of interaction events, or None.
        people: users of the event prompts, whom the schedule has after the other prompts.
    """

    prompts: ContentPrompts
    events: EventPrompts | None
    people: np.ndarray

    @property
    def has_reasons(self) -> bool:
        """Whether users' reasons for buying are among the texts that are learned."""
        return bool((self.prompts.kind == KINDS.index("reason")).any())

    def batch(self, step: int, part: slice) -> PromptBatch:
        """Batch ``step`` of the run; ``part`` selects this process's rows."""
        epoch, group, rows = self.schedule.at(step)
        mine = share_of(rows, part)
        if group == _TEXTS or self.events is None:
            return self.prompts.batch(mine, epoch, self.prompts.targets_per_row(rows))
        per_row = self.events.targets_per_row(self.people[rows])
        return self.events.training(self.people[mine], epoch, per_row)


@dataclass(frozen=True)
class ContentExamples:
    """What the content stage learns from and what it is validated on, before tokens."""

    texts: Sequence[Texts]
    shared: Sequence[SharedName]
    valid: Sequence[Texts]


def content_examples(split: Split, config: GraphGPTConfig) -> ContentExamples:
    """Gather the contents the configuration asks for; a log line names those the data lacks."""
    texts = list(collect_texts(split, config.content))
    shared = list(shared_names(split.dataset.catalog)) if config.content.second_order else []
    _log_what_is_missing(split, config, texts, shared)
    reasons = held_out_reasons(split) if config.content.reviews else None
    if reasons:
        return ContentExamples(texts, shared, [_drawn(reasons, config.seed)])
    pairs = [_without_held_out(kind, config.seed) for kind in texts]
    return ContentExamples([p[0] for p in pairs], shared, [p[1] for p in pairs])


def _log_what_is_missing(
    split: Split, config: GraphGPTConfig, texts: Sequence[Texts], shared: Sequence[SharedName]
) -> None:
    missing: list[ContentKind] = [group.kind for group in texts if not len(group)]
    if config.content.second_order:
        found = {group.kind for group in shared}
        implied = {_IMPLIED[kind] for kind in missing if kind in _IMPLIED}
        missing.extend(kind for kind in SECOND_ORDER if kind not in found | implied)
    if missing:
        what = ", no ".join(PLURALS[kind] for kind in missing)
        _log.warning("%s has no %s: left out of the content stage", split.dataset.name, what)


def _drawn(texts: Texts, seed: int) -> Texts:
    rng = np.random.default_rng((seed, Stream.VALIDATION))
    return texts.take(np.sort(rng.permutation(len(texts))[:MAX_VALIDATION_TEXTS]))


def _without_held_out(texts: Texts, seed: int) -> tuple[Texts, Texts]:
    """A small share of item texts for validation; every other text trains."""
    num_held_out = min(int(HELD_OUT_SHARE * len(texts)), MAX_VALIDATION_TEXTS // 4)
    if (texts.user >= 0).any():
        num_held_out = 0
    rng = np.random.default_rng((seed, Stream.CONTENT_HELD_OUT))
    held_out, train = np.split(rng.permutation(len(texts)), [num_held_out])
    return texts.take(np.sort(train)), texts.take(np.sort(held_out))


def build_content(
    config: GraphGPTConfig, split: Split, tokens: TokenSpace, distances: Distances | None
) -> ContentData | None:
    """The content stage, or None where the data has nothing to read."""
    examples = content_examples(split, config)
    writer = ContentWriter(tokens, config.backbone.max_tokens, config.content, distances)
    prompts = writer.prompts(examples.texts, examples.shared, config.seed)
    events, people, history_lengths = None, np.empty(0, np.int64), np.empty(0, np.int64)
    if config.content.events:
        events = EventPrompts.of(config, split, tokens, distances, Stream.CONTENT_EVENTS)
        people, history_lengths = events.users, events.histories.lengths[events.users]
    lengths = (prompts.lengths, history_lengths)
    size = config.training.content.batch_size
    schedule = Schedule(lengths, size, config.seed, Stream.CONTENT)
    if not schedule.steps_per_epoch:
        _log.warning("%s has no content: the content stage is left out", split.dataset.name)
        return None
    held_out = writer.prompts(examples.valid, (), config.seed)
    chunks = chunks_of(np.argsort(held_out.lengths, kind="stable"), size)
    batches = [held_out.batch(rows, epoch=0) for rows in chunks]
    return ContentData(schedule, batches, prompts, events, people)
