"""Delimited text in batches, with the line of every row that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from edgewise.data.readers.bad_rows import BadRows, Kind
from edgewise.data.readers.cleaning import clean
from edgewise.data.readers.delimited_layout import Delimited, RecordLines, line_of_record
from edgewise.data.readers.streams import open_stream
from edgewise.errors import DataError

BLOCK = 8 << 20


def read_delimited(
    source: Delimited, columns: Mapping[str, str], bad: BadRows
) -> Iterator[pl.DataFrame]:
    """Batches of typed interactions, see :func:`edgewise.data.readers.cleaning.clean`."""
    for batch, lines in read_text_batches(source, columns, bad):
        yield clean(batch, source.path, lines, bad)


def read_text_batches(
    source: Delimited, columns: Mapping[str, str], bad: BadRows
) -> Iterator[tuple[pl.DataFrame, RecordLines]]:
    """Batches of text columns under our names, each with a locator of its rows.

    Args:
        source: the file and its layout.
        columns: our field names to the file's columns.
        bad: told of rows with too few or too many fields and of invalid UTF-8.

    Raises:
        DataError: the file is no delimited text.
    """
    odd: list[pa_csv.InvalidRow] = []
    done = int(source.header)
    try:
        for batch in _open(source, sorted(set(columns.values())), bad, odd):
            _report_width(odd, source, bad)
            table, lines = _decode(batch, RecordLines(source, done), bad)
            done += len(batch)
            yield table.select(**{ours: pl.col(name) for ours, name in columns.items()}), lines
        _report_width(odd, source, bad)
    except pa.ArrowInvalid as error:
        raise DataError(f"{source.path.name}: cannot be read as delimited text: {error}") from None


def _open(
    source: Delimited, wanted: list[str], bad: BadRows, odd: list[pa_csv.InvalidRow]
) -> pa_csv.CSVStreamingReader:
    # Rows of an odd width are told their number only without threads.
    return pa_csv.open_csv(
        pa.PythonFile(open_stream(source.path, bad), "r"),
        read_options=pa_csv.ReadOptions(
            use_threads=False,
            block_size=BLOCK,
            column_names=list(source.names),
            skip_rows=int(source.header),
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=source.separator,
            quote_char='"' if source.quoted else False,
            newlines_in_values=source.quoted,
            invalid_row_handler=_noting(odd),
        ),
        convert_options=pa_csv.ConvertOptions(
            include_columns=wanted, column_types=dict.fromkeys(wanted, pa.binary())
        ),
    )


def _noting(odd: list[pa_csv.InvalidRow]) -> Callable[[pa_csv.InvalidRow], str]:
    def note(row: pa_csv.InvalidRow) -> str:
        odd.append(row)
        return "skip"

    return note


def _report_width(odd: list[pa_csv.InvalidRow], source: Delimited, bad: BadRows) -> None:
    for row in odd:
        kind = Kind.MISSING_FIELD if row.actual_columns < row.expected_columns else Kind.EXTRA_FIELD
        detail = f"{row.actual_columns} fields where {row.expected_columns} are expected"
        bad.report(kind, source.path, lambda row=row: line_of_record(source, row.number), detail)
    odd.clear()


def _decode(
    batch: pa.RecordBatch, lines: RecordLines, bad: BadRows
) -> tuple[pl.DataFrame, RecordLines]:
    """The batch as text, without the rows that are not UTF-8."""
    try:
        return _as_text(batch), lines
    except pa.ArrowInvalid:
        kept = [row for row in range(len(batch)) if all(map(_is_utf8, _values(batch, row)))]
    broken = sorted(set(range(len(batch))) - set(kept))
    detail = "the fields are " + ", ".join(map(repr, _values(batch, broken[0])))
    bad.report(Kind.UTF8, lines.source.path, lambda: lines(broken[0]), detail, len(broken))
    good = batch.take(pa.array(kept, pa.int64()))
    return _as_text(good), RecordLines(lines.source, lines.done, kept)


def _as_text(batch: pa.RecordBatch) -> pl.DataFrame:
    arrays = [column.cast(pa.string()) for column in batch.columns]
    table = pl.from_arrow(pa.Table.from_arrays(arrays, names=batch.schema.names))
    assert isinstance(table, pl.DataFrame)
    return table


def _values(batch: pa.RecordBatch, row: int) -> list[bytes]:
    return [column[row].as_py() for column in batch.columns]


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
