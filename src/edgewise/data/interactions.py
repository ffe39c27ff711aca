"""Rows of (user, item), the columns of which may wait until somebody reads them.

A hundred million rows are 2 GB, and few questions need all columns of them: recommending reads who
took what and no times, a split is asked about one part. So a column may be given as a
:class:`Later`, which is worked out when the column is first read, and kept from then on. Whoever
reads columns sees arrays alone.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edgewise.data.ragged import Ragged

WORDS = ("review", "summary")
_ROWS_AT_ONCE = 2_000_000
COLUMNS = ("user_index", "item_index", "timestamp", "rating", *WORDS, "appended")


@dataclass(frozen=True)
class Interactions:
    """Rows of (user, item) in each user's order of time.

    Rows are sorted by user, then time, then their order in the source, so that a user's rows are
    contiguous and the last one is the newest.

    Attributes:
        user_index, item_index: ``int32[rows]``.
        timestamp: seconds since 1970, ``int64[rows]``, or None where the source has no times.
        rating: ``float32[rows]`` (NaN where a row has none), or None.
        review: the full review text (empty string where a row has none), or None.
        summary: the review's headline (empty string where a row has none), or None.
        appended: how many times rows had been appended when each came, 0 for the first ones,
            ``int32[rows]``; None where that never happened.
    """

    user_index: np.ndarray
    item_index: np.ndarray
    timestamp: np.ndarray | None = None
    rating: np.ndarray | None = None
    review: pl.Series | None = None
    summary: pl.Series | None = None
    appended: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user_index)

    def __repr__(self) -> str:
        return f"Interactions(rows={len(self)}, columns={', '.join(self.columns)})"

    @property
    def columns(self) -> list[str]:
        """The names of those that there are; none is worked out for it."""
        return [name for name in COLUMNS if vars(self)[name] is not None]

    def take(self, rows: np.ndarray) -> Interactions:
        """The rows at the given positions, in the given order."""
        return Interactions(*(_picked(getattr(self, name), rows) for name in COLUMNS))

    def part(self, part: np.ndarray, which: int) -> Interactions:
        """The rows whose entry in ``part`` is ``which``, in their order.

        Args:
            part: of each row, ``int8[rows]``; kept, and read when a column is.
            which: of these.
        """
        columns: dict[str, Any] = {
            name: Later(_column_of_part, self, name, part, which) for name in self.columns
        }
        return Interactions(**columns)

    def by_user(self, num_users: int) -> Ragged:
        """The positions of each user's rows, ``int64``, one row a user."""
        return Ragged.of_lengths(np.bincount(self.user_index, minlength=num_users))


class Later:
    """A column that is worked out when it is first read.

    Args:
        make: gives the column.
        *arguments: of it.
    """

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        self.make, self.arguments = make, arguments


class _Column:
    """Hands a column out, and works it out before where it is one of :class:`Later`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, rows: Interactions | None, owner: type[Interactions]) -> Any:
        if rows is None:
            raise AttributeError(self.name)
        value = vars(rows)[self.name]
        if isinstance(value, Later):
            value = vars(rows)[self.name] = value.make(*value.arguments)
        return value

    def __set__(self, rows: Interactions, value: Any) -> None:
        vars(rows)[self.name] = value


for _name in COLUMNS:
    setattr(Interactions, _name, _Column(_name))


def _picked(column: Any, rows: np.ndarray) -> Any:
    if column is None:
        return None
    return column.gather(rows) if isinstance(column, pl.Series) else column[rows]


def _column_of_part(rows: Interactions, name: str, part: np.ndarray, which: int) -> Any:
    column, chosen = getattr(rows, name), part == which
    return column.filter(pl.Series(chosen)) if isinstance(column, pl.Series) else column[chosen]


def histories_of(num_users: int, *parts: Interactions) -> Ragged:
    """Each user's items in order of time, ``int32``, one row a user.

    Parts are joined in the order given (train before validation), rows in their order.
    """
    users, items = (
        columns[0] if len(columns) == 1 else np.concatenate(columns)
        for columns in ([p.user_index for p in parts], [p.item_index for p in parts])
    )
    return Ragged.grouped(users, items.astype(np.int32, copy=False), num_users)


class StoredRows:
    """``interactions.parquet`` of a data set folder, of which a column is read when it is wanted.

    The file is mapped when it is opened: whatever is put in its place, these rows stay.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.schema = pl.scan_parquet(path, glob=False).collect_schema()
        counts: dict[str, int] = (
            pl.scan_parquet(path, glob=False)
            .select(pl.len().alias(""), pl.all().null_count())
            .collect(engine="streaming")
            .row(0, named=True)
        )
        self.height = counts.pop("")
        self.null_counts = counts

    def column(self, name: str) -> pl.Series:
        """One column as it is written."""
        return pl.read_parquet(self._copied(), columns=[name], glob=False)[name]

    def numbers(self, name: str) -> np.ndarray:
        """One column without nulls as an array; what is read at once is a few megabytes."""
        kind = pl.Series(dtype=self.schema[name]).to_numpy().dtype
        found = np.empty(self.height, kind)
        rows = pl.scan_parquet(self._copied(), glob=False).select(name)
        for start in range(0, self.height, _ROWS_AT_ONCE):
            some = rows.slice(start, _ROWS_AT_ONCE).collect()
            found[start : start + _ROWS_AT_ONCE] = some[name].to_numpy()
        return found

    def _copied(self) -> bytes:
        """The whole file, for a moment; what was mapped for it is given back at once."""
        found = self._bytes[:]
        if hasattr(mmap, "MADV_DONTNEED"):
            self._bytes.madvise(mmap.MADV_DONTNEED)
        return found

    def interactions(self, **known: np.ndarray) -> Interactions:
        """The rows; ``known`` are columns that have been read already."""
        later: dict[str, Any] = {
            name: Later(self.column if name in WORDS else self.numbers, name)
            for name in COLUMNS
            if name in self.schema and name not in known
        }
        return Interactions(**known, **later)
