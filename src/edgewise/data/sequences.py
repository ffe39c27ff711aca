"""Histories as training material: cut into windows, and windows into batches of equal weight."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from edgewise.data.ragged import Ragged

# Examples of about the same length share a batch, chosen among this many batches' worth of them.
POOLED_BATCHES = 16
NO_TARGET = -1


class Windows(NamedTuple):
    """Stretches of histories: items ``first..last - 1`` of ``user`` are targets, ``int64[W]``."""

    user: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @property
    def num_targets(self) -> np.ndarray:
        """Of each window, ``int64[W]``."""
        return self.last - self.first


def windows_of(lengths: np.ndarray, max_items: int) -> Windows:
    """Cut histories from their newest item backwards, so that each item is a target once.

    Args:
        lengths: of every user's history, ``int64[U]``.
        max_items: of a window at most.
    """
    windows = Ragged.of_lengths(-(-lengths // max_items))
    user = windows.row_of_value
    last = lengths[user] - windows.place_of_value * max_items
    return Windows(user, np.maximum(last - max_items, 0), last)


@dataclass(frozen=True, eq=False)
class NextItems:
    """Histories as examples for methods that predict the item after each one.

    Attributes:
        histories: each user's items, oldest first.
        max_items: of a window at most.
    """

    histories: Ragged
    max_items: int

    @cached_property
    def windows(self) -> Windows:
        """Positions that have a next item: all but the last of each history, each once."""
        return windows_of(np.maximum(self.histories.lengths - 1, 0), self.max_items)

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The items of some windows, and the one after each.

        Returns:
            Items, filled up with 0, and targets, filled up with :data:`NO_TARGET`, oldest first,
            both ``int64[B, S]``.
        """
        users, first, last = (part[rows] for part in self.windows)
        histories = self.histories.take(users)
        place, row = histories.place_of_value, histories.row_of_value
        items = histories.keep((place >= first[row]) & (place < last[row]))
        targets = histories.keep((place > first[row]) & (place <= last[row]))
        return padded(items, 0), padded(targets, NO_TARGET)


def newest(histories: Ragged, max_items: int) -> Ragged:
    """At most so many items of each history, the last ones."""
    earliest = (histories.lengths - max_items)[histories.row_of_value]
    return histories.keep(histories.place_of_value >= earliest)


def padded(rows: Ragged, filler: int) -> np.ndarray:
    """Rows one below the other, filled up at their end, ``int64[rows, longest]``."""
    table = np.full((len(rows), int(rows.lengths.max(initial=1))), filler, dtype=np.int64)
    table[rows.row_of_value, rows.place_of_value] = rows.values
    return table


def cut_evenly(weights: np.ndarray, num_parts: int) -> np.ndarray:
    """Boundaries of consecutive, non-empty parts of about equal weight, ``int64[num_parts + 1]``.

    Args:
        weights: above 0, at least ``num_parts`` of them.
        num_parts: at least 1.
    """
    done = np.cumsum(weights)
    wanted = done[-1] * np.arange(1, num_parts) / num_parts
    cuts = np.concatenate([[0], np.searchsorted(done, wanted) + 1, [len(weights)]])
    earliest, latest = np.arange(num_parts + 1), len(weights) - np.arange(num_parts, -1, -1)
    rising = np.maximum.accumulate(np.maximum(cuts - earliest, 0)) + earliest
    return np.minimum(rising, latest)


def batches_by_length(
    lengths: np.ndarray, batch_size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """All examples once in random order, those of similar length together, which saves padding.

    A batch of short ones has more rows than ``batch_size`` and one of long ones fewer, so that
    every target weighs the same.

    Args:
        lengths: targets of every example, above 0, ``int64[W]``.
        batch_size: rows of a batch on average.
        rng: of the order.

    Returns:
        The examples of each of ``ceil(W / batch_size)`` batches.
    """
    shuffled = rng.permutation(len(lengths))
    size = batch_size * POOLED_BATCHES
    batches: list[np.ndarray] = []
    for pool in (shuffled[n : n + size] for n in range(0, len(shuffled), size)):
        rows = pool[np.argsort(lengths[pool], kind="stable")]
        cuts = cut_evenly(lengths[rows], -(-len(rows) // batch_size))
        batches += np.split(rows, cuts[1:-1])
    return [batches[n] for n in rng.permutation(len(batches))]
