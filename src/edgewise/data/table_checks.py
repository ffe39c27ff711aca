"""Tables of a data set folder that no data set can have: whatever wrote them, they are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

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
    tables: Mapping[str, pl.DataFrame], folder: Path, counts: Mapping[str, int]
) -> None:
    """Refuse tables that no data set can have; names the column and the first wrong value."""
    for name, table in tables.items():
        where = folder / f"{name}.parquet"
        _check_columns(table, where, _REQUIRED[name])
        if table.height != counts.get(name):
            raise DataError(
                f"{where}: {table.height} rows, and dataset.json says counts.{name} = "
                f"{counts.get(name)}. {AGAIN}"
            )
    rows = tables["interactions"]
    for kind in ("user", "item"):
        ids, index = tables[f"{kind}s"][f"{kind}_id"], rows[f"{kind}_index"]
        if (repeated := ids.filter(ids.is_duplicated())).len():
            raise DataError(
                f"{folder / f'{kind}s.parquet'}: {kind}_id {repeated[0]!r} stands there more than "
                f"once. {AGAIN}"
            )
        strange = index.filter((index < 0) | (index >= len(ids)))
        if strange.len():
            raise DataError(
                f"{folder / 'interactions.parquet'}: {kind}_index {strange[0]}, but there are "
                f"{len(ids)} {kind}s. {AGAIN}"
            )
    if not rows["user_index"].is_sorted():
        raise DataError(
            f"{folder / 'interactions.parquet'}: user_index does not rise: rows are not in each "
            f"user's order. {AGAIN}"
        )


def _check_columns(table: pl.DataFrame, where: Path, required: Sequence[str]) -> None:
    for column in required:
        if column not in table.columns:
            raise DataError(f"{where}: the column {column} is missing. {AGAIN}")
    for column in table:
        kind = _TYPES.get(column.name, pl.String)
        if column.dtype != kind:
            raise DataError(f"{where}: {column.name} is {column.dtype}, not {kind}. {AGAIN}")
        if column.null_count():
            place = column.is_null().arg_true()[0]
            raise DataError(f"{where}: {column.name} is null in row {place + 1}. {AGAIN}")
