"""Parquet tables, a column with one type for the whole file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.exceptions import PolarsError

from edgewise.errors import DataError

_BATCH = 250_000


def names(path: Path) -> tuple[str, ...]:
    """The columns of a Parquet file."""
    with _open(path) as file:
        return tuple(file.schema_arrow.names)


def read_parquet(
    path: Path, columns: Mapping[str, str], limit: int | None = None
) -> tuple[dict[str, pl.Series], np.ndarray]:
    """Some columns under our names, types as in the file, and the place of each row from 1.

    A list of items is one row an item, with the times and ratings of lists beside it.

    Raises:
        DataError: the file is no Parquet file, or a damaged one.
    """
    wanted = sorted(set(columns.values()))
    try:
        with _open(path) as file:
            table = file.read(columns=wanted) if limit is None else _head(file, wanted, limit)
        frame = pl.from_arrow(table.select(wanted))
    except (OSError, pa.ArrowException, PolarsError) as error:
        raise DataError(f"{path.name}: cannot be read as Parquet: {error}") from None
    assert isinstance(frame, pl.DataFrame)
    frame = frame.with_columns(pl.int_range(1, pl.len() + 1).alias("\0place"))
    lists = [name for name in wanted if isinstance(frame.schema[name], pl.List | pl.Array)]
    if columns.get("item_id") in lists:
        try:
            frame = frame.explode(lists)
        except PolarsError as error:
            raise DataError(
                f"{path.name}: the lists of a row differ in length ({', '.join(lists)}): {error}"
            ) from None
    found = {ours: frame[theirs].alias(ours) for ours, theirs in columns.items()}
    return found, frame["\0place"].to_numpy()


def _head(file: pq.ParquetFile, wanted: list[str], limit: int) -> pa.Table:
    batch = next(file.iter_batches(min(limit, _BATCH), columns=wanted), None)
    if batch is None:
        return file.schema_arrow.empty_table()
    return pa.Table.from_batches([batch])


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path.name}: cannot be read as Parquet: {error}") from None
