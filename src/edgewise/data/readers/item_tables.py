"""Catalogues kept as delimited text, Parquet or JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edgewise.data.readers import jsonlines, parquet
from edgewise.data.readers.cleaning import clean_ids
from edgewise.data.readers.columns import by_place, map_columns
from edgewise.data.readers.delimited import Layout, find_layout, read_delimited
from edgewise.data.readers.raw import MISSING, ReadRequest, item_frame
from edgewise.data.readers.read_log import Kind

_TEXTS = ("title", "brand", "description")
_NAMES = ("name", "title", "label", "category", "genre", "value", "text")
# Between categories in one text; a mark further up wins, so that commas may stand in names.
_MARKS = (" > ", "|", ";", ",")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


def read_item_table(path: Path, kind: str, request: ReadRequest) -> pl.DataFrame:
    """A catalogue from a table, columns as in ``ITEM_SCHEMA``.

    Args:
        path: the table.
        kind: ``csv``, ``parquet`` or ``jsonl``.
        request: how to read, and where to tell it.

    Raises:
        DataError: no column holds item ids, or a row has no id.
    """
    log, encoding = request.log, request.form.encoding
    given = dict(request.item_columns)
    if kind == "csv":
        layout = find_layout(path, log, request.form, given.values(), items=True)
        return read_item_layout(layout, given, request)
    if kind == "jsonl":
        columns = _columns(jsonlines.column_keys(path, log, encoding), given, path, request)
        found = list(jsonlines.read_objects(path, log, encoding))
        values = {ours: [o.get(key) for _, o in found] for ours, key in columns.items()}
        lines = np.array([number for number, _ in found], dtype=np.int64)
        wrong = [
            isinstance(jsonlines.plain(value), list | dict | bool) for value in values["item_id"]
        ]
        for row in np.flatnonzero(wrong):
            detail = f"item_id is {jsonlines.NOT_AN_ID}"
            log.report(Kind.WRONG_ID, path, int(lines[row]), detail)
        ids = [
            None if odd else jsonlines.as_text(jsonlines.plain(value))
            for odd, value in zip(wrong, values["item_id"], strict=True)
        ]
        values = {**values, "item_id": pl.Series("item_id", ids, pl.String)}
    else:
        columns = _columns(parquet.names(path), given, path, request)
        values, lines = parquet.read_parquet(path, columns)
    return item_rows(values, lines, path, request, columns)


def read_item_layout(
    layout: Layout, given: Mapping[str, str], request: ReadRequest
) -> pl.DataFrame:
    """A delimited catalogue whose layout is known."""
    columns = _columns(layout.names, given, layout.path, request)
    series, lines = read_delimited(layout, columns.values(), request.log)
    values = {ours: series[theirs] for ours, theirs in columns.items()}
    return item_rows(values, lines, layout.path, request, columns)


def _columns(
    names: Sequence[str], given: Mapping[str, str], path: Path, request: ReadRequest
) -> dict[str, str]:
    """Guessed or named; the ids may be called as they are in the interactions."""
    same = request.columns.get("item_id", "")
    if "item_id" not in given and same in names and not same.isdecimal():
        given = {**given, "item_id": same}
    columns = map_columns(names, by_place(names, given), path.name, items=True)
    request.log.left(path, [name for name in names if name not in columns.values()])
    return columns


def item_rows(
    values: Mapping[str, Any],
    lines: np.ndarray,
    path: Path,
    request: ReadRequest,
    columns: Mapping[str, str],
) -> pl.DataFrame:
    """Typed catalogue rows; those without an id are bad rows.

    Args:
        values: our fields to their values, ``item_id`` as a series.
        lines: of the file, ``int[rows]``.
        path: the file.
        request: how to read, and where to tell it.
        columns: our fields to the file's columns.
    """
    log = request.log
    where = f"{path.name}: column {columns['item_id']!r}"
    ids, form = clean_ids(values["item_id"], where, log, keep_na=request.form.keep_na)
    missing = np.flatnonzero(ids.is_null().to_numpy())
    odd = {int(row) for row in missing}
    counted = sum(isinstance(jsonlines.plain(value), list | dict) for value in values["item_id"])
    if len(missing) > counted:
        line = int(lines[missing[0]])
        log.report(Kind.EMPTY_ID, path, line, "item_id is empty", len(missing))
    mark = _mark(values.get("categories", ()))
    log.read("items", "item_id", columns["item_id"], form)
    for name in (*_TEXTS, "categories"):
        if name in columns:
            told = (
                "text" if name != "categories" else f"list{f', split at {mark!r}' if mark else ''}"
            )
            log.read("items", name, columns[name], told)
    rows = zip(*(values[name] for name in columns if name != "item_id"), strict=True)
    names = [name for name in columns if name != "item_id"]
    if not names:
        rows = iter([()] * len(ids))
    return item_frame(
        _record(item_id, dict(zip(names, row, strict=True)), mark)
        for place, (item_id, row) in enumerate(zip(ids, rows, strict=True))
        if place not in odd
    )


def _record(item_id: str, row: Mapping[str, object], mark: str | None) -> dict[str, object]:
    texts = {name: _text(row.get(name)) for name in _TEXTS}
    return {"item_id": item_id, **texts, "categories": categories(row.get("categories"), mark)}


def _text(value: object) -> str:
    if isinstance(value, list | tuple | dict | pl.Series):
        return " ".join(flatten(value))
    text = (jsonlines.as_text(value) or "").strip()
    return "" if text in MISSING else text


def categories(value: object, mark: str | None = None) -> list[str]:
    """The distinct names in a value, in their order; see :func:`flatten`.

    Args:
        value: text, list, nested lists, dictionaries with a name, or the text of any of these.
        mark: what parts names in one text.
    """
    names = flatten(value)
    if mark is not None and isinstance(value, str) and not _is_listed(value):
        names = [part.strip() for name in names for part in name.split(mark)]
    return list(dict.fromkeys(name for name in names if name and name not in MISSING))


def flatten(value: object) -> list[str]:
    """All texts in lists of lists, dictionaries with a name, and the text of such; no nulls."""
    if value is None or (isinstance(value, float) and value != value):
        return []
    if isinstance(value, dict):
        named = next((value[key] for key in _NAMES if key in value), None)
        if named is None:
            counted = all(isinstance(count, int | float) for count in value.values())
            named = list(value) if counted else list(value.values())
        return flatten(named)
    if isinstance(value, list | tuple | pl.Series):
        return [name for part in value for name in flatten(part)]
    text = str(value).strip()
    if _is_listed(text) and (parsed := _parsed(text)) is not None:
        return flatten(parsed)
    return [] if text in MISSING else [text]


def _is_listed(text: str) -> bool:
    text = text.strip()
    return (text[:1], text[-1:]) in (("[", "]"), ("{", "}"), ("(", ")"))


def _parsed(text: str) -> object:
    """What the text of a list says; numpy writes names side by side, without commas."""
    if re.search(r"['\"]\s+['\"]", text) and not re.search(r"['\"]\s*,", text):
        return [one or other for one, other in _QUOTED.findall(text)]
    try:
        return jsonlines.parse_either(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _mark(values: Iterable[object]) -> str | None:
    """What parts the names in the texts of a column."""
    texts = [value for value in values if isinstance(value, str) and not _is_listed(value)]
    return next((mark for mark in _MARKS if any(mark in text for text in texts)), None)
