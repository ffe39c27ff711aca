"""``edgewise fit``: train a model into a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.help import examples
from edgewise.cli.render import command_line, console, plan_table
from edgewise.errors import ConfigError

if TYPE_CHECKING:
    from edgewise.data.interactions import Dataset
    from edgewise.models.elmrec.plan import FitPlan
    from edgewise.runs.info import RunInfo

app = typer.Typer(
    no_args_is_help=True,
    help="Train a model on a data set.",
    epilog=examples("edgewise fit elmrec --data data/mine --out runs/mine --preset tiny"),
)


@app.callback()
def _group() -> None:
    """Keeps ``fit`` a group while it holds a single model."""


@app.command(
    epilog=examples(
        "edgewise fit elmrec --data data/mine --out runs/mine --preset tiny",
        "edgewise fit elmrec --data data/mine --out runs/own --set training.epochs=3 "
        "--set graph.features=random",
        "edgewise fit elmrec --data data/mine --out runs/own --config runs/mine/config.toml",
        "edgewise fit elmrec --out runs/mine --resume",
        "torchrun --nproc-per-node 2 -m edgewise.cli.main fit elmrec --data data/mine --out runs/2",
    )
)
def elmrec(
    out: Annotated[Path, typer.Option("--out", help="The run folder to write.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="A data set folder; see 'edgewise data'.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="tiny, cpu (the default), paper-beauty, paper-sports, paper-toys, pod, p5, t5."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file of settings, which go before the preset's."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="section.key=value, before preset and file; repeatable."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="leave-one-out (the default), ratio or time.")
    ] = None,
    split_seed: Annotated[int | None, typer.Option(help="Seed of a ratio split.")] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with an interrupted run, to the same result."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a run that is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Train ELMRec, P5, POD or plain T5 (by preset) and keep the best model on validation rows."""
    from edgewise.runs.folder import is_main_process
    from edgewise.runs.info import FINISHED, is_run

    wish = _Wish(data, preset, config, set_ or [], split, split_seed)
    goes_on = resume and is_run(out)
    info, dataset = _started(out, wish) if goes_on else _planned(out, wish, force)
    quiet = quiet or not is_main_process()
    if info.status == FINISHED:
        _say(f"{out} is finished already: nothing to resume", quiet)
        return
    _train(out, info, dataset, resume=resume, fresh=not goes_on, force=force, quiet=quiet)


@dataclass(frozen=True)
class _Wish:
    """What the command line asks to be trained; None where it does not say."""

    data: Path | None
    preset: str | None
    config: Path | None
    assignments: list[str]
    split: str | None
    split_seed: int | None


def _planned(out: Path, wish: _Wish, force: bool) -> tuple[RunInfo, Dataset]:
    """A new run. Everything that can be refused is refused before a file is written."""
    from edgewise.data.splitting import split_by_name
    from edgewise.data.storage import load_dataset
    from edgewise.runs.data import DataInfo
    from edgewise.runs.folder import check_free, is_main_process
    from edgewise.runs.info import RunInfo
    from edgewise.runs.settings import resolve_config

    if is_main_process():
        check_free(out, force=force)
    config = resolve_config(wish.preset, wish.config, wish.assignments)
    if wish.data is None:
        raise ConfigError("--data is missing: name a data set folder, see 'edgewise data --help'")
    dataset = load_dataset(wish.data)
    kind, seed = wish.split or "leave-one-out", wish.split_seed or 0
    split_by_name(dataset, kind, seed)
    data = DataInfo.of(dataset, wish.data)
    return RunInfo(config, data, kind, seed, command=command_line()), dataset


def _started(out: Path, wish: _Wish) -> tuple[RunInfo, Dataset]:
    """The run that stands in the folder, unless other settings or data are asked for."""
    from edgewise.runs.data import load_run_data
    from edgewise.runs.info import read_info
    from edgewise.runs.settings import differences, resolve_config

    info = read_info(out)
    asked = resolve_config(wish.preset, wish.config, wish.assignments, base=info.config)
    changed = differences(info.config, asked)
    if wish.split not in (None, info.split_kind):
        changed.append(f"--split ({info.split_kind}, now {wish.split})")
    if wish.split_seed not in (None, info.split_seed):
        changed.append(f"--split-seed ({info.split_seed}, now {wish.split_seed})")
    if changed:
        raise ConfigError(
            f"--resume goes on with the run's own settings, but these differ: "
            f"{', '.join(changed)}. Leave them out, or fit into another folder"
        )
    return info, load_run_data(info.data, wish.data)


def _train(
    out: Path,
    info: RunInfo,
    dataset: Dataset,
    *,
    resume: bool,
    fresh: bool,
    force: bool,
    quiet: bool,
) -> None:
    from edgewise.runs.fitting import fit_run
    from edgewise.runs.folder import is_main_process, prepare_folder

    if fresh and is_main_process():
        prepare_folder(out, info, force=force)

    def show(plan: FitPlan) -> None:
        if not quiet:
            console().print(plan_table(plan, info, out))

    try:
        run = fit_run(out, info, dataset, resume=resume, show_progress=not quiet, on_plan=show)
    except KeyboardInterrupt:
        _say(f"stopped; go on with: edgewise fit elmrec --out {out} --resume", quiet)
        raise
    minutes = run.info.training_seconds / 60
    _say(f"trained for {minutes:.1f} minutes; next: edgewise evaluate {out}", quiet)


def _say(message: str, quiet: bool) -> None:
    if not quiet:
        typer.echo(message)
