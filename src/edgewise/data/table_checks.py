"""Tables of a data set folder that no data set can have: whatever wrote them, they are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from edgewise.data.interactions import StoredRows
from edgewise.errors import DataError

AGAIN = "Import the data set again"
_REQUIRED = {
    "interactions": ("user_index", "item_index"),
    "users": ("user_id",),
    "items": ("item_id", "title", "brand", "description", "categories"),
}
_TYPES = {
    "user_index": pl.Int32,
    "item_index": pl.Int32,
    "timestamp": pl.Int64,
    "rating": pl.Float32,
    "appended": pl.Int32,
    "categories": pl.List(pl.String),
}


def check_tables(
    stored: StoredRows,
    users: pl.DataFrame,
    items: pl.DataFrame,
    folder: Path,
    counts: Mapping[str, int],
) -> dict[str, np.ndarray]:
    """Refuse tables that no data set can have; names the column and the first wrong value.

    Args:
        stored: the rows, of which no more is read than is looked at.
        users, items: with their raw ids.
        folder: of them all.
        counts: how many of each there must be.

    Returns:
        The columns of the rows that were read: ``user_index`` and ``item_index``.
    """
    where = folder / "interactions.parquet"
    _check_columns(stored, where)
    _check_height(stored.height, where, counts)
    for table, kind in ((users, "user"), (items, "item")):
        _check_ids(table, kind, folder / f"{kind}s.parquet", counts)
    found: dict[str, np.ndarray] = {}
    for table, kind in ((users, "user"), (items, "item")):
        index = found[f"{kind}_index"] = stored.numbers(f"{kind}_index")
        if len(index) and not 0 <= index.min() <= index.max() < len(table):
            strange = index[(index < 0) | (index >= len(table))][0]
            raise DataError(
                f"{where}: {kind}_index {strange}, but there are {len(table)} {kind}s. {AGAIN}"
            )
        if kind == "user" and not (index[1:] >= index[:-1]).all():
            raise DataError(
                f"{where}: user_index does not rise: rows are not in each user's order. {AGAIN}"
            )
    return found


def _check_ids(table: pl.DataFrame, kind: str, where: Path, counts: Mapping[str, int]) -> None:
    _check_columns(table, where)
    _check_height(table.height, where, counts)
    ids = table[f"{kind}_id"]
    if (repeated := ids.filter(ids.is_duplicated())).len():
        raise DataError(f"{where}: {kind}_id {repeated[0]!r} stands there more than once. {AGAIN}")


def _check_height(height: int, where: Path, counts: Mapping[str, int]) -> None:
    if height != counts.get(where.stem):
        raise DataError(
            f"{where}: {height} rows, and dataset.json says counts.{where.stem} = "
            f"{counts.get(where.stem)}. {AGAIN}"
        )


def _check_columns(table: pl.DataFrame | StoredRows, where: Path) -> None:
    for column in _REQUIRED[where.stem]:
        if column not in table.schema:
            raise DataError(f"{where}: the column {column} is missing. {AGAIN}")
    stored = isinstance(table, StoredRows)
    for name, kind in table.schema.items():
        wanted = _TYPES.get(name, pl.String)
        if kind != wanted:
            raise DataError(f"{where}: {name} is {kind}, not {wanted}. {AGAIN}")
        if table.null_counts[name] if stored else table[name].null_count():
            column = table.column(name) if stored else table[name]
            place = column.is_null().arg_true()[0]
            raise DataError(f"{where}: {name} is null in row {place + 1}. {AGAIN}")
