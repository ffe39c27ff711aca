"""A comparison as csv: one line a figure, ours and the papers', with everything known of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from edgewise.evaluation.protocols import PROTOCOLS
from edgewise.experiments.blocks import Block, Comparison, Difference, Figure
from edgewise.experiments.spelling import missing

_COLUMNS = (
    *("table", "dataset", "task", "method", "label", "metric", "origin", "leaks"),
    *("value", "low", "high", "deviation", "seeds", "per_seed", "place", "star"),
    *("less_than_reference", "p_users", "p_holm", "p_seeds", "notes"),
)
_NUM_KNOWN, _NUM_AGAINST = 8, 4


def long_csv(comparisons: Sequence[Comparison]) -> str:
    """The sheet. ``leaks`` is yes or no for figures of ours, and empty for the papers'."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for each in comparisons:
        for block in each.blocks:
            writer.writerows(_lines(each, block))
    return out.getvalue()


def _lines(comparison: Comparison, block: Block) -> Iterator[Sequence[object]]:
    differences = {(each.method, each.column): each for each in block.differences}
    for row in block.rows:
        named = [comparison.name, block.dataset, block.task, row.method, row.label]
        for column in block.columns:
            figure = row.figures.get(column)
            where = [*named, column.metric, column.origin, _leaks(column.origin)]
            against = _against(differences.get((row.method, column)))
            known = [missing(column, row), *[""] * (_NUM_KNOWN - 1)]
            if figure is not None:
                known = _known(figure)
            yield [*where, *known, *against, _notes(comparison, column.origin)]


def _leaks(origin: str) -> str:
    protocol = PROTOCOLS.get(origin)
    if protocol is None:
        return ""
    return "no" if protocol.is_honest else "yes"


def _notes(comparison: Comparison, origin: str) -> str:
    """Why the line's figure leaks, if it does, and the notes of the table."""
    warnings = comparison.warnings if _leaks(origin) == "yes" else ()
    own = (words for words in warnings if f" {origin} " in words)
    return " ".join([*own, *comparison.paper.notes])


def _known(figure: Figure) -> list[object]:
    seeds = " ".join(f"{seed}:{value:.6g}" for seed, value in figure.seeds.items())
    ends = ["" if value is None else value for value in (figure.low, figure.high)]
    deviation = "" if figure.deviation is None else figure.deviation
    star = "*" if figure.starred else ""
    marks = [len(figure.seeds), seeds, figure.place or "", star]
    return [figure.value, *ends, deviation, *marks]


def _against(each: Difference | None) -> list[object]:
    if each is None:
        return [""] * _NUM_AGAINST
    values = (each.estimate.mean, each.p_users, each.p_holm, each.p_seeds)
    return ["" if value is None else value for value in values]
