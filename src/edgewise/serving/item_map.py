"""A plane on which items that the model calls similar lie close together.

The layout follows UMAP (McInnes et al., 2018, arXiv:1802.03426), less what a picture of a shop does
not need: every neighbour pulls alike, and the curve of the attraction is Student's t as in t-SNE.
Legend: n items on the map, E edges between neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from edgewise.recommender import Recommender

_NEIGHBOURS, _ROUNDS = 12, 300
_ATTRACTION, _REPELLING, _GRAVITY = 3.0, 6, 0.005
_STEP, _LONGEST_MOVE, _START_WIDTH = 1.0, 4.0, 10.0
_ITEMS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class ItemMap:
    """Where items lie.

    Attributes:
        item_index: of the items that are on the map, rising, ``int64[n]``; those of which the model
            knows no similar item are not.
        places: across and down, from 0 to 1, ``float32[n, 2]``.
    """

    item_index: np.ndarray
    places: np.ndarray

    def __repr__(self) -> str:
        return f"ItemMap(items={len(self.item_index)})"

    def fits(self, num_items: int) -> bool:
        """Whether it can be of so many items."""
        index, places = self.item_index, self.places
        return (
            index.ndim == 1
            and index.dtype == np.int64
            and places.shape == (len(index), 2)
            and places.dtype == np.float32
            and bool(np.isfinite(places).all())
            and bool(np.all((index >= 0) & (index < num_items)))
        )


def item_map(model: Recommender, seed: int = 0) -> ItemMap:
    """Lay out all items of which the model knows similar ones; the same seed gives the same map."""
    edges = _neighbours(model)
    shown = np.flatnonzero(np.diff(edges.indptr))
    edges = sp.csr_array(edges[shown][:, shown])
    return ItemMap(shown, _fitted(layout(edges, seed)))


def layout(edges: sp.csr_array, seed: int = 0) -> np.ndarray:
    """Places of connected points: neighbours attract each other, and others repel.

    Args:
        edges: symmetric, without empty rows, ``float[n, n]``.
        seed: of the starting places and of who repels whom.

    Returns:
        ``float64[n, 2]``, around the middle.
    """
    rng = np.random.default_rng(seed)
    size = len(edges.indptr) - 1
    if size < 3:  # no plane to speak of
        return np.arange(size)[:, None] * np.ones(2)
    start, end = edges.nonzero()
    pull = _rows_to_one(edges).data
    places = _start(edges, rng)
    for done in range(_ROUNDS):
        away = places[end] - places[start]
        strength = pull / (1 + (away**2).sum(axis=1))
        moves = _ATTRACTION * _summed(start, away * strength[:, None], size)
        moves -= _GRAVITY * places  # islands would drift off
        for other in (rng.permutation(size) for _ in range(_REPELLING)):
            apart = places - places[other]
            square = (apart**2).sum(axis=1)[:, None]
            moves += apart / ((0.01 + square) * (1 + square))
        longest = np.abs(moves).max(axis=1, keepdims=True)
        moves *= np.minimum(1, _LONGEST_MOVE / np.maximum(longest, 1e-9))
        places += _STEP * (1 - done / _ROUNDS) * moves
    return places - places.mean(axis=0)


def _neighbours(model: Recommender) -> sp.csr_array:
    """Which items are similar, either way round, ``float64[I, I]``."""
    size = len(model.data.items)
    pairs = []
    for first in range(0, size, _ITEMS_AT_ONCE):
        asked = np.arange(first, min(first + _ITEMS_AT_ONCE, size))
        found = model.similar_items(asked, _NEIGHBOURS)
        pairs.append(np.stack([found.similar_to, found.item_index]).astype(np.int64))
    start, end = np.concatenate([np.empty((2, 0), np.int64), *pairs], axis=1)
    one_way = sp.csr_array((np.ones(len(start)), (start, end)), shape=(size, size))
    return sp.csr_array((one_way + one_way.T).minimum(1))


def _start(edges: sp.csr_array, rng: np.random.Generator) -> np.ndarray:
    """The two slowest waves on the graph, by power iteration; rough shape, no detail."""
    size = len(edges.indptr) - 1
    root = np.sqrt(edges.sum(axis=1))
    step = sp.diags_array(1 / root) @ edges @ sp.diags_array(1 / root)
    waves = np.column_stack([root, rng.normal(size=(size, 2))])
    for _ in range(50):
        waves = np.linalg.qr(waves + step @ waves)[0]
    found = waves[:, 1:] / root[:, None]
    # By rank: a few far groups would leave all others in one point.
    ranks = found.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return _START_WIDTH * (ranks / size - 0.5) + rng.normal(scale=0.01, size=(size, 2))


def _rows_to_one(edges: sp.csr_array) -> sp.csr_array:
    return sp.csr_array(sp.diags_array(1 / edges.sum(axis=1)) @ edges)


def _summed(rows: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    return np.column_stack([np.bincount(rows, column, size) for column in values.T])


def _fitted(places: np.ndarray) -> np.ndarray:
    """Into the unit square, with the proportions kept."""
    if not len(places):
        return np.empty((0, 2), np.float32)
    # A straggler must not shrink all others: the outermost points end at the edge.
    low, high = np.quantile(places, [0.002, 0.998], axis=0)
    width = max(float((high - low).max()), 1e-9)
    return (0.5 + 0.94 * np.clip((places - (low + high) / 2) / width, -0.53, 0.53)).astype("f4")
