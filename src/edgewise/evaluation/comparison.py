"""Systems side by side: a model is never printed without something to stand beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars.selectors as cs

from edgewise.errors import EdgewiseError
from edgewise.evaluation.intervals import Bootstrap, Estimate, bootstrap_difference
from edgewise.evaluation.report import RankingReport, Report

if TYPE_CHECKING:
    from rich.table import Table


def paired_differences(
    report: RankingReport, baseline: RankingReport, bootstrap: Bootstrap | None = None
) -> dict[str, Estimate]:
    """``report - baseline`` on the same users, for every metric that users have in both."""
    _require_same_conditions({"report": report, "baseline": baseline})
    both = report.per_user.join(baseline.per_user, on="user_index", suffix=" of baseline")
    names = [name for name in report.metrics if f"{name} of baseline" in both.columns]
    return {
        name: bootstrap_difference(
            both[name].to_numpy(), both[f"{name} of baseline"].to_numpy(), bootstrap
        )
        for name in names
    }


def comparison_table(reports: Mapping[str, Report], title: str | None = None) -> Table:
    """Systems side by side, one row a metric, each value with its interval.

    With exactly two ranking reports, a last column tells the first minus the second, paired by
    user: an interval that excludes zero is a difference.

    Raises:
        EdgewiseError: the reports were made under different conditions.
    """
    from rich.table import Table

    _require_same_conditions(reports)
    table = Table("metric", title=title, caption=_conditions(next(iter(reports.values()))))
    for name in reports:
        table.add_column(name, justify="right")
    differences = _differences_of_two(reports)
    if differences:
        table.add_column("difference", justify="right")
    for metric in dict.fromkeys(name for report in reports.values() for name in report.metrics):
        cells = [_cell(report.metrics.get(metric), _form(report)) for report in reports.values()]
        extra = [_cell(differences.get(metric), "+.4f")] if differences else []
        table.add_row(metric, *cells, *extra)
    return table


def _differences_of_two(reports: Mapping[str, Report]) -> dict[str, Estimate]:
    ranked = [report for report in reports.values() if isinstance(report, RankingReport)]
    return paired_differences(ranked[0], ranked[1]) if len(ranked) == len(reports) == 2 else {}


def _require_same_conditions(reports: Mapping[str, Report]) -> None:
    if not reports:
        raise EdgewiseError("no reports to compare: give at least one")
    (first, expected), *others = reports.items()
    for name, report in others:
        _require_same_protocol(first, expected, name, report)
        for key in expected.settings.keys() | report.settings.keys():
            left, right = expected.settings.get(key), report.settings.get(key)
            if left != right:
                raise EdgewiseError(
                    f"{first} and {name} are not comparable: {key} is {left!r} for the one and "
                    f"{right!r} for the other; evaluate both under the same conditions"
                )
        if _units(report) != _units(expected):
            raise EdgewiseError(
                f"{first} and {name} measured different users or pairs; evaluate both on the same"
            )


def _require_same_protocol(first: str, expected: Report, name: str, report: Report) -> None:
    if report.protocol != expected.protocol:
        raise EdgewiseError(
            f"{first} and {name} are not comparable: one was measured under "
            f"{expected.protocol.title}, the other under {report.protocol.title}; fit and evaluate "
            "both under the same protocol"
        )


def _units(report: Report) -> set[tuple]:
    return set(report.rows.select(cs.by_name("user_index", "item_index", require_all=False)).rows())


def _conditions(report: Report) -> str:
    counted = f"{len(report.rows)} {'users' if isinstance(report, RankingReport) else 'pairs'}"
    protocol = report.protocol.title + ("" if report.protocol.is_honest else " (LEAKS)")
    shown = ("task", "part", "split", "num_negatives", "masked")
    return ", ".join(
        [f"{k}: {report.settings[k]}" for k in shown if k in report.settings]
        + [counted, f"protocol: {protocol}"]
    )


def _form(report: Report) -> str:
    """Shares have four digits, percentages two."""
    return ".4f" if isinstance(report, RankingReport) else ".2f"


def _cell(estimate: Estimate | None, form: str) -> str:
    if estimate is None:
        return "-"
    mean = format(estimate.mean, form)
    if estimate.low is None or estimate.high is None:
        return mean
    return f"{mean} ({format(estimate.low, form)} to {format(estimate.high, form)})"
