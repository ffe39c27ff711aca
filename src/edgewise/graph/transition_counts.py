"""How often items follow each other in train histories, however long these are.

Pairs of items are made, sorted and added up for some rows of the result at a time, from the places
where these rows' items stand: time grows with the rows of the data alone. Where the result would
take more memory than there is, it is written to an unnamed temporary file that it is read from.

Legend: I items, R rows of the data, W window.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from edgewise.data.ragged import Ragged
from edgewise.graph.row_blocks import blocks, in_threads

WINDOW = 5
_PAIRS_AT_ONCE = 1_000_000
_ROWS_AT_ONCE = 8_000_000
_BYTES_A_PAIR = 8
_log = logging.getLogger("edgewise")


def item_transitions(
    histories: Ragged,
    num_items: int,
    window: int = WINDOW,
    *,
    decay: float = 1.0,
    forward: float = 1.0,
    backward: float = 1.0,
    memory: int | None = None,
) -> sp.csr_array:
    """How often, and how closely, items follow each other.

    Args:
        histories: of train rows, oldest first.
        num_items: I.
        window: pairs at most this many steps apart count, each as ``steps ** -decay``.
        decay: see there.
        forward: what a pair counts from its earlier to its later item.
        backward: what it counts the other way.
        memory: bytes that the result may take, else it is kept in a file; None = half of those
            that are free. What it is held to is 8 bytes a pair of rows before equal ones are
            added up, at most ``2 W R`` of them.

    Returns:
        ``float32[I, I]`` without the items themselves, symmetric if both ways count the same; row i
        is what follows item i, or precedes it.
    """
    pairs = _Pairs.of(histories, num_items, window, (forward, backward), decay)
    needed = _BYTES_A_PAIR * pairs.at_most
    allowed = free_memory() // 2 if memory is None else memory
    store = _File() if needed > allowed else _Memory(pairs.at_most)
    if isinstance(store, _File):
        _log.warning(
            "transitions between items may take %.1f GB, more than the %.1f GB of memory that "
            "they are allowed: they are kept in a temporary file in %s",
            needed / 1e9,
            allowed / 1e9,
            Path(tempfile.gettempdir()),
        )
    lengths = np.zeros(num_items + 1, dtype=np.int64)
    parts = blocks(pairs.bounds, _PAIRS_AT_ONCE)
    for (start, end), (counts, columns, values) in zip(
        parts, in_threads(pairs.counted, parts), strict=True
    ):
        lengths[start + 1 : end + 1] = counts
        store.append(columns, values)
    offsets, (columns, values) = np.cumsum(lengths), store.arrays()
    if len(columns) <= np.iinfo(np.int32).max:
        offsets = offsets.astype(np.int32)
    return sp.csr_array((values, columns, offsets), shape=(num_items, num_items))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Where items stand, and what counts beside them.

    Attributes:
        items: of all rows, ``int32[R]``.
        places: where items stand, those of item 0 first, each item's ascending.
        starts: of items among places, ``int64[I + 1]``.
        ahead, behind: how many items of the same history follow and precede, W at most.
        weights: by direction and steps, ``float64[2 W]``; 0 = does not count.
        bounds: how many pairs there may be of each item, ``int64[I]``.
    """

    items: np.ndarray
    places: np.ndarray
    starts: np.ndarray
    ahead: np.ndarray
    behind: np.ndarray
    weights: np.ndarray
    bounds: np.ndarray

    @classmethod
    def of(
        cls,
        histories: Ragged,
        num_items: int,
        window: int,
        directions: tuple[float, float],
        decay: float,
    ) -> _Pairs:
        window = max(0, min(window, int(histories.lengths.max(initial=0)) - 1))
        items, num_rows = histories.values, len(histories.values)
        steps = np.arange(1, window + 1, dtype=np.float64) ** -decay
        weights = np.concatenate([direction * steps for direction in directions])
        ahead, behind = (np.empty(num_rows, dtype=np.min_scalar_type(window)) for _ in range(2))
        # Items with their places as numbers to sort, since that is quick.
        keys, place_bits = np.empty(num_rows, dtype=np.int64), num_rows.bit_length()
        starts, bounds = np.zeros(num_items + 1, np.int64), np.zeros(num_items, np.int64)
        for first, last in blocks(histories.lengths, _ROWS_AT_ONCE):
            begin, end = histories.offsets[first], histories.offsets[last]
            lengths = histories.lengths[first:last]
            place = np.arange(begin, end)
            of_row = np.repeat(histories.offsets[first:last], lengths)
            behind[begin:end] = np.minimum(place - of_row, window)
            of_row += np.repeat(lengths - 1, lengths)
            ahead[begin:end] = np.minimum(of_row - place, window)
            keys[begin:end] = items[begin:end]
            keys[begin:end] <<= place_bits
            keys[begin:end] |= place
            starts[1:] += np.bincount(items[begin:end], minlength=num_items)
            for near, counts in zip((ahead, behind), directions, strict=True):
                if counts:
                    found = np.bincount(items[begin:end], near[begin:end], num_items)
                    bounds += found.astype(np.int64)
        keys.sort()
        keys &= (1 << place_bits) - 1
        places = keys.astype(np.min_scalar_type(num_rows))
        return cls(items, places, np.cumsum(starts), ahead, behind, weights, bounds)

    @property
    def at_most(self) -> int:
        """How many pairs there may be in all."""
        return int(self.bounds.sum())

    def counted(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Entries in each of some rows of the result, and the columns and values of all."""
        column_bits, code_bits = self._bits
        keys = np.concatenate([np.empty(0, np.int64), *self._keys(start, end)])
        keys.sort()
        values = self.weights[keys & ((1 << code_bits) - 1)]
        keys >>= code_bits
        first = np.ones(len(keys), dtype=bool)
        np.not_equal(keys[1:], keys[:-1], out=first[1:])
        runs, keys = np.flatnonzero(first), keys[first]
        if len(runs):
            values = np.add.reduceat(values, runs)
        columns = (keys & ((1 << column_bits) - 1)).astype(np.int32)
        keys >>= column_bits
        return np.bincount(keys, minlength=end - start), columns, values.astype(np.float32)

    @property
    def _bits(self) -> tuple[int, int]:
        """Of a column, and of a direction with its steps, in the number of a pair."""
        return (len(self.bounds) - 1).bit_length(), (len(self.weights) - 1).bit_length()

    def _keys(self, start: int, end: int) -> Iterator[np.ndarray]:
        """Each pair of some rows as one number: row, column, direction and steps."""
        column_bits, code_bits = self._bits
        window = len(self.weights) // 2
        places = self.places[self.starts[start] : self.starts[end]].astype(np.int64)
        own = self.items[places]
        for code in np.flatnonzero(self.weights):
            direction, steps = divmod(int(code), window)
            near, sign = ((self.ahead, 1), (self.behind, -1))[direction]
            has = near[places] > steps
            row = own[has]
            column = self.items[places[has] + sign * (steps + 1)]
            differs = row != column
            keys = row[differs].astype(np.int64)
            keys -= start
            keys <<= column_bits
            keys |= column[differs]
            keys <<= code_bits
            keys |= code
            yield keys


class _Memory:
    """Columns and values one after another, in memory."""

    def __init__(self, at_most: int) -> None:
        # Pages that nothing is written to take no memory.
        self.columns, self.values = np.empty(at_most, np.int32), np.empty(at_most, np.float32)
        self.length = 0

    def append(self, columns: np.ndarray, values: np.ndarray) -> None:
        part = slice(self.length, self.length + len(columns))
        self.columns[part], self.values[part] = columns, values
        self.length += len(columns)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return self.columns[: self.length], self.values[: self.length]


class _File:
    """The same in temporary files without names, gone with the arrays that are read from them."""

    def __init__(self) -> None:
        self.files = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115

    def append(self, columns: np.ndarray, values: np.ndarray) -> None:
        for file, part in zip(self.files, (columns, values), strict=True):
            file.write(part.data)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        columns, values = (
            np.memmap(file, kind, "r+") if file.tell() else np.empty(0, kind)
            for file, kind in zip(self.files, (np.int32, np.float32), strict=True)
        )
        return columns, values


def free_memory() -> int:
    """Bytes of memory that are free on this machine; without bound where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration, ValueError):
        return sys.maxsize
