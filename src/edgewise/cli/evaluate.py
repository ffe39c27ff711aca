"""``edgewise evaluate``: measure a run, each task beside a baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.output import command_line, console, examples, progress_bar, warn
from edgewise.config import check, nearest

if TYPE_CHECKING:
    from edgewise.recommender import Task
    from edgewise.runs.evaluate import Conditions, TaskResult
    from edgewise.runs.run import Run

EXAMPLES = examples(
    "edgewise evaluate runs/mine",
    "edgewise evaluate runs/mine --task direct --split valid -k 1 -k 10",
    "edgewise evaluate runs/mine --metric Recall --metric NDCG -k 20 -k 40 -k 100",
    "edgewise evaluate runs/mine --task sequential --no-rerank --json results/raw-lists.json",
)


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder, made by 'edgewise fit'.")],
    task: Annotated[
        list[str] | None,
        typer.Option(help="direct, sequential or explanation; repeatable; all trained if absent."),
    ] = None,
    split: Annotated[str, typer.Option(help="The held-out part: test or valid.")] = "test",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything into this file, too.")
    ] = None,
    max_users: Annotated[
        int | None, typer.Option(help="Measure a seeded sample of the users, for a quick look.")
    ] = None,
    negatives: Annotated[
        int | None,
        typer.Option(help="Items beside each held-out one in the direct task; the protocol's 99."),
    ] = None,
    k: Annotated[
        list[int] | None,
        typer.Option("-k", "--k", help="List length; repeatable; the protocol's, 5 and 10."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="HitRate, NDCG, MRR, Recall (over the smaller of k and the held-out items) or "
            "PlainRecall; repeatable."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the data set stands, if it has moved.")
    ] = None,
    no_rerank: Annotated[
        bool,
        typer.Option("--no-rerank", help="Raw sequential lists, which may hold seen items."),
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(help="The protocol that the run must have been fitted under; any if absent."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="decoding.key=value, before the run's own; repeatable."),
    ] = None,
    per_user: Annotated[
        Path | None,
        typer.Option(help="Keep users' rows in this folder; evaluation/ of the run if absent."),
    ] = None,
) -> None:
    """Measure a run on rows it never saw; popularity is printed beside.

    Direct: find the held-out item among 99 others. Sequential: find it in the whole catalogue.
    Explanation: come close to what the user wrote. What the user already has (train items, and
    validation items before a test) is left out of the whole catalogue's lists.
    """
    _check_choices(task or [], split)
    from edgewise.evaluation.protocols import find_protocol, warning_on
    from edgewise.evaluation.report import sealed
    from edgewise.runs.audit import saved_headline
    from edgewise.runs.evaluate import Conditions
    from edgewise.runs.run import open_run

    if protocol is not None:
        find_protocol(protocol, "--protocol: ")
    audited = saved_headline(run)
    opened = open_run(run, data).decoding_as(set_ or [])
    _check_protocol(opened, protocol)
    if warning := warning_on(opened.info.protocol, opened.dataset):
        typer.secho(warning, fg="red")
    ks, metrics = tuple(k or ()), tuple(metric or ())
    conditions = Conditions(split, ks, metrics, negatives, max_users, not no_rerank)
    tasks = _tasks(opened, task, split)
    results = [measure(opened, each, conditions, per_user) for each in tasks]
    typer.echo(audited)
    if json_file is not None:
        from edgewise.files import write_text

        everything = sealed(_combined(opened, results, audited))
        write_text(json_file, json.dumps(everything, indent=2) + "\n")
        typer.echo(f"wrote {json_file}")


def measure(run: Run, task: Task, conditions: Conditions, folder: Path | None = None) -> TaskResult:
    """Evaluate one task, print its table and keep the result in a folder or in the run's."""
    from edgewise.evaluation.report import comparison_table
    from edgewise.runs.evaluate import evaluate_task, save_result

    with progress_bar(task) as told:
        result = evaluate_task(run, task, conditions, told)
    console().print(comparison_table(result.reports, title=task))
    save_result(result, folder or run.folder / "evaluation", conditions)
    return result


def _check_choices(tasks: list[str], part: str) -> None:
    known = ("direct", "sequential", "explanation")
    for task in tasks:
        check(task in known, f"--task {task}: no such task.{nearest(task, known)}")
    check(
        part in ("test", "valid"),
        f"--split {part}: no such part.{nearest(part, ('test', 'valid'))}",
    )


def _check_protocol(run: Run, asked: str | None) -> None:
    fitted = run.info.protocol
    check(
        asked in (None, fitted.name),
        f"--protocol {asked}: {run.folder} was fitted under {fitted.name}, with other graph edges, "
        f"texts, numbers or splits, and can be measured under that alone; fit another run with "
        f"'edgewise fit {run.info.method_name} --protocol {asked}'",
    )


def _tasks(run: Run, asked: list[str] | None, part: str) -> list[Any]:
    """The tasks to measure: those asked for, or all that were trained and have held-out rows."""
    from edgewise.runs.evaluate import texts_of

    for task in asked or []:
        run.require(task)
    tasks = list(dict.fromkeys(asked or run.tasks))
    if "explanation" in tasks and not len(getattr(texts_of(run), part)):
        warn(f"explanation: no review belongs to the {part} part, nothing to measure")
        tasks.remove("explanation")
    return tasks


def _combined(run: Run, results: list[TaskResult], audited: str) -> dict[str, Any]:
    from edgewise.evaluation.report import stamp
    from edgewise.runs.provenance import code_versions, describe_machine
    from edgewise.training.curves import learning

    return {
        **stamp(run.info.protocol),
        "kind": "edgewise evaluation",
        "command": command_line(),
        "run": run.info.to_dict(),
        "learning": learning(run.folder),
        "versions": code_versions(),
        "machine": describe_machine(),
        "audit": audited,
        "results": {result.task: result.to_dict() for result in results},
    }
