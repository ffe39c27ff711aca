"""The table of metrics, as HTML."""

from __future__ import annotations

from collections.abc import Mapping

from edgewise.evaluation.report import RankingReport, Report, paired_differences
from edgewise.evaluation.statistics import Estimate


def metrics_table(reports: Mapping[str, Report]) -> str:
    """A system and its baseline, one row a metric, with the paired difference if any."""
    systems = list(reports)
    differences = _differences(list(reports.values()))
    heads = [*systems, *(["difference"] if differences else [])]
    rows = [f"<tr><th>metric</th>{''.join(f'<th class=number>{h}</th>' for h in heads)}</tr>"]
    for metric in reports[systems[0]].metrics:
        cells = [_cell(report.metrics[metric], report) for report in reports.values()]
        if differences:
            judged = not metric.startswith("PopularShare")  # neither good nor bad by itself
            cells.append(_difference(differences.get(metric), judged))
        rows.append(f"<tr><td>{metric}</td>{''.join(cells)}</tr>")
    return "<table>\n" + "\n".join(rows) + "\n</table>"


def _differences(reports: list[Report]) -> dict[str, Estimate]:
    ours, other = reports
    if isinstance(ours, RankingReport) and isinstance(other, RankingReport):
        return paired_differences(ours, other)
    return {}


def _cell(estimate: Estimate, report: Report) -> str:
    form = ".3f" if isinstance(report, RankingReport) else ".1f"
    return f'<td class="number">{_spelled(estimate, form)}</td>'


def _difference(estimate: Estimate | None, judged: bool) -> str:
    if estimate is None or estimate.low is None:
        return '<td class="number">-</td>'
    sure = "hit" if judged and estimate.low > 0 else ""
    return f'<td class="number {sure}">{_spelled(estimate, "+.3f")}</td>'


def _spelled(estimate: Estimate, form: str) -> str:
    if estimate.low is None:
        return f"{estimate.mean:{form}}"
    interval = f"{estimate.low:{form}} to {estimate.high:{form}}"
    return f'{estimate.mean:{form}} <span class="faint small">{interval}</span>'
