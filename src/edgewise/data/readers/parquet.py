"""Parquet tables in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from edgewise.data.readers.bad_rows import BadRows
from edgewise.data.readers.cleaning import as_text, clean
from edgewise.errors import DataError

BATCH = 250_000


def names(path: Path) -> tuple[str, ...]:
    """The columns of a Parquet file."""
    return tuple(_open(path).schema_arrow.names)


def read_rows(path: Path, columns: Mapping[str, str], bad: BadRows) -> Iterator[pl.DataFrame]:
    """Batches of typed interactions; a row's line is its place in the file, counted from 1."""
    done = 0
    for batch in read_batches(path, sorted(set(columns.values()))):
        texts = batch.select(
            as_text(batch[name], ours, path.name) for ours, name in columns.items()
        )
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
