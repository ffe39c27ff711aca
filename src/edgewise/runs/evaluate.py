"""Measuring a run's tasks, each beside a baseline under the same conditions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.data.texts import ExplanationSplit, explanation_split
from edgewise.evaluation.evaluate import (
    evaluate_direct,
    evaluate_explanations,
    evaluate_sequential,
    usual_metrics,
)
from edgewise.evaluation.protocols import check_version
from edgewise.evaluation.report import Report
from edgewise.models.frequent_text import FrequentText
from edgewise.models.popularity import Popularity
from edgewise.models.registry import setting
from edgewise.recommender import Task
from edgewise.runs.predict import BatchedRecommender, OnProgress
from edgewise.runs.run import Run


@dataclass(frozen=True)
class Conditions:
    """Under which a run is measured.

    Attributes:
        part: ``valid`` or ``test``.
        ks: list lengths; empty for those of the run's protocol.
        metrics: of ranked lists; empty for the usual ones of the protocol and split, see
            :func:`edgewise.evaluation.evaluate.usual_metrics`.
        num_negatives: beside each held-out item of the direct task; None for the protocol's.
        max_users: measure a seeded sample of the users (or explained pairs); None for all.
        rerank: off measures the raw lists, which may hold seen items.
    """

    part: str = "test"
    ks: Sequence[int] = ()
    metrics: Sequence[str] = ()
    num_negatives: int | None = None
    max_users: int | None = None
    rerank: bool = True


@dataclass(frozen=True, eq=False)
class TaskResult:
    """One task's reports by system, the run's own first, and the seconds each took."""

    task: Task
    reports: dict[str, Report]
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {
            name: {**report.to_dict(), "seconds": round(self.seconds[name], 2)}
            for name, report in self.reports.items()
        }


def texts_of(run: Run) -> ExplanationSplit:
    """The explained pairs as the run parted them."""
    return explanation_split(run.split, mode=_explanations(run), seed=run.config.seed)


def evaluate_task(
    run: Run, task: Task, conditions: Conditions, on_progress: OnProgress | None = None
) -> TaskResult:
    """Measure the run and its baseline on one task.

    Args:
        run: opened or just fitted.
        task: one that it was trained for.
        conditions: part, list lengths, ...
        on_progress: told (done, total) users of the run's own model.

    Raises:
        ConfigError: the run was not trained for the task, or its protocol has changed since.
    """
    run.require(task)
    check_version(run.info.protocol, str(run.folder))
    run = run if conditions.rerank else run.without_reranking()
    model = BatchedRecommender(run.model, on_progress or (lambda done, total: None))
    name, baseline = _baseline(run, task)
    reports: dict[str, Report] = {}
    seconds: dict[str, float] = {}
    for label, system in ((run.label, model), (name, baseline)):
        start = time.perf_counter()
        reports[label] = _measure(system, run, task, conditions)
        seconds[label] = time.perf_counter() - start
    return TaskResult(task, reports, seconds)


def save_result(result: TaskResult, folder: Path, conditions: Conditions) -> list[Path]:
    """Write each system's means (JSON) and its users or pairs (Parquet); returns the JSON paths."""
    raw = "" if conditions.rerank else "-no-rerank"
    written = []
    for number, (name, report) in enumerate(result.reports.items()):
        system = "" if number == 0 else "-" + name.lower().replace(" ", "-")
        path = folder / f"{result.task}-{conditions.part}{raw}{system}.json"
        report.save(path, path.with_suffix(".parquet"))
        written.append(path)
    return written


def _explanations(run: Run) -> Any:
    """How texts were parted; methods without the choice keep a text with its row."""
    return setting(run.config, "prompts.explanations", "interaction")


def _baseline(run: Run, task: Task) -> tuple[str, Any]:
    if task == "explanation":
        return "Most frequent text", FrequentText().fit(texts_of(run).train)
    return "Popularity", Popularity(seed=run.config.seed).fit(run.split)


def _measure(system: Any, run: Run, task: Task, conditions: Conditions) -> Report:
    part, most, protocol = conditions.part, conditions.max_users, run.info.protocol
    metrics = conditions.metrics or usual_metrics(run.split, protocol)
    lists: dict[str, Any] = {"ks": conditions.ks or protocol.ks, "metrics": metrics}
    lists |= {"max_users": most, "protocol": protocol}
    if task == "direct":
        negatives = conditions.num_negatives
        return evaluate_direct(system, run.split, part, num_negatives=negatives, **lists)
    if task == "sequential":
        seen = not conditions.rerank
        return evaluate_sequential(system, run.split, part, allow_seen=seen, **lists)
    texts, data = texts_of(run), run.info.data
    about = {"data": data.name, "data_checksum": data.checksum, "split": run.split.kind}
    about |= {"part": part, "explanations": texts.mode}
    pairs = getattr(texts, part)
    return evaluate_explanations(system, pairs, conditions=about, max_pairs=most, protocol=protocol)
