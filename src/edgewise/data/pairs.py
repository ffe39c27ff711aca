"""Pairs of a user and an item as single numbers, which are sorted to be compared.

Sorting numbers that nearly stand in order is many times faster than a table of hashes of millions
of them, which is what numpy's ``unique`` makes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Pairs(Protocol):
    """Any table with a user and an item a row: interactions, explanations, lists."""

    @property
    def user_index(self) -> np.ndarray: ...

    @property
    def item_index(self) -> np.ndarray: ...


def pair_keys(rows: Pairs, num_items: int) -> np.ndarray:
    """``user * I + item`` of each row, ``int64[rows]``."""
    keys = rows.user_index.astype(np.int64)
    keys *= num_items
    keys += rows.item_index
    return keys


def distinct(keys: np.ndarray) -> np.ndarray:
    """The different ones among some numbers, ascending."""
    ordered = np.sort(keys)
    return ordered[_is_first(ordered)]


def among(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Whether each number is one of the known ones, ``bool[keys]``.

    Args:
        keys: fastest where they, too, nearly ascend.
        known: ascending.
    """
    if not len(known):
        return np.zeros(keys.shape, dtype=bool)
    places = np.searchsorted(known, keys)
    np.minimum(places, len(known) - 1, out=places)
    return known[places] == keys


def first_places(keys: np.ndarray) -> np.ndarray:
    """Where each of the different numbers stands first, by rising number, ``int64[n]``."""
    order = np.argsort(keys, kind="stable")
    return order[_is_first(keys[order])]


def num_distinct(keys: np.ndarray) -> int:
    """How many different numbers there are."""
    return int(np.count_nonzero(_is_first(np.sort(keys))))


def _is_first(ordered: np.ndarray) -> np.ndarray:
    """Marks the first of each run of equal numbers, ``bool[keys]``."""
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first
