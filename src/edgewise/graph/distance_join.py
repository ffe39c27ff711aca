"""Distances between the nodes of one prompt, from the hubs that they are both labelled with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from edgewise.graph.distance_labels import DISTANCE_BITS, HubLabels

# Small enough that what a piece touches stays in the processor's cache.
ENTRIES_AT_ONCE = 1 << 19
MEETINGS_AT_ONCE = 1 << 17


def nearest_meetings(labels: HubLabels, nodes: np.ndarray, cutoff: int) -> np.ndarray:
    """The shortest way over a common hub between any two nodes of a row.

    Args:
        nodes: ``int64[B, S]``, -1 where there is no node.

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
