"""``edgewise evaluate`` and ``report``: measure a run beside baselines; show it on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.ids import WeightsOption
from edgewise.cli.output import (
    at_most,
    command_line,
    console,
    examples,
    first_process_speaks,
    progress_bar,
    say,
    warn,
    warn_of,
)
from edgewise.config import check, nearest
from edgewise.files import check_target

if TYPE_CHECKING:
    from edgewise.recommender import Task
    from edgewise.runs.evaluate import Conditions, TaskResult
    from edgewise.runs.run import Run


@first_process_speaks()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder, made by 'edgewise fit'.")],
    task: Annotated[
        list[str] | None,
        typer.Option(help="direct, sequential or explanation; repeatable; all trained if absent."),
    ] = None,
    part: Annotated[str, typer.Option(help="The held-out part: test or valid.")] = "test",
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write everything into this file, too, and users' figures beside it."
        ),
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
            help="HitRate, NDCG, MRR, MAP, Precision, Recall (over the smaller of k and the "
            "held-out items) or PlainRecall; of the sequential task's lists Gini, Novelty, "
            "Diversity or AveragePopularity; in any case, repeatable."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the data set stands, if it has moved.")
    ] = None,
    include_seen: Annotated[
        bool,
        typer.Option("--include-seen", help="Sequential lists that may hold what users have."),
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(help="The protocol that the run must have been fitted under; any if absent."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="decoding.key=value or priors.relearn=true, before the run's own; repeatable.",
        ),
    ] = None,
    weights: WeightsOption = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Ranking by groups of users, too: history (train rows of the user), popularity "
            "(those of the held-out item), transition (how train rows lead to it) or cold; "
            "repeatable."
        ),
    ] = None,
    first_events: Annotated[
        int,
        typer.Option(
            min=0,
            help="Of a run with cold items: tell the model so many rows of each of them before it "
            "is asked, without training anew.",
        ),
    ] = 0,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the groups into this file, .png or .svg.")
    ] = None,
    per_user: Annotated[
        Path | None,
        typer.Option(help="Keep users' rows in this folder; evaluation/ of the run if absent."),
    ] = None,
) -> None:
    """Measure a run on rows it never saw; popularity is printed beside.

    Direct: find the held-out item among 99 others. Sequential: find it in the whole catalogue.
    Explanation: come close to what the user wrote. What the user already has (train items, and
    validation items before a test) is left out of the whole catalogue's lists. Under torchrun the
    processes share the users.
    """
    ks, metrics = tuple(k or ()), tuple(metric or ())
    _check_choices(task or [], part, ks, metrics, protocol)
    _check_groups(by or [], plot)
    for file in (json_file, plot):
        if file is not None:
            check_target(file)
    from edgewise.evaluation.protocols import warning_on
    from edgewise.runs.audit import saved_headline
    from edgewise.runs.run import open_run, read_finished

    spec = read_finished(run).spec
    check(
        protocol in (None, spec.protocol.name),
        f"--protocol {protocol}: {run} was fitted under {spec.protocol.name}, with other graph "
        "edges, texts, numbers or splits, and can be measured under that alone; fit another run "
        f"with 'edgewise fit {spec.method_name} --protocol {protocol}'",
    )
    audited = saved_headline(run)
    opened = open_run(run, data, weights).decoding_as(set_ or [])
    warn_of(opened.notes)
    if warning := warning_on(spec.protocol, opened.dataset):
        say(warning, colour="red")
    from edgewise.runs.evaluate import Conditions, write_document
    from edgewise.training.curves import read_curves

    if json_file is not None:
        read_curves(run)  # damaged ones are met before all is measured
    num_items = opened.dataset.num_items
    for length in ks:
        at_most("-k", length, num_items)  # lists end where the catalogue does; names stay
    if negatives is not None:
        negatives = at_most("--negatives", negatives, max(num_items - 1, 1))
    has_cold = spec.cold_share > 0
    check(not first_events or has_cold, f"--first-events: {run} was fitted without --cold-items")
    check("cold" not in (by or []) or has_cold, f"--by cold: {run} was fitted without --cold-items")
    groups: Any = by or ()  # checked above
    conditions = Conditions(
        part, ks, metrics, negatives, max_users, include_seen, groups, first_events
    )
    tasks = _tasks(opened, task, part, metrics)
    results = [measure(opened, each, conditions, per_user) for each in tasks]
    say(audited)
    if plot is not None:
        _draw(results, plot)
    if json_file is not None:
        write_document(json_file, opened, results, audited, command_line())
        say(f"wrote {json_file}")


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, made by 'edgewise fit'.")],
    out: Annotated[Path | None, typer.Option(help="The page; RUN/report.html if absent.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the data set stands, if it has moved.")
    ] = None,
) -> None:
    """Write one HTML page of a run: figures beside baselines, curves, maps, a few users in words.

    What was evaluated on the test part is taken as it is; tasks that were not are measured first,
    as 'edgewise evaluate' does.
    """
    from edgewise.files import write_text
    from edgewise.reporting.run_page import explanation_examples, run_page, user_examples
    from edgewise.runs.evaluate import Conditions, saved_result
    from edgewise.runs.run import open_run

    opened = open_run(run, data)
    warn_of(opened.notes)
    checksum = opened.dataset.checksum
    results = [
        saved_result(run, opened.label, task, data=checksum) or measure(opened, task, Conditions())
        for task in _tasks(opened, None, "test")
    ]
    page = run_page(opened, results, user_examples(opened), explanation_examples(opened))
    file = out or run / "report.html"
    write_text(file, page)
    say(f"wrote {file}")


COMMANDS = (
    (
        evaluate,
        examples(
            "edgewise evaluate runs/mine",
            "edgewise evaluate runs/mine --task direct --part valid -k 1 -k 10",
            "edgewise evaluate runs/mine --metric Recall --metric NDCG -k 20 -k 40 -k 100",
            "edgewise evaluate runs/mine --task sequential --include-seen --json raw-lists.json",
            "edgewise evaluate runs/mine --by history --by popularity --plot groups.png",
        ),
        {"--split": "--part", "--no-rerank": "--include-seen", "--allow-seen": "--include-seen"},
    ),
    (
        report,
        examples("edgewise report runs/mine", "edgewise report runs/mine --out pages/mine.html"),
        {},
    ),
)


def measure(run: Run, task: Task, conditions: Conditions, folder: Path | None = None) -> TaskResult:
    """Evaluate one task, print its table and keep the result in a folder or in the run's.

    Lists that are shorter than asked, users who are left out, and explanations that are no better
    than one sentence for everybody are said aloud.
    """
    from edgewise.evaluation.groups import groups_table
    from edgewise.evaluation.report import comparison_table
    from edgewise.runs.evaluate import cautions, evaluate_task, save_result

    with progress_bar(task) as told:
        result = evaluate_task(run, task, conditions, told, spread=True)
    console().print(comparison_table(result.reports, title=task))
    first = next(iter(result.reports.values()))
    for by in getattr(first, "groups", {}):
        console().print(groups_table(result.reports, by))  # type: ignore[arg-type]
    for words in cautions(result):
        warn(f"{task}: {words}")
    save_result(result, run, conditions, folder)
    return result


def _check_choices(
    tasks: list[str], part: str, ks: tuple[int, ...], metrics: tuple[str, ...], protocol: str | None
) -> None:
    """Refuse what no run can be asked for, before one is opened."""
    known = ("direct", "sequential", "explanation")
    for task in tasks:
        check(task in known, f"--task {task}: no such task.{nearest(task, known)}")
    parts = ("test", "valid")
    check(part in parts, f"--part {part}: no such part.{nearest(part, parts)}")
    if protocol is not None:
        from edgewise.evaluation.protocols import find_protocol

        find_protocol(protocol, "--protocol: ")
    if ks or metrics:
        from edgewise.evaluation.metrics import check_cutoffs, check_metrics

        check_cutoffs(ks or (1,))
        check_metrics(metrics or ("NDCG",))


def _check_groups(by: list[str], plot: Path | None) -> None:
    """Refuse groups that there are not, and a picture of none or of another kind."""
    from edgewise.evaluation.groups import GROUPINGS

    for name in by:
        check(name in GROUPINGS, f"--by {name}: no such groups.{nearest(name, GROUPINGS)}")
    if plot is not None:
        check(bool(by), "--plot draws groups of users: name some with --by history")
        check(plot.suffix in (".png", ".svg"), f"--plot {plot}: end it in .png or .svg")


def _draw(results: list[TaskResult], file: Path) -> None:
    """The groups of the whole catalogue's lists, or of the only task that has some."""
    from edgewise.experiments.plots import draw, group_panels
    from edgewise.files import replacing
    from edgewise.runs.run import is_main_process

    grouped = [each for each in results if each.task != "explanation"]
    check(bool(grouped), "--plot: no ranking task was measured, nothing to draw")
    if not is_main_process():
        return
    content = draw(group_panels(grouped[0].reports), file.suffix[1:])  # type: ignore[arg-type]
    with replacing(file) as partial:
        partial.write_bytes(content)
    say(f"wrote {file}")


def _tasks(
    run: Run, asked: list[str] | None, part: str, metrics: tuple[str, ...] = ()
) -> list[Task]:
    """The tasks to measure: those asked for, or all that were trained and have held-out rows."""
    from edgewise.evaluation.metrics import only_of_lists
    from edgewise.runs.evaluate import measurable_tasks

    for task in asked or []:
        run.require(task)
    possible = measurable_tasks(run, part)
    wanted = [task for task in run.tasks if not asked or task in asked]
    if "explanation" in wanted and "explanation" not in possible:
        warn(f"explanation: no review belongs to the {part} part, nothing to measure")
    if not asked and only_of_lists(metrics):
        wanted = [task for task in wanted if task == "sequential"]
    return [task for task in wanted if task in possible]
