"""``edgewise reproduce``: fit and measure all cells of a table that are not there yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.output import console, examples
from edgewise.config import check

if TYPE_CHECKING:
    from edgewise.experiments.grid import ExperimentCell, Layout
    from edgewise.experiments.plan import Work
    from edgewise.experiments.runner import OnStep, Outcome

EXAMPLES = examples(
    "edgewise reproduce elmrec/table-4 --data RAW_DATA --jobs 2",
    "edgewise reproduce elmrec/table-2 --dataset beauty --protocol honest --data RAW_DATA",
    "edgewise reproduce elmrec/table-4 elmrec/table-7 --seeds 10 --data RAW_DATA",
    "edgewise reproduce elmrec/table-4 --dry-run",
    "edgewise reproduce mine --configs my-tables --data RAW_DATA",
)
Configs = Annotated[
    Path | None, typer.Option(help="A folder of tables instead of the papers', which are at hand.")
]
Experiments = Annotated[Path | None, typer.Option(hidden=True)]


def reproduce(
    table: Annotated[
        list[str],
        typer.Argument(
            help="Tables such as elmrec/table-4, folders of them such as elmrec, or their rows."
        ),
    ],
    data: Annotated[Path, typer.Option(help="The folder of downloaded data sets, by name.")] = Path(
        "data"
    ),
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
    no_rerank: Annotated[
        bool, typer.Option("--no-rerank", help="Measure raw sequential lists, too.")
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
    experiments: Experiments = None,
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
    check_renamed(experiments)
    layout = Layout(configs or CONFIGS, results, runs, data)
    selection = Selection(dataset, method, seeds, protocol, max_users, no_rerank)
    work = plan_work(find_cells(layout, table, selection), layout)
    if dry_run:
        left = commands_of(work, layout, force=force)
        typer.echo("\n".join(left) if work.reasons else "nothing is left to do")
        return
    _check_raw_data(work, layout)
    _announce(work)
    try:
        with _progress(work) as told:
            outcome = make(work, layout, jobs=jobs, force=force, on_step=told)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on", err=True)
        raise
    _report(outcome)


def check_renamed(experiments: Path | None) -> None:
    """Refuse the option's old name."""
    old = (
        f"--experiments {experiments}: the option is called --configs now, and a table is one file"
    )
    check(experiments is None, f"{old}, see docs/reproduce.md")


def _check_raw_data(work: Work, layout: Layout) -> None:
    lacking = any(not layout.data_folder(cells[0]).exists() for cells in work.groups.values())
    check(
        not lacking or layout.raw.is_dir(),
        f"--data {layout.raw}: no such folder; name the one that holds the downloaded data sets, "
        "each in a folder of its name",
    )


def _announce(work: Work) -> None:
    left = len(work.reasons)
    typer.echo(
        f"{left + len(work.finished)} cells: {len(work.finished)} finished, {left} to do on "
        f"{len(work.groups)} runs"
    )
    for cell, reason in work.reasons.items():
        if reason != "not measured yet":
            typer.echo(f"  {cell.key.path}: {reason}; done again")


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
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20))
    with Progress(
        *columns, MofNCompleteColumn(), TimeElapsedColumn(), console=screen, transient=True,
        disable=not screen.is_terminal,
    ) as bar:  # fmt: skip
        all_cells = bar.add_task("all cells", total=len(work.reasons))
        lines: dict[ExperimentCell, object] = {}

        def told(cell: ExperimentCell, step: str) -> None:
            if not screen.is_terminal:
                typer.echo(f"{cell.key.path}: {step}")
            if cell in lines:
                bar.remove_task(lines.pop(cell))  # type: ignore[arg-type]
            if step in ("finished", "failed"):
                bar.advance(all_cells)
            else:
                lines[cell] = bar.add_task(f"{cell.key.path}: {step}", total=None)

        yield told


def _report(outcome: Outcome) -> None:
    done, skipped, failed = len(outcome.done), len(outcome.skipped), len(outcome.failed)
    typer.echo(f"{done} made, {skipped} were there, {failed} failed")
    for cell, reason in outcome.failed.items():
        typer.secho(f"failed: {cell.key.path}: {reason}", fg="red", err=True)
    if outcome.failed:
        typer.echo("the same command tries the failed ones again")
        raise typer.Exit(1)
    tables = dict.fromkeys(cell.key.table for cell in [*outcome.done, *outcome.skipped])
    typer.echo(f"next: edgewise compare {' '.join(tables)}")
