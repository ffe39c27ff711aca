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
        users, items = np.divmod(keys, max(num_items, 1))
        return cls(num_users, num_items, users.astype(np.int32), items.astype(np.int32))

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

    def factored_adjacency(self) -> FactoredAdjacency:
        """The same matrix as its two blocks."""
        return FactoredAdjacency(self.num_users, self._biadjacency)

    @cached_property
    def _biadjacency(self) -> sp.csr_array:
        user_scale = inverse_sqrt(self.user_degrees)
        item_scale = inverse_sqrt(self.item_degrees)
        values = user_scale[self.users] * item_scale[self.items]
        shape = (self.num_users, self.num_items)
        return sp.csr_array((values, (self.users, self.items)), shape=shape, dtype=np.float32)

    def without(self, edge_mask: np.ndarray) -> BipartiteGraph:
        """The same nodes without the marked edges (``bool[E]``)."""
        keep = ~edge_mask
        return BipartiteGraph(self.num_users, self.num_items, self.users[keep], self.items[keep])


@dataclass(frozen=True, eq=False)
class FactoredAdjacency:
    """The normalised adjacency as B above the diagonal and its transpose below.

    Products are those with the matrix itself, in half the memory and less than half the time where
    there are many more users than items: both blocks are walked user by user, so that it is the
    items' features, which a processor's cache holds, that are jumped about in.

    Attributes:
        num_users: U.
        upper: B, ``float32[U, I]``.
    """

    num_users: int
    upper: sp.csr_array

    def __matmul__(self, features: np.ndarray) -> np.ndarray:
        """The product with ``[N, D]``."""
        of_users, of_items = features[: self.num_users], features[self.num_users :]
        return np.concatenate([self.upper @ of_items, self.upper.T @ of_users])


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
