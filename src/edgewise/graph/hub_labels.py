"""Hub labels: the index behind :mod:`edgewise.graph.shortest_paths`.

Every node keeps its distances to a few hubs (:func:`build_labels`), enough to find the distance of
any pair by the hubs that both are labelled with (:func:`nearest_meetings`).

Legend: N nodes, E edges, B rows of nodes (prompts), S places of a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edgewise.errors import DataError
from edgewise.graph.bipartite import BipartiteGraph

DISTANCE_BITS = 8
ROOTS_AT_ONCE = 64  # one bit of a word each
MAX_HUBS = 2 ** (32 - DISTANCE_BITS)
# Small enough that what a piece touches stays in the processor's cache.
ENTRIES_AT_ONCE = 1 << 19
MEETINGS_AT_ONCE = 1 << 17


@dataclass(frozen=True, eq=False)
class HubLabels:
    """A 2-hop labelling (Cohen et al., 2003): each pair meets in a hub on a shortest path.

    Every edge has an end on either side of the graph, so the nodes of the smaller side suffice as
    hubs. They are ranked by degree; a node is labelled with a hub unless a shortest path between
    the two passes a hub of higher rank, which then answers instead: the smallest labelling for
    this ranking, the one that pruned landmark labelling (Akiba et al., 2013) finds.

    Attributes:
        starts: node ``n`` has the entries ``starts[n]`` to ``starts[n + 1]``, ``int64[N + 1]``.
        entries: ``rank of the hub << 8 | distance``, increasing for each node, ``uint32[...]``.
        num_hubs: the nodes of the smaller side that have an edge.
    """

    starts: np.ndarray
    entries: np.ndarray
    num_hubs: int


def build_labels(graph: BipartiteGraph, cutoff: int) -> HubLabels:
    """Label all nodes with the hubs at most ``cutoff`` away.

    Breadth-first searches run from 64 hubs at a time, a bit of a word each: one search takes
    ``O(E * cutoff)`` operations on words, all together ``O(hubs / 64 * E * cutoff)``.

    Args:
        graph: of train rows.
        cutoff: the longest path that is followed, up to 254.

    Raises:
        DataError: the smaller side has more nodes than a label can number.
    """
    hubs, others = _sides(graph)
    if len(hubs.nodes) > MAX_HUBS:
        raise DataError(
            f"The graph has {len(hubs.nodes)} nodes with edges on its smaller side; distances are "
            f"indexed for up to {MAX_HUBS}: keep fewer users or items."
        )
    found = [
        keys
        for first in range(0, len(hubs.nodes), ROOTS_AT_ONCE)
        for keys in _labels_of_roots(hubs, others, first, cutoff)
    ]
    keys = np.concatenate([np.zeros(0, dtype=np.uint64), *found])
    found.clear()
    keys.sort()
    counts = np.bincount((keys >> np.uint64(32)).astype(np.int32), minlength=graph.num_nodes)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return HubLabels(starts, keys.astype(np.uint32), len(hubs.nodes))


@dataclass(frozen=True, eq=False)
class _Ends:
    """The neighbours of each node of one side, as the bits of a search travel along edges.

    Attributes:
        nodes: the nodes that have an edge, ``int[n]``.
        neighbours: positions among such nodes of the other side, node by node, ``int32[E]``.
        starts: where each node's neighbours start, ``int[n]``.
    """

    nodes: np.ndarray
    neighbours: np.ndarray
    starts: np.ndarray

    def gather(self, words: np.ndarray) -> np.ndarray:
        """All bits that the neighbours of each node hold, ``uint64[n]``."""
        return np.bitwise_or.reduceat(words[self.neighbours], self.starts)


def _sides(graph: BipartiteGraph) -> tuple[_Ends, _Ends]:
    """The smaller side by falling degree, whose nodes are the hubs, and the other side."""
    users, items = graph.users, graph.items.astype(np.int64) + graph.num_users
    if np.count_nonzero(graph.user_degrees) < np.count_nonzero(graph.item_degrees):
        users, items = items, users
    degrees = graph.degrees
    other_nodes, others = np.unique(users, return_inverse=True)
    hub_nodes = np.unique(items)
    hub_nodes = hub_nodes[np.argsort(-degrees[hub_nodes], kind="stable")]
    ranks = np.zeros(graph.num_nodes, dtype=np.int64)
    ranks[hub_nodes] = np.arange(len(hub_nodes))
    hubs = ranks[items]
    return _ends(hub_nodes, hubs, others), _ends(other_nodes, others, hubs)


def _ends(nodes: np.ndarray, own: np.ndarray, neighbours: np.ndarray) -> _Ends:
    """One side's ends, from the positions of either end of each edge, ``int[E]``."""
    order = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[order], np.arange(len(nodes)))
    return _Ends(nodes, neighbours[order].astype(np.int32), starts)


def _labels_of_roots(hubs: _Ends, others: _Ends, first: int, cutoff: int) -> Iterator[np.ndarray]:
    """Search from the hubs of ranks ``first`` to ``first + 63``.

    A bit of ``reached`` says that a root's search has come to a node, one of ``outranked`` that a
    shortest path of it passed a hub of higher rank.

    Yields:
        Labels as ``node << 32 | rank << 8 | distance``, ``uint64[...]``, for each distance.
    """
    reached, higher = _start(len(hubs.nodes), first)
    outranked = np.zeros_like(reached)
    sides = (hubs, others)
    seen = (reached.copy(), np.zeros(len(others.nodes), dtype=np.uint64))
    yield _keys(hubs.nodes, reached, first, 0)
    for distance in range(1, cutoff + 1):
        odd = distance % 2
        reached = sides[odd].gather(reached) & ~seen[odd]
        seen[odd][:] |= reached
        outranked = sides[odd].gather(outranked) & reached
        if not odd:
            outranked |= higher & reached
        labelled = reached & ~outranked
        if not labelled.any():  # whatever lies behind is outranked too
            return
        yield _keys(sides[odd].nodes, labelled, first, distance)


def _start(num_hubs: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Each root's own bit at the root, and at every hub the bits of the roots it outranks."""
    roots = np.arange(min(ROOTS_AT_ONCE, num_hubs - first), dtype=np.uint64)
    own, higher = np.zeros((2, num_hubs), dtype=np.uint64)
    all_roots = np.bitwise_or.reduce(np.uint64(1) << roots)
    own[first : first + len(roots)] = np.uint64(1) << roots
    higher[:first] = all_roots
    up_to_own = (np.uint64(2) << roots) - np.uint64(1)  # for the last bit, 2 << 63 wraps to 0
    higher[first : first + len(roots)] = all_roots & ~up_to_own
    return own, higher


def _keys(nodes: np.ndarray, words: np.ndarray, first: int, distance: int) -> np.ndarray:
    """One key ``node << 32 | rank << 8 | distance`` for each bit of the nodes' words."""
    marked = np.flatnonzero(words)
    little_endian = words[marked].astype("<u8").view(np.uint8).reshape(-1, 8)
    rows, bits = np.nonzero(np.unpackbits(little_endian, axis=1, bitorder="little"))
    keys = nodes[marked[rows]].astype(np.uint64) << np.uint64(32)
    return keys | ((bits + first) << DISTANCE_BITS | distance).astype(np.uint64)


def nearest_meetings(labels: HubLabels, nodes: np.ndarray, cutoff: int) -> np.ndarray:
    """The shortest way over a common hub between any two nodes of a row.

    Args:
        labels: of the graph, built with the same cutoff.
        nodes: ``int64[B, S]``, -1 where there is no node.
        cutoff: the longest path that counts.

    Returns:
        ``uint8[B, S, S]``, symmetric; ``cutoff + 1`` where no hub is near enough to both. The
        diagonal is left to the caller, and so are nodes that a row repeats.
    """
    num_rows, width = nodes.shape
    lengths = np.full((num_rows, width, width), cutoff + 1, dtype=np.uint8)
    sizes = np.where(nodes < 0, 0, labels.starts[nodes + 1] - labels.starts[nodes])
    # An empty slot counts as well: row numbers stay small beside hubs in 64-bit keys.
    for rows in _pieces((sizes + 1).sum(axis=1), ENTRIES_AT_ONCE):
        keys = _sorted_keys(labels, nodes[rows], sizes[rows])
        _meet(keys, labels.num_hubs, cutoff, lengths[rows])
    return np.minimum(lengths, lengths.transpose(0, 2, 1))


def _sorted_keys(labels: HubLabels, nodes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """All labels of the nodes as numbers that sort by row, hub, distance and slot, ``int64[n]``."""
    num_rows, width = nodes.shape
    slot_bits = _bits(width)
    positions = _ranges(labels.starts[nodes.ravel()], sizes.ravel())
    keys = labels.entries[positions].astype(np.int64) << slot_bits
    row_keys = np.arange(num_rows) * labels.num_hubs << DISTANCE_BITS + slot_bits
    keys += np.repeat(np.add.outer(row_keys, np.arange(width)).ravel(), sizes.ravel())
    keys.sort()
    return keys


def _meet(keys: np.ndarray, num_hubs: int, cutoff: int, lengths: np.ndarray) -> None:
    """Lower ``lengths`` to what the hubs offer; one of two mirrored places suffices.

    Of two labels at one hub the nearer comes first; it meets those behind it that are at most
    ``cutoff`` minus its own distance away. Sums therefore fit into 8 bits.
    """
    width = lengths.shape[-1]
    slot_bits = _bits(width)
    slots = keys & ((1 << slot_bits) - 1)
    distances = (keys >> slot_bits & ((1 << DISTANCE_BITS) - 1)).astype(np.uint8)
    hubs = keys >> slot_bits + DISTANCE_BITS
    near = distances[:-1] <= cutoff - distances[1:]
    nearer = np.flatnonzero(near & (hubs[1:] == hubs[:-1]))
    own = distances[nearer]
    beyond = (hubs[nearer] << DISTANCE_BITS | cutoff + 1 - own.astype(np.int64)) << slot_bits
    counts = np.searchsorted(keys, beyond) - nearer - 1
    cells = (hubs[nearer] // num_hubs * width + slots[nearer]) * width
    flat = lengths.reshape(-1)
    for piece in _pieces(counts, MEETINGS_AT_ONCE):
        times = counts[piece]
        others = _ranges(nearer[piece] + 1, times)
        sums = np.repeat(own[piece], times) + distances[others]
        np.minimum.at(flat, np.repeat(cells[piece], times) + slots[others], sums)


def _pieces(sizes: np.ndarray, at_once: int) -> Iterator[slice]:
    """Cut a list so that each piece comes to about ``at_once``, or is a single element."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(at_once, total, at_once))
    bounds = np.unique(np.concatenate([[0], cuts, [len(sizes)]])).tolist()
    return (slice(*pair) for pair in pairwise(bounds))


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``[start, start + 1, ..., start + count - 1]`` of all, one after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)


def _bits(width: int) -> int:
    """How many bits number ``width`` slots."""
    return max(width - 1, 0).bit_length()
