"""Delimited text: how a file is laid out, and its rows as text with the line of each.

Text without quotes is parted by Arrow, a block of lines at a time. From the first quote on,
Python's csv module reads in its strict form, which knows where a quote was not closed.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from edgewise.data.readers.columns import looks_like_header
from edgewise.data.readers.raw import Form
from edgewise.data.readers.read_log import Kind, ReadLog
from edgewise.data.readers.sources import read_blocks
from edgewise.errors import ConfigError, DataError

csv.field_size_limit(1 << 30)

SEPARATORS = (",", "\t", ";", "|", "::", " ", ":")
# Stands for separators of several characters; no text file holds it.
_UNIT = "\x1f"
_SAMPLE = 200
_RECORDS = 100_000
# Longer texts are taken for a quote that somebody forgot to close.
_MAX_LINES_OF_A_FIELD = 10_000


@dataclass(frozen=True)
class Layout:
    """How a delimited file is laid out.

    Attributes:
        path: the file, packed or not.
        separator: between fields; of several characters only ``::``.
        names: the columns in the file's order, no name twice; their places without a header.
        header: the line that holds the names, 0 where there is none.
        quote: the character around texts, None where quotes are characters like others.
        escape: the character that takes its meaning from a quote behind it.
        encoding: of the file, see :func:`~edgewise.data.readers.sources.read_blocks`.
        comments: lines in front of the table that are none of it.
    """

    path: Path
    separator: str
    names: tuple[str, ...]
    header: int
    quote: str | None
    escape: str | None
    encoding: str | None
    comments: int = 0

    @property
    def start(self) -> int:
        """The last line before the rows."""
        return max(self.header, self.comments)

    def __str__(self) -> str:
        names = {"\t": "tab", " ": "space"}
        parts = [f"separator {names.get(self.separator, repr(self.separator))}"]
        parts.append(f"names in line {self.header}" if self.header else "no header")
        parts.append("no quotes" if self.quote is None else f"quotes {self.quote!r}")
        if self.escape:
            parts.append(f"escape '{self.escape}'")
        return ", ".join(parts)


def find_layout(
    path: Path, log: ReadLog, form: Form, given: Iterable[str] = (), *, items: bool = False
) -> Layout:
    """Look at a file's first lines.

    Args:
        path: the file.
        log: told of the layout.
        form: what a person has said of it.
        given: columns that a person has named; a place such as ``1`` means no header.
        items: the file is about items.

    Raises:
        ConfigError: a separator or quote is no character.
        DataError: the file is empty, or one column wide.
    """
    first, sample = _sample(path, form.encoding)
    told = re.fullmatch(r"sep=(.|\\t)", sample[0].strip().strip('"'))
    if told is not None and len(sample) > 1:
        # Written by spreadsheets in front of the table.
        form = replace(form, separator=form.separator or told[1])
        first, sample = first + 1, sample[1:]
    comments = 0
    while len(sample) > 1 and sample[0].startswith(("%", "# ")) and not _is_names(sample[0], items):
        comments, first, sample = first, first + 1, sample[1:]
    if comments:
        log.warn(f"{path.name}: lines up to {comments} begin with % or # and are left out")
    separator = _separator(form.separator) or _sniff_separator(path, sample, form.quote)
    quote = _quote(form.quote, separator, sample)
    escape = form.escape or _sniff_escape(quote, sample)
    layout = Layout(path, separator, (), 1, quote, escape, form.encoding, comments)
    fields = next(iter(_split(sample, layout)), [])
    places = tuple(str(place) for place in range(1, len(fields) + 1))
    header = form.header
    if header is None:
        by_place = any(column.isdecimal() for column in given)
        header = not by_place or looks_like_header(fields, items=items)
        if by_place and header:
            log.warn(f"{path.name}: line {first} holds names and is left out: {', '.join(fields)}")
    names = _distinct(name.strip().lstrip("#% ") for name in fields) if header else places
    found = replace(layout, names=names, header=first if header else 0)
    log.layouts[path.name] = str(found)
    return found


def read_delimited(
    layout: Layout, columns: Iterable[str], log: ReadLog, limit: int | None = None
) -> tuple[dict[str, pl.Series], np.ndarray]:
    """The text of some columns, and the line of each row, ``int64[rows]``.

    Rows with too few or too many fields, and texts whose quote is not closed, are bad rows. A
    header line that is repeated further down is left out.

    Args:
        layout: of the file.
        columns: by the file's names, or our names for numbers of places.
        log: told of rows that cannot be read.
        limit: stop after about so many rows.
    """
    wanted = list(dict.fromkeys(columns))
    frames, rows = [], 0
    for frame in _frames(layout, wanted, log, limit or _RECORDS):
        frames.append(frame)
        rows += frame.height
        if limit is not None and rows >= limit:
            break
    if not frames:
        return {name: pl.Series(name, [], pl.String) for name in wanted}, np.empty(0, np.int64)
    table = pl.concat(frames)
    if layout.header:
        header = pl.all_horizontal(
            pl.col(str(place)).str.strip_chars() == name for place, name in enumerate(wanted)
        )
        again = table.select(header.fill_null(False)).to_series()
        if again.any():
            first = int(table["line"].filter(again)[0])
            log.report(Kind.HEADER, layout.path, first, "", int(again.sum()))
            log.warn(
                f"{layout.path.name}, line {first}: the header stands there once more; left out"
            )
            table = table.filter(~again)
    lines = table["line"].to_numpy()
    return {name: table[str(place)].alias(name) for place, name in enumerate(wanted)}, lines


def _sample(path: Path, encoding: str | None) -> tuple[int, list[str]]:
    """The first lines that are not blank, and the number of the first one."""
    quiet = ReadLog(skip=True)
    number, lines = 1, []
    for first, block in read_blocks(path, quiet, encoding):
        texts = block.decode().split("\n")
        filled = [(first + place, text) for place, text in enumerate(texts) if text.strip()]
        if filled and not lines:
            number = filled[0][0]
        lines += [text.rstrip("\r") + "\n" for _, text in islice(filled, _SAMPLE - len(lines))]
        if len(lines) >= _SAMPLE:
            break
    if not lines:
        # Once more aloud: what is wrong may be the archive or the encoding.
        for _ in read_blocks(path, ReadLog(), encoding):
            pass
        raise DataError(f"{path.name}: the file is empty; it should hold a table")
    return number, lines


def _is_names(line: str, items: bool) -> bool:
    """Whether a line in front of a table holds the names of columns."""
    return looks_like_header(re.split(r"[^\w-]+", line), items=items)


def _separator(given: str | None) -> str | None:
    if given is None:
        return None
    names = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
    found = names.get(given.lower(), given)
    if found != "::" and (len(found) != 1 or found in "\r\n\"'"):
        raise ConfigError(f"--separator {given}: give one character, tab, space or ::")
    return found


def _quote(given: str | None, separator: str, sample: Sequence[str]) -> str | None:
    if given is not None:
        if given.lower() == "none":
            return None
        if len(given) != 1:
            raise ConfigError(f"--quote {given}: give one character, or none")
        return given
    fields = sample[0].strip().split(separator)
    if all(len(f) > 1 and f[0] == f[-1] == "'" for f in fields):
        return "'"
    if separator in ",;":
        return '"'
    # In other files a quote is a character like others, unless every field of a line has two.
    return '"' if all(len(f) > 1 and f[0] == f[-1] == '"' for f in fields) else None


def _sniff_escape(quote: str | None, sample: Sequence[str]) -> str | None:
    inside = re.compile(r'[^\\]\\"[^,;|\t\r\n]')
    return "\\" if quote == '"' and any(inside.search(line) for line in sample) else None


def _sniff_separator(path: Path, sample: Sequence[str], quote: str | None) -> str:
    """The separator at which the first lines have the same number of fields, at least two."""
    endings = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".inter": "\t", ".item": "\t"}
    usual = next((s for end, s in endings.items() if end in path.name.lower()), None)
    best, score = usual, (0.0, 0)
    double = all("::" in line for line in sample)
    for separator in sorted(SEPARATORS, key=lambda s: s != usual):
        quoted = quote if quote is not None else ('"' if separator in ",;" else "none")
        layout = Layout(
            path, separator, (), 1, None if quoted.lower() == "none" else quoted, None, None
        )
        if separator == ":" and double:
            continue
        widths = Counter(len(fields) for fields in _split(sample, layout))
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        share = count / max(1, sum(widths.values()))
        # Spaces and colons stand in texts and times: they must part every line alike.
        if (
            width > 1
            and (share > 0.8 or separator == usual)
            and not (separator in (" ", ":") and share < 1)
        ):
            found = (min(share, 0.8) + (separator == usual), width if separator != " " else 1)
            if found > score:
                best, score = separator, found
    if not best or score == (0.0, 0):
        raise DataError(
            f"{path.name}: one column only, whatever separates them (the first line is "
            f"{sample[0].strip()[:60]!r}); name it with --separator, or the format with --format "
            "(sequences: a user and the user's items a line)"
        )
    return best


def _split(sample: Sequence[str], layout: Layout) -> list[list[str]]:
    """The sample's fields; what cannot be parted is left out."""
    rows: list[list[str]] = []
    reader = csv.reader(map(_unified(layout), sample), **_dialect(layout, strict=False))
    with suppress(csv.Error):
        rows.extend(fields for fields in reader if fields)
    # A quote that is not closed swallows the rest: what is behind it tells nothing.
    return rows[: max(1, len(rows) - 1)] if layout.quote and len(rows) > 1 else rows


def _dialect(layout: Layout, *, strict: bool = True) -> dict:
    separator = _UNIT if len(layout.separator) > 1 else layout.separator
    if layout.quote is None:
        return {"delimiter": separator, "quoting": csv.QUOTE_NONE}
    return {
        "delimiter": separator,
        "quotechar": layout.quote,
        "escapechar": layout.escape,
        "doublequote": layout.escape is None,
        "strict": strict,
    }


def _unified(layout: Layout) -> Callable[[str], str]:
    """Long separators as one character, runs of spaces as one."""
    if len(layout.separator) > 1:
        return lambda text: text.replace(layout.separator, _UNIT)
    if layout.separator == " ":
        return lambda text: re.sub(r"[ \t]+", " ", text.strip()) + "\n"
    return lambda text: text


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """The names, with a number behind those that have stood before."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(found)


def _frames(
    layout: Layout, wanted: Sequence[str], log: ReadLog, batch: int
) -> Iterator[pl.DataFrame]:
    """Text columns ``0``, ``1``, ... in the order of the wanted ones, and ``line``."""
    blocks = read_blocks(layout.path, log, layout.encoding)
    for first, block in blocks:
        if block.count(b"\r") != block.count(b"\r\n"):
            log.warn(f"{layout.path.name}: carriage returns inside lines were read as spaces")
            block = re.sub(rb"\r(?!\n)", b" ", block)
        quoted = layout.quote is not None and layout.quote.encode() in block
        if quoted or layout.separator == " ":
            lines = _numbered(first, block, blocks)
            yield from _csv_frames(lines, layout, wanted, log, batch)
            return
        frame = _arrow_frame(first, block, layout, wanted, log)
        if frame is not None:
            yield frame


def _numbered(
    first: int, block: bytes, more: Iterator[tuple[int, bytes]]
) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, of a block and those that follow."""
    while True:
        text = re.sub(r"\r(?!\n)", " ", block.decode())
        for number, line in enumerate(text.split("\n")[:-1], start=first):
            yield number, line + "\n"
        found = next(more, None)
        if found is None:
            return
        first, block = found


def _arrow_frame(
    first: int, block: bytes, layout: Layout, wanted: Sequence[str], log: ReadLog
) -> pl.DataFrame | None:
    numbers = np.arange(first, first + block.count(b"\n"))
    blank = any(mark in block for mark in (b"\n\n", b"\n\r", b"\n ", b"\n\t"))
    if blank or first <= layout.start or not block[:1].strip():
        texts = block.split(b"\n")[:-1]
        kept = np.fromiter((bool(text.strip()) for text in texts), bool, len(texts))
        kept &= numbers > layout.start
        block = b"".join(text + b"\n" for text, keep in zip(texts, kept, strict=True) if keep)
        numbers = numbers[kept]
    if not len(numbers):
        return None
    if len(layout.separator) > 1:
        block = block.replace(layout.separator.encode(), _UNIT.encode())
    odd: list[pa_csv.InvalidRow] = []

    def note(row: pa_csv.InvalidRow) -> str:
        odd.append(row)
        return "skip"

    places = [f"c{place}" for place in range(len(layout.names))]
    picked = [places[layout.names.index(name)] for name in wanted]
    table = pa_csv.read_csv(
        pa.BufferReader(block),
        # One thread: a row of an odd width is told its number, and nothing outlives an error.
        read_options=pa_csv.ReadOptions(
            use_threads=False, block_size=max(1 << 20, len(block)), column_names=places
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=layout.separator if len(layout.separator) == 1 else _UNIT,
            quote_char=False,
            escape_char=False,
            ignore_empty_lines=False,
            invalid_row_handler=note,
        ),
        convert_options=pa_csv.ConvertOptions(
            include_columns=picked, column_types=dict.fromkeys(picked, pa.string())
        ),
    )
    for row in odd:
        line = int(numbers[row.number - 1])
        _report_width(log, layout, line, row.actual_columns)
    if odd:
        numbers = np.delete(numbers, [row.number - 1 for row in odd])
    columns = [
        pl.Series(str(place), table[name].combine_chunks()) for place, name in enumerate(picked)
    ]
    return pl.DataFrame([*columns, pl.Series("line", numbers)])


def _report_width(log: ReadLog, layout: Layout, line: int, width: int) -> None:
    kind = Kind.MISSING_FIELD if width < len(layout.names) else Kind.EXTRA_FIELD
    detail = f"{width} fields where {len(layout.names)} are expected"
    log.report(kind, layout.path, line, detail)


def _csv_frames(
    lines: Iterator[tuple[int, str]],
    layout: Layout,
    wanted: Sequence[str],
    log: ReadLog,
    batch: int,
) -> Iterator[pl.DataFrame]:
    places = [layout.names.index(name) for name in wanted]
    rows = (
        (line, *(fields[place] for place in places))
        for line, fields in _records(lines, layout, log)
    )
    schema = {"line": pl.Int64, **{str(place): pl.String for place in range(len(wanted))}}
    order = [*(str(place) for place in range(len(wanted))), "line"]
    while chunk := list(islice(rows, batch)):
        columns = zip(*chunk, strict=True)
        yield pl.DataFrame(
            [
                pl.Series(name, column, kind)
                for (name, kind), column in zip(schema.items(), columns, strict=True)
            ]
        ).select(order)


class _Lines:
    """Lines for a csv reader, which can be given back."""

    def __init__(self, lines: Iterator[tuple[int, str]], layout: Layout) -> None:
        self._lines, self._unified = lines, _unified(layout)
        self._back: list[tuple[int, str]] = []
        self.taken: list[tuple[int, str]] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        found = self._back.pop() if self._back else next(self._lines)
        self.taken.append(found)
        if len(self.taken) > _MAX_LINES_OF_A_FIELD:
            raise csv.Error(f"over {_MAX_LINES_OF_A_FIELD:,} lines in one text")
        return self._unified(found[1])

    def give_back(self) -> None:
        """All lines of the last record but the first."""
        self._back.extend(reversed(self.taken[1:]))


def _records(
    lines: Iterator[tuple[int, str]], layout: Layout, log: ReadLog
) -> Iterator[tuple[int, list[str]]]:
    """The line and the fields of every usable record."""
    source = _Lines(lines, layout)
    reader = csv.reader(source, **_dialect(layout))
    width = len(layout.names)
    while True:
        source.taken = []
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fields, wrong = [], f"{error}"
        else:
            wrong = _swallowed(source.taken, layout) if len(source.taken) > 2 else None
        line = source.taken[0][0]
        if wrong is not None:
            hint = "; --quote none reads quotes as characters, --escape '\\' reads \\\" as one"
            log.report(Kind.QUOTE, layout.path, line, wrong + hint)
            source.give_back()
            reader = csv.reader(source, **_dialect(layout))
        elif line > layout.start and any(map(str.strip, fields)):
            if len(fields) != width:
                _report_width(log, layout, line, len(fields))
            else:
                yield line, fields


def _swallowed(taken: Sequence[tuple[int, str]], layout: Layout) -> str | None:
    """What is odd about a text over several lines: those inside it look like rows themselves."""
    inside = [text for _, text in taken[1:-1]]
    width = len(layout.names)
    alike = sum(
        text.count(layout.separator) == width - 1 and str(layout.quote) not in text
        for text in inside
    )
    if alike == len(inside) and (width > 2 or len(inside) > 1):
        return f"the text that begins here swallows {len(inside)} lines that look like rows"
    return None
