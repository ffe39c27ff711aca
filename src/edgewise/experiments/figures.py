"""One long frame of figures, :data:`FIGURES`, and what papers and result files have for it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from edgewise.evaluation.statistics import Estimate
from edgewise.experiments.published import Paper
from edgewise.experiments.results import TIME, Result

PAPER = "paper"
BEST, SECOND = 1, 2

BLOCK = ("table", "dataset", "task")
ROW = {"method": pl.String, "label": pl.String}
COLUMN = {"metric": pl.String, "origin": pl.String}
PLACE = ("method", "metric", "origin")
FIGURE = {
    **dict.fromkeys(PLACE, pl.String),
    **dict.fromkeys(("value", "low", "high", "deviation"), pl.Float64),
    "seeds": pl.List(pl.Int64),
    "per_seed": pl.List(pl.Float64),
    "users": pl.Int64,
    "minutes": pl.Float64,
    "trained_on": pl.String,
    "users_per_second": pl.Float64,
    "answers_alone": pl.Boolean,
    "measured_on": pl.String,
}
DIFFERENCE = {
    **dict.fromkeys(PLACE, pl.String),
    **dict.fromkeys(("difference", "difference_low", "difference_high"), pl.Float64),
    **dict.fromkeys(("p_users", "p_holm", "p_seeds"), pl.Float64),
}
FIGURES = pl.Schema(
    {
        **dict.fromkeys(BLOCK, pl.String),
        **ROW,
        **COLUMN,
        **FIGURE,
        "conditions": pl.String,
        "reference": pl.String,
        **DIFFERENCE,
        "place": pl.Int64,
        "star": pl.Boolean,
    }
)
"""One row a place of a block, in the order in which it is shown.

========================= ========================================================================
table, dataset, task      the block; ``all data sets`` where rows are data sets
method, label             the row: its key, and how it is called; baselines' keys contain a colon
metric, origin            the column; the origin is :data:`PAPER` or a protocol
value                     mean over users, and over seeds; null: not measured yet, or not printed
low, high                 ends of its 95 % interval over users
deviation                 standard deviation over seeds, where there are several
seeds, per_seed           the seeds in order, and each one's value
users, minutes            users (or pairs) behind the value; mean time of training
trained_on, measured_on   the GPU, or how many threads of the processor
users_per_second          users (or pairs) that were answered in a second
answers_alone             whether that counts the answers alone; else metrics took time of it, too
conditions                under which the block was measured under this protocol, in words
reference                 key of the row that the others are compared with
difference, ..._low/_high the reference's value less this row's, and its interval over users
p_users, p_holm, p_seeds  over users, the same adjusted by Holm, and over seeds
place                     :data:`BEST`, :data:`SECOND` or 0; equal figures share their place
star                      whether the reference is better than all others, beyond chance
========================= ========================================================================
"""


def placed(
    rows: pl.DataFrame, columns: pl.DataFrame, figures: pl.DataFrame, keys: Sequence[str]
) -> pl.DataFrame:
    """Every place of a block, with its figure where one is known."""
    places = rows.join(columns, how="cross", maintain_order="left_right")
    return places.join(figures, on=list(keys), how="left", maintain_order="left")


# Figures out of papers and result files.

Groups = Mapping[tuple[str, str], list[Result]]
"""Results of a block that differ by their seeds alone, by row and protocol."""


def row_key(result: Result) -> str:
    """The row in which a result stands."""
    return result.place.method + ("-no-rerank" if result.place.raw_lists else "")


def groups_of(results: Iterable[Result]) -> dict[tuple[str, str], list[Result]]:
    """Results by row and protocol, seeds in order."""
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault((row_key(result), result.place.protocol), []).append(result)
    return {key: sorted(group, key=lambda r: r.place.seed or 0) for key, group in found.items()}


def known_figures(dataset: str, task: str, groups: Groups, paper: Paper) -> pl.DataFrame:
    """The paper's figures, ours, and those of the baselines beside ours."""
    found: list[dict[str, Any]] = [
        {"method": row.method, "metric": metric, "origin": PAPER, "value": value}
        for row in paper.printed(dataset, task)
        for metric, value in row.figures.items()
    ]
    for (method, protocol), group in groups.items():
        place = {"method": method, "origin": protocol}
        found += (place | each for each in _measured_figures(group, task, 0))
    for (_, protocol), group in groups.items():
        if beside := baseline_row(group[0], task):
            place = {"method": beside, "origin": protocol}
            # Seeds tell nothing about a baseline but the order of ties: one stands for all.
            found += (place | each for each in _measured_figures(group[:1], task, 1))
    frame = pl.DataFrame(found, schema=FIGURE)
    return frame.unique(PLACE, keep="first", maintain_order=True)


def baseline_row(result: Result, task: str) -> str | None:
    """The row of the baseline beside a run."""
    beside = result.systems(task)[1:] if task != TIME else []
    return f"baseline:{beside[0]}" if beside else None


def _measured_figures(group: Sequence[Result], task: str, system: int) -> Iterator[dict[str, Any]]:
    """The mean over seeds of every metric that all of them have."""
    names = [each.systems(task)[system] if task != TIME else None for each in group]
    found = [each.figures(task, name) for each, name in zip(group, names, strict=True)]
    shared = [name for name in found[0] if all(name in each for each in found)]
    about = {"seeds": [_seed(each) for each in group], **_effort(group, task, system)}
    for metric in shared:
        estimates = [each[metric] for each in found]
        yield {"metric": metric, **about, **_over_seeds(estimates)}


def _over_seeds(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Mean and deviation; intervals of single seeds say nothing of their mean."""
    means = [float(estimate.mean) for estimate in estimates]
    if len(means) == 1:
        only = estimates[0]
        return {"value": means[0], "low": only.low, "high": only.high, "per_seed": means}
    deviation = statistics.stdev(means)
    return {"value": statistics.mean(means), "deviation": deviation, "per_seed": means}


def _seed(result: Result) -> int:
    return result.content["run"]["seed"] if result.kind == "run" else result.content["seed"]


def _effort(group: Sequence[Result], task: str, system: int) -> dict[str, Any]:
    """Users (or pairs) that were measured, and how long our own runs were trained."""
    if group[0].kind != "run":
        return {}
    found: dict[str, Any] = {}
    if task != TIME:
        name = group[0].systems(task)[system]
        reports = [each.report(task, name) for each in group]
        found["users"] = reports[0].get("num_users") or reports[0]["num_pairs"]
        found |= speed(reports, found["users"])
        found["measured_on"] = machine_in_words(group[0].content.get("machine"))
    if system == 0:
        run = group[0].content["run"]
        seconds = [each.content["run"]["training_seconds"] for each in group]
        found["minutes"] = statistics.mean(seconds) / 60
        found["trained_on"] = machine_in_words(run.get("machine"))
    return found


def speed(reports: Sequence[Mapping[str, Any]], users: int) -> dict[str, Any]:
    """Users a second, by the mean over seeds; older files tell the time of answers and metrics."""
    alone = all("answer_seconds" in each for each in reports)
    seconds = [each.get("answer_seconds" if alone else "seconds") for each in reports]
    told = [each for each in seconds if each]
    if len(told) < len(seconds):
        return {}
    return {"users_per_second": users / statistics.mean(told), "answers_alone": alone}


def machine_in_words(machine: Mapping[str, Any] | None) -> str | None:
    """The GPU that was computed on, or the threads of the processor; None where nobody knows."""
    if not machine or "threads" not in machine:
        return None
    if machine.get("gpu_peak_memory_mb"):
        return str(machine["gpu"])
    threads = machine["threads"]
    return "1 thread" if threads == 1 else f"{threads} threads"
