"""What the columns and cells of a published table say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from edgewise.audit.arithmetic import Interval
from edgewise.errors import DataError

_HITS = ("HITRATE", "HITRATIO", "HR", "HIT", "HITS", "H", "RECALL", "R")
_GAINS = ("NDCG", "N")
_METRIC = re.compile(r"([A-Za-z][A-Za-z _-]*?)\s*@\s*([1-9]\d*)")
_NOT_PRINTED = ("", "-", "\u2013", "\u2014")


def metric_of(column: str | None) -> tuple[str, int] | None:
    """``("HR", k)`` or ``("NDCG", k)`` of a column's name; None for other columns.

    With one held-out item a user, Recall is the hit rate. Blanks, ``-`` and ``_`` in a name do not
    count: ``Hit Rate@5``.
    """
    found = _METRIC.fullmatch((column or "").strip())
    if not found:
        return None
    word, k = re.sub("[ _-]", "", found[1]).upper(), int(found[2])
    if word in _HITS:
        return "HR", k
    return ("NDCG", k) if word in _GAINS else None


def check_columns(columns: Iterable[str], where: object) -> None:
    """Refuse a table without a figure, or with two columns for the same one.

    Raises:
        DataError: says which columns.
    """
    figures: dict[tuple[str, int], str] = {}
    for name in columns:
        metric = metric_of(name)
        if metric in figures:
            raise DataError(
                f"{where}: columns {figures[metric]!r} and {name!r} are the same figure where each "
                "user has one item to find; leave one of them out"
            )
        if metric is not None:
            figures[metric] = name
    if not figures:
        raise DataError(f"{where}: no column HR@k or NDCG@k, for example HR@10")


def is_other_metric(column: str | None) -> bool:
    """Whether a column looks like a figure that is not checked, such as ``MRR@10``."""
    return "@" in (column or "") and metric_of(column) is None


def is_printed(cell: str) -> bool:
    """Whether a cell holds a figure; an empty one and a dash do not."""
    return cell.strip() not in _NOT_PRINTED


def interval_of(cell: str, where: str) -> Interval:
    """All shares that are printed so: half a unit of the last digit either way.

    Args:
        cell: a share such as ``.123``, or ``12.3%``; stars at the end mark significance.
        where: for messages.

    Raises:
        DataError: it is no share.
    """
    text = cell.strip().rstrip("*").rstrip()
    number = text.removesuffix("%").rstrip().rstrip("*")
    try:
        printed = Decimal(number)
    except InvalidOperation:
        raise DataError(
            f"{where}: {cell!r} is no number; leave the cell empty, or write '-', where no figure "
            "was printed"
        ) from None
    if not printed.is_finite():
        raise DataError(f"{where}: {cell!r} is no number; leave the cell empty")
    value = printed.scaleb(-2) if "%" in text else printed
    if not 0 <= value <= 1:
        raise DataError(
            f"{where}: {cell} is no share between 0 and 1: divide percentages by 100, or write "
            "each with its %"
        )
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    half = Decimal(5).scaleb(exponent - 1)
    return float(max(value - half, Decimal(0))), float(min(value + half, Decimal(1)))
