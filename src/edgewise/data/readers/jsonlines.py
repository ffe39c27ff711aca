"""JSON: an object a line, an array of objects, or Python literals, with the line of each."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from edgewise.data.readers.columns import guess_columns
from edgewise.data.readers.read_log import Kind, ReadLog
from edgewise.data.readers.sources import read_chunks, read_lines
from edgewise.errors import DataError

PEEK = 1_000
BATCH = 50_000
_PARSE_ERRORS = (ValueError, SyntaxError, RecursionError, MemoryError, TypeError)
NOT_AN_ID = "no text and no number"


def read_objects(
    path: Path, log: ReadLog, encoding: str | None = None
) -> Iterator[tuple[int, dict[str, object]]]:
    """Line numbers and the object of each line; lines that hold none are bad rows.

    A file that is one array gives the numbers of its objects.
    """
    if _is_array(path):
        yield from _array(path, log, encoding)
        return
    for number, line in read_lines(path, log, encoding):
        try:
            found = parse_either(line)
        except _PARSE_ERRORS as error:
            log.report(Kind.JSON, path, number, _told(error))
            continue
        if not isinstance(found, dict):
            log.report(Kind.JSON, path, number, f"{line[:40]!r} is no object, one a line is wanted")
        elif "\\u" in line and not _is_utf8(found):
            log.report(Kind.ENCODING, path, number, "an escape stands for half a character")
        else:
            yield number, found


def parse_either(line: str) -> object:
    """One object written as JSON or, as some old files have it, as a Python literal."""
    try:
        return json.loads(line)
    except ValueError as error:
        if line.lstrip()[:1] not in ("{", "[", "("):
            raise
        try:
            return ast.literal_eval(line.strip())
        except _PARSE_ERRORS:
            raise error from None


def peek_keys(path: Path, encoding: str | None = None) -> tuple[str, ...]:
    """The keys of a file's first objects in order of appearance; unusable lines are passed over."""
    objects = islice(read_objects(path, ReadLog(skip=True), encoding), PEEK)
    return tuple(dict.fromkeys(str(key) for _, found in objects for key in found))


def column_keys(path: Path, log: ReadLog, encoding: str | None = None) -> tuple[str, ...]:
    """:func:`peek_keys`; where no line holds an object, the first bad line is reported instead."""
    keys = peek_keys(path, encoding)
    if not keys:
        next(read_objects(path, log, encoding), None)
    return keys


def read_json(
    path: Path,
    columns: Mapping[str, str],
    log: ReadLog,
    encoding: str | None = None,
    limit: int | None = None,
) -> tuple[dict[str, pl.Series], np.ndarray]:
    """The text of some keys under our names, and the line of each row, ``int64[rows]``.

    A list of items is one row an item, with the times of a list beside it where there are as many.
    """
    schema = {**dict.fromkeys(columns, pl.String), "line": pl.Int64}
    rows = _rows(islice(read_objects(path, log, encoding), limit), path, columns, log)
    frames = [pl.DataFrame(schema=schema)]
    while chunk := list(islice(rows, BATCH)):
        frames.append(pl.DataFrame(chunk, schema=schema, orient="row"))
    table = pl.concat(frames)
    return {ours: table[ours] for ours in columns}, table["line"].to_numpy()


def _rows(
    objects: Iterable[tuple[int, dict[str, object]]],
    path: Path,
    columns: Mapping[str, str],
    log: ReadLog,
) -> Iterator[tuple[object, ...]]:
    """Texts in the order of the columns, and the line."""
    for number, found in objects:
        row = {ours: plain(found.get(key)) for ours, key in columns.items()}
        listed = isinstance(row.get("item_id"), list)
        for one in _spread(row) if listed else (row,):
            wrong = [name for name in ("user_id", "item_id") if not _is_id(one.get(name))]
            if wrong:
                told = f"{wrong[0]} is {_short(one[wrong[0]])}, {NOT_AN_ID}"
                log.report(Kind.WRONG_ID, path, number, told)
            else:
                yield (*(as_text(value) for value in one.values()), number)


def plain(value: object) -> object:
    """A value without the wrapping of MongoDB's exports, such as ``{"$oid": ...}``."""
    while isinstance(value, dict) and len(value) == 1:
        key, inner = next(iter(value.items()))
        if not str(key).startswith("$"):
            break
        value = inner
    return value


def as_text(value: object) -> str | None:
    """A JSON value as the text it would be in a delimited file; null and NaN stay missing.

    Whole numbers in floating point are written without their fraction.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        if value != value:
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _is_id(value: object) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))


def _spread(row: dict[str, object]) -> Iterator[dict[str, object]]:
    """A row for each item of a list, with its own value of the other lists of that length."""
    items = row["item_id"]
    assert isinstance(items, list)
    for place in range(len(items)):
        yield {
            name: plain(_item_of(value[place]) if name == "item_id" else value[place])
            if isinstance(value, list) and len(value) == len(items)
            else value
            for name, value in row.items()
        }


def _item_of(value: object) -> object:
    """The id in an object of a list of items."""
    if not isinstance(value, dict):
        return value
    column = guess_columns([*map(str, value)], items=True).get("item_id")
    return value if column is None else value[column]


def _is_array(path: Path) -> bool:
    head = b""
    for chunk in read_chunks(path):
        head += chunk
        if head.strip() or len(head) > 1 << 20:
            break
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    # An array of objects; a line such as ["u1", "i1"] is none.
    return bool(re.match(rb"\[\s*(\{|$|\])", text))


def _array(
    path: Path, log: ReadLog, encoding: str | None
) -> Iterator[tuple[int, dict[str, object]]]:
    text = "\n".join(line for _, line in read_lines(path, log, encoding))
    try:
        found = parse_either(text)
    except _PARSE_ERRORS as error:
        line = getattr(error, "lineno", 1) or 1
        raise DataError(
            f"{path.name}, line {line}: wrong JSON in an array of objects: {_told(error)}"
        ) from None
    for number, row in enumerate(found if isinstance(found, list) else [found], start=1):
        if isinstance(row, dict):
            yield number, row
        else:
            log.report(Kind.JSON, path, number, f"object {number} of the array is {_short(row)}")


def _told(error: BaseException) -> str:
    if isinstance(error, RecursionError | MemoryError):
        return "nested too deeply"
    return str(error)[:200]


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) < 60 else text[:60] + "..."


def _is_utf8(found: dict[str, object]) -> bool:
    try:
        json.dumps(found, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True
