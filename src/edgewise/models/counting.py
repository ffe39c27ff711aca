"""What methods share that only count who has what: learning anew, recency, nearest neighbours.

Shapes: B users asked about, U users, I items.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from edgewise.config import MethodConfig, setting
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.errors import DataError
from edgewise.graph.row_blocks import blocks
from edgewise.recommender import Recommender, popularity_scores

_VALUES_AT_ONCE = 30_000_000


class CountingConfig(MethodConfig):
    """Settings of every method that only counts."""

    relearn: bool = setting(
        False,
        "Count anew what histories that are told later hold, as popularity does: validation rows, "
        "too, when test is predicted. Takes as long as fitting.",
    )


class CountingRecommender(Recommender):
    """A method whose whole knowledge is a function of histories: write :meth:`learn`."""

    _told: Ragged | None = None
    _below: np.ndarray | None = None

    def fit_scores(self, split: Split) -> None:
        if not self.data.histories.lengths.max(initial=0) > 1:
            raise DataError(
                f"data set {split.dataset.name!r} has no user with two train rows, and {self.name} "
                "learns from items that one user has: give more rows of each user, or fit "
                "popularity"
            )
        self._learn(self.data.histories)

    @abstractmethod
    def learn(self, histories: Ragged) -> None:
        """Learn from the histories of all users, oldest items first; replaces what was learned."""

    def prepare(self, histories: Ragged) -> None:
        """Learn anew, where that is set, from what all users have by now."""
        if self._told is None:  # just loaded
            self._told = self.data.histories
        if self.config.relearn and histories is not self._told:
            self._learn(histories)

    def _learn(self, histories: Ragged) -> None:
        self.learn(histories)
        self._told, self._below = histories, None

    def _save_learned(self, folder: Path) -> dict[str, Any]:
        self.prepare(self.data.histories)  # what is saved belongs to the histories beside it
        return super()._save_learned(folder)

    def recent(self, histories: Ragged, recency: float) -> sp.csr_array:
        """Who has what, and how recently, ``float32[B, I]``.

        The newest item weighs 1, the one before it ``2^-recency``, then ``3^-recency``; what was
        taken twice counts twice.
        """
        age = histories.lengths[histories.row_of_value] - histories.place_of_value
        shape = (len(histories), len(self.data.items))
        weights = (age.astype(np.float32) ** -recency).astype(np.float32)
        return sp.csr_array((weights, (histories.row_of_value, histories.values)), shape=shape)

    def above_popularity(self, scores: np.ndarray | sp.csr_array) -> np.ndarray:
        """Scores of 0 or more, ``[B, I]``, with items that nothing speaks for below 0, by
        popularity."""
        if self._below is None:
            told = self.data.histories if self._told is None else self._told
            counts = np.bincount(told.values, minlength=len(self.data.items))
            place = np.argsort(np.argsort(popularity_scores(counts, self.config.seed)))
            self._below = (place / len(place) - 1).astype(np.float32)
        if not isinstance(scores, sp.csr_array):
            return np.where(scores > 0, scores, self._below)
        num_rows, num_items = scores.shape  # type: ignore[misc]
        found = np.tile(self._below, num_rows)
        place = np.repeat(num_items * np.arange(num_rows), np.diff(scores.indptr))
        place += scores.indices
        found[place] = np.where(scores.data > 0, scores.data, self._below[scores.indices])
        return found.reshape(num_rows, num_items)


def few_at_once(total: int, width: int) -> Iterator[np.ndarray]:
    """Rows a few at a time, of all together, so that they bound a ``[rows, width]`` array."""
    size = max(1, _VALUES_AT_ONCE // max(1, width))
    for start in range(0, total, size):
        yield np.arange(start, min(start + size, total))


def nearest_of_rows(matrix: sp.csr_array, k: int) -> sp.csr_array:
    """The k largest values of each row; the others are left out."""
    values: np.ndarray = matrix.data
    kept = np.ones(len(values), dtype=bool)
    for row in np.flatnonzero(np.diff(matrix.indptr) > k):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        kept[part] = False
        kept[matrix.indptr[row] + np.argpartition(-values[part], k - 1)[:k]] = True
    offsets = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return sp.csr_array((values[kept], matrix.indices[kept], offsets), shape=matrix.shape)


def scaled(matrix: sp.csr_array, rows: np.ndarray, columns: np.ndarray) -> sp.csr_array:
    """The matrix with each entry times the numbers of its row and of its column, in place.

    Args:
        matrix: ``float32[rows, columns]``.
        rows, columns: ``float32[rows]`` and ``float32[columns]``.
    """
    lengths = np.diff(matrix.indptr)
    for start, end in blocks(lengths):
        part = slice(matrix.indptr[start], matrix.indptr[end])
        matrix.data[part] *= np.repeat(rows[start:end], lengths[start:end])
        matrix.data[part] *= columns[matrix.indices[part]]
    return matrix


def nearest_in_blocks(matrix: sp.csr_array, k: int) -> sp.csr_array:
    """:func:`nearest_of_rows` of a matrix that may lie in a file, a few rows at a time."""
    parts = [
        nearest_of_rows(sp.csr_array(matrix[start:end]), k)
        for start, end in blocks(np.diff(matrix.indptr))
    ]
    return sp.csr_array(sp.vstack(parts, format="csr")) if parts else matrix


def spoken_for(weights: sp.csr_array, items: np.ndarray) -> np.ndarray:
    """Rows of some items, ``float32[n, I]``; minus infinity where they say nothing."""
    rows = sp.csr_array(weights[items]).toarray()
    return np.where(rows > 0, rows, -np.inf)


def powers(counts: np.ndarray, exponent: float) -> np.ndarray:
    """``count ** exponent`` as float32, 0 where the count is 0."""
    counts = np.asarray(counts, dtype=np.float64)
    found = np.power(counts, exponent, out=np.zeros_like(counts), where=counts > 0)
    return found.astype(np.float32)
