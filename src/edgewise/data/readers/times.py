"""Times as people write them, to seconds since 1970, with one reading for a whole column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import polars as pl
from polars.exceptions import PolarsError

from edgewise.data.readers.raw import MISSING
from edgewise.data.readers.read_log import ReadLog
from edgewise.errors import ConfigError, DataError

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
# Seconds stay below 1e11 until the year 5138, so larger numbers count finer units.
LARGEST = {"s": 1e11, "ms": 1e14, "us": 1e17}
# Numbers that are dates, by how many digits they have.
DIGITS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC).timestamp()
CLOCKS = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "%.f", " %H:%M:%S%.f%:z")
DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y")
DAYS += ("%d-%b-%Y", "%m %d, %Y", "%Y%m%d")
WHOLE = ("%a %b %d %H:%M:%S %z %Y", "%a %b %d %H:%M:%S %Y", "%a, %d %b %Y %H:%M:%S %z")
WHOLE += ("%d/%b/%Y:%H:%M:%S %z", "%Y%m%d %H%M%S", "%Y-%m")
_CLOCK_CODES = ("%H", "%I", "%T", "%R", "%s", "%c", "%X", "%r")
# What is put behind months and years, and the format that they then have.
_WITHOUT_DAY = {"%Y": ("0101", "%Y%m%d"), "%Y%m": ("01", "%Y%m%d"), "%Y-%m": ("-01", "%Y-%m-%d")}
PLACES = r"^(\d{1,2})([./-])(\d{1,2})[./-](\d{2}|\d{4})(\s|,|$)"


def read_times(
    column: pl.Series, where: str, log: ReadLog, form: str | None = None
) -> tuple[pl.Series, str]:
    """Seconds since 1970 (``Int64``), null where a value is no time, and how they were read.

    Times without an offset are UTC. Numbers of a column all count one unit, told by the largest.

    Args:
        column: numbers, texts or times.
        where: file and column, for messages.
        log: told of what looks odd.
        form: ``s``, ``ms``, ``us``, ``ns`` or a format such as ``%d/%m/%Y``; told apart if absent.

    Raises:
        ConfigError: the format is none.
        DataError: the column cannot hold times, or days and months cannot be told apart.
    """
    if column.dtype.is_temporal():
        return _from_type(column, where)
    if column.dtype == pl.Boolean or column.dtype.is_nested() or column.dtype == pl.Binary:
        raise DataError(f"{where}: times cannot be of type {column.dtype}; name another column")
    text = column.cast(pl.String).str.strip_chars()
    if form is not None and form not in UNITS:
        return _by_given_format(text, form), form
    numbers = _numbers(column, text)
    counted, given = len(numbers.drop_nulls()), len(text) - _without_value(text)
    if form is not None:
        return _scaled(numbers, form), f"epoch {NAMES[form]}"
    if counted < given:
        # Some are no numbers: what reads more of them is what they are.
        dates, told = _from_dates(text, where)
        if not counted or len(dates.drop_nulls()) > counted:
            return dates, told
    return _from_numbers(numbers, where, log)


def _by_given_format(text: pl.Series, form: str) -> pl.Series:
    """Seconds of texts in the format that a person named; a day may be followed by a clock."""
    seconds = _by_format(text, form)
    if not any(code in form for code in _CLOCK_CODES):
        for clock in CLOCKS[1:]:
            if seconds.null_count():
                seconds = seconds.fill_null(_by_format(_plain(text), form + clock))
    return seconds


def _without_value(text: pl.Series) -> int:
    return int(text.is_in(list(MISSING)).fill_null(True).sum())


def _from_type(column: pl.Series, where: str) -> tuple[pl.Series, str]:
    if column.dtype in (pl.Time, pl.Duration):
        raise DataError(
            f"{where}: of type {column.dtype}, which has no date; name another column, or leave "
            "times out with --column timestamp="
        )
    zone = getattr(column.dtype, "time_zone", None)
    return column.cast(pl.Datetime("us", zone)).dt.epoch("s"), "dates" if (
        column.dtype == pl.Date
    ) else f"times{f' of {zone}' if zone else ''}"


def _numbers(column: pl.Series, text: pl.Series) -> pl.Series:
    """Whole numbers; fractions are cut off, null where a value is no number."""
    if column.dtype.is_integer():
        return column.cast(pl.Int64, strict=False)
    numbers = text.cast(pl.Int64, strict=False)
    if numbers.null_count():
        fractions = text.cast(pl.Float64, strict=False)
        fractions = without(fractions, ~fractions.is_finite().fill_null(False))
        numbers = numbers.fill_null(fractions.floor().cast(pl.Int64, strict=False))
    return numbers


def _from_numbers(numbers: pl.Series, where: str, log: ReadLog) -> tuple[pl.Series, str]:
    known = numbers.drop_nulls()
    if known.is_empty():
        return numbers, "no times"
    low, high = int(known.min()), int(known.max())  # pyright: ignore[reportArgumentType]
    digits = len(str(high))
    if low > 0 and len(str(low)) == digits and digits in DIGITS:
        dates = _by_format(numbers.cast(pl.String), DIGITS[digits], strict=False)
        if dates.null_count() == numbers.null_count() and _plausible(dates):
            return dates, f"dates such as {known[0]} ({DIGITS[digits]})"
    unit = next((name for name, most in LARGEST.items() if high <= most), "ns")
    seconds = _scaled(numbers, unit)
    first, last = (datetime_of(int(_scaled(pl.Series([n]), unit)[0])) for n in (low, high))
    if seconds.max() < EARLIEST:  # pyright: ignore[reportOperatorIssue]
        log.warn(
            f"{where}: numbers from {low} to {high} taken for {NAMES[unit]} since 1970 lie in "
            "1970: they order the rows and are no dates, unless --time-format names their form"
        )
    elif low < high / 100 and low > 0:
        log.warn(f"{where}: {low} and {high} cannot both be {NAMES[unit]} since 1970")
    return seconds, f"epoch {NAMES[unit]} ({first} to {last})"


def without(values: pl.Series, mask: pl.Series) -> pl.Series:
    """The values, null where the mask says so."""
    return pl.select(pl.when(~mask.fill_null(False)).then(values)).to_series().alias(values.name)


def _plausible(dates: pl.Series) -> bool:
    first, last = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (1900, 2100))
    return bool(dates.is_between(first, last).all())


def _scaled(numbers: pl.Series, unit: str) -> pl.Series:
    return numbers // UNITS[unit]


def datetime_of(seconds: int) -> str:
    """A day, or the number itself where there is no such day."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _by_format(text: pl.Series, form: str, *, strict: bool = True) -> pl.Series:
    """Seconds of texts in one format; null where a text is in another one."""
    if form in _WITHOUT_DAY:
        text, form = text + _WITHOUT_DAY[form][0], _WITHOUT_DAY[form][1]
    if form.startswith("%Y"):
        text = without(text, ~text.str.contains(r"^\d{4}").fill_null(False))
    try:
        if not any(code in form for code in _CLOCK_CODES):
            return text.str.to_date(form, strict=False).cast(pl.Datetime("us")).dt.epoch("s")
        if any(code in form for code in ("%z", "%:z", "%#z")):
            found = text.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
            return found.dt.replace_time_zone(None).dt.epoch("s")
        return text.str.to_datetime(form, strict=False, time_unit="us").dt.epoch("s")
    except PolarsError as error:
        if not strict:
            return pl.Series([None], dtype=pl.Int64).new_from_index(0, len(text))
        raise ConfigError(
            f"--time-format {form}: no format of times ({error}); give s, ms, us, ns, or codes "
            "such as %Y-%m-%d %H:%M:%S"
        ) from None


def _from_dates(text: pl.Series, where: str) -> tuple[pl.Series, str]:
    """Each format is asked for what is left, those first that read the first value."""
    plain = _plain(text)
    left, told = plain, []
    seconds = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(text))
    for form, read in _formats(plain, where):
        known = left.drop_nulls()
        if known.is_empty():
            break
        if read(known.head(1)).null_count() and read(known.head(200)).null_count() == min(
            200, len(known)
        ):
            continue
        found = read(left)
        if found.null_count() < len(found):
            seconds, left = seconds.fill_null(found), without(left, found.is_not_null())
            told.append(form)
    # What the first rows do not show is asked of every format once more.
    rare = left.drop_nulls().unique()
    for form, read in _formats(plain, where) if len(rare) else ():
        found = read(left)
        if found.null_count() < len(found):
            seconds, left = seconds.fill_null(found), without(left, found.is_not_null())
            told.append(form)
    return seconds, " or ".join(dict.fromkeys(told)) or "no times"


def _plain(text: pl.Series) -> pl.Series:
    """Without a T between day and hour, and with offsets written as +00:00."""
    return (
        text.str.replace(r"^(\d{4}-?\d{2}-?\d{2})T", "$1 ")
        .str.replace(r"\s*(Z|UTC|GMT)$", "+00:00")
        .str.replace(r"(:\d{2}(?:\.\d+)?)\s*([+-]\d{2}):?(\d{2})$", "$1$2:$3")
        .str.replace(r"(:\d{2}(?:\.\d+)?)\s*([+-]\d{2})$", "$1$2:00")
        .str.replace(r"(\d),(\s*\d{1,2}:)", "$1$2")
        .str.replace(r"\bSept\b", "Sep")
    )


def _formats(text: pl.Series, where: str) -> Iterator[tuple[str, Callable[[pl.Series], pl.Series]]]:
    """Formats that fit a column, with their readers."""
    days = DAYS
    places = text.drop_nulls()
    places = places.filter(places.str.contains(PLACES))
    if len(places):
        days = (*DAYS, *_day_and_month(places, where))
    for day in days:
        for clock in CLOCKS:
            yield day + clock, lambda left, form=day + clock: _by_format(left, form, strict=False)
    for form in WHOLE:
        yield form, lambda left, form=form: _by_format(left, form, strict=False)


def _day_and_month(places: pl.Series, where: str) -> tuple[str, ...]:
    """The format of days such as 02.01.2020, by a number above 12 in the column."""
    parts = places.str.extract_groups(PLACES).struct.unnest()
    first, mark, second, year = (parts[name] for name in parts.columns[:4])
    day_first = int(first.cast(pl.Int64).max()) > 12  # pyright: ignore[reportArgumentType]
    month_first = int(second.cast(pl.Int64).max()) > 12  # pyright: ignore[reportArgumentType]
    if not day_first and places.str.contains(r"(?i)\d\s*[ap]m$").all():
        month_first = True
    if not day_first and not month_first and not (mark == ".").all():
        raise DataError(
            f"{where}: in {places[0]!r} and all others the day could be the month; say which with "
            f"--time-format '%d{mark[0]}%m{mark[0]}%Y' or '%m{mark[0]}%d{mark[0]}%Y'"
        )
    if day_first and month_first:
        odd = places.filter(second.cast(pl.Int64) > 12)[0]
        raise DataError(
            f"{where}: days stand before months in some rows and behind them in others ({odd!r}); "
            "mend the column, or leave times out with --column timestamp="
        )
    order = "%m{0}%d{0}" if month_first else "%d{0}%m{0}"
    ends = {len(value): "%Y" if len(value) == 4 else "%y" for value in year.unique()}
    return tuple(
        order.format(sign) + end
        for sign in mark.unique(maintain_order=True)
        for end in ends.values()
    )
