"""Rows of tables that are the mean of several runs, which differ by their seeds alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from measured import NOT_RUN, POPULARITY, Results, epochs, num_measured, report_of, spread

Rows = list[list[str]]
_AFTER = ["seeds", "epochs", "training, minutes", "users"]


def variants(
    results: Results,
    names: Mapping[str, str],
    metrics: Sequence[str],
    task: str = "sequential",
    head: str = "variant",
) -> Rows:
    """One row a variant, then popularity under the same conditions.

    Args:
        results: the files.
        names: labels of rows, each with the place of its figures below ``results/``; seeds are
            found by themselves.
        metrics: one column each, mean and standard deviation over seeds.
        task: which task's figures.
        head: what the rows are.
    """
    rows = [[label, *_row(results, name, metrics, task)] for label, name in names.items()]
    beside = next(
        (row for name in names.values() if (row := _popular(results, name, metrics, task))),
        [NOT_RUN],
    )
    return [[head, *metrics, *_AFTER], *rows, ["popularity", *beside]]


def _row(results: Results, name: str, metrics: Sequence[str], task: str) -> list[str]:
    runs = [run for run in results.seeded(name) if report_of(run, task)]
    if not runs:
        return [NOT_RUN]
    reports = [report for run in runs if (report := report_of(run, task))]
    minutes = statistics.mean(run["run"]["training_seconds"] for run in runs) / 60
    after = [str(len(runs)), epochs(*runs), f"{minutes:.0f}", f"{num_measured(reports[0]):,}"]
    return [*(spread(reports, metric) for metric in metrics), *after]


def _popular(results: Results, name: str, metrics: Sequence[str], task: str) -> list[str]:
    """Popularity's cells out of a variant's files, none where it has not been run."""
    found = [report_of(run, task, POPULARITY) for run in results.seeded(name)]
    reports = [report for report in found if report]
    if not reports:
        return []
    # It draws nothing but the order of ties, so that seeds tell nothing about it.
    users = f"{num_measured(reports[0]):,}"
    return [*(spread(reports[:1], metric) for metric in metrics), "", "", "", users]
