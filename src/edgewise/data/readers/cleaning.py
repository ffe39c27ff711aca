"""From columns as a file has them to typed columns, decided for the whole file.

A column is never read one way in one batch and another way in the next, and what was decided is
told: see :class:`~edgewise.data.readers.read_log.ReadLog`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edgewise.data.readers.raw import MISSING
from edgewise.data.readers.read_log import Kind, ReadLog
from edgewise.data.readers.times import read_times, without
from edgewise.errors import DataError

# Not seen by people: zero-width characters, directional marks, byte order marks.
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"
BIG_FLOAT = 2.0**53
_WHOLE = r"^[+-]?\d+\.0*$"
_NUMBER = r"^[+-]?\d+(\.0*)?$"
_CUT = r"^\d(\.\d+)?[eE]\+?\d+$"


def clean(
    columns: Mapping[str, pl.Series],
    lines: np.ndarray,
    path: Path,
    log: ReadLog,
    *,
    sources: Mapping[str, str],
    keep_na: bool = False,
    time_format: str | None = None,
) -> pl.DataFrame:
    """Typed columns of the usable rows.

    Args:
        columns: named as our fields, of any type; null is a missing value.
        lines: of the file, ``int[rows]``, for messages.
        path: the file.
        log: told of the unusable rows, and of what each field was read from.
        sources: the file's column of each field.
        keep_na: ``nan``, ``NULL``, ``None`` and ``NA`` are ids like others.
        time_format: of the times, see :func:`~edgewise.data.readers.times.read_times`.

    Returns:
        The usable rows in their order, types as in ``ROW_SCHEMA``.
    """
    typed: dict[str, pl.Series] = {}
    wrong: list[tuple[Kind, pl.Series, str]] = []
    for name, column in columns.items():
        where = f"{path.name}: column {sources[name]!r}"
        if name in ("user_id", "item_id"):
            typed[name], form = clean_ids(column, where, log, keep_na=keep_na)
            given = ~_missing_value(column)
            wrong.append((Kind.MISSING_FIELD, ~given, name))
            wrong.append((Kind.EMPTY_ID, given & typed[name].is_null(), name))
        elif name == "timestamp":
            typed[name], form = read_times(column, where, log, time_format)
            missing = _missing(column)
            wrong.append((Kind.MISSING_FIELD, missing, name))
            wrong.append((Kind.TIME, typed[name].is_null() & ~missing, name))
        elif name == "rating":
            typed[name], form = _ratings(column, where)
            wrong.append((Kind.RATING, typed[name].is_null() & ~_missing(column), name))
        else:
            typed[name], form = as_text(column, where).fill_null(""), "text"
        log.read("interactions", name, sources[name], form)
    usable = np.ones(len(lines), dtype=bool)
    found: list[tuple[int, Kind, str, int]] = []
    for kind, mask, name in wrong:
        rows = np.flatnonzero(mask.to_numpy() & usable)
        if len(rows):
            usable[rows] = False
            found.append((int(rows[0]), kind, name, len(rows)))
    for first, kind, name, count in sorted(found):
        log.report(kind, path, int(lines[first]), _detail(columns, first, name), count)
    frame = pl.DataFrame([column.alias(name) for name, column in typed.items()])
    return frame if usable.all() else frame.filter(pl.Series(usable))


def clean_ids(
    column: pl.Series, where: str, log: ReadLog, *, keep_na: bool = False
) -> tuple[pl.Series, str]:
    """Ids as text, one spelling each, and how they were read; null where there is none.

    Whole numbers in floating point are whole numbers (``1.0`` is ``1``) where all ids of the
    column are numbers. Spaces and invisible characters around an id are no part of it.

    Raises:
        DataError: ids cannot be of this type.
    """
    if column.dtype == pl.Boolean or column.dtype.is_temporal() or column.dtype.is_nested():
        raise DataError(f"{where}: ids cannot be of type {column.dtype}; name another column")
    form = _type_name(column.dtype)
    if column.dtype.is_float():
        column = column.fill_nan(None)
        if (column.abs() >= BIG_FLOAT).any():
            log.warn(f"{where}: ids in floating point above 2^53 may have lost digits")
    text = as_text(column, where)
    old = text.unique()
    new = old.str.strip_chars(INVISIBLE + " \t\r\n\u00a0\u3000").str.strip_chars()
    hidden = old.str.contains(f"^[{INVISIBLE}]|[{INVISIBLE}]$").fill_null(False).sum()
    if hidden:
        log.warn(f"{where}: invisible characters around {hidden} ids were taken away")
    absent = ("",) if keep_na else MISSING
    new = without(new, new.is_in(list(absent)))
    new, told = _whole_numbers(new, where, log)
    if not new.equals(old, null_equal=True):
        changed = pl.DataFrame({"old": old, "new": new})
        text = pl.DataFrame({"old": text}).join(
            changed, on="old", how="left", nulls_equal=True, maintain_order="left"
        )["new"]
    if len(zeros := _leading_zeros(new)):
        log.warn(f"{where}: {zeros[0]!r} and other ids differ by leading zeros alone; kept apart")
    return text.alias(column.name), told or form


def _whole_numbers(ids: pl.Series, where: str, log: ReadLog) -> tuple[pl.Series, str]:
    known = ids.drop_nulls()
    whole = known.str.contains(_WHOLE)
    if whole.any():
        if known.str.contains(_NUMBER).all():
            return ids.str.replace(r"\.0*$", ""), "whole numbers, written as 1.0"
        odd = known.filter(~known.str.contains(_NUMBER))[0]
        log.warn(
            f"{where}: ids such as {known.filter(whole)[0]!r} beside {odd!r}: kept as they are"
        )
    if known.str.contains(_CUT).any():
        cut = known.filter(known.str.contains(_CUT))[0]
        log.warn(f"{where}: ids such as {cut!r} may have been rounded by a spreadsheet")
    return ids, ""


def _leading_zeros(ids: pl.Series) -> pl.Series:
    """Ids that are another one but for zeros in front."""
    padded = ids.filter(ids.str.contains(r"^0\d+$").fill_null(False))
    if padded.is_empty():
        return padded
    return padded.filter(padded.str.strip_chars_start("0").is_in(ids.implode()))


def as_text(column: pl.Series, where: str) -> pl.Series:
    """A column of any type as the text it would be in a delimited file; NaN is missing.

    Raises:
        DataError: its type has no text.
    """
    kind = column.dtype
    if kind == pl.String:
        return column
    if kind == pl.Binary:
        column = column.cast(pl.String, strict=False)
    elif kind.is_float() or kind.is_decimal():
        whole = column.drop_nulls().drop_nans() if kind.is_float() else column.drop_nulls()
        column = column.fill_nan(None) if kind.is_float() else column
        if (whole % 1 == 0).all():
            exact = column.cast(pl.Int64, strict=False)
            column = column if exact.null_count() > column.null_count() else exact
    elif kind.is_nested() or kind == pl.Object:
        raise DataError(f"{where}: of type {kind}, which has no text; name another column")
    return column.cast(pl.String)


def _ratings(column: pl.Series, where: str) -> tuple[pl.Series, str]:
    if column.dtype == pl.Boolean:
        return column.cast(pl.Float32), "true as 1, false as 0"
    if column.dtype.is_temporal() or column.dtype.is_nested():
        raise DataError(f"{where}: ratings cannot be of type {column.dtype}; name another column")
    if column.dtype.is_numeric():
        value, form = column.cast(pl.Float32), "numbers"
    else:
        text, form = as_text(column, where).str.strip_chars(), "numbers"
        known = text.drop_nulls()
        if known.str.contains(r"^-?\d+,\d+$").any() and not known.str.contains(r"\d\.").any():
            text, form = text.str.replace(",", ".", literal=True), "numbers with a decimal comma"
        value = text.cast(pl.Float32, strict=False)
    return without(value, ~value.is_finite().fill_null(True)), form


def _missing_value(column: pl.Series) -> pl.Series:
    return column.is_null() | column.is_nan() if column.dtype.is_float() else column.is_null()


def _missing(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return column.str.strip_chars().is_in(list(MISSING)).fill_null(True)
    return _missing_value(column)


def _type_name(kind: pl.DataType) -> str:
    if kind.is_numeric():
        return "whole numbers" if kind.is_integer() else "whole numbers in floating point"
    return "text"


def _detail(columns: Mapping[str, pl.Series], row: int, name: str) -> str:
    fields = ("user_id", "item_id", "timestamp", "rating")
    found: dict[str, Any] = {key: columns[key][row] for key in fields if key in columns}
    told = ", ".join(f"{key}={value!r}" for key, value in found.items())
    value = found.get(name)
    if name.endswith("_id") and isinstance(value, str) and value.strip():
        told += f"; {value.strip()!r} stands for a missing value (--keep-na takes it for an id)"
    if name == "timestamp":
        told += "; --time-format names a form"
    return told
