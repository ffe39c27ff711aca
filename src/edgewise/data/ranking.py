"""The best items of many rows of scores at once.

Nearly all of a row can be passed over by one maximum a stretch: k stretches have the k highest
maxima, so that k values reach the lowest of these, and the k best values and all that equal them
lie in the few stretches whose maximum does. So a row is read once, and only those are searched.

Shapes: B rows, I items, k items of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from edgewise.data.ragged import Ragged

_STRETCH = 32
# With fewer stretches than these for each item of a list, a row is searched as it is.
_STRETCHES_AN_ITEM = 3


class Ranked(NamedTuple):
    """Lists of several rows, best first.

    Attributes:
        items: index numbers.
        scores: of these.
    """

    items: Ragged
    scores: Ragged

    @classmethod
    def of_rows(cls, items: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> Ranked:
        """From one array of items and one of scores a row (lengths may differ)."""
        rows = Ragged.of_rows(items)
        return cls(rows, Ragged(rows.offsets, np.concatenate([np.empty(0, np.float32), *scores])))

    @classmethod
    def concat(cls, parts: Sequence[Ranked]) -> Ranked:
        """The rows of all parts, one after the other."""
        lengths = np.concatenate([np.empty(0, np.int64), *(part.items.lengths for part in parts)])
        items = np.concatenate([np.empty(0, np.int64), *(part.items.values for part in parts)])
        scores = np.concatenate([np.empty(0, np.float32), *(part.scores.values for part in parts)])
        rows = Ragged.of_lengths(lengths, items)
        return cls(rows, Ragged(rows.offsets, scores))

    def put(self, rows: np.ndarray) -> Ranked:
        """The same lists, the n-th of them in row ``rows[n]``, which are all rows in any order."""
        place = np.empty(len(rows), np.int64)
        place[rows] = np.arange(len(rows))
        return Ranked(self.items.take(place), self.scores.take(place))


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """The places of the k highest finite scores ``[I]``, best first; ties by rising place."""
    if k < len(scores):
        bar = -np.partition(-scores, k - 1)[k - 1]
        chosen = np.flatnonzero(scores >= bar)
    else:
        chosen = np.arange(len(scores))
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")][:k]
    return chosen[np.isfinite(scores[chosen])]


def best_of_rows(scores: np.ndarray, k: int) -> Ranked:
    """What :func:`top_k` finds in each row of scores ``[B, I]``."""
    num_rows, num_items = scores.shape
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    row, item = np.divmod(_candidates(scores, k), num_items)
    values = scores[row, item]
    rows = Ragged.of_lengths(np.bincount(row, minlength=num_rows))
    table = np.full((num_rows, int(rows.lengths.max(initial=0))), -np.inf, scores.dtype)
    table[row, rows.values - rows.offsets[row]] = values
    order = np.argsort(-table, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(table, order, axis=1)
    finite = np.isfinite(best)
    items = item[(rows.offsets[:-1, None] + order)[finite]]
    lists = Ragged.of_lengths(finite.sum(axis=1), items)
    return Ranked(lists, Ragged(lists.offsets, best[finite]))


def best_of_highest(
    places: np.ndarray, values: np.ndarray, k: int, rows_of: Callable[[np.ndarray], np.ndarray]
) -> Ranked:
    """What :func:`top_k` finds in each row, of which the k + 1 highest scores are known.

    Args:
        places: of these scores, in any order, ``int64[B, k + 1]``; of fewer where I is not more.
        values: the scores.
        k: items of a list.
        rows_of: gives whole rows ``[n, I]`` by their numbers: of those in which equal scores leave
            open which items are the last of the list.
    """
    order = np.lexsort((places, -values), axis=1)
    places, values = (np.take_along_axis(part, order, axis=1) for part in (places, values))
    # Of a score above the last one, all items are there.
    last, more = values[:, k - 1 : k], values[:, k : k + 1]
    places, values = places[:, :k], values[:, :k]
    rows = np.flatnonzero(((last == more) & np.isfinite(more)).any(axis=1))
    for row, scores in zip(rows, rows_of(rows) if len(rows) else (), strict=True):
        equal = values[row] == last[row]
        places[row, equal] = np.flatnonzero(scores == last[row])[: equal.sum()]
    finite = np.isfinite(values)
    items = Ragged.of_lengths(finite.sum(axis=1), places[finite])
    return Ranked(items, Ragged(items.offsets, values[finite]))


def best_of_products(
    queries: np.ndarray, items: np.ndarray, k: int, block: int = 65_536
) -> tuple[np.ndarray, np.ndarray]:
    """The k items of the highest dot products with each query, a block of items at a time.

    Exact, ties by rising item number, and however many items there are, no more than the scores
    ``[B, block]`` are held.

    Args:
        queries: finite, ``float32[B, D]``.
        items: finite, ``float32[I, D]``; may be mapped from a file.
        k: items of a list.
        block: items whose scores are held.

    Returns:
        Items and scores, best first: ``int64[B, K]`` and ``float32[B, K]``.
    """
    shape, k = (len(queries), -1), min(k, len(items))
    places, values = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for start in range(0, len(items), block):
        here, found = best_of_rows(queries @ items[start : start + block].T, k)
        places = np.concatenate([places, start + here.values.reshape(shape)], axis=1)
        values = np.concatenate([values, found.values.reshape(shape)], axis=1)
        best = np.lexsort((places, -values), axis=1)[:, :k]
        places, values = (np.take_along_axis(each, best, axis=1) for each in (places, values))
    return places, values


def _candidates(scores: np.ndarray, k: int) -> np.ndarray:
    """``row * I + item`` of few values that the k best of their rows are among, ``int64[n]``.

    Rising; of values that equal the k-th best of a row all are there.
    """
    num_items = scores.shape[1]
    num_stretches = num_items // _STRETCH
    if num_stretches < _STRETCHES_AN_ITEM * k:
        return np.flatnonzero(scores >= _bars(scores, k))
    # Stretch n holds every num_stretches-th item from n on, so that maxima are taken of whole rows.
    whole = num_stretches * _STRETCH
    stretches = scores[:, :whole].reshape(len(scores), _STRETCH, num_stretches)
    maxima = stretches.max(axis=1)
    bars = _bars(maxima, k)
    row, stretch = np.divmod(np.flatnonzero(maxima >= bars), num_stretches)
    inside = stretches[row, :, stretch]
    near, place = np.divmod(np.flatnonzero(inside >= bars[row]), _STRETCH)
    found = row[near] * num_items + stretch[near] + place * num_stretches
    row, place = np.divmod(np.flatnonzero(scores[:, whole:] >= bars), max(num_items - whole, 1))
    return np.sort(np.concatenate([found, row * num_items + whole + place]))


def _bars(values: np.ndarray, k: int) -> np.ndarray:
    """The k-th highest value of each row, or the lowest finite number, ``[B, 1]``."""
    lowest = np.finfo(values.dtype).min
    if k >= values.shape[1]:
        return np.full((len(values), 1), lowest, values.dtype)
    return np.fmax(np.partition(values, -k, axis=1)[:, -k, None], lowest)
