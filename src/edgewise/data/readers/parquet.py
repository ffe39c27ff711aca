"""Parquet tables in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.exceptions import PolarsError

from edgewise.data.readers.bad_rows import BadRows
from edgewise.data.readers.cleaning import clean
from edgewise.errors import DataError

BATCH = 250_000


def names(path: Path) -> tuple[str, ...]:
    """The columns of a Parquet file."""
    return tuple(_open(path).schema_arrow.names)


def read_rows(path: Path, columns: Mapping[str, str], bad: BadRows) -> Iterator[pl.DataFrame]:
    """Batches of typed interactions; a row's line is its place in the file, counted from 1."""
    done = 0
    for batch in read_batches(path, sorted(set(columns.values()))):
        texts = batch.select(_text(batch[name], ours, path) for ours, name in columns.items())
        yield clean(texts, path, lambda row, done=done: done + row + 1, bad)
        done += batch.height


def read_batches(path: Path, columns: list[str]) -> Iterator[pl.DataFrame]:
    """Batches of the named columns, types as in the file.

    Raises:
        DataError: the file is no Parquet file, or a damaged one.
    """
    try:
        for batch in _open(path).iter_batches(BATCH, columns=columns):
            table = pl.from_arrow(pa.Table.from_batches([batch]))
            assert isinstance(table, pl.DataFrame)
            yield table
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path.name}: cannot be read as Parquet: {error}") from None


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path.name}: cannot be read as Parquet: {error}") from None


def _text(column: pl.Series, name: str, path: Path) -> pl.Series:
    """A column as the text it would be in a delimited file."""
    if column.dtype.is_temporal():
        column = column.cast(pl.Datetime("us")).dt.epoch("s")
    if column.dtype.is_float() and (column.drop_nulls() % 1 == 0).all():
        column = column.cast(pl.Int64, strict=False)
    try:
        return column.cast(pl.String).alias(name)
    except PolarsError as error:
        raise DataError(
            f"{path.name}: column {column.name!r} of type {column.dtype} cannot serve as {name}: "
            f"{error}"
        ) from None
