"""Which rows make up batch number n: a function of the seed and n alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

Made = TypeVar("Made")
# Rows of about the same length share a batch, chosen among this many batches' worth of them.
_POOLED_BATCHES = 16


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

    @property
    def label(self) -> str:
        """For messages."""
        return self.name.lower().replace("_", " ")


class LatestEpoch(Generic[Made]):
    """Keeps what was made for the epoch that was asked for last."""

    def __init__(self, make: Callable[[int], Made]) -> None:
        self._make = make
        self._kept: tuple[int, Made] | None = None

    def __call__(self, epoch: int) -> Made:
        if self._kept is None or self._kept[0] != epoch:
            self._kept = (epoch, self._make(epoch))
        return self._kept[1]


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

    def at(self, step: int) -> tuple[int, int, np.ndarray]:
        """Epoch, group and rows of a batch, counted from the start of training."""
        epoch, place = divmod(step, self.steps_per_epoch)
        group, rows = self._order(epoch)[place]
        return epoch, group, rows

    @cached_property
    def _order(self) -> LatestEpoch[list[tuple[int, np.ndarray]]]:
        return LatestEpoch(self._drawn)

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
        pool = np.arange(len(lengths)) // (self.batch_size * _POOLED_BATCHES)
        rows = shuffled[np.lexsort((lengths[shuffled], pool))]
        return chunks_of(rows, self.batch_size)


def chunks_of(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows in their order, ``size`` at a time; the last chunk may be smaller."""
    return [rows[n : n + size] for n in range(0, len(rows), size)]


def share_of(rows: np.ndarray, part: slice) -> np.ndarray:
    """The rows this process trains on; all of them if it would get none."""
    mine = rows[part]
    return mine if len(mine) else rows
