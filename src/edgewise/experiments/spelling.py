"""How figures, differences and conditions are spelled, whatever the format."""

from __future__ import annotations

from collections.abc import Iterable

from edgewise.experiments.blocks import PAPER, Block, Column, Comparison, Difference, Figure, Row
from edgewise.experiments.layout import HONEST

NOT_YET = "not yet"
NOT_PRINTED = "-"
NOTHING_YET = "nothing of it has been run yet: what the paper prints"
_NAMES = {"direct": "direct recommendation", "sequential": "sequential recommendation",
          "explanation": "explanation", "time": "seconds", "data": "statistics",
          "users": "users: share of neighbours of the same colour",
          "items": "items: share of neighbours of the same colour"}  # fmt: skip


def missing(column: Column, row: Row) -> str:
    """What stands where a figure is missing: never a number.

    A row that was measured under the column's protocol, but without its metric, is not to come.
    """
    measured = any(known.origin == column.origin for known in row.figures)
    return NOT_PRINTED if column.origin == PAPER or measured else NOT_YET


def digits_of(comparison: Comparison, block: Block) -> int | None:
    """Digits after the decimal point: texts are measured in percent. None: four that count."""
    return 2 if block.task == "explanation" else comparison.paper.digits


def number(value: float, digits: int | None, sign: str = "") -> str:
    """A figure; whole numbers without a point."""
    if float(value).is_integer() and value > 1:
        return f"{value:,.0f}"
    return f"{value:{sign}.4g}" if digits is None else f"{value:{sign}.{digits}f}"


def spread(figure: Figure, digits: int | None) -> list[str]:
    """The deviation over seeds and the interval over users, as far as they are known."""
    parts: list[str] = []
    if figure.deviation is not None:
        parts.append(f"± {number(figure.deviation, digits)}")
    if figure.low is not None and figure.high is not None:
        parts.append(f"({number(figure.low, digits)} to {number(figure.high, digits)})")
    return parts


def heading(block: Block) -> str:
    """The data set and task of a block."""
    return f"{block.dataset}, {_NAMES.get(block.task, block.task)}"


def warnings_of(comparisons: Iterable[Comparison]) -> list[str]:
    """What is to be said first: under which protocols figures leak, each once."""
    return list(dict.fromkeys(words for each in comparisons for words in each.warnings))


def differences_title(block: Block) -> str:
    """What stands above a block's differences."""
    named = (row.label for row in block.rows if row.method == block.reference)
    return f"{next(named, block.reference or '')} less the others"


def protocol_words(block: Block) -> list[str]:
    """Under which conditions ours were measured, one line a protocol."""
    return [f"{protocol}: {words}" for protocol, words in block.conditions.items()]


def p_value(value: float | None) -> str:
    """A p-value, never as zero."""
    if value is None:
        return NOT_PRINTED
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


DIFFERENCE_HEADS = ("less", "metric", "difference", "p, users", "p, Holm", "p, seeds")


def difference_cells(each: Difference, digits: int | None) -> list[str]:
    """One difference as texts under :data:`DIFFERENCE_HEADS`."""
    low, high = each.estimate.low, each.estimate.high
    value = number(each.estimate.mean, digits, "+")
    if low is not None and high is not None:
        value += f" ({number(low, digits, '+')} to {number(high, digits, '+')})"
    values = [p_value(p) for p in (each.p_users, each.p_holm, each.p_seeds)]
    return [each.label, each.column.head, value, *values]


LEGEND = (
    "Best figures of a column are bold, second best ones underlined. In brackets: 95 % bootstrap "
    "interval over users; ±: standard deviation over seeds. A star: better than every other row "
    "of the column, paired bootstrap over users, p < .05 after Holm. '"
    f"{NOT_YET}': no run of it; '{NOT_PRINTED}': not printed in the paper, or not part of the "
    "measurement. Columns without a protocol's name are "
    f"under the protocol '{HONEST}'."
)
