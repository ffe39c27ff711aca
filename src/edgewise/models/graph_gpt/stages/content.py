"""Stage 1: crowd contextual prompts, language-model loss on what follows the colon (Eq. 5)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.data.split import Split
from edgewise.models.graph_gpt.batch import Distances, PromptBatch
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.graph_gpt.stages.content_prompts import ContentPrompts, ContentWriter
from edgewise.models.graph_gpt.stages.events import EventPrompts
from edgewise.models.graph_gpt.stages.schedule import Schedule, Stream, chunks_of, share_of
from edgewise.models.graph_gpt.stages.shared import SharedName, shared_names
from edgewise.models.graph_gpt.stages.texts import Texts, collect_texts, held_out_reasons
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.models.graph_gpt.wordings import PLURALS, SECOND_ORDER, SHARED_CONTENT, ContentKind

MAX_VALIDATION_TEXTS = 1000
HELD_OUT_SHARE = 0.05
_TEXTS = 0
_log = logging.getLogger("edgewise")


@dataclass(frozen=True, eq=False)
class ContentData:
    """Training data of the content stage (:class:`edgewise.training.loop.TrainingData`).

    Texts and second-order lists share batches; interaction events, whose targets are items, have
    batches of their own in between.

    Attributes:
        prompts: of texts and lists.
        events: of interaction events, or None.
        people: users of the event prompts.
        schedule: of prompts, then of people.
        valid_batches: fixed batches.
    """

    prompts: ContentPrompts
    events: EventPrompts | None
    people: np.ndarray
    schedule: Schedule
    valid_batches: Mapping[str, Sequence[PromptBatch]]

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every text, window and user comes once."""
        return self.schedule.steps_per_epoch

    def batch(self, step: int, part: slice) -> PromptBatch:
        """Batch ``step`` of the run; ``part`` selects this process's rows."""
        epoch, group, rows = self.schedule.at(step)
        mine = share_of(rows, part)
        if group == _TEXTS or self.events is None:
            return self.prompts.batch(mine, epoch, self.prompts.targets_per_row(rows))
        per_row = self.events.targets_per_row(self.people[rows])
        return self.events.training(self.people[mine], epoch, per_row)

    def validation(self) -> Mapping[str, Sequence[PromptBatch]]:
        """Reasons for buying from validation rows, else item texts kept out of training."""
        return self.valid_batches


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
    _say_what_is_missing(split, config, texts, shared)
    reasons = held_out_reasons(split) if config.content.reviews else None
    if reasons:
        return ContentExamples(texts, shared, [_drawn(reasons, config.seed)])
    pairs = [_without_held_out(kind, config.seed) for kind in texts]
    return ContentExamples([p[0] for p in pairs], shared, [p[1] for p in pairs])


def _say_what_is_missing(
    split: Split, config: GraphGPTConfig, texts: Sequence[Texts], shared: Sequence[SharedName]
) -> None:
    missing: list[ContentKind] = [group.kind for group in texts if not len(group)]
    if config.content.second_order:
        found = {group.kind for group in shared}
        # Without brands it goes without saying that no items share one.
        implied = {SHARED_CONTENT[kind] for kind in missing if kind in SHARED_CONTENT}
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
    return ContentData(prompts, events, people, schedule, {"content": batches} if batches else {})
