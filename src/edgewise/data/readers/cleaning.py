"""From a batch of text columns to typed columns, with the unusable rows told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from edgewise.data.readers.bad_rows import BadRows, Kind
from edgewise.errors import DataError

# Seconds stay below 1e11 until the year 5138, so larger numbers count finer units.
LARGEST_SECONDS = 100_000_000_000
TIME_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%m %d, %Y")


def clean(
    batch: pl.DataFrame, path: Path, locate: Callable[[int], int], bad: BadRows
) -> pl.DataFrame:
    """Typed columns of the usable rows.

    Args:
        batch: text columns named as our fields; null is a missing field.
        path: the file, for messages.
        locate: from a row of the batch to its line in the file.
        bad: told of the unusable rows.

    Returns:
        The usable rows in their order, types as in ``ROW_SCHEMA``.
    """
    typed = batch.select(_typed(batch[name]) for name in batch.columns)
    kind = _kinds(batch, typed)
    if kind.null_count() == len(kind):
        return typed
    for (name,), rows in (
        batch.with_columns(kind=kind).with_row_index("row").group_by("kind", maintain_order=True)
    ):
        if name is not None:
            first = rows.row(0, named=True)
            at, detail = first.pop("row"), _detail(first)
            bad.report(Kind(str(name)), path, lambda at=at: locate(at), detail, rows.height)
    return typed.filter(kind.is_null())


def as_text(column: pl.Series, name: str, what: str) -> pl.Series:
    """A typed column as the text it would be in a delimited file.

    Args:
        column: of a table or a Parquet file; NaN is a missing field.
        name: of our field.
        what: the table or file, for messages.

    Raises:
        DataError: its type has no text.
    """
    if column.dtype.is_temporal():
        column = column.cast(pl.Datetime("us")).dt.epoch("s")
    if column.dtype.is_float():
        column = column.fill_nan(None)
        if (column.drop_nulls() % 1 == 0).all():
            column = column.cast(pl.Int64, strict=False)
    try:
        return column.cast(pl.String).alias(name)
    except PolarsError as error:
        raise DataError(
            f"{what}: column {column.name!r} of type {column.dtype} cannot serve as {name}: {error}"
        ) from None


def epoch_seconds(text: pl.Series) -> pl.Series:
    """Seconds since 1970 (``Int64``) from numbers or dates; null where a text is neither.

    Numbers may count seconds, milli-, micro- or nanoseconds, told apart by their size. Dates are
    ISO 8601, or ``month day, year``; times without an offset are taken as UTC.
    """
    seconds = text.cast(pl.Int64, strict=False)
    if seconds.null_count():
        seconds = seconds.fill_null(
            text.cast(pl.Float64, strict=False).floor().cast(pl.Int64, strict=False)
        )
    if seconds.null_count():
        seconds = seconds.zip_with(seconds.is_not_null(), _dates(text))
    for _ in range(3):
        fine = seconds.abs() > LARGEST_SECONDS
        if not fine.any():
            break
        seconds = seconds.zip_with(~fine.fill_null(False), seconds // 1000)
    return seconds


def _dates(text: pl.Series) -> pl.Series:
    plain = text.str.replace("T", " ", literal=True).str.strip_suffix("Z")
    found = plain.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    for form in TIME_FORMATS:
        found = found.fill_null(plain.str.to_datetime(form, strict=False, time_unit="us"))
    offset = plain.str.to_datetime(
        "%Y-%m-%d %H:%M:%S%.f%:z", strict=False, time_unit="us", time_zone="UTC"
    )
    return found.fill_null(offset.dt.replace_time_zone(None)).dt.epoch("s")


def _typed(column: pl.Series) -> pl.Series:
    if column.name in ("review", "summary"):
        return column.fill_null("")
    text = column.str.strip_chars()
    if column.name == "timestamp":
        return epoch_seconds(text)
    if column.name == "rating":
        value = text.cast(pl.Float32, strict=False)
        return value.zip_with(
            value.is_finite().fill_null(False), pl.Series([None], dtype=pl.Float32)
        )
    return text


def _kinds(batch: pl.DataFrame, typed: pl.DataFrame) -> pl.Series:
    """The first thing wrong with each row, null for a usable one."""
    wrong = pl.Series("kind", [None], dtype=pl.String).new_from_index(0, len(batch))
    for kind, mask in _checks(batch, typed):
        if mask.any():
            wrong = wrong.zip_with(wrong.is_not_null() | ~mask, pl.Series([str(kind)]))
    return wrong


def _checks(batch: pl.DataFrame, typed: pl.DataFrame) -> Iterator[tuple[Kind, pl.Series]]:
    for name in ("user_id", "item_id"):
        yield Kind.MISSING_FIELD, batch[name].is_null()
        yield Kind.EMPTY_ID, (typed[name] == "").fill_null(False)
    if "timestamp" in batch.columns:
        given = _given(batch["timestamp"])
        yield Kind.MISSING_FIELD, ~given
        yield Kind.TIME, given & typed["timestamp"].is_null()
    if "rating" in batch.columns:
        yield Kind.RATING, _given(batch["rating"]) & typed["rating"].is_null()


def _given(column: pl.Series) -> pl.Series:
    return (column.str.strip_chars() != "").fill_null(False)


def _detail(row: dict[str, object]) -> str:
    fields = ("user_id", "item_id", "timestamp", "rating")
    return ", ".join(f"{name}={row[name]!r}" for name in fields if name in row)
