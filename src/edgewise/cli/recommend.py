"""``edgewise recommend`` and ``edgewise explain``: answers of a run for people of its data set."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.output import (
    choose_format,
    console,
    examples,
    list_table,
    open_sink,
    progress_bar,
    warn,
)
from edgewise.config import check, nearest
from edgewise.errors import ConfigError, UnknownIdError

if TYPE_CHECKING:
    from edgewise.data.dataset import Vocabulary
    from edgewise.recommender import Task
    from edgewise.runs.predict import RawCandidates
    from edgewise.runs.run import Run

_COLUMNS = ["user_id", "item_id"]
_SKIPPABLE = " Leave it out, or add --skip-unknown"
_MOST_ITEMS = 5


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
    _check_task(task, raw)
    from edgewise.runs.predict import Predictor
    from edgewise.runs.run import open_run

    opened = open_run(run, data)
    dataset = opened.dataset
    known = _known_candidates(raw, dataset.items, skip_unknown)
    predictor = Predictor(opened, k, _task(opened, task, raw), known)
    if history is not None:
        typed = [name.strip() for name in history.split(",") if name.strip()]
        items = known_ids(dataset.items, typed, skip_unknown)
        check(bool(items), f"--history {history}: no known item in it")
        answers = predictor.newcomer(items)
    else:
        everybody = list(known) if isinstance(known, dict) else list(dataset.users.ids)
        asked = everybody if ids is None else list(dict.fromkeys(ids))
        answers = predictor.users(known_ids(dataset.users, asked, skip_unknown))
    with open_sink(form, out) as add, progress_bar("users", show=all_) as told:
        for answer in answers:
            add(answer.users, answer.lists)
            told(answer.done, answer.total)
    if out is not None:
        typer.echo(f"wrote {out}")


def explain(
    run: Annotated[Path, typer.Argument(help="A run folder, made by 'edgewise fit'.")],
    user: Annotated[str, typer.Option(help="A user id.")],
    item: Annotated[str, typer.Option(help="An item id.")],
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    data: Annotated[
        Path | None, typer.Option(help="Where the data set stands, if it has moved.")
    ] = None,
) -> None:
    """Write why a user may like an item, and show which items of the history speak for it.

    The shares come from the graph: how much of what reaches the user from the item in three steps
    (item, another user, an item of the history, the user) passes through each item.
    """
    check(form in ("table", "json"), f"--format {form}: choose table or json")
    from edgewise.runs.run import open_run

    found = explanation(open_run(run, data), user, item)
    if form == "json":
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{found['title']}: {found['text'] or '(this run was not trained to explain)'}")
    if not found["items"]:
        typer.echo("no other customer connects an item of the history with it")
        return
    rows = [(f"{row['share']:.0%}", row["title"], row["item_id"]) for row in found["items"]]
    heading = f"what speaks for it in the history of {user}"
    console().print(list_table(heading, rows[:_MOST_ITEMS], ("share", "title", "item")))


COMMANDS = (
    (
        recommend,
        examples(
            "edgewise recommend runs/mine --users u1 u2 -k 5",
            "edgewise recommend runs/mine --history i3,i14",
            "edgewise recommend runs/mine --all --out lists.parquet",
            "edgewise recommend runs/mine --users u1 --task direct --candidates on-sale.txt",
        ),
        {},
    ),
    (
        explain,
        examples(
            "edgewise explain runs/mine --user u1 --item i14",
            "edgewise explain runs/mine --user u1 --item i14 --format json",
        ),
        {},
    ),
)


def explanation(run: Run, user: str, item: str) -> dict[str, Any]:
    """The text (None where the run writes none) and the items that speak, strongest first."""
    from edgewise.graph.bipartite import BipartiteGraph
    from edgewise.graph.influence import speaking_items

    dataset = run.dataset
    user_index, item_index = dataset.users.index_of(user), dataset.items.index_of(item)
    trained = "explanation" in run.model.tasks
    text = run.model.explain([(user_index, item_index)])[0] if trained else None
    graph = BipartiteGraph.from_interactions(run.split.train, dataset.num_users, dataset.num_items)
    speaking, shares = speaking_items(graph, user_index, item_index)
    items = [
        {"item_id": dataset.items.ids[i], "title": dataset.item_label(i), "share": float(share)}
        for i, share in zip(speaking.tolist(), shares, strict=True)
    ]
    title = dataset.item_label(item_index)
    return {"user_id": user, "item_id": item, "title": title, "text": text, "items": items}


def known_ids(vocabulary: Vocabulary, raw_ids: Iterable[str], skip_unknown: bool) -> list[str]:
    """The ids that the data set has.

    Args:
        vocabulary: of the data set.
        raw_ids: as they stand in the user's file.
        skip_unknown: leave unknown ids out with a warning.

    Raises:
        UnknownIdError: an id is unknown; the nearest ones are named.
    """
    found: list[str] = []
    for raw_id in raw_ids:
        try:
            vocabulary.index_of(raw_id)
        except UnknownIdError as error:
            if not skip_unknown:
                raise UnknownIdError(f"{error}{_SKIPPABLE}") from None
            warn(f"skipped: {error}")
        else:
            found.append(raw_id)
    return found


def read_lines(path: Path) -> list[str]:
    """One id a line; empty lines do not count."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason})") from None
    return [line.strip() for line in lines if line.strip()]


def read_candidates(path: Path) -> RawCandidates:
    """Candidate items: one list for everybody, or one a user.

    Understands lines of item ids, a csv with the columns ``user_id,item_id``, and JSON: a list of
    item ids, or an object from user ids to such lists.

    Raises:
        ConfigError: the file is none of these.
    """
    lines = read_lines(path)
    if not lines:
        raise ConfigError(f"{path}: no candidates in this file")
    if path.suffix == ".json":
        return _from_json(path)
    header = next(csv.reader(lines[:1]))
    if len(header) == 1:
        return lines[1:] if header == ["item_id"] else lines
    if sorted(header) != sorted(_COLUMNS):
        raise ConfigError(
            f"{path}: the first line is {lines[0]!r}; a table of candidates starts with "
            f"{','.join(_COLUMNS)}"
        )
    return _from_table(path, lines)


def _from_table(path: Path, lines: list[str]) -> RawCandidates:
    lists: dict[str, list[str]] = {}
    for number, row in enumerate(csv.DictReader(lines), start=2):
        user, item = row["user_id"], row["item_id"]
        if not user or not item or None in row:
            raise ConfigError(f"{path}:{number}: a user and an item are wanted, nothing else")
        lists.setdefault(user, []).append(item)
    return lists


def _from_json(path: Path) -> RawCandidates:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON ({error})") from None
    lists = values.values() if isinstance(values, dict) else [values]
    if not all(isinstance(row, list) and all(isinstance(i, str) for i in row) for row in lists):
        raise ConfigError(
            f"{path}: a list of item ids as strings is wanted, or an object from user ids to lists"
        )
    return values


def _known_candidates(
    raw: RawCandidates | None, items: Vocabulary, skip_unknown: bool
) -> RawCandidates | None:
    """Each list once, without unknown items where they may be skipped."""
    if raw is None:
        return None
    if isinstance(raw, dict):
        return {
            user: known_ids(items, dict.fromkeys(row), skip_unknown) for user, row in raw.items()
        }
    return known_ids(items, dict.fromkeys(raw), skip_unknown)


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


def _check_task(asked: str | None, candidates: RawCandidates | None) -> None:
    known = ("sequential", "direct")
    if asked is not None:
        check(asked in known, f"--task {asked}: no such task.{nearest(asked, known)}")
        lacking = asked == "direct" and candidates is None
        check(not lacking, "--task direct ranks given items: name them with --candidates FILE")


def _task(run: Run, asked: str | None, candidates: RawCandidates | None) -> Task:
    """The task asked for, or the one that the model and the candidates allow."""
    known: dict[str, Task] = {"sequential": "sequential", "direct": "direct"}
    if asked is None:
        first, second = ("sequential", "direct") if candidates is None else ("direct", "sequential")
        asked = first if first in run.model.tasks else second
    run.require(asked)
    return known[asked]
