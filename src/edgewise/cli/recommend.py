"""``edgewise recommend``: ranked items for users of the data set, or for somebody new."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.ids import RawCandidates, read_candidates, read_lines
from edgewise.cli.output import choose_format, examples, open_sink, progress_bar
from edgewise.config import check, nearest
from edgewise.errors import ConfigError

if TYPE_CHECKING:
    from edgewise.recommender import Task
    from edgewise.runs.run import Run

EXAMPLES = examples(
    "edgewise recommend runs/mine --users u1 u2 -k 5",
    "edgewise recommend runs/mine --history i3,i14",
    "edgewise recommend runs/mine --all --out lists.parquet",
    "edgewise recommend runs/mine --users u1 --task direct --candidates on-sale.txt",
)


def recommend(
    run: Annotated[Path, typer.Argument(help="A run folder, made by 'edgewise fit'.")],
    more_users: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    users: Annotated[
        list[str] | None, typer.Option("--users", "--user", help="User ids, after RUN.")
    ] = None,
    users_file: Annotated[Path | None, typer.Option(help="A file with a user id a line.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every user of the data set.")] = False,
    history: Annotated[
        str | None,
        typer.Option(help="Items, oldest first, of somebody who is not in the data: I,I,..."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Items a user.")] = 10,
    task: Annotated[
        str | None,
        typer.Option(
            help="sequential ranks the whole catalogue without what the user has; direct ranks "
            "the given candidates."
        ),
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(
            help="Items to rank: an id a line, a csv of user_id,item_id, or JSON; ranked as given."
        ),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="table, json, csv or parquet.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write into this file.")] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave unknown ids out with a warning.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Where the data set stands, if it has moved.")
    ] = None,
) -> None:
    """Recommend items from everything the data set tells of the users."""
    check(k >= 1, f"-k {k}: ask for at least one item")
    form = choose_format(form, out)
    ids = _asked_users(users, more_users, users_file, all_, history)
    raw = None if candidates is None else read_candidates(candidates)
    from edgewise.cli.asking import Asking
    from edgewise.runs.run import open_run

    opened = open_run(run, data)
    asking = Asking(opened, k, _task(opened, task, raw), raw, skip_unknown)
    answers = asking.newcomer(history) if history else asking.users(ids)
    with open_sink(form, out) as add, progress_bar("users", show=all_) as told:
        for answer in answers:
            add(answer.names, answer.lists)
            told(answer.done, answer.total)
    if out is not None:
        typer.echo(f"wrote {out}")


def _asked_users(
    users: list[str] | None,
    more_users: list[str] | None,
    users_file: Path | None,
    everybody: bool,
    history: str | None,
) -> list[str] | None:
    """The users that were named; None for all of them, or for somebody new."""
    options = {
        "--users": users,
        "--users-file": users_file,
        "--all": everybody,
        "--history": history,
    }
    given = [name for name, value in options.items() if value]
    check(len(given) == 1, f"say for whom with one of {', '.join(options)}; got {given or 'none'}")
    if more_users and not users:
        raise ConfigError(f"unexpected {' '.join(more_users)!r} after the run folder")
    if users_file is not None:
        return read_lines(users_file)
    return [*(users or []), *(more_users or [])] or None


def _task(run: Run, asked: str | None, candidates: RawCandidates | None) -> Task:
    """The task asked for, or the one that the model and the candidates allow."""
    known: dict[str, Task] = {"sequential": "sequential", "direct": "direct"}
    if asked is None:
        first, second = ("sequential", "direct") if candidates is None else ("direct", "sequential")
        chosen = first if first in run.model.tasks else second
        run.require(chosen)
        return known[chosen]
    check(asked in known, f"--task {asked}: no such task.{nearest(asked, known)}")
    lacking = asked == "direct" and candidates is None
    check(not lacking, "--task direct ranks given items: name them with --candidates FILE")
    run.require(asked)
    return known[asked]
