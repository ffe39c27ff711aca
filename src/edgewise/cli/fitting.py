"""What all commands of ``edgewise fit`` do, whichever method they train."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgewise.cli.output import command_line, console, warn
from edgewise.cli.plans import plan_table
from edgewise.config import check
from edgewise.data.dataset import load_dataset
from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation.protocols import HONEST, Protocol, find_protocol, warning_on
from edgewise.runs.run import (
    FINISHED,
    DataInfo,
    RunInfo,
    check_free,
    is_main_process,
    is_run,
    load_run_data,
    prepare_folder,
    read_info,
    split_of,
)
from edgewise.runs.spec import Recipe, differences, read_recipe, resolve_config

if TYPE_CHECKING:
    from edgewise.audit.report import Audit
    from edgewise.data.dataset import Dataset
    from edgewise.runs.contract import Plan


@dataclass(frozen=True)
class Wish:
    """What the command line asks to be trained; None where it does not say."""

    method: str
    out: Path
    data: Path | None
    preset: str | None
    config: Path | None
    assignments: list[str]
    split: str | None
    split_seed: int | None
    protocol_name: str | None = None
    edge_share: float | None = None

    def protocol(self) -> Protocol | None:
        """Of the command line, which goes before the file's; None where neither names one.

        Raises:
            ConfigError: there is no such protocol, or it has no share of edges to set.
        """
        recipe = Recipe() if self.config is None else read_recipe(self.config)
        name = self.protocol_name or recipe.protocol
        if name is None:
            check(self.edge_share is None, "--edge-share needs --protocol, say elmrec-released")
            return None
        found = find_protocol(name, "--protocol: ")
        in_file = recipe.edge_share if found.has_edge_share else None
        share = in_file if self.edge_share is None else self.edge_share
        return find_protocol(name, "--edge-share: ", edge_share=share)

    def held_out(self) -> tuple[str | None, int | None]:
        """The split and its seed, from the command line or from the file.

        Raises:
            ConfigError: they contradict each other.
        """
        recipe = Recipe() if self.config is None else read_recipe(self.config)
        for option, asked, in_file in (
            ("split", self.split, recipe.split),
            ("split-seed", self.split_seed, recipe.split_seed),
        ):
            agree = asked is None or in_file is None or asked == in_file
            check(agree, f"--{option} {asked} contradicts {in_file!r} in {self.config}: give one")
        split = recipe.split if self.split is None else self.split
        seed = recipe.split_seed if self.split_seed is None else self.split_seed
        return split, seed


def fit(wish: Wish, *, resume: bool, force: bool, quiet: bool) -> None:
    """Train as wished, or go on with what stands in the folder."""
    goes_on = resume and is_run(wish.out)
    info, dataset = _started(wish) if goes_on else _planned(wish, force)
    quiet = quiet or not is_main_process()
    if (warning := warning_on(info.protocol, dataset)) and not quiet:
        warn(warning)
    if info.status == FINISHED:
        _say(f"{wish.out} is finished already: nothing to resume", quiet)
        return
    if not goes_on and is_main_process():
        prepare_folder(wish.out, info, force=force)
    _train(wish.out, info, dataset, resume, quiet)


def _planned(wish: Wish, force: bool) -> tuple[RunInfo, Dataset]:
    """A new run. Everything that can be refused is refused before a file is written."""
    if is_main_process():
        check_free(wish.out, force=force)
    config = resolve_config(wish.preset, wish.config, wish.assignments, method=wish.method)
    if wish.data is None:
        raise ConfigError("--data is missing: name a data set folder, see 'edgewise data --help'")
    dataset = load_dataset(wish.data)
    split, split_seed = wish.held_out()
    protocol = wish.protocol() or HONEST
    info = RunInfo(
        config,
        DataInfo.of(dataset, wish.data),
        split or protocol.split_kind,
        split_seed or 0,
        wish.method,
        command=command_line(),
        protocol=protocol,
    )
    split_of(info, dataset)
    return info, dataset


def _started(wish: Wish) -> tuple[RunInfo, Dataset]:
    """The run that stands in the folder, unless another method, settings or data are asked for."""
    info = read_info(wish.out)
    if info.method_name != wish.method:
        raise ConfigError(
            f"{wish.out} holds a run of {info.method.label}: go on with "
            f"'edgewise fit {info.method_name} --out {wish.out} --resume', or fit into another "
            "folder"
        )
    asked = resolve_config(
        wish.preset, wish.config, wish.assignments, base=info.config, method=wish.method
    )
    changed = differences(info.config, asked)
    split, split_seed = wish.held_out()
    if split not in (None, info.split_kind):
        changed.append(f"--split ({info.split_kind}, now {split})")
    if split_seed not in (None, info.split_seed):
        changed.append(f"--split-seed ({info.split_seed}, now {split_seed})")
    protocol = wish.protocol()
    if protocol not in (None, info.protocol):
        changed.append(f"--protocol ({info.protocol.to_dict()}, now {protocol.to_dict()})")
    if changed:
        raise ConfigError(
            f"--resume goes on with the run's own settings, but these differ: "
            f"{', '.join(changed)}. Leave them out, or fit into another folder"
        )
    return info, load_run_data(info.data, wish.data)


def _train(out: Path, info: RunInfo, dataset: Dataset, resume: bool, quiet: bool) -> None:
    from edgewise.runs.train import fit_run

    begun = resume

    def show(plan: Plan) -> None:
        nonlocal begun
        begun = True
        if not quiet:
            console().print(plan_table(plan, info, out))

    def tell(found: Audit) -> None:
        _say(f"audit: {found.headline()}", quiet)

    try:
        run = fit_run(
            out,
            info,
            dataset,
            resume=resume,
            show_progress=not quiet,
            on_plan=show,
            on_audit=tell,
        )
    except EdgewiseError:
        # Refused before the first step: nothing is there to go on with, and nothing in the way.
        if not begun and is_main_process():
            shutil.rmtree(out, ignore_errors=True)
        raise
    except KeyboardInterrupt:
        _say(f"stopped; go on with: edgewise fit {info.method_name} --out {out} --resume", quiet)
        raise
    minutes = run.info.training_seconds / 60
    _say(f"trained for {minutes:.1f} minutes; next: edgewise evaluate {out}", quiet)


def _say(message: str, quiet: bool) -> None:
    if not quiet:
        typer.echo(message)
