"""The user-item graph of the train rows, and its normalised adjacency (ELMRec, eqs. 13-14).

Legend of the room: U users, I items, ``N = U + I`` nodes, E distinct edges, D feature columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from edgewise.data.dataset import Interactions
from edgewise.data.pairs import distinct, pair_keys
from edgewise.errors import DataError

_EDGES_AT_ONCE = 8_000_000


@dataclass(frozen=True, eq=False)
class BipartiteGraph:
    """Who took what, once per pair: the matrix R of ELMRec, eq. 13.

    Nodes are numbered users first, then items: item ``i`` is node ``U + i``.

    Attributes:
        num_users, num_items: U and I; nodes without an edge count too.
        users, items: the ends of the distinct edges, sorted by user, then item, ``int32[E]``.
    """

    num_users: int
    num_items: int
    users: np.ndarray
    items: np.ndarray

    @classmethod
    def from_interactions(
        cls, interactions: Interactions, num_users: int, num_items: int
    ) -> BipartiteGraph:
        """Build the graph of some rows; hand it train rows only.

        Raises:
            DataError: a row names a user or item outside the given numbers.
        """
        users, items = interactions.user_index, interactions.item_index
        _check_range(users, num_users, "user")
        _check_range(items, num_items, "item")
        keys = distinct(pair_keys(interactions, max(num_items, 1)))
        users = np.empty(len(keys), dtype=np.int32)
        items = np.empty(len(keys), dtype=np.int32)
        for start in range(0, len(keys), _EDGES_AT_ONCE):
            part = slice(start, start + _EDGES_AT_ONCE)
            users[part], items[part] = np.divmod(keys[part], max(num_items, 1))
        return cls(num_users, num_items, users, items)

    def __repr__(self) -> str:
        return (
            f"BipartiteGraph(users={self.num_users}, items={self.num_items}, "
            f"edges={self.num_edges})"
        )

    @property
    def num_edges(self) -> int:
        return len(self.users)

    @property
    def num_nodes(self) -> int:
        return self.num_users + self.num_items

    @cached_property
    def edge_keys(self) -> np.ndarray:
        """One increasing number per edge, ``user * num_items + item``, ``int64[E]``."""
        return self.users.astype(np.int64) * self.num_items + self.items

    @cached_property
    def user_degrees(self) -> np.ndarray:
        """|N_u|, ``int64[U]``."""
        return np.bincount(self.users, minlength=self.num_users)

    @cached_property
    def item_degrees(self) -> np.ndarray:
        """|N_v|, ``int64[I]``."""
        return np.bincount(self.items, minlength=self.num_items)

    @property
    def degrees(self) -> np.ndarray:
        """Degrees of all nodes, users first, ``int64[N]``."""
        return np.concatenate([self.user_degrees, self.item_degrees])

    def normalized_biadjacency(self) -> sp.csr_array:
        """B = ``D_u^-1/2 R D_i^-1/2``, the factors of eq. 5, ``float32[U, I]``; computed once."""
        return self._biadjacency

    def normalized_adjacency(self) -> sp.csr_array:
        """``D^-1/2 A D^-1/2`` of eqs. 13-14, ``float32[N, N]``: B above the diagonal, its transpose
        below. An isolated node's row is empty."""
        upper = self._biadjacency
        return sp.csr_array(sp.block_array([[None, upper], [upper.T, None]], format="csr"))

    @cached_property
    def _biadjacency(self) -> sp.csr_array:
        values = np.repeat(inverse_sqrt(self.user_degrees), self.user_degrees)
        values *= inverse_sqrt(self.item_degrees)[self.items]
        offsets = np.concatenate([[0], np.cumsum(self.user_degrees)])
        shape = (self.num_users, self.num_items)
        return sp.csr_array((values, self.items, offsets.astype(_index_type(values))), shape=shape)

    def without(self, edge_mask: np.ndarray) -> BipartiteGraph:
        """The same nodes without the marked edges (``bool[E]``)."""
        keep = ~edge_mask
        return BipartiteGraph(self.num_users, self.num_items, self.users[keep], self.items[keep])


def _index_type(values: np.ndarray) -> type[np.signedinteger]:
    """The type of numbers that point into these values."""
    return np.int32 if len(values) <= np.iinfo(np.int32).max else np.int64


def inverse_sqrt(degrees: np.ndarray) -> np.ndarray:
    """``degree ** -1/2`` as float32, 0 for an isolated node."""
    scale = np.zeros(len(degrees), dtype=np.float32)
    connected = degrees > 0
    scale[connected] = 1.0 / np.sqrt(degrees[connected])
    return scale


def _check_range(indices: np.ndarray, count: int, kind: str) -> None:
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < count:
        raise DataError(
            f"{kind} indices run from {indices.min()} to {indices.max()}, but the graph has "
            f"{count} {kind}s (0 to {count - 1}): pass the data set's own num_{kind}s."
        )
