"""What items are like that came after a model was fitted, and what its scores say of them.

Shapes: B users asked about, I items, K known and N new ones, I = K + N.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from edgewise.data.dataset import Catalog
from edgewise.item_texts import item_sentences, tfidf_matrix
from edgewise.models.counting import nearest_of_rows
from edgewise.recommender import ScoreShare

NEIGHBOURS = 3
# Users who have a new item, from which on these say more of it than its texts.
EVENTS = 5.0
_PRODUCTS_AT_ONCE = 20_000_000


@dataclass(frozen=True, eq=False)
class NewItems:
    """Which known items new ones are like.

    Attributes:
        weights: W, ``float32[N, K]``; rows sum to 1, or are empty where nothing is known.
    """

    weights: sp.csr_array

    @cached_property
    def columns(self) -> np.ndarray:
        """The known items that any new one is like, rising, ``int64[n]``."""
        return np.unique(self.weights.indices).astype(np.int64)

    @cached_property
    def of_columns(self) -> sp.csr_array:
        """The weights of these, ``float32[N, n]``."""
        return sp.csr_array(self.weights[:, self.columns])

    @cached_property
    def stand_ins(self) -> np.ndarray:
        """The known item that each of all items is most like, -1 for none, ``int64[I]``."""
        num_new, num_known = self.weights.shape  # type: ignore[misc]
        found = np.append(np.arange(num_known), np.full(num_new, -1))
        for new in np.flatnonzero(~is_empty(self.weights)):
            row = slice(self.weights.indptr[new], self.weights.indptr[new + 1])
            place = self.weights.data[row].argmax()
            found[num_known + new] = self.weights.indices[row][place]
        return found


def nearest_by_texts(catalog: Catalog, taught: np.ndarray) -> sp.csr_array:
    """The known items whose words each new one shares most, by cosine, ``float64[N, K]``.

    Args:
        catalog: of all I items; title, brand and categories are read.
        taught: which of the known items may be named, ``bool[K]``.

    Returns:
        Rows that sum to 1, or are empty.
    """
    if len(catalog) == len(taught):
        return sp.csr_array((0, len(taught)))
    words = replace(catalog, description=("",) * len(catalog))
    matrix = tfidf_matrix(item_sentences(words))
    return _nearest(matrix[len(taught) :], matrix[: len(taught)].T, taught)


def nearest_by_events(taken: sp.csr_array, taught: np.ndarray) -> tuple[sp.csr_array, np.ndarray]:
    """The same by the cosine of who took both, and how many users have each new item.

    Args:
        taken: who has what, ``{0, 1}`` as ``float[U, I]``.
        taught: as for :func:`nearest_by_texts`.
    """
    counts = np.asarray(taken.sum(axis=0), dtype=np.float64)
    inverse = np.divide(1.0, np.sqrt(counts), out=np.zeros(len(counts)), where=counts > 0)
    columns, num_known = sp.csc_array(taken), len(taught)
    known = columns[:, :num_known] @ sp.diags_array(inverse[:num_known])
    new = sp.csr_array(columns[:, num_known:].T)
    return _nearest(new, known, taught), counts[num_known:]


def joined(texts: sp.csr_array, events: sp.csr_array, users: np.ndarray) -> NewItems:
    """Both, the second as far as its users speak."""
    share = users / (users + EVENTS)
    share = np.where(is_empty(texts), 1.0, np.where(is_empty(events), 0.0, share))
    both = sp.diags_array(1 - share) @ texts + sp.diags_array(share) @ events
    return NewItems(sp.csr_array(both, dtype=np.float32))


def _nearest(new: Any, known: Any, taught: np.ndarray) -> sp.csr_array:
    """The largest products of each row, which then sum to 1."""
    known = sp.csc_array(known) @ sp.diags_array(taught.astype(np.float64))
    size = max(1, _PRODUCTS_AT_ONCE // max(1, len(taught)))
    parts = [sp.csr_array((0, len(taught)))]
    for start in range(0, new.shape[0], size):
        part = sp.csr_array(new[start : start + size] @ known)
        part.eliminate_zeros()
        parts.append(nearest_of_rows(part, NEIGHBOURS))
    found = sp.csr_array(sp.vstack(parts))
    total = np.asarray(found.sum(axis=1)).ravel()
    scale = np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)
    return sp.csr_array(sp.diags_array(scale) @ found)


def is_empty(matrix: sp.csr_array) -> np.ndarray:
    """Which rows hold nothing, ``bool[rows]``."""
    return np.diff(matrix.indptr) == 0


def extended(
    scores: np.ndarray,
    weights: sp.csr_array,
    lowest: np.ndarray,
    scale: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Scores of new items from those of known ones ``[B, n]``, ``float64[B, N]``.

    Args:
        scores: of known items.
        weights: ``[N, n]``, rows that sum to 1, or are empty.
        lowest: of each user, what items of empty rows get, ``[B]``.
        scale: l and c of the new items, ``[N]`` each.
    """
    level, stretch = scale
    found = level + stretch * (np.asarray((weights @ scores.T).T, dtype=np.float64) - level)
    return np.where(is_empty(weights), lowest[:, None], found)


def mean_of_finite(values: np.ndarray, weights: sp.csr_array) -> np.ndarray:
    """Weighted means of the finite ones among values ``[B, n]``; minus infinity without any.

    What is minus infinity is no likeness at all: it counts as 0 where others speak.
    """
    finite = np.isfinite(values)
    total = (weights @ np.where(finite, values, 0.0).T).T
    return np.where((weights @ finite.T.astype(np.float32)).T > 0, total, -np.inf)


def mean_shares(
    parts: list[tuple[tuple[ScoreShare, ...], float]],
) -> tuple[ScoreShare, ...]:
    """Weighted means of the evidence of equal parts, in the words of what says most."""
    said: dict[str, list[tuple[float, ScoreShare]]] = {}
    for shares, weight in parts:
        for share in shares:
            said.setdefault(share.name, []).append((weight * share.evidence, share))
    evidence = {name: sum(value for value, _ in each) for name, each in said.items()}
    total = sum(map(abs, evidence.values())) or 1.0
    found = []
    for name, each in said.items():
        toward = max(each, key=lambda pair, name=name: pair[0] * np.sign(evidence[name]))[1]
        value = float(evidence[name])
        found.append(replace(toward, evidence=value, share=value / total))
    return tuple(sorted(found, key=lambda share: -abs(share.share)))
