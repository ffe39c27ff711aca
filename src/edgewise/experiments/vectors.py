"""Whole-word vectors after each round of propagation: how near similar users and items lie.

ELMRec's Figs. 7 and 8 colour users by an item that they all took, and items by a user who took them
all. Beside the picture stands a figure: the share of a dot's nearest dots that have its colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from edgewise.errors import EdgewiseError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.propagation import Variant, random_features

DIM = 512
"""Width of whole-word vectors in the paper (T5-small)."""
_NUM_GROUPS, _MOST_MEMBERS, _FEWEST_MEMBERS, _NUM_NEIGHBOURS = 8, 60, 5, 10


@dataclass(frozen=True)
class Dots:
    """The dots of one picture.

    Attributes:
        kind: ``users`` or ``items``.
        nodes: of the graph, ``int[n]``.
        groups: colour of each, ``int[n]``.
        features: vectors by title of a panel, each ``float32[n, D]``.
    """

    kind: str
    nodes: np.ndarray
    groups: np.ndarray
    features: dict[str, np.ndarray]

    def purities(self) -> dict[str, float]:
        """Share of each dot's nearest dots that have its colour, by panel; and what chance gives.

        Nearness is the cosine of the vectors themselves, not of their places in the picture.
        """
        sizes = np.bincount(self.groups)
        chance = float((sizes * (sizes - 1)).sum() / (len(self.groups) * (len(self.groups) - 1)))
        found = {name: _purity(vectors, self.groups) for name, vectors in self.features.items()}
        return {**found, "chance": chance}


def dots_of(
    graph: BipartiteGraph,
    rounds: Sequence[int],
    init_std: float = 1.0,
    variant: Variant = "mean",
    seed: int = 0,
) -> list[Dots]:
    """Users and items, each group around one node of the other side that all its members share.

    Args:
        graph: of the train rows.
        rounds: of propagation, one panel each; Eq. 7 with L = round, so 0 is the random start.
        init_std, variant: see :func:`edgewise.graph.propagation.random_features`.
        seed: of layer 0.

    Raises:
        EdgewiseError: the graph is too small to colour anything.
    """
    vectors = {
        f"round {count}": random_features(graph, DIM, count, init_std, seed, variant)
        for count in rounds
    }
    ones = np.ones(graph.num_edges, dtype=np.int8)
    shape = (graph.num_users, graph.num_items)
    taken = sp.csr_array((ones, (graph.users, graph.items)), shape=shape)
    found = []
    for kind, table, first in (("users", taken.T.tocsr(), 0), ("items", taken, graph.num_users)):
        members, groups = _disjoint_groups(table)
        nodes = members + first
        found.append(Dots(kind, nodes, groups, {n: v[nodes] for n, v in vectors.items()}))
    return found


def _disjoint_groups(table: Any) -> tuple[np.ndarray, np.ndarray]:
    """Members of the largest rows of a CSR table that share none, and the row's number for each.

    Rows are taken from the longest on; a row that shares a tenth of its members with those taken
    is passed by, and members that stand in two rows are left out.
    """
    times = np.zeros(table.shape[1], dtype=np.int64)
    chosen: list[np.ndarray] = []
    for row in np.argsort(-np.diff(table.indptr), kind="stable"):
        members = table.indices[table.indptr[row] : table.indptr[row + 1]]
        if len(members) < _FEWEST_MEMBERS or len(chosen) == _NUM_GROUPS:
            break
        if (times[members] > 0).sum() * 10 <= len(members):
            times[members] += 1
            chosen.append(np.sort(members))
    own = [members[times[members] == 1][:_MOST_MEMBERS] for members in chosen]
    if len(own) < 2:
        raise EdgewiseError("the graph has too few busy nodes to colour; take a larger data set")
    return np.concatenate(own), np.repeat(np.arange(len(own)), [len(each) for each in own])


def _purity(vectors: np.ndarray, groups: np.ndarray) -> float:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.where(lengths > 0, lengths, 1)
    near = directions @ directions.T
    np.fill_diagonal(near, -np.inf)
    most = min(_NUM_NEIGHBOURS, len(groups) - 1)
    neighbours = np.argpartition(-near, most - 1, axis=1)[:, :most]
    return float((groups[neighbours] == groups[:, None]).mean())
