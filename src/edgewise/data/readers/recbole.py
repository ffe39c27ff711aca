"""RecBole's atomic files: tables with typed column names, ``.inter`` and ``.item``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from edgewise.data.readers.bad_rows import BadRows
from edgewise.data.readers.columns import map_columns
from edgewise.data.readers.delimited import read_delimited
from edgewise.data.readers.delimited_layout import Delimited, read_header
from edgewise.data.readers.item_tables import Row, delimited_rows, item_records, read_item_table
from edgewise.data.readers.raw import RawTable, ReadRequest, item_frame, join_rows, no_items
from edgewise.errors import DataError

TYPES = ("token", "token_seq", "float", "float_seq")


def find_inter(source: Path) -> Path | None:
    """The one ``.inter`` file of a folder, or the file itself where it is one.

    Raises:
        DataError: a folder has several.
    """
    if source.is_file():
        return source if source.suffix == ".inter" else None
    files = sorted(source.glob("*.inter"))
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise DataError(f"{source.name}: several .inter files ({names}); name the one to import")
    return files[0] if files else None


def read(request: ReadRequest) -> RawTable:
    """Read an ``.inter`` file and the ``.item`` file of the same name beside it.

    Raises:
        DataError: there is no such file, a column has no type, or a row cannot be used.
    """
    inter = find_inter(request.path)
    if inter is None:
        raise DataError(f"{request.path}: no RecBole .inter file here")
    source, _ = _source(inter)
    columns = map_columns(source.names, request.columns, inter.name)
    rows = join_rows(read_delimited(source, columns, request.bad))
    item = request.metadata or inter.with_suffix(".item")
    items = _items(item, request.bad) if item.is_file() else no_items()
    files = (inter.name, item.name) if item.is_file() else (inter.name,)
    return RawTable(rows, items, layout="recbole", files=files)


def _source(path: Path) -> tuple[Delimited, Mapping[str, str]]:
    """The file's layout under names without types, and the type of each name."""
    typed = read_header(path, "\t", quoted=False)
    wrong = [name for name in typed if name.rpartition(":")[2] not in TYPES]
    if wrong:
        raise DataError(
            f"{path.name}, line 1: column {wrong[0]!r} has no type; RecBole writes names such as "
            f"user_id:token, the types being {', '.join(TYPES)}"
        )
    types = {name.rpartition(":")[0]: name.rpartition(":")[2] for name in typed}
    return Delimited(path, "\t", tuple(types), quoted=False), types


def _items(path: Path, bad: BadRows) -> pl.DataFrame:
    if path.suffix != ".item":
        return read_item_table(path, bad)
    source, types = _source(path)
    column = map_columns(source.names, {}, path.name, items=True).get("categories", "")
    rows = delimited_rows(source, {}, bad)
    if types.get(column) == "token_seq":
        rows = map(_split_tokens, rows)
    return item_frame(item_records(rows, path, bad))


def _split_tokens(numbered: Row) -> Row:
    line, row = numbered
    # A sequence of tokens is parted by spaces, unless it is written as a list or with bars.
    text = str(row["categories"] or "")
    listed = text.startswith("[") or "|" in text
    return line, row if listed else {**row, "categories": text.split()}
