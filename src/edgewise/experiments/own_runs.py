"""Own runs side by side: what was evaluated of them, tested user by user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from edgewise.config import check, nearest
from edgewise.errors import EdgewiseError
from edgewise.evaluation.chance import list_notes
from edgewise.evaluation.report import RankingReport, Report
from edgewise.experiments.compare import Comparison, PaperTable
from edgewise.experiments.conditions import MUST_AGREE
from edgewise.experiments.figures import FIGURES
from edgewise.experiments.published import Paper
from edgewise.experiments.user_tests import tested_block
from edgewise.recommender import TASKS, Task
from edgewise.runs.evaluate import TaskResult, baseline_label, saved_result, worse_texts
from edgewise.runs.run import RunInfo, read_finished

TABLE = "runs"
_UNITS = ("user_index", "item_index")
_PARTS = ("test", "valid")


@dataclass(frozen=True)
class _Evaluated:
    """A run, and what was kept of its evaluations on one part."""

    folder: Path
    info: RunInfo
    results: Mapping[Task, TaskResult]

    @property
    def key(self) -> str:
        """Its row; a colon would make it a baseline."""
        return str(self.folder).replace(":", "-")

    @property
    def label(self) -> str:
        return f"{self.info.spec.method.label} ({self.folder})"


def compare_runs(
    folders: Sequence[str | Path],
    *,
    part: str = "test",
    tasks: Sequence[str] = (),
    reference: str | None = None,
) -> Comparison:
    """Put what was evaluated of runs side by side, with paired tests over users.

    The reference is compared with every other run and with the baseline by a paired bootstrap over
    users (or explained pairs), adjusted by Holm. Nothing is measured anew.

    Args:
        folders: of two or more finished runs.
        part: ``test`` or ``valid``.
        tasks: all that were evaluated of every run where it is empty.
        reference: one of the folders; the first if None.

    Raises:
        EdgewiseError: a run was not evaluated, or they were not measured alike: other data,
            protocol, split, part, task or users.
    """
    check(part in _PARTS, f"--part {part}: no such part.{nearest(part, _PARTS)}")
    for task in tasks:
        check(task in TASKS, f"--task {task}: no such task.{nearest(task, TASKS)}")
    names = list(dict.fromkeys(map(str, folders)))
    check(
        len(names) > 1,
        f"{names[0]}: name at least two runs; 'edgewise report {names[0]}' shows a single one",
    )
    runs = [_evaluated(Path(name), part) for name in names]
    _check_alike(runs)
    chosen, notes = _tasks(runs, tasks, part)
    keys = {str(run.folder): run.key for run in runs}
    wanted = runs[0].key if reference is None else keys.get(str(Path(reference)))
    if wanted is None:
        hint = nearest(str(reference), keys)
        raise EdgewiseError(f"--reference {reference}: none of the runs.{hint}")
    blocks = [_block(runs, task, part, wanted) for task in chosen]
    for run in runs:
        notes += [f"{run.label}: {words}." for words in _notes(run, chosen)]
    warning = runs[0].info.spec.protocol.warning
    paper = Paper(title=f"Own runs on {runs[0].info.spec.data.name}", notes=tuple(notes))
    about = PaperTable(paper, () if warning is None else (warning,))
    return Comparison(pl.concat([FIGURES.to_frame(), *blocks]), {TABLE: about}, of_runs=True)


def _evaluated(folder: Path, part: str) -> _Evaluated:
    info = read_finished(folder)
    label, results = info.spec.method.label, {}
    for task in reversed(TASKS):
        if found := saved_result(folder, label, task, part):
            results[task] = found
    if not results:
        (other,) = (each for each in _PARTS if each != part)
        there = sorted((folder / "evaluation").glob(f"*-{other}.json"))
        alone = f" on the {part} part, only on {other} rows" if there else ""
        asked = "" if part == "test" else f" --part {part}"
        raise EdgewiseError(
            f"{folder}: not evaluated{alone}; run 'edgewise evaluate {folder}{asked}' first"
        )
    return _Evaluated(folder, info, results)


def _check_alike(runs: Sequence[_Evaluated]) -> None:
    """Refuse runs of different data, protocols or splits."""
    first, *others = runs
    for other in others:
        for name, mine, theirs in _pairs(first.info, other.info):
            check(
                mine == theirs,
                f"{first.folder} and {other.folder} are not comparable: {name} is {mine} for the "
                f"one and {theirs} for the other; fit and evaluate both alike",
            )


def _pairs(first: RunInfo, other: RunInfo) -> list[tuple[str, object, object]]:
    mine, theirs = first.spec, other.spec
    names = [f"{each.name} (checksum {each.checksum[:12]})" for each in (mine.data, theirs.data)]
    return [
        ("the data set", names[0], names[1]),
        ("the protocol", mine.protocol.to_dict(), theirs.protocol.to_dict()),
        ("the split", mine.split_kind, theirs.split_kind),
        ("the seed of the split", mine.split_seed, theirs.split_seed),
        ("the share of cold items", mine.cold_share, theirs.cold_share),
    ]


def _tasks(
    runs: Sequence[_Evaluated], asked: Sequence[str], part: str
) -> tuple[list[Task], list[str]]:
    """The tasks that every run was evaluated on, and what is said of the others."""
    every = [task for task in reversed(TASKS) if any(task in run.results for run in runs)]
    wanted = [task for task in reversed(TASKS) if task in asked] or every
    shared, notes = [], []
    for task in wanted:
        lacking = [run for run in runs if task not in run.results]
        if not lacking:
            shared.append(task)
            continue
        option = "" if part == "test" else f" --part {part}"
        commands = [f"'edgewise evaluate {run.folder} --task {task}{option}'" for run in lacking]
        words = (
            f"{task}: not evaluated of {', '.join(str(run.folder) for run in lacking)} on the "
            f"{part} part; run {' and '.join(commands)}"
        )
        check(task not in asked, words)
        notes.append(f"{words}, where it was trained for it.")
    check(bool(shared), f"the runs share no evaluated task: {' '.join(notes)}")
    return shared, notes


def _notes(run: _Evaluated, tasks: Sequence[Task]) -> list[str]:
    texts = [run.results[task] for task in tasks if task == "explanation"]
    return [words for each in texts if (words := worse_texts(each))]


def _block(runs: Sequence[_Evaluated], task: Task, part: str, reference: str) -> pl.DataFrame:
    """One task as figures, runs in the order given, the baseline last."""
    reports = {run.key: next(iter(run.results[task].reports.values())) for run in runs}
    _check_conditions(runs, task, reports)
    labels = {run.key: run.label for run in runs}
    beside = baseline_label(task)
    own_labels = {run.info.spec.method.label for run in runs}
    baselines = [each for run in runs if (each := run.results[task].reports.get(beside))]
    if baselines and beside not in own_labels:
        reports |= {f"baseline:{beside}": baselines[0]}
        labels |= {f"baseline:{beside}": beside}
    infos = {run.key: run.info for run in runs}
    shared = [
        m for m in reports[reference].metrics if all(m in r.metrics for r in reports.values())
    ]
    check(bool(shared), f"{task}: the runs share no metric; evaluate them with the same -k")
    figures = [
        each
        for key, report in reports.items()
        for each in _figures(key, report, shared, infos.get(key))
    ]
    users = {key: _sorted(report.rows) for key, report in reports.items()}
    spec = runs[0].info.spec
    return tested_block(
        (TABLE, spec.data.name, task),
        labels,
        figures,
        users,
        reference=reference,
        conditions=_conditions(reports[reference], part, spec.data.checksum),
    )


def _check_conditions(
    runs: Sequence[_Evaluated], task: Task, reports: Mapping[str, Report]
) -> None:
    first, *others = runs
    mine = reports[first.key]
    for other in others:
        theirs = reports[other.key]
        for key, said in MUST_AGREE.items():
            a, b = mine.settings.get(key), theirs.settings.get(key)
            check(
                a == b,
                f"{task} of {first.folder} and of {other.folder} are not comparable: {said} is "
                f"{'all' if a is None else a} for the one and {'all' if b is None else b} for the "
                "other; evaluate both alike",
            )
        check(
            _units(mine).equals(_units(theirs)),
            f"{task} of {first.folder} and of {other.folder} were measured on different users or "
            "pairs; evaluate both again",
        )


def _units(report: Report) -> pl.DataFrame:
    return _sorted(report.rows).select(n for n in _UNITS if n in report.rows.columns)


def _sorted(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort(name for name in _UNITS if name in rows.columns)


def _figures(
    key: str, report: Report, metrics: Sequence[str], info: RunInfo | None
) -> list[dict[str, Any]]:
    seeds = [] if info is None else [info.spec.config.seed]
    about = {
        "method": key,
        "origin": report.protocol.name,
        "seeds": seeds,
        "users": len(report.rows),
        "minutes": None if info is None else info.training_seconds / 60,
    }
    return [
        {
            **about,
            "metric": name,
            "value": report.metrics[name].mean,
            "low": report.metrics[name].low,
            "high": report.metrics[name].high,
            "per_seed": [report.metrics[name].mean] if seeds else [],
        }
        for name in metrics
    ]


def _conditions(report: Report, part: str, checksum: str) -> str:
    ranked = isinstance(report, RankingReport)
    chance: Any = report.settings.get("chance", {})
    guessing = [f"guessing scores {', '.join(f'{n} {v:.4f}' for n, v in chance.items())}"]
    return "; ".join(
        [
            f"{len(report.rows):,} {'users' if ranked else 'pairs'}, {part} part, "
            f"{report.settings['split']} split, data {checksum[:12]}",
            *(guessing if chance else []),
            *(list_notes(report.settings, len(report.rows)) if ranked else []),
        ]
    )
