"""Tables of interactions as people keep them: csv, tsv, Parquet and JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from edgewise.data.readers import jsonlines, parquet
from edgewise.data.readers.bad_rows import BadRows
from edgewise.data.readers.columns import map_columns
from edgewise.data.readers.delimited import read_delimited
from edgewise.data.readers.item_tables import read_item_table
from edgewise.data.readers.raw import RawTable, ReadRequest, join_rows, no_items
from edgewise.data.readers.table_files import delimited_source, find_tables
from edgewise.errors import DataError


def read_table(request: ReadRequest, kind: str) -> RawTable:
    """Read one table of interactions, and one of items where there is any.

    Args:
        request: a file, or a folder with ``interactions.*`` and perhaps ``items.*``.
        kind: ``csv``, ``tsv``, ``parquet`` or ``jsonl``.

    Raises:
        DataError: a needed column is missing, or a row cannot be used.
    """
    path, metadata = _files(request)
    rows = join_rows(_row_batches(path, kind, request.columns, request.bad))
    items = read_item_table(metadata, request.bad) if metadata else no_items()
    files = (path.name, metadata.name) if metadata else (path.name,)
    return RawTable(rows, items, layout=kind, files=files)


def _files(request: ReadRequest) -> tuple[Path, Path | None]:
    if not request.path.is_dir():
        return request.path, request.metadata
    found = find_tables(request.path)
    if found is None:
        raise DataError(
            f"{request.path}: the folder has no interactions.csv, .tsv, .parquet or .jsonl"
        )
    return found[0], request.metadata or found[1]


def _row_batches(
    path: Path, kind: str, given: Mapping[str, str], bad: BadRows
) -> Iterator[pl.DataFrame]:
    if kind == "parquet":
        return parquet.read_rows(path, map_columns(parquet.names(path), given, path.name), bad)
    if kind == "jsonl":
        columns = map_columns(jsonlines.column_keys(path, bad), given, path.name)
        return jsonlines.read_rows(path, columns, bad)
    source = delimited_source(path, kind, given)
    return read_delimited(source, map_columns(source.names, given, path.name), bad)
