"""Measuring a run's tasks, each beside a baseline under the same conditions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.data.splits import with_first_events
from edgewise.data.texts import ExplanationPairs, ExplanationSplit, explanation_split
from edgewise.evaluation.chance import list_notes
from edgewise.evaluation.evaluate import (
    evaluate_direct,
    evaluate_explanations,
    evaluate_sequential,
    usual_metrics,
)
from edgewise.evaluation.groups import Grouping, groups_of
from edgewise.evaluation.protocols import check_version
from edgewise.evaluation.report import Group, RankingReport, Report, read_report, sealed, stamp
from edgewise.files import add_to_card, write_text
from edgewise.models.frequent_text import FrequentText
from edgewise.models.popularity import Popularity
from edgewise.recommender import Task
from edgewise.runs.growth import age_note, honest_texts
from edgewise.runs.predict import BatchedRecommender, OnProgress
from edgewise.runs.provenance import code_versions, describe_machine
from edgewise.runs.run import Run, is_main_process
from edgewise.runs.spec import setting_of
from edgewise.runs.user_figures import user_figures_file, write_user_figures
from edgewise.training.curves import learning

_FREQUENT_TEXT = "Most frequent text"
_CLOSENESS = ("BLEU-4", "ROUGE-L")


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
        allow_seen: measure lists that may hold seen items.
        by: groups of users whose means are told, too, see :mod:`edgewise.evaluation.groups`; by
            cold and warm targets wherever the run has cold items.
        first_events: rows of each cold item that a model is told before it is asked.
    """

    part: str = "test"
    ks: Sequence[int] = ()
    metrics: Sequence[str] = ()
    num_negatives: int | None = None
    max_users: int | None = None
    allow_seen: bool = False
    by: Sequence[Grouping] = ()
    first_events: int = 0


@dataclass(frozen=True, eq=False)
class TaskResult:
    """One task's reports by system, the run's own first, and the seconds each took.

    Attributes:
        task: that was measured.
        reports: by system.
        seconds: of the whole measurement, metrics and intervals included.
        answer_seconds: of these, what the system itself took for its lists, scores or texts.
    """

    task: Task
    reports: dict[str, Report]
    seconds: dict[str, float]
    answer_seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            name: {
                **report.to_dict(),
                "seconds": round(self.seconds[name], 2),
                "answer_seconds": round(self.answer_seconds[name], 6),
            }
            for name, report in self.reports.items()
        }


def cautions(result: TaskResult) -> list[str]:
    """What has to be said aloud beside a result: an old model, users left out, poor texts."""
    first = next(iter(result.reports.values()))
    grown: Any = first.settings.get("growth")
    age = [] if grown is None else [age_note(grown)]
    if first.settings.get("weights") == "int8":
        age.append("matrices were rounded to 8-bit integers (decoding.weights=int8)")
    if isinstance(first, RankingReport):
        return age + list_notes(first.settings, first.num_users)
    worse = worse_texts(result)
    return age if worse is None else [*age, worse]


def worse_texts(result: TaskResult) -> str | None:
    """How explanations stand that are no better than the most frequent text; None where they are.

    Better is at least as close to the users' words by BLEU-4 and by ROUGE-L, and closer by one.
    """
    ours, *others = result.reports.values()
    if not others:
        return None
    pairs = {name: (ours.metrics[name].mean, others[0].metrics[name].mean) for name in _CLOSENESS}
    if all(a >= b for a, b in pairs.values()) and any(a > b for a, b in pairs.values()):
        return None
    part = {"valid": "validation"}.get(str(ours.settings["part"]), ours.settings["part"])
    figures = ", ".join(f"{name} {a:.2f} against {b:.2f}" for name, (a, b) in pairs.items())
    return (
        f"these explanations come no closer to what users write than the most frequent text, which "
        f"says the same to everybody: {figures} on {len(ours.rows):,} {part} pairs"
    )


def texts_of(run: Run) -> ExplanationSplit:
    """The explained pairs as the run parted them; most methods keep a text with its row."""
    options: dict[str, Any] = {
        "mode": setting_of(run.config, "prompts.explanations", "interaction"),
        "seed": run.config.seed,
    }
    found = explanation_split(run.split, **options)
    if run.growth is None:
        return found
    fitted = explanation_split(run.growth.fitted, **options)
    return honest_texts(found, fitted, run.dataset.num_items)


def measured_texts(run: Run, part: str) -> ExplanationPairs:
    """The explained pairs of a part whose user and item the model knows."""
    pairs: ExplanationPairs = getattr(texts_of(run), part)
    if run.growth is None:
        return pairs
    return pairs.take(np.flatnonzero(run.growth.knows(pairs.user_index, pairs.item_index)))


def evaluate_task(
    run: Run,
    task: Task,
    conditions: Conditions,
    on_progress: OnProgress | None = None,
    *,
    spread: bool = False,
) -> TaskResult:
    """Measure the run and its baseline on one task.

    Args:
        run: opened or just fitted.
        task: one that it was trained for.
        conditions: part, list lengths, ...
        on_progress: told (done, total) users of the run's own model.
        spread: share the users among the processes that ``torchrun`` has started, all of which
            must call this; each gets the whole result, the same as one process would find.

    Raises:
        ConfigError: the run was not trained for the task, or its protocol has changed since.
    """
    run.require(task)
    check_version(run.spec.protocol, str(run.folder))
    if conditions.first_events:
        run = replace(run, split=with_first_events(run.split, conditions.first_events))
    systems = {run.label: BatchedRecommender(run.model, on_progress, spread=spread)}
    label, baseline = _baseline(run, task)
    if label not in systems:  # a run of the baseline stands alone
        systems[label] = BatchedRecommender(baseline, spread=spread)
    reports: dict[str, Report] = {}
    seconds: dict[str, float] = {}
    answering: dict[str, float] = {}
    for label, system in systems.items():
        start = time.perf_counter()
        report = _with_age(_measure(system, run, task, conditions), run, conditions.part)
        report = _with_weights(report, run)
        answering[label] = system.seconds
        reports[label] = _grouped(system, run, report, conditions)
        seconds[label] = time.perf_counter() - start
    return TaskResult(task, reports, seconds, answering)


def evaluate_run(
    run: Run,
    conditions: Conditions,
    tasks: Sequence[Task] = (),
    *,
    folder: Path | None = None,
    on_result: Callable[[TaskResult], None] | None = None,
) -> list[TaskResult]:
    """Measure several tasks, and keep users' rows and means.

    Args:
        run: opened or just fitted.
        conditions: part, list lengths, ...
        tasks: all that were trained and have held-out rows where it is empty.
        folder: of users' rows; ``evaluation/`` of the run if None.
        on_result: told each task's result.
    """
    results = []
    for task in tasks or measurable_tasks(run, conditions.part):
        result = evaluate_task(run, task, conditions)
        save_result(result, run, conditions, folder)
        results.append(result)
        if on_result is not None:
            on_result(result)
    return results


def measurable_tasks(run: Run, part: str) -> list[Task]:
    """The tasks that were trained, without explanations where no review is held out."""
    without_texts = "explanation" in run.tasks and not len(measured_texts(run, part))
    return [task for task in run.tasks if not (without_texts and task == "explanation")]


def save_result(
    result: TaskResult, run: Run, conditions: Conditions, folder: Path | None = None
) -> list[Path]:
    """Write each system's means (JSON) and its users or pairs (Parquet); returns the JSON paths.

    Where no other folder is named, they go into the run's, and into its model card. Of several
    processes the first one writes.
    """
    if not is_main_process():
        return []
    place = folder or run.folder / "evaluation"
    raw = "-allow-seen" if conditions.allow_seen else ""
    raw += f"-first-events-{conditions.first_events}" if conditions.first_events else ""
    raw += f"-{run.weights}" if run.weights else ""
    written = []
    for number, (name, report) in enumerate(result.reports.items()):
        system = "" if number == 0 else f"-{_as_file(name)}"
        path = place / f"{result.task}-{conditions.part}{raw}{system}.json"
        report.save(path, path.with_suffix(".parquet"))
        written.append(path)
    if folder is None:
        heading = f"Metrics: {result.task}, {conditions.part}{raw.replace('-', ' ')}"
        add_to_card(run.folder / "model", heading, _card_lines(result, run))
    return written


def saved_result(
    folder: Path, label: str, task: Task, part: str = "test", *, data: str | None = None
) -> TaskResult | None:
    """What :func:`save_result` kept of a run's task in its folder; None where there is nothing.

    Args:
        folder: of the run.
        label: how the run's own system is called.
        task, part: that were measured.
        data: checksum of the data set that must have been measured on; None takes any.

    Raises:
        EdgewiseError: a file was changed, or its users' rows are missing.
    """
    own = folder / "evaluation" / f"{task}-{part}.json"
    if not own.is_file():
        return None
    reports = {label: read_report(own)}
    if data not in (None, reports[label].settings.get("data_checksum", data)):
        return None
    beside = baseline_label(task)
    file = own.with_name(f"{own.stem}-{_as_file(beside)}.json")
    if file.is_file():
        reports.setdefault(beside, read_report(file))
    return TaskResult(task, reports, {})


def write_document(
    file: Path, run: Run, results: Sequence[TaskResult], audited: str, command: str
) -> None:
    """Write everything about an evaluation as sealed JSON, and its users' figures beside it.

    A pipe or a device gets the JSON alone. Of several processes the first one writes.

    Args:
        file: of the JSON.
        run: that was measured.
        results: of its tasks.
        audited: the headline of its audit.
        command: that asked for it.
    """
    if not is_main_process():
        return
    digest = None
    if file.is_file() or not file.exists():
        rows = {
            (result.task, number): report.rows
            for result in results
            for number, report in enumerate(result.reports.values())
        }
        digest = write_user_figures(user_figures_file(file), rows)
    document = result_document(run, results, audited, command, digest)
    write_text(file, json.dumps(document, indent=2) + "\n")


def result_document(
    run: Run,
    results: Sequence[TaskResult],
    audited: str,
    command: str,
    users_sha256: str | None = None,
) -> dict[str, Any]:
    """Everything about an evaluation as sealed JSON values.

    Args:
        run: that was measured.
        results: of its tasks.
        audited: the headline of its audit.
        command: that asked for it.
        users_sha256: of the file of users' figures, where there is one.
    """
    values = {
        **stamp(run.spec.protocol),
        "kind": "edgewise evaluation",
        "command": command,
        "run": run.info.to_dict(),
        "learning": learning(run.folder),
        "versions": code_versions(),
        "machine": describe_machine(),
        "audit": audited,
        "results": {result.task: result.to_dict() for result in results},
    }
    if run.growth is not None:
        values["growth"] = run.growth.to_dict()
    if users_sha256 is not None:
        values["users_sha256"] = users_sha256
    return sealed(values)


def _card_lines(result: TaskResult, run: Run) -> list[str]:
    """A table of the means for the model card."""
    report = next(iter(result.reports.values()))
    names = list(result.reports)
    lines = [
        f"Protocol {run.spec.protocol.title}, {len(report.rows):,} users or pairs.",
        *(f"Note: {words}." for words in cautions(result)),
        "",
        "| metric | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * len(names),
    ]
    form = ".4f" if isinstance(report, RankingReport) else ".2f"
    for metric in report.metrics:
        values = [each.metrics.get(metric) for each in result.reports.values()]
        cells = ["-" if value is None else format(value.mean, form) for value in values]
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    return lines


def _with_age(report: Report, run: Run, part: str) -> Report:
    """The report with how far the data have grown since the model was fitted."""
    if run.growth is None:
        return report
    told = run.growth.settings(part)
    if report.settings["task"] == "explanation":
        told["texts_left_out"] = len(getattr(texts_of(run), part)) - len(measured_texts(run, part))
    return replace(report, settings={**report.settings, "growth": told})


def _with_weights(report: Report, run: Run) -> Report:
    """The report with the condition that matrices were rounded; those of texts never are."""
    rounded = setting_of(run.config, "decoding.weights", "fp32") == "int8"
    if report.settings["task"] == "explanation" or not rounded:
        return report
    return replace(report, settings={**report.settings, "weights": "int8"})


def baseline_label(task: Task) -> str:
    """How tables call what a task is printed beside."""
    return _FREQUENT_TEXT if task == "explanation" else Popularity.label


def _baseline(run: Run, task: Task) -> tuple[str, Any]:
    label = baseline_label(task)
    if task == "explanation":
        return label, FrequentText().fit(texts_of(run).train)
    return label, Popularity(seed=run.config.seed).fit(run.split)


def _as_file(label: str) -> str:
    return label.lower().replace(" ", "-")


def _grouped(system: Any, run: Run, report: Report, conditions: Conditions) -> Report:
    """The report with its groups, and cold targets among cold items alone."""
    if not isinstance(report, RankingReport):
        return report
    is_cold = bool(run.split.cold_share) and conditions.part == "test"
    wanted: list[Grouping] = [*conditions.by]
    if is_cold and "cold" not in wanted:
        wanted.append("cold")
    groups = {by: groups_of(report, run.split, by) for by in wanted}
    if is_cold and report.settings["task"] == "sequential":
        items = run.split.cold_items()
        alone = _measure(system, run, "sequential", conditions, items)
        assert isinstance(alone, RankingReport)
        means = {name: each for name, each in alone.metrics.items() if each.low is not None}
        chance: Any = alone.settings.get("chance", {})
        groups["cold"] += (Group("cold among cold items", alone.num_users, means, chance),)
    return replace(report, groups=groups)


def _measure(
    system: Any, run: Run, task: Task, conditions: Conditions, items: Any = None
) -> Report:
    part, most, protocol = conditions.part, conditions.max_users, run.spec.protocol
    metrics = conditions.metrics or usual_metrics(run.split, protocol)
    lists: dict[str, Any] = {"ks": conditions.ks or protocol.ks, "metrics": metrics}
    lists |= {"max_users": most, "protocol": protocol}
    if part == "valid" and task != "explanation":  # the baseline is measured on the same users
        lists["leave_out"] = run.model.fitted_on_valid()
    if task == "direct":
        negatives = conditions.num_negatives
        return evaluate_direct(system, run.split, part, num_negatives=negatives, **lists)
    if task == "sequential":
        lists |= {"allow_seen": conditions.allow_seen, "items": items}
        return evaluate_sequential(system, run.split, part, **lists)
    texts, data = texts_of(run), run.dataset
    about = {"data": data.name, "data_checksum": data.checksum, "split": run.split.kind}
    about |= {"part": part, "explanations": texts.mode}
    pairs = measured_texts(run, part)
    return evaluate_explanations(system, pairs, conditions=about, max_pairs=most, protocol=protocol)
