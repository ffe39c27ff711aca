"""RecBole's atomic files: tables with typed column names, ``.inter`` and ``.item``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from edgewise.data.readers.cleaning import clean
from edgewise.data.readers.columns import by_place, map_columns
from edgewise.data.readers.delimited import Layout, find_layout, read_delimited
from edgewise.data.readers.item_tables import categories, read_item_layout
from edgewise.data.readers.raw import Form, RawTable, ReadRequest, no_items
from edgewise.data.readers.tables import read_metadata
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
    layout, _ = _layout(inter, request)
    columns = map_columns(layout.names, by_place(layout.names, request.columns), inter.name)
    log = request.log
    found, lines = read_delimited(layout, columns.values(), log, request.limit)
    series = {ours: found[theirs] for ours, theirs in columns.items()}
    log.left(inter, [name for name in layout.names if name not in columns.values()])
    form = request.form
    rows = clean(
        series,
        lines,
        inter,
        log,
        sources=columns,
        keep_na=form.keep_na,
        time_format=form.time_format,
    )
    item = request.metadata or inter.with_suffix(".item")
    items = _items(item, request) if item.is_file() else no_items()
    files = (inter.name, item.name) if item.is_file() else (inter.name,)
    return RawTable(rows, items, layout="recbole", files=files)


def _layout(path: Path, request: ReadRequest) -> tuple[Layout, Mapping[str, str]]:
    """The file's layout under names without types, and the type of each name."""
    form = Form(request.form.encoding, request.form.separator or "\t", header=True, quote="none")
    layout = find_layout(path, request.log, form)
    typed = [name.rpartition(":") for name in layout.names]
    if not any(mark and kind in TYPES for _, mark, kind in typed):
        request.log.warn(f"{path.name}: the columns have no types; all are read as text")
        return layout, dict.fromkeys(layout.names, "token")
    wrong = [
        name for name, (_, _, kind) in zip(layout.names, typed, strict=True) if kind not in TYPES
    ]
    if wrong:
        raise DataError(
            f"{path.name}, line 1: column {wrong[0]!r} has no type; RecBole writes names such as "
            f"user_id:token, the types being {', '.join(TYPES)}"
        )
    types = {name: kind for name, _, kind in typed}
    # The file's own header is what repeated lines are told by, so names change and nothing else.
    return replace(layout, names=tuple(types)), types


def _items(path: Path, request: ReadRequest) -> pl.DataFrame:
    if path.suffix != ".item":
        return read_metadata(path, request)
    layout, types = _layout(path, request)
    with request.log.about_items():
        items = read_item_layout(layout, request.item_columns, request)
    column = map_columns(layout.names, request.item_columns, path.name, items=True).get(
        "categories"
    )
    if column is None or types.get(column) != "token_seq":
        return items
    # A sequence of tokens is parted by spaces, unless it is written as a list or with bars.
    return items.with_columns(
        pl.Series(
            "categories",
            [
                categories(path[0], " ") if len(path) == 1 else path
                for path in items["categories"].to_list()
            ],
            pl.List(pl.String),
        )
    )
