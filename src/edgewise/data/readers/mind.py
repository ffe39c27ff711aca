"""MIND's behaviors: what people clicked before, and in the lists that they were shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from edgewise.data.readers.cleaning import clean
from edgewise.data.readers.delimited import Layout, read_delimited
from edgewise.data.readers.item_tables import read_item_layout
from edgewise.data.readers.raw import RawTable, ReadRequest, no_items
from edgewise.errors import DataError

BEHAVIORS, NEWS = "behaviors.tsv", "news.tsv"
FIELDS = ("impression", "user_id", "timestamp", "history", "shown")
NEWS_FIELDS = ("id", "category", "subcategory", "title", "abstract", "url", "entities", "more")


def find_behaviors(source: Path) -> Path | None:
    """``behaviors.tsv`` of a folder, or the file itself where it is called so."""
    path = source / BEHAVIORS if source.is_dir() else source
    return path if path.name == BEHAVIORS and path.is_file() else None


def read(request: ReadRequest) -> RawTable:
    """Read the clicks of ``behaviors.tsv``, and ``news.tsv`` where it is beside it.

    Each click of a list that was shown carries the list's time. The clicks of a history have no
    times of their own: they are read once a user, in their order, with the time of the first list.

    Raises:
        DataError: there is no such file, or a row cannot be used.
    """
    path = find_behaviors(request.path)
    if path is None:
        raise DataError(f"{request.path}: no {BEHAVIORS} here")
    log = request.log
    layout = Layout(path, "\t", FIELDS, 0, None, None, request.form.encoding)
    log.layouts[path.name] = str(layout)
    found, lines = read_delimited(layout, FIELDS[1:], log, request.limit)
    table = pl.DataFrame([*found.values(), pl.Series("line", lines)])
    first = table.unique("user_id", keep="first", maintain_order=True)
    history = first.with_columns(item_id=pl.col("history").str.split(" ")).explode("item_id")
    clicked = table.with_columns(item_id=pl.col("shown").str.split(" ")).explode("item_id")
    clicked = clicked.filter(pl.col("item_id").str.ends_with("-1")).with_columns(
        pl.col("item_id").str.strip_suffix("-1")
    )
    rows = pl.concat([history.filter(pl.col("item_id") != ""), clicked])
    log.warn(f"{path.name}: clicks of a history carry the time of the user's first list")
    typed = clean(
        {name: rows[name] for name in ("user_id", "item_id", "timestamp")},
        rows["line"].to_numpy().astype(np.int64),
        path,
        log,
        sources={"user_id": "2", "item_id": "4 and 5", "timestamp": "3"},
        time_format=request.form.time_format or "%m/%d/%Y %I:%M:%S %p",
    )
    news = request.metadata or path.with_name(NEWS)
    items = _news(news, request) if news.is_file() else no_items()
    files = (path.name, news.name) if news.is_file() else (path.name,)
    return RawTable(typed, items, layout="mind", files=files)


def _news(path: Path, request: ReadRequest) -> pl.DataFrame:
    layout = Layout(path, "\t", NEWS_FIELDS, 0, None, None, request.form.encoding)
    with request.log.about_items():
        return read_item_layout(layout, {}, request)
