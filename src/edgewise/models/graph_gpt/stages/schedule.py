"""What the stages have in common: numbered batches, histories as prompts read them, users.

A batch is a function of the seed and its number alone (:class:`Schedule`), and every draw has a
stream of its own (:class:`Stream`), so that runs resume exactly and no stage's draws depend on
another's. The stages whose examples are users, events and predictive, differ only in how they write
prompts (:class:`UserPrompts`); :func:`user_data` makes training data of either.

Shapes: U users, M pairs, n rows asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import numpy as np

from edgewise.data.hashing import keyed_uniform
from edgewise.data.ragged import Ragged
from edgewise.data.sequences import POOLED_BATCHES, newest
from edgewise.data.splits import Split
from edgewise.models.graph_gpt.batch import PromptBatch
from edgewise.models.graph_gpt.config import GraphGPTConfig, HistoryConfig, StageName
from edgewise.models.graph_gpt.prompts import distinct, names_users
from edgewise.training.trainer import Average

Made = TypeVar("Made")
MAX_VALIDATION_USERS = 1000
# No training run gets that far, so that validation has draws of its own.
VALIDATION_EPOCH = 2**40
_log = logging.getLogger("edgewise")


class Stream(IntEnum):
    """Keeps the random draws of one purpose apart from those of another."""

    CONTENT = 0
    CONTENT_LISTS = 1
    CONTENT_EVENTS = 2
    CONTENT_HELD_OUT = 3
    EVENTS = 4
    PREDICTIVE = 5
    PREDICTIVE_MASK = 6
    VALIDATION = 7
    UNKNOWN_USERS = 8
    SEQUENCE = 100

    @property
    def label(self) -> str:
        """For messages."""
        return self.name.lower().replace("_", " ")


class Latest(Generic[Made]):
    """Keeps what was made for the number, such as an epoch, that was asked for last."""

    def __init__(self, make: Callable[[int], Made]) -> None:
        self._make = make
        self._kept: tuple[int, Made] | None = None

    def __call__(self, number: int) -> Made:
        if self._kept is None or self._kept[0] != number:
            self._kept = (number, self._make(number))
        return self._kept[1]


# Batches


@dataclass(frozen=True, eq=False)
class Schedule:
    """Passes over groups of rows, in an order drawn anew each epoch.

    Rows of one group never share a batch with another's. Batches hold rows of similar lengths,
    which saves padding, and come in random order.

    Attributes:
        lengths: tokens of every row, one array a group.
        batch_size: rows of a batch; the last one of a group may be smaller.
        seed, stream: of the order.
    """

    lengths: Sequence[np.ndarray]
    batch_size: int
    seed: int
    stream: Stream

    @cached_property
    def steps_per_epoch(self) -> int:
        """Batches in which every row comes once."""
        return sum(-(-len(group) // self.batch_size) for group in self.lengths)

    @property
    def num_rows(self) -> int:
        """Of all groups."""
        return sum(map(len, self.lengths))

    def at(self, step: int) -> tuple[int, int, np.ndarray]:
        """Epoch, group and rows of a batch, counted from the start of training."""
        epoch, place = divmod(step, self.steps_per_epoch)
        group, rows = self._order(epoch)[place]
        return epoch, group, rows

    @cached_property
    def _order(self) -> Latest[list[tuple[int, np.ndarray]]]:
        return Latest(self._drawn)

    def _drawn(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        rng = np.random.default_rng((self.seed, self.stream, epoch))
        batches = [
            (number, rows)
            for number, lengths in enumerate(self.lengths)
            for rows in self._batches(lengths, rng)
        ]
        return [batches[n] for n in rng.permutation(len(batches))]

    def _batches(self, lengths: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        shuffled = rng.permutation(len(lengths))
        pool = np.arange(len(lengths)) // (self.batch_size * POOLED_BATCHES)
        rows = shuffled[np.lexsort((lengths[shuffled], pool))]
        return chunks_of(rows, self.batch_size)


def chunks_of(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows in their order, ``size`` at a time; the last chunk may be smaller."""
    return [rows[n : n + size] for n in range(0, len(rows), size)]


def share_of(rows: np.ndarray, part: slice) -> np.ndarray:
    """The rows this process trains on; all of them if it would get none."""
    mine = rows[part]
    return mine if len(mine) else rows


def mean_loss(batches: Sequence[PromptBatch], average: Average) -> Mapping[str, float]:
    """What a stage says of its validation batches; nothing where there are none."""
    return {"loss": average(batches)} if batches else {}


# Histories


@dataclass(frozen=True, eq=False)
class PromptHistories:
    """Each user's train items, in order of time or shuffled anew each epoch.

    Attributes:
        items: the newest items of every user that fit into a prompt, oldest first.
        shuffled: whether the order is drawn.
        seed, stream: of the order.
    """

    items: Ragged
    shuffled: bool
    seed: int
    stream: Stream

    @property
    def lengths(self) -> np.ndarray:
        """Items of every user, ``int64[U]``."""
        return self.items.lengths

    def read(self, users: np.ndarray, epoch: int) -> Ragged:
        """The items of some users as they stand in this epoch's prompts.

        An order depends on the seed, the epoch and the user, and on no other row of a batch.
        """
        chosen = self.items.take(users)
        if not self.shuffled:
            return chosen
        draw = draws(self.seed, self.stream, epoch, users, chosen)
        return replace(chosen, values=chosen.values[chosen.ranked(draw)])


def draws(seed: int, stream: Stream, epoch: int, users: np.ndarray, chosen: Ragged) -> np.ndarray:
    """A number in [0, 1) for each value of the users' rows, ``float64[values]``."""
    row, place = chosen.row_of_value, chosen.place_of_value
    return keyed_uniform(seed, int(stream), epoch, users[row], place)


def prompt_histories(
    split: Split, config: HistoryConfig, room: int, seed: int, stream: Stream
) -> PromptHistories:
    """Train histories cut to what a prompt holds; a log line says how many were cut.

    Sets hold each item once, where it stood last.

    Args:
        split: parts of the interactions; train rows alone are read.
        config: order and length.
        room: items that fit into the longest input.
        seed, stream: of the order of sets.
    """
    shuffled = config.order == "set"
    known: Ragged = split.known_before("valid")
    items = distinct(known) if shuffled else known
    limit = min(config.max_items, room)
    if num_cut := int((items.lengths > limit).sum()):
        # A limit that nobody set is worth a warning.
        _log.log(
            logging.WARNING if room < config.max_items else logging.INFO,
            "%s: %d histories of %s are longer than %d items, the newest of which are read",
            stream.label,
            num_cut,
            split.dataset.name,
            limit,
        )
    return PromptHistories(newest(items, limit), shuffled, seed, stream)


def validation_positives(split: Split, seed: int) -> tuple[np.ndarray, Ragged]:
    """Users with a history, and each one's validation items that are new to the user.

    Returns:
        Up to 1,000 users drawn from the seed, ``int64[n]``, rising, and the items of each.
    """
    num_items = split.dataset.num_items
    codes, known = (
        np.unique(rows.user_index.astype(np.int64) * num_items + rows.item_index)
        for rows in (split.valid, split.train)
    )
    has_history = np.isin(codes // num_items, split.train.user_index)
    users, items = np.divmod(codes[has_history & ~np.isin(codes, known)], num_items)
    held_out = Ragged.of_lengths(np.bincount(users, minlength=split.dataset.num_users), items)
    rng = np.random.default_rng((seed, Stream.VALIDATION))
    chosen = np.sort(rng.permutation(np.unique(users))[:MAX_VALIDATION_USERS])
    return chosen, held_out.take(chosen)


def positive_pairs(items: Ragged) -> np.ndarray:
    """(row, item) of every item, ``int64[M, 2]``."""
    return np.stack([items.row_of_value, items.values.astype(np.int64)], axis=1)


# Users


@dataclass(frozen=True)
class UserTokenDropout:
    """Names users, and leaves some of them out in training.

    Attributes:
        with_user: whether users are named at all.
        user_dropout: share of training prompts that do not name theirs.
        seed, stream: of the draws.
    """

    with_user: bool
    user_dropout: float
    seed: int
    stream: Stream

    @classmethod
    def of(cls, config: GraphGPTConfig, stream: Stream) -> UserTokenDropout:
        """Sets always come with their user, time-ordered histories by choice."""
        with_user = names_users(config, "events")
        return cls(with_user, config.history.user_dropout, config.seed, stream)

    def training(self, users: np.ndarray, epoch: int) -> list[int | None]:
        """The users whom an epoch's prompts name, None in the places of those they do not.

        A user's draw depends on the seed, the stage and the epoch, and on no other row of a batch.
        """
        key = self.seed, int(Stream.UNKNOWN_USERS), int(self.stream), epoch
        unknown = keyed_uniform(*key, users) < self.user_dropout
        named = self.validation(users)
        return [None if hide else user for user, hide in zip(named, unknown, strict=True)]

    def validation(self, users: np.ndarray) -> list[int | None]:
        """All users, or None for each."""
        return [int(user) if self.with_user else None for user in users]


class UserPrompts(Protocol):
    """Writes prompts of some users."""

    @property
    def histories(self) -> PromptHistories:
        """Train items as the prompts read them."""
        ...

    @property
    def users(self) -> np.ndarray:
        """Users that can be learned from, ``int64[n]``."""
        ...

    def targets_per_row(self, users: np.ndarray) -> float | None:
        """Positions with a target in the users' training prompts, None where that is no matter."""
        ...

    def training(
        self, users: np.ndarray, epoch: int, targets_per_row: float | None = None
    ) -> PromptBatch:
        """A batch to learn from, or a process's part of one with so many targets a row."""
        ...

    def validation(self, users: np.ndarray, held_out: Ragged) -> PromptBatch:
        """A batch that reads whole histories and has the users' held-out items as targets."""
        ...


@dataclass(frozen=True, eq=False)
class ScheduledData:
    """What training data of a stage share (:class:`edgewise.training.trainer.TrainingData`).

    Attributes:
        schedule: of the examples.
        valid_batches: fixed; empty where nothing is held out.
    """

    schedule: Schedule
    valid_batches: Sequence[PromptBatch]

    @property
    def num_examples(self) -> int:
        """Examples of an epoch."""
        return self.schedule.num_rows

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every example comes once."""
        return self.schedule.steps_per_epoch

    def validate(self, average: Average, metric: str) -> Mapping[str, float]:
        """The loss of the validation batches."""
        return mean_loss(self.valid_batches, average)


@dataclass(frozen=True, eq=False)
class UserData(ScheduledData):
    """Users, validated by minus the log-likelihood of the held-out items of up to 1,000 of them.

    Attributes:
        prompts: writes batches.
        users: those that are learned from, as the schedule numbers them.
    """

    prompts: UserPrompts
    users: np.ndarray

    def batch(self, step: int, part: slice) -> PromptBatch:
        """Batch ``step`` of the run; ``part`` selects this process's rows."""
        epoch, _, rows = self.schedule.at(step)
        per_row = self.prompts.targets_per_row(self.users[rows])
        return self.prompts.training(self.users[share_of(rows, part)], epoch, per_row)


def user_data(
    stage: StageName, prompts: UserPrompts, split: Split, batch_size: int, seed: int, stream: Stream
) -> UserData | None:
    """Schedule the users and write the validation batches; None, and a log line, without users."""
    users = prompts.users
    if not len(users):
        _log.warning(
            "%s has no history to learn from: the %s stage is left out", split.dataset.name, stage
        )
        return None
    schedule = Schedule((prompts.histories.lengths[users],), batch_size, seed, stream)
    people, held_out = validation_positives(split, seed)
    batches = [
        prompts.validation(people[rows], held_out.take(rows))
        for rows in chunks_of(np.arange(len(people)), batch_size)
    ]
    return UserData(schedule, batches, prompts, users)
