"""``edgewise tune``, ``reproduce`` and ``compare``: searches, and tables of papers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.output import console, examples, say, warn
from edgewise.config import check, check_seed, nearest
from edgewise.errors import EdgewiseError

if TYPE_CHECKING:
    from edgewise.experiments.compare import Comparison
    from edgewise.experiments.grid import ExperimentCell, Layout
    from edgewise.experiments.plan import Work
    from edgewise.experiments.results import Result
    from edgewise.experiments.runner import OnStep, Outcome

SPACE = """\
preset = "tiny"                     # and any other settings that stay as they are
objective = "direct/NDCG@10"        # on validation rows; or "loss"

[space."whole_words.direct_alpha"]
low = 1.0
high = 10.0
log = true                          # or step = 0.5

[space."graph.rank"]
choices = [16, 32, 64]
"""
"""A space file, as the help of ``tune`` shows it."""
_LINES = ["A space file:", *(f"  {line}" for line in SPACE.splitlines() if line)]
_TUNE = examples(
    "edgewise tune elmrec --data data/mine --space space.toml --trials 20",
    "edgewise tune elmrec --data data/mine --space space.toml --trials 40  (20 more)",
    "edgewise fit elmrec --data data/mine --config runs/tune/best.toml --out runs/best",
)
_TUNE += "\n\n" + "\n\n".join(line.replace("[", "\\[") for line in _LINES)


def tune(
    method: Annotated[str, typer.Argument(help="By name; 'edgewise methods' lists them.")],
    data: Annotated[Path, typer.Option(help="A data set folder; see 'edgewise data'.")],
    space: Annotated[
        Path, typer.Option(help='A TOML file: settings, objective and \\[space."section.key"].')
    ],
    trials: Annotated[
        int, typer.Option(min=1, help="Finished trials in the end, earlier calls' included.")
    ] = 20,
    out: Annotated[Path, typer.Option(help="The folder of trials and of best.toml.")] = Path(
        "runs/tune"
    ),
    study: Annotated[
        Path | None, typer.Option(help="The study's journal; OUT/study.jsonl if absent.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="section.key=value for all trials, before the file's."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="leave-one-out, ratio or time.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the search, not of the training.")] = 0,
) -> None:
    """Train with one set of values after the other and keep what is best on validation rows.

    Test rows are never looked at. The same command goes on where it was stopped; more --trials add
    to what is there, and a trial that fails ends nothing. The best settings are printed as TOML
    that 'edgewise fit --config' takes.
    """
    from edgewise.config import to_toml
    from edgewise.data.dataset import Dataset
    from edgewise.experiments.tune import (
        Search,
        best_settings,
        finished_trials,
        read_space,
        run_search,
    )
    from edgewise.files import write_text
    from edgewise.models.registry import find_method
    from edgewise.runs.spec import DataInfo

    find_method(method, "tune: ")
    check_seed(seed, "--seed")
    wanted = read_space(space, method, set_ or [])
    dataset = Dataset.load(data)
    search = Search(wanted, dataset, DataInfo.of(dataset, data), out, seed, split)
    found = run_search(search, study or out / "study.jsonl", trials, _say)
    done = finished_trials(found)
    check(bool(done), f"{out}: no trial has finished; see the warnings above")
    if len(done) < trials:
        warn(f"{len(done)} of {trials} trials have finished; the same command tries other values")
    text = to_toml(best_settings(search, found), method)
    head = f"# {wanted.objective} on validation rows: {found.best_value:.6f}, best of {len(done)}\n"
    write_text(out / "best.toml", head + text)
    say(head + text, newline=False)
    say(f"wrote {out / 'best.toml'}", stderr=True)


def _say(number: int, values: Mapping[str, Any], found: float | EdgewiseError) -> None:
    spelled = ", ".join(f"{name} = {value}" for name, value in values.items())
    if isinstance(found, EdgewiseError):
        warn(f"trial {number} failed with {spelled}: {' '.join(str(found).split())}")
    else:
        say(f"trial {number}: {found:.6f} with {spelled}", stderr=True)


_REPRODUCE = examples(
    "edgewise reproduce elmrec/table-4 --raw-data RAW_DATA --jobs 2",
    "edgewise reproduce elmrec/table-2 --dataset beauty --protocol honest --raw-data RAW_DATA",
    "edgewise reproduce elmrec/table-4 elmrec/table-7 --seeds 10 --raw-data RAW_DATA",
    "edgewise reproduce elmrec/table-4 --dry-run",
    "edgewise reproduce mine --configs my-tables --raw-data RAW_DATA",
)
Configs = Annotated[
    Path | None, typer.Option(help="A folder of tables instead of the papers', which are at hand.")
]


def reproduce(
    table: Annotated[
        list[str],
        typer.Argument(
            help="Tables such as elmrec/table-4, folders of them such as elmrec, or their rows."
        ),
    ],
    raw_data: Annotated[
        Path, typer.Option(help="The folder of downloaded data sets, by name.")
    ] = Path("data"),
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    method: Annotated[str | None, typer.Option(help="Only this row of the tables.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds 0 to N - 1 instead of the tables'.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Instead of the tables' own; 'honest' for one.")
    ] = None,
    max_users: Annotated[
        int | None, typer.Option(min=1, help="Measure a seeded sample of the users.")
    ] = None,
    include_seen: Annotated[
        bool,
        typer.Option(
            "--include-seen", help="Measure sequential lists that may hold seen items, too."
        ),
    ] = False,
    jobs: Annotated[
        int, typer.Option(min=1, help="Runs at a time, each a process of one thread.")
    ] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Replace runs that were fitted with other settings.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands that are left, run none.")
    ] = False,
    configs: Configs = None,
    results: Annotated[Path, typer.Option(help="Where figures go, one JSON a cell.")] = Path(
        "results"
    ),
    runs: Annotated[Path, typer.Option(help="Where runs and imported data sets go.")] = Path(
        "runs"
    ),
) -> None:
    """Make every cell of a paper's table: import, fit, evaluate.

    What is finished is left alone, an interrupted run goes on, and cells that differ in decoding
    alone share one training. A cell that fails stops no other; all that failed are listed at the
    end, and the exit code is 1.
    """
    from edgewise.evaluation.protocols import find_protocol
    from edgewise.experiments.grid import CONFIGS, Layout, Selection, find_cells
    from edgewise.experiments.plan import commands_of, plan_work
    from edgewise.experiments.runner import reproduce as make

    if protocol is not None:
        find_protocol(protocol, "--protocol: ")
    layout = Layout(configs or CONFIGS, results, runs, raw_data)
    selection = Selection(dataset, method, seeds, protocol, max_users, include_seen)
    work = plan_work(find_cells(layout, table, selection), layout)
    if dry_run:
        left = commands_of(work, layout, force=force)
        say("\n".join(left) if work.reasons else "nothing is left to do")
        return
    _check_raw_data(work, layout)
    _announce(work)
    try:
        with _progress(work) as told:
            outcome = make(work, layout, jobs=jobs, force=force, on_step=told)
    except KeyboardInterrupt:
        say("stopped; the same command goes on", stderr=True)
        raise
    _report(outcome)


def _check_raw_data(work: Work, layout: Layout) -> None:
    lacking = any(not layout.data_folder(cells[0]).exists() for cells in work.groups.values())
    check(
        not lacking or layout.raw.is_dir(),
        f"--raw-data {layout.raw}: no such folder; name the one that holds the downloaded data "
        "sets, each in a folder of its name",
    )


def _announce(work: Work) -> None:
    left = len(work.reasons)
    say(
        f"{left + len(work.finished)} cells: {len(work.finished)} finished, {left} to do on "
        f"{len(work.groups)} runs"
    )
    for cell, reason in work.reasons.items():
        if reason != "not measured yet":
            say(f"  {cell.key.path}: {reason}; done again")


@contextmanager
def _progress(work: Work) -> Iterator[OnStep]:
    """One bar over all cells and one line a running cell; plain lines where nobody looks."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    screen = console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
    )
    with Progress(
        *columns, MofNCompleteColumn(), TimeElapsedColumn(), console=screen, transient=True,
        disable=not screen.is_terminal,
    ) as bar:  # fmt: skip
        all_cells = bar.add_task("all cells", total=len(work.reasons))
        lines: dict[ExperimentCell, object] = {}

        def told(cell: ExperimentCell, step: str) -> None:
            if not screen.is_terminal:
                say(f"{cell.key.path}: {step}")
            if cell in lines:
                bar.remove_task(lines.pop(cell))  # type: ignore[arg-type]
            if step in ("finished", "failed"):
                bar.advance(all_cells)
            else:
                lines[cell] = bar.add_task(f"{cell.key.path}: {step}", total=None)

        yield told


def _report(outcome: Outcome) -> None:
    done, skipped, failed = len(outcome.done), len(outcome.skipped), len(outcome.failed)
    say(f"{done} made, {skipped} were there, {failed} failed")
    for cell, reason in outcome.failed.items():
        say(f"failed: {cell.key.path}: {reason}", colour="red", stderr=True)
    if outcome.failed:
        say("the same command tries the failed ones again")
        raise typer.Exit(1)
    tables = dict.fromkeys(cell.key.table for cell in [*outcome.done, *outcome.skipped])
    say(f"next: edgewise compare {' '.join(tables)}")


_COMPARE = examples(
    "edgewise compare runs/mine runs/ease",
    "edgewise compare runs/mine runs/ease --part valid --task direct --out mine.html",
    "edgewise compare elmrec/table-2",
    "edgewise compare elmrec/table-2 --dataset beauty --format latex --out table-2.tex",
    "edgewise compare elmrec graph-gpt --format html --out runs/report.html",
    "edgewise compare results/elmrec/table-2/beauty/elmrec.json --data runs/data/beauty",
)
_FORMATS = ("markdown", "csv", "latex", "html")
_SUFFIXES = {".md": "markdown", ".csv": "csv", ".tex": "latex", ".html": "html"}


def compare(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Runs, which are compared with each other; or result files, folders of them, or "
            "tables such as elmrec/table-2."
        ),
    ],
    form: Annotated[
        str | None, typer.Option("--format", help="markdown, csv, latex or html.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write this file instead of printing.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="The row that others are compared with; of tables, best is whichever is."
        ),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Draw figures into this folder, too, as PNG and SVG.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The data set, or a folder of them, instead of those in RUNS/data."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Of runs: direct, sequential or explanation; repeatable; all if absent."),
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="Of runs: the held-out part, test (if absent) or valid.")
    ] = None,
    allow_unsealed: Annotated[
        bool, typer.Option("--allow-unsealed", help="Accept results older than seals.")
    ] = False,
    configs: Configs = None,
    results_folder: Annotated[
        Path, typer.Option("--results", help="The folder that results are named in.")
    ] = Path("results"),
    runs: Annotated[Path, typer.Option(help="Where users' rows are, for paired tests.")] = Path(
        "runs"
    ),
) -> None:
    """Print own runs side by side, or what a paper prints beside what we measured.

    Of runs, what 'edgewise evaluate' kept is compared user by user with the first one's, or with
    that of --reference. Of a paper's table: its figures, ours under its released protocol, and ours
    under the honest one.

    With bootstrap intervals over users, t-tests over seeds and paired bootstrap tests over users,
    adjusted by Holm. A row that has not been run is 'not yet'. Files that were changed by hand, or
    that were measured on other data than their neighbours or this machine's, are refused.
    """
    from edgewise.experiments.compare import compare as compared
    from edgewise.experiments.grid import CONFIGS, Layout

    chosen = _format(form, out)
    if _are_runs(results):
        only_tables = {"--dataset": dataset, "--figures": figures, "--data": data}
        given = [name for name, value in only_tables.items() if value is not None]
        check(not given, f"{', '.join(given)}: not for runs, which tell their data themselves")
        from edgewise.experiments.own_runs import compare_runs

        found = compare_runs(results, part=part or "test", tasks=task or (), reference=reference)
        _write(_text(found, chosen), out)
        return
    given = [name for name, value in {"--task": task, "--part": part}.items() if value]
    check(
        not given, f"{', '.join(given)}: for runs alone; tables have tasks and parts of their own"
    )
    layout = Layout(configs or CONFIGS, results_folder, runs)
    found, tables = _read(results, layout, allow_unsealed)
    names = {each.place.dataset for each in found}
    found = [each for each in found if dataset in (None, each.place.dataset)]
    _check_data(found, layout, data)
    comparison = compared(found, layout, tables, reference=reference)
    if dataset is not None:
        comparison = _only(comparison, dataset, names)
    nothing = f"{', '.join(results)}: nothing to compare, no result file and no table of a paper"
    check(bool(comparison.tables), nothing)
    _check_reference(comparison, reference)
    if figures is not None:
        from edgewise.experiments.plots import save_figures

        for path in save_figures(comparison, figures):
            say(f"wrote {path}", stderr=True)
    _write(_text(comparison, chosen), out)


def _format(asked: str | None, out: Path | None) -> str:
    if asked is not None:
        check(asked in _FORMATS, f"--format {asked}: no such format.{nearest(asked, _FORMATS)}")
        return asked
    suffix = ".md" if out is None else out.suffix.lower()
    check(
        suffix in _SUFFIXES,
        f"--out {out}: its name tells no format; end it in {', '.join(_SUFFIXES)}, or name one of "
        f"{', '.join(_FORMATS)} with --format",
    )
    return _SUFFIXES[suffix]


def _are_runs(names: Sequence[str]) -> bool:
    """Whether all names are run folders; refuses runs among other results."""
    from edgewise.runs.run import is_run

    others = [name for name in names if not is_run(Path(name))]
    check(
        not others or len(others) == len(names),
        f"{', '.join(others)}: no run folder; compare runs with runs, or tables with tables",
    )
    return not others


def _read(
    asked: Sequence[str], layout: Layout, allow_unsealed: bool
) -> tuple[list[Result], list[str]]:
    """The results, and the tables that were asked for by name."""
    from edgewise.experiments.compare import results_of, tables_below

    tables: dict[str, None] = {}
    found: dict[object, Result] = {}
    for name in asked:
        tables |= dict.fromkeys(tables_below(layout, name))
        results = results_of(layout, name, allow_unsealed=allow_unsealed)
        found |= {(each.file, each.place): each for each in results}
    return list(found.values()), list(tables)


def _check_data(results: Sequence[Result], layout: Layout, data: Path | None) -> None:
    from edgewise.experiments.results import check_data, check_same_data

    check_data(results, layout, data)
    check_same_data(results)


def _check_reference(comparison: Comparison, reference: str | None) -> None:
    """Refuse a reference that is no row, or none of ours."""
    from edgewise.experiments.figures import PAPER
    from edgewise.experiments.published import BEST_ROW

    if reference in (None, BEST_ROW):
        return
    figures = comparison.figures
    names = [name for name in figures["method"].unique() if ":" not in name]
    check(
        reference in names, f"--reference {reference}: no table has it.{nearest(reference, names)}"
    )
    ours = figures.drop_nulls("value").filter(method=reference)["origin"].to_list()
    check(
        any(origin != PAPER for origin in ours),
        f"--reference {reference}: has not been measured; 'edgewise reproduce TABLE --method "
        f"{reference}' does",
    )


def _only(comparison: Comparison, dataset: str, measured: set[str]) -> Comparison:
    """The blocks of one data set; ``measured`` are data sets of results."""
    shown = set(comparison.figures["dataset"])
    valid = shown | measured - {dataset}
    check(dataset in shown, f"--dataset {dataset}: no table has it.{nearest(dataset, valid)}")
    return comparison.only(dataset)


def _text(comparison: Comparison, form: str) -> str:
    from edgewise.experiments.tables import FORMATS

    text = FORMATS[form](comparison)
    if form == "html" and len(text) > 2_000_000:
        warn(f"the page has {len(text) / 1e6:.1f} MB; ask for fewer tables to make it lighter")
    return text


def _write(text: str, out: Path | None) -> None:
    if out is None:
        say(text, newline=False)
        return
    from edgewise.files import write_text

    write_text(out, text)
    say(f"wrote {out}")


COMMANDS = (
    (tune, _TUNE, {}),
    (
        reproduce,
        _REPRODUCE,
        {
            "--data": "--raw-data",
            "--no-rerank": "--include-seen",
            "--allow-seen": "--include-seen",
            "--experiments": "--configs",
        },
    ),
    (compare, _COMPARE, {"--experiments": "--configs"}),
)
