"""``edgewise fit``, and what can be fitted: ``edgewise methods`` and ``edgewise settings``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.output import command_line, console, examples, say, warn
from edgewise.config import SettingRow, check, describe_settings
from edgewise.errors import ConfigError

if TYPE_CHECKING:
    from edgewise.audit.report import Audit
    from edgewise.data.dataset import Dataset
    from edgewise.models import registry
    from edgewise.recommender import FitPlan
    from edgewise.runs.spec import RunSpec, Wanted


def complete_methods(incomplete: str) -> Iterator[tuple[str, str]]:
    """Methods with their summaries, for the shell."""
    from edgewise.models.registry import methods as known

    yield from ((m.name, m.summary) for m in known().values() if m.name.startswith(incomplete))


def complete_presets(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Presets of the method that was typed, for the shell."""
    if (method := _typed(ctx)) is not None:
        yield from (name for name in method.presets if name.startswith(incomplete))


def complete_settings(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Settings of the method that was typed, as ``section.key=default``, for the shell."""
    if (method := _typed(ctx)) is not None:
        for row in describe_settings(method.config_class):
            if row.path.startswith(incomplete.partition("=")[0]):
                yield f"{row.path}={row.default}", row.meaning


def _typed(ctx: typer.Context) -> registry.Method | None:
    """The method on the command line so far; None if what was typed is none."""
    from edgewise.models.registry import DEFAULT_METHOD
    from edgewise.models.registry import methods as known

    # While an option waits for its value, click has not told the words apart yet.
    words = [word for word in (ctx.params.get("method"), *ctx.args) if word]
    found = known()
    return next(map(found.get, filter(found.get, words or [DEFAULT_METHOD])), None)


Method = Annotated[
    str,
    typer.Argument(help="What to train; see 'edgewise methods'.", autocompletion=complete_methods),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="section.key=value, before preset and file; repeatable; see 'edgewise settings'.",
        autocompletion=complete_settings,
    ),
]


def fit(
    method: Method,
    out: Annotated[Path, typer.Option("--out", help="The run folder to write.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="A data set folder; see 'edgewise data'.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Named settings; cpu if absent; see 'edgewise settings METHOD'.",
            autocompletion=complete_presets,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file of settings, which go before the preset's. Its method, preset and "
            "split, if it names them, must not contradict the command."
        ),
    ] = None,
    set_: Set = None,
    split: Annotated[
        str | None,
        typer.Option(help="leave-one-out (the default), ratio or time; the protocol's if absent."),
    ] = None,
    split_seed: Annotated[
        int | None, typer.Option(help="Seed of a ratio split, and of cold items.")
    ] = None,
    cold_items: Annotated[
        float | None,
        typer.Option(
            help="Keep the rows of this share of the items out of training, to measure what is "
            "recommended of items that nobody has taken yet: 0.1."
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="honest (the default), temporal, elmrec-released or llm4rec-released; the "
            "released ones leak, and say so in every report. Goes before the file's."
        ),
    ] = None,
    edge_share: Annotated[
        float | None,
        typer.Option(
            help="Of elmrec-released: the share of all rows that become edges where the data set "
            "has no texts; 0.535."
        ),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Go on from the weights of a finished run of this method, on the data it was "
            "fitted on or those grown ('edgewise data append'). Settings are the run's own; only "
            "training.* and a few others may change.",
        ),
    ] = None,
    start_share: Annotated[
        float | None,
        typer.Option(
            help="What the weights of --from count, above 0; the rest is a fresh start. 1 if "
            "absent; 0.5 ended better where it was measured (docs/warm-start.md)."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, to the same result.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a run that is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Train a method and keep its best epoch on validation rows."""
    from edgewise.evaluation.protocols import warning_on
    from edgewise.runs.run import FINISHED, is_main_process, is_run, read_info
    from edgewise.runs.spec import Wanted

    wanted = Wanted(method, preset, protocol, edge_share, split, split_seed, cold_items)
    goes_on = resume and is_run(out)
    resolve = _started if goes_on else _planned
    spec, dataset = resolve(wanted, out, data, config, set_ or [], force, from_, start_share)
    quiet = quiet or not is_main_process()
    if (warning := warning_on(spec.protocol, dataset)) and not quiet:
        warn(warning)
    if goes_on and read_info(out).status == FINISHED:
        _say(f"{out} is finished already: nothing to resume", quiet)
        return
    _train(spec, out, dataset, goes_on, force, quiet)


def methods() -> None:
    """List what can be fitted."""
    from rich.table import Table

    from edgewise.models.registry import methods as known

    table = Table("method", "what it is", "paper")
    for each in known().values():
        table.add_row(each.name, each.summary, each.paper)
    console().print(table)
    say("settings and presets of one: edgewise settings METHOD")


def settings(
    method: Method,
    search: Annotated[
        str | None, typer.Option("--search", help="Only settings whose path or meaning has this.")
    ] = None,
) -> None:
    """Print every setting of a method: type, default, meaning, and the paper's symbol."""
    from rich.table import Table

    from edgewise.models.registry import find_method

    found = find_method(method, "settings: ")
    table = Table()
    table.add_column("setting", no_wrap=True)  # to be copied
    for column, width in {"type": 14, "default": 14, "meaning": None, "in the paper": 14}.items():
        table.add_column(column, max_width=width, overflow="fold")
    rows = [row for row in describe_settings(found.config_class) if _matches(row, search)]
    check(bool(rows), f"--search {search}: no setting of {method} has it")
    for row in rows:
        table.add_row(row.path, row.kind, row.default, row.meaning, row.symbol)
    console().print(table)
    say(f"presets: {', '.join(found.presets)}")
    say(f"change one: edgewise fit {method} --data DIR --out RUN --set {rows[0].path}=VALUE")


COMMANDS = (
    (
        fit,
        examples(
            "edgewise fit elmrec --data data/mine --out runs/mine --preset tiny",
            "edgewise fit graph-gpt --data data/mine --out runs/gpt --set training.epochs=3",
            "edgewise fit ease --data data/mine --out runs/ease",
            "edgewise fit elmrec --data data/mine --out runs/own --config runs/mine/config.toml",
            "edgewise fit elmrec --data data/mine --out runs/later --protocol temporal",
            "edgewise fit elmrec --out runs/mine --resume",
            "edgewise fit sasrec --from runs/mine --data data/grown --out runs/grown "
            "--set training.epochs=2",
            "torchrun --nproc-per-node 2 -m edgewise.cli.main fit elmrec --data data/mine --out r",
        ),
        {},
    ),
    (methods, examples("edgewise methods"), {}),
    (
        settings,
        examples("edgewise settings elmrec", "edgewise settings graph-gpt --search delta"),
        {},
    ),
)


def _matches(row: SettingRow, search: str | None) -> bool:
    return search is None or search.lower() in f"{row.path} {row.meaning} {row.symbol}".lower()


def _planned(
    wanted: Wanted,
    out: Path,
    data: Path | None,
    config: Path | None,
    set_: list[str],
    force: bool,
    from_: Path | None,
    share: float | None,
) -> tuple[RunSpec, Dataset]:
    """A new run. Whatever is wrong with its options is refused before the data are read."""
    from edgewise.runs.run import check_free, is_main_process
    from edgewise.runs.spec import DataInfo, resolve_spec

    if is_main_process():
        check_free(out, force=force)
    unknown = DataInfo("", "", "")
    check(from_ is not None or share is None, "--start-share needs --from: a run to start from")
    base = None if from_ is None else _older(from_, out, wanted.method, share)
    spec = resolve_spec(wanted, set_, file=config, base=base, data=unknown, command=command_line())
    if base is not None:
        from edgewise.runs.starting import check_protocol

        check_protocol(spec, base)
    if data is None:
        raise ConfigError("--data is missing: name a data set folder, see 'edgewise data --help'")
    from dataclasses import replace

    from edgewise.data.dataset import Dataset

    dataset = Dataset.load(data)
    return replace(spec, data=DataInfo.of(dataset, data)), dataset


def _older(folder: Path, out: Path, method: str | None, share: float | None) -> RunSpec:
    """The run to start from, as what a new one of it would be asked for."""
    from dataclasses import replace

    from edgewise.runs.starting import find_start

    same = folder.resolve() == out.resolve()
    check(not same, f"--from {folder}: --out is the same run; name a new folder")
    spec, start = find_start(folder, str(method), 1.0 if share is None else share)
    return replace(spec, started_from=start)


def _started(
    wanted: Wanted,
    out: Path,
    data: Path | None,
    config: Path | None,
    set_: list[str],
    force: bool,
    from_: Path | None,
    share: float | None,
) -> tuple[RunSpec, Dataset]:
    """The run that stands in the folder, unless another method, settings or data are asked for."""
    from edgewise.runs.run import load_run_data, read_info
    from edgewise.runs.spec import resolve_spec

    spec = read_info(out).spec
    if spec.method_name != wanted.method:
        raise ConfigError(
            f"{out} holds a run of {spec.method.label}: go on with "
            f"'edgewise fit {spec.method_name} --out {out} --resume', or fit into another folder"
        )
    changed = spec.changes(resolve_spec(wanted, set_, file=config, base=spec))
    begun = spec.started_from
    if from_ is not None and (begun is None or str(from_) != begun.folder):
        changed.append(f"--from ({begun.folder if begun else 'none'}, now {from_})")
    if share is not None and (begun is None or share != begun.share):
        changed.append(f"--start-share ({begun.share if begun else 'none'}, now {share:g})")
    if changed:
        raise ConfigError(
            f"--resume goes on with the run's own settings, but these differ: "
            f"{', '.join(changed)}. Leave them out, or fit into another folder"
        )
    return spec, load_run_data(spec.data, data)


def _train(
    spec: RunSpec, out: Path, dataset: Dataset, resume: bool, force: bool, quiet: bool
) -> None:
    split = spec.split(dataset)
    from edgewise.evaluation.sufficiency import check_learnable, shortages
    from edgewise.runs.train import train

    check_learnable(split)
    for words in [] if quiet else shortages(split, spec.protocol):
        warn(words)

    rows, users, items = len(dataset.interactions), dataset.num_users, dataset.num_items
    sizes = f"{rows:,} rows of {users:,} users and {items:,} items"
    _say(f"preparing {spec.method.label} for {dataset.name}: {sizes}", quiet)

    def show(plan: FitPlan) -> None:
        if not quiet:
            console().print(plan_table(plan, spec, out))

    def tell(found: Audit) -> None:
        _say(f"audit: {found.headline()}", quiet)

    try:
        run = train(
            spec,
            out,
            dataset=dataset,
            split=split,
            resume=resume,
            force=force,
            show_progress=not quiet,
            on_plan=show,
            on_audit=tell,
        )
    except KeyboardInterrupt:
        _say(f"stopped; go on with: edgewise fit {spec.method_name} --out {out} --resume", quiet)
        raise
    if (learned := run.model.learned_rows()) and not quiet:
        console().print(_rows_table(f"learned: {spec.method.label}", learned))
    minutes = run.info.training_seconds / 60
    _say(f"trained for {minutes:.1f} minutes; next: edgewise evaluate {out}", quiet)


def plan_table(plan: FitPlan, spec: RunSpec, out: Path) -> Any:
    """The data, what the method says of itself, its size, and where all goes."""
    data = spec.data
    cold = f", {spec.cold_share:g} of the items cold" if spec.cold_share else ""
    rows = [
        ("data", f"{data.name} ({data.folder}), {spec.split_kind} split{cold}"),
        ("protocol", spec.protocol.title),
        *plan.rows,
    ]
    if plan.num_parameters:
        rows.append(("parameters", f"{plan.num_parameters:,}"))
    if spec.started_from is not None:
        rows.append(("from", f"{spec.started_from.folder}"))
    rows += [("seed", str(spec.config.seed)), ("writes", str(out))]
    return _rows_table(f"plan: {spec.method.label}", rows)


def _rows_table(title: str, rows: Sequence[tuple[str, str]]) -> Any:
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table


def _say(message: str, quiet: bool) -> None:
    if not quiet:
        say(message)
