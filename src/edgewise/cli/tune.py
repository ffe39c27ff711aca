"""``edgewise tune``: search for settings on validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.output import examples, warn
from edgewise.config import check
from edgewise.errors import EdgewiseError

EXAMPLES = examples(
    "edgewise tune elmrec --data data/mine --space space.toml --trials 20",
    "edgewise tune elmrec --data data/mine --space space.toml --trials 40  (20 more)",
    "edgewise fit elmrec --data data/mine --config runs/tune/best.toml --out runs/best",
)


def tune(
    method: Annotated[str, typer.Argument(help="elmrec or graph-gpt.")],
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
    from edgewise.data.dataset import load_dataset
    from edgewise.experiments.tune import (
        Search,
        best_settings,
        finished_trials,
        read_space,
        run_search,
    )
    from edgewise.files import write_text
    from edgewise.models.registry import find_method
    from edgewise.runs.run import DataInfo
    from edgewise.runs.spec import to_toml

    find_method(method, "tune: ")
    wanted = read_space(space, method, set_ or [])
    dataset = load_dataset(data)
    search = Search(wanted, dataset, DataInfo.of(dataset, data), out, seed, split)
    found = run_search(search, study or out / "study.jsonl", trials, _say)
    done = finished_trials(found)
    check(bool(done), f"{out}: no trial has finished; see the warnings above")
    if len(done) < trials:
        warn(f"{len(done)} of {trials} trials have finished; the same command tries other values")
    text = to_toml(best_settings(search, found), method)
    head = f"# {wanted.objective} on validation rows: {found.best_value:.6f}, best of {len(done)}\n"
    write_text(out / "best.toml", head + text)
    typer.echo(head + text, nl=False)
    typer.echo(f"wrote {out / 'best.toml'}", err=True)


def _say(number: int, values: Mapping[str, Any], found: float | EdgewiseError) -> None:
    spelled = ", ".join(f"{name} = {value}" for name, value in values.items())
    if isinstance(found, EdgewiseError):
        warn(f"trial {number} failed with {spelled}: {' '.join(str(found).split())}")
    else:
        typer.echo(f"trial {number}: {found:.6f} with {spelled}", err=True)
