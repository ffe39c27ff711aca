"""Catalogues kept as csv, tsv, Parquet or JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl

from edgewise.data.readers import jsonlines, parquet
from edgewise.data.readers.bad_rows import BadRows, Kind
from edgewise.data.readers.columns import map_columns
from edgewise.data.readers.delimited import read_text_batches
from edgewise.data.readers.delimited_layout import Delimited
from edgewise.data.readers.raw import item_frame
from edgewise.data.readers.table_files import SUFFIXES, delimited_source, table_format
from edgewise.errors import DataError

Row = tuple[Callable[[], int], Mapping[str, object]]


def read_item_table(path: Path, bad: BadRows) -> pl.DataFrame:
    """A catalogue from a table, columns as in ``ITEM_SCHEMA``.

    Raises:
        DataError: the format is unknown, no column holds item ids, or a row has no id.
    """
    kind = table_format(path)
    if kind is None:
        raise DataError(f"{path.name}: metadata must end in one of {', '.join(SUFFIXES)}")
    rows = {"parquet": _parquet_rows, "jsonl": _json_rows}.get(kind)
    found = rows(path, bad) if rows else delimited_rows(delimited_source(path, kind), {}, bad)
    return item_frame(item_records(found, path, bad))


def delimited_rows(source: Delimited, given: Mapping[str, str], bad: BadRows) -> Iterator[Row]:
    """Rows of a delimited catalogue under our names, each with its line."""
    columns = map_columns(source.names, given, source.path.name, items=True)
    for batch, lines in read_text_batches(source, columns, bad):
        for place, row in enumerate(batch.iter_rows(named=True)):
            yield (lambda lines=lines, place=place: lines(place)), row


def item_records(rows: Iterator[Row], path: Path, bad: BadRows) -> Iterator[dict[str, object]]:
    """Catalogue rows with texts for what is missing and categories as a list."""
    for line, row in rows:
        item_id = (jsonlines.as_text(row["item_id"]) or "").strip()
        if not item_id:
            bad.report(Kind.EMPTY_ID, path, line, "item_id is empty")
            continue
        texts = {
            name: (jsonlines.as_text(row.get(name)) or "").strip()
            for name in ("title", "brand", "description")
        }
        yield {"item_id": item_id, **texts, "categories": split_categories(row.get("categories"))}


def split_categories(value: object) -> list[str]:
    """Categories from a list, the text of a list, or names joined by ``|``."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = jsonlines.parse_either(value)
        except (ValueError, SyntaxError):
            return [str(value)]
    names = value if isinstance(value, list) else str(value or "").split("|")
    return [str(name).strip() for name in names if str(name).strip()]


def _json_rows(path: Path, bad: BadRows) -> Iterator[Row]:
    columns = map_columns(jsonlines.column_keys(path, bad), {}, path.name, items=True)
    for number, found in jsonlines.read_objects(path, bad):
        yield (
            (lambda number=number: number),
            {ours: found.get(key) for ours, key in columns.items()},
        )


def _parquet_rows(path: Path, bad: BadRows) -> Iterator[Row]:
    columns = map_columns(parquet.names(path), {}, path.name, items=True)
    number = 0
    for batch in parquet.read_batches(path, sorted(set(columns.values()))):
        for row in batch.iter_rows(named=True):
            number += 1
            yield (lambda number=number: number), {ours: row[key] for ours, key in columns.items()}
