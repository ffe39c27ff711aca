"""JSON lines in batches, with the line of every row that cannot be used."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import polars as pl

from edgewise.data.readers.bad_rows import BadRows, Kind
from edgewise.data.readers.cleaning import clean
from edgewise.data.readers.streams import read_lines

BATCH = 50_000
PEEK = 1_000


def read_objects(
    path: Path, bad: BadRows, parse: Callable[[str], object] = json.loads
) -> Iterator[tuple[int, dict[str, object]]]:
    """Line numbers and the object of each line; lines that hold none are bad rows."""
    for number, line in read_lines(path, bad):
        try:
            found = parse(line)
        except (ValueError, SyntaxError, RecursionError) as error:
            bad.report(Kind.JSON, path, number, str(error))
            continue
        if not isinstance(found, dict):
            bad.report(Kind.JSON, path, number, f"{line[:40]!r} is no object, one a line is wanted")
        elif "\\u" in line and not _is_utf8(found):
            bad.report(Kind.UTF8, path, number, "an escape stands for half a character")
        else:
            yield number, found


def parse_either(line: str) -> object:
    """One object written as JSON or, as some old Amazon files have it, as a Python literal."""
    try:
        return json.loads(line)
    except ValueError:
        return ast.literal_eval(line)


def peek_keys(path: Path) -> tuple[str, ...]:
    """The keys of a file's first objects in order of appearance; unusable lines are passed over."""
    objects = islice(read_objects(path, BadRows(skip=True)), PEEK)
    return tuple(dict.fromkeys(key for _, found in objects for key in found))


def column_keys(path: Path, bad: BadRows) -> tuple[str, ...]:
    """:func:`peek_keys`; where no line holds an object, the first bad line is reported instead."""
    keys = peek_keys(path)
    if not keys:
        next(read_objects(path, bad), None)
    return keys


def read_rows(path: Path, columns: Mapping[str, str], bad: BadRows) -> Iterator[pl.DataFrame]:
    """Batches of typed interactions, see :func:`edgewise.data.readers.cleaning.clean`.

    Args:
        path: the file.
        columns: our field names to the objects' keys.
        bad: told of unusable rows.
    """
    objects = read_objects(path, bad)
    while chunk := list(islice(objects, BATCH)):
        lines = [number for number, _ in chunk]
        table = pl.DataFrame(
            {
                ours: [as_text(found.get(key)) for _, found in chunk]
                for ours, key in columns.items()
            },
            schema=dict.fromkeys(columns, pl.String),
        )
        yield clean(table, path, lines.__getitem__, bad)


def as_text(value: object) -> str | None:
    """A JSON value as the text it would be in a delimited file; null stays null."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_utf8(found: dict[str, object]) -> bool:
    try:
        json.dumps(found, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True
