"""``edgewise batch``: lists for everybody, worked out in advance."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.ids import (
    AllowOption,
    ExcludeOption,
    FilterOption,
    IdFinder,
    IncludeSeenOption,
    WeightsOption,
    checked_filters,
    each_id,
    for_everybody,
    given_ids,
)
from edgewise.cli.output import at_most, examples, progress_bar, say, warn
from edgewise.config import check, nearest
from edgewise.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from edgewise.runs.run import RunData

_AT_ONCE = 100_000
_ENGINES = ("local", "ray")
_SHOWN = 10


def batch(
    run: Annotated[Path, typer.Argument(help="A run folder, made by 'edgewise fit'.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of shards to write.")],
    users: Annotated[
        str, typer.Option(metavar="all|FILE", help="Everybody, or a file of user ids.")
    ] = "all",
    k: Annotated[int, typer.Option("-k", "--k", help="Items a user, at most the catalogue.")] = 100,
    engine: Annotated[
        str, typer.Option(help="local, or ray (the extra ray) for many machines.")
    ] = "local",
    workers: Annotated[
        int, typer.Option(help="Processes that rank; each holds the run in memory.")
    ] = 1,
    users_per_shard: Annotated[int, typer.Option(help="Of every file but the last.")] = 10_000,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The store of a service: its events count, and it gets the lists.",
        ),
    ] = None,
    filter_: FilterOption = None,
    allow: AllowOption = None,
    exclude: ExcludeOption = None,
    include_seen: IncludeSeenOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a batch that is there, finished or not.")
    ] = False,
    check_: Annotated[
        bool,
        typer.Option("--check", help="Write nothing: check the files, and whether RUN is theirs."),
    ] = False,
    weights: WeightsOption = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave unknown ids out with a warning.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Where the data set stands, if it has moved.")
    ] = None,
) -> None:
    """Write the best items of many users as Parquet files, for mails and to warm a cache.

    Run the same command again after an interruption: it checks what is there and goes on.
    """
    if check_:
        _check(run, out)
        return
    check(k >= 1, f"-k {k}: ask for at least one item")
    check(engine in _ENGINES, f"--engine {engine}: no such engine.{nearest(engine, _ENGINES)}")
    check(workers >= 1, f"--workers {workers}: one or more are needed")
    check(users_per_shard >= 1, f"--users-per-shard {users_per_shard}: one or more are needed")
    from edgewise.runs.run import open_data

    found = open_data(run, data)
    items = IdFinder(found.dataset.items, skip_unknown, "Leave it out, or add --skip-unknown")
    allowed, denied = (
        None if not given else items.known(for_everybody(option, given_ids(option, given, items)))
        for option, given in (("--allow", allow), ("--exclude", exclude))
    )
    filters = checked_filters(filter_, found.dataset.catalog)
    asked = None if users == "all" else _users_of(found, Path(users), skip_unknown)
    from edgewise.serving.batch import write_batch

    with progress_bar("users") as told:
        written = write_batch(
            found.open_run(weights),
            out,
            asked,
            k=at_most("-k", k, found.dataset.num_items),
            exclude_seen=not include_seen,
            allow=allowed,
            deny=denied,
            filters=filters,
            users_per_shard=users_per_shard,
            engine="ray" if engine == "ray" else "local",
            workers=workers,
            cache=cache,
            force=force,
            data=data,
            on_progress=told,
        )
    counts = written.counts
    if counts["short_lists"]:
        warn(f"{counts['short_lists']:,} lists are shorter than {k}: no other item may be listed")
    if counts["cold_users"]:
        warn(f"{counts['cold_users']:,} users without a history got popular items")
    kept = f", {written.kept} of them from before" if written.kept else ""
    say(
        f"wrote {out}: {counts['users']:,} users, {counts['rows']:,} rows in "
        f"{counts['shards']} shards{kept}; model {written.about['model']['version']}"
    )


def _users_of(run: RunData, path: Path, skip_unknown: bool) -> np.ndarray:
    """The users of a file by index, each once, in the order of the file."""
    import numpy as np

    check(path.is_file(), f"--users {path}: no such file; give 'all', or a file of user ids")
    hint = f"'edgewise data users {run.place}' lists all. Leave it out, or add "
    finder = IdFinder(run.dataset.users, skip_unknown, f"{hint}--skip-unknown")
    known = np.zeros(run.dataset.num_users, dtype=bool)
    parts: list[np.ndarray] = []
    repeated, rest = 0, each_id(path, "user")
    while given := list(islice(rest, _AT_ONCE)):
        found = run.dataset.users.indices_of(finder.known(given, once=False))
        first = np.sort(np.unique(found, return_index=True)[1])
        new = found[first][~known[found[first]]]
        repeated += len(found) - len(new)
        known[new] = True
        parts.append(new)
    check(bool(known.any()), f"{path}: no known user in it")
    if repeated:
        warn(f"{path}: {repeated:,} ids were there more than once; each user gets one list")
    return np.concatenate(parts)


def _check(run: Path, out: Path) -> None:
    from edgewise.serving.batch import read_batch
    from edgewise.serving.version import model_version

    found, version = read_batch(out), model_version(run)
    faults = found.faults()
    if found.about["model"]["version"] != version:
        theirs = found.about["model"]["version"]
        faults.insert(0, f"the lists are of the model {theirs}, and {run} is {version}")
    if not found.finished:
        faults.insert(0, f"{len(found.shards)} of {found.num_shards} shards are written")
    if faults:
        more = f" and {len(faults) - _SHOWN:,} more" if len(faults) > _SHOWN else ""
        raise DataError(
            f"{out}: {'; '.join(faults[:_SHOWN])}{more}. Run the same 'edgewise batch' again to go "
            "on or to repair it, or replace it with --force"
        )
    counts = found.counts
    say(
        f"{out}: {counts['users']:,} users, {counts['rows']:,} rows in {counts['shards']} shards, "
        f"all as they were written by {version}"
    )


COMMANDS = (
    (
        batch,
        examples(
            "edgewise batch runs/mine --out lists",
            "edgewise batch runs/mine --users mail.csv -k 20 --out lists --exclude sold-out.csv",
            "edgewise batch runs/mine --out lists --engine ray --workers 8",
            "edgewise batch runs/mine --out lists --cache sqlite:///store.db",
            "edgewise batch runs/mine --out lists --check",
        ),
        {},
    ),
)
