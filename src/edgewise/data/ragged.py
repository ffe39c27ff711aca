"""Rows of different lengths in one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows joined end to end.

    Attributes:
        offsets: row ``n`` is ``values[offsets[n]:offsets[n + 1]]``, ``int64[rows + 1]``.
        values: of all rows.
    """

    offsets: np.ndarray
    values: np.ndarray

    @classmethod
    def of_lengths(cls, lengths: np.ndarray, values: np.ndarray | None = None) -> Ragged:
        """Cut ``values`` into rows of the given lengths; without values, 0, 1, 2 and so on."""
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(offsets, np.arange(offsets[-1]) if values is None else values)

    @classmethod
    def of_rows(cls, rows: Sequence[np.ndarray]) -> Ragged:
        """Join rows."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        return cls.of_lengths(lengths, np.concatenate([np.empty(0, np.int32), *rows]))

    @classmethod
    def grouped(cls, row: np.ndarray, values: np.ndarray, num_rows: int) -> Ragged:
        """Values by the row each belongs to, ``int[values]``; within a row in the order given."""
        lengths = np.bincount(row, minlength=num_rows)
        in_order = bool((row[1:] >= row[:-1]).all())
        return cls.of_lengths(
            lengths, values if in_order else values[np.argsort(row, kind="stable")]
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __repr__(self) -> str:
        return f"Ragged(rows={len(self)}, values={len(self.values)})"

    @cached_property
    def lengths(self) -> np.ndarray:
        """Of each row, ``int64[rows]``."""
        return np.diff(self.offsets)

    @cached_property
    def row_of_value(self) -> np.ndarray:
        """The row that each value stands in, ``int64[values]``."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def place_of_value(self) -> np.ndarray:
        """How many values of its row stand before each value, ``int64[values]``."""
        return np.arange(len(self.values)) - self.offsets[self.row_of_value]

    def rows(self) -> list[np.ndarray]:
        """Each row as an array."""
        return np.split(self.values, self.offsets[1:-1]) if len(self) else []

    def take(self, rows: np.ndarray) -> Ragged:
        """Some rows, in the order given; -1 is the last one."""
        chosen = Ragged.of_lengths(self.lengths[rows])
        starts = np.repeat(self.offsets[:-1][rows] - chosen.offsets[:-1], chosen.lengths)
        return Ragged(chosen.offsets, self.values[chosen.values + starts])

    def part(self, start: int, stop: int) -> Ragged:
        """Rows that follow each other; their values are not copied."""
        first, last = self.offsets[[start, stop]]
        return Ragged(self.offsets[start : stop + 1] - first, self.values[first:last])

    def keep(self, kept: np.ndarray) -> Ragged:
        """The values marked in ``bool[values]``; rows may become empty."""
        lengths = np.bincount(self.row_of_value[kept], minlength=len(self))
        return Ragged.of_lengths(lengths, self.values[kept])

    def ranked(self, draw: np.ndarray) -> np.ndarray:
        """Positions of all values, each row's by rising ``draw``, ``int64[values]``."""
        return np.lexsort((draw, self.row_of_value))
