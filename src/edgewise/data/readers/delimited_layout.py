"""How a delimited file is laid out, and where in it a record stands."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgewise.data.readers.bad_rows import BadRows
from edgewise.data.readers.streams import open_stream
from edgewise.errors import DataError


@dataclass(frozen=True)
class Delimited:
    """How a delimited file is laid out.

    Attributes:
        path: the file, plain or packed with gzip.
        separator: one character.
        names: the columns in the file's order, no name twice.
        header: the first line holds names and is to be left out.
        quoted: fields may stand in double quotes, newlines inside included.
    """

    path: Path
    separator: str
    names: tuple[str, ...]
    header: bool = True
    quoted: bool = True


@dataclass(frozen=True)
class RecordLines:
    """Finds the line in the file on which a row of a batch begins.

    Attributes:
        source: the file.
        done: records of the file before the batch, the header included.
        kept: the places of the batch's rows before some were left out; None where all are there.
    """

    source: Delimited
    done: int
    kept: Sequence[int] | None = None

    def __call__(self, row: int) -> int:
        """The line, counted from 1, of a row of the batch, counted from 0."""
        place = row if self.kept is None else self.kept[row]
        return line_of_record(self.source, self.done + place + 1)


def read_header(path: Path, separator: str, *, quoted: bool = True) -> tuple[str, ...]:
    """The fields of a file's first line.

    Raises:
        DataError: the line is empty or no UTF-8.
    """
    first = _first_line(path, BadRows(skip=True)) or _first_line(path, BadRows())
    try:
        line = first.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError:
        raise DataError(f"{path.name}, line 1: the column names are not UTF-8") from None
    if not line:
        raise DataError(
            f"{path.name}: the first line is empty or cut off; it should hold the column names"
        )
    fields = next(csv.reader([line], delimiter=separator, quoting=_quoting(quoted)))
    return _distinct(name.strip() for name in fields)


def line_of_record(source: Delimited, record: int) -> int:
    """The line on which the n-th record begins, both from 1; a blank line is no record."""
    lines = (line.decode("latin-1") for line in open_stream(source.path, BadRows(skip=True)))
    records = csv.reader(lines, delimiter=source.separator, quoting=_quoting(source.quoted))
    start = found = 1
    with suppress(csv.Error):
        for fields in records:
            if fields and found == record:
                break
            found += bool(fields)
            start = records.line_num + 1
    return start


def _quoting(quoted: bool) -> Literal[0, 3]:
    return csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE


def _first_line(path: Path, bad: BadRows) -> bytes:
    return next(iter(open_stream(path, bad)), b"")


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """The names, with a number behind those that have stood before."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(found)
