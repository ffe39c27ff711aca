"""Times: every form that people write, one reading for a column, and never 1970 in silence."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from edgewise.data.readers.read_log import ReadLog
from edgewise.data.readers.times import read_times
from edgewise.errors import ConfigError, DataError


def times(*values: object, form: str | None = None) -> tuple[list[str | None], str, list[str]]:
    log = ReadLog()
    seconds, told = read_times(pl.Series("t", values), "f: column 't'", log, form)
    found = [
        None if s is None else f"{datetime.fromtimestamp(s, UTC):%Y-%m-%d %H:%M:%S}"
        for s in seconds
    ]
    return found, told, log.warnings


NOON = "2020-01-02 12:00:00"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1577966400"], NOON),
        (["1577966400.75"], NOON),
        (["1.5779664e9"], NOON),
        (["1577966400123"], NOON),
        (["1577966400123456"], NOON),
        (["1577966400123456789"], NOON),
        (["2020-01-02 12:00"], NOON),
        (["2020-01-02T12:00:00.250Z"], NOON),
        (["2020-01-02 13:00:00+0100", "2020-01-02 12:00:00 UTC"], NOON),
        (["2020-01-02 07:00:00-05"], NOON),
        (["2020/01/02 12:00:00"], NOON),
        (["20200102T120000"], NOON),
        (["Thu Jan 02 12:00:00 +0000 2020"], NOON),
        (["Thu, 02 Jan 2020 12:00:00 GMT"], NOON),
        (["02/Jan/2020:12:00:00 +0000"], NOON),
        (["1/2/2020 12:00:00 PM", "1/3/2020 9:00:00 AM"], NOON),
        (["1/2/2020 12:00", "12/31/2019"], NOON),
        (["2.1.2020 12:00"], NOON),
        (["02/01/20 12:00", "31/12/19 00:00"], NOON),
        (["20200102", "20181231"], "2020-01-02 00:00:00"),
        (["01 2, 2020"], "2020-01-02 00:00:00"),
        (["January 2, 2020"], "2020-01-02 00:00:00"),
        (["2 Jan 2020"], "2020-01-02 00:00:00"),
        (["2020-01"], "2020-01-01 00:00:00"),
        ([2020, 1999], "2020-01-01 00:00:00"),
        ([datetime(2020, 1, 2, 12)], NOON),
    ],
)
def test_forms(values: list, expected: str) -> None:
    found, _, warnings = times(*values)
    assert found[0] == expected
    assert None not in found
    assert not warnings


def test_what_is_no_time_is_null() -> None:
    assert times("1577966400", "tomorrow", "inf", "")[0] == [NOON, None, None, None]
    assert times("2020-01-02 12:00:00", "2020-13-01", "10:30")[0] == [NOON, None, None]


def test_numbers_that_order_rows_are_told() -> None:
    found, form, warnings = times(1, 2, 3)
    assert found[2] == "1970-01-01 00:00:03"
    assert form == "epoch seconds (1970-01-01 to 1970-01-01)"
    assert "lie in 1970" in warnings[0]


def test_one_unit_for_a_column() -> None:
    _, form, warnings = times(1577966400, 1577966400123)
    assert form.startswith("epoch milliseconds")
    assert "cannot both be milliseconds" in warnings[0]


@pytest.mark.parametrize("value", ["1/2/2020", "01-02-2020 10:00"])
def test_days_and_months_that_cannot_be_told_apart_are_asked_for(value: str) -> None:
    with pytest.raises(DataError, match=r"f: column 't': .* say which with --time-format '%d"):
        times(value)
    mark = value[1 if value[1] in "/-" else 2]
    assert times(value, form=f"%d{mark}%m{mark}%Y")[0][0].startswith("2020-02-01")


def test_two_orders_in_one_column() -> None:
    with pytest.raises(DataError, match="days stand before months in some rows"):
        times("31/12/2019", "12/31/2019")


def test_a_form_may_be_named() -> None:
    assert times("1577966400", form="ms")[0] == ["1970-01-19 06:19:26"]
    assert times("2020 02 01", form="%Y %d %m")[0] == ["2020-01-02 00:00:00"]
    with pytest.raises(ConfigError, match="--time-format %H %"):
        times("x", form="%H %")


def test_types_that_hold_no_times() -> None:
    from datetime import time, timedelta

    for value in (time(1), timedelta(1)):
        with pytest.raises(DataError, match=r"which has no date; .* --column timestamp="):
            times(value)
    with pytest.raises(DataError, match="times cannot be of type List"):
        times([1, 2])
