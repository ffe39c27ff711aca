"""``edgewise recommend`` and ``edgewise explain``: answers of a run for people of its data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.ids import (
    AllowOption,
    ExcludeOption,
    FilterOption,
    IdFinder,
    IncludeSeenOption,
    Typed,
    WeightsOption,
    checked_filters,
    for_everybody,
    given_ids,
    read_ids,
)
from edgewise.cli.output import (
    ListsAbout,
    choose_format,
    console,
    examples,
    list_table,
    open_sink,
    progress_bar,
    say,
    warn,
    warn_of,
)
from edgewise.config import check, nearest
from edgewise.display import json_text
from edgewise.errors import ConfigError

if TYPE_CHECKING:
    from edgewise.recommender import Task
    from edgewise.runs.explain import ScoreReason
    from edgewise.runs.predict import Answer, Predictor, RawCandidates
    from edgewise.runs.run import Run, RunData

_MOST_ITEMS = 5
_NAMED = 3


def recommend(
    run: Annotated[Path, typer.Argument(help="A run folder, made by 'edgewise fit'.")],
    more_users: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    users: Annotated[
        list[str] | None, typer.Option("--users", "--user", help="User ids, after RUN: U U or U,U.")
    ] = None,
    users_file: Annotated[
        Path | None,
        typer.Option(help="A file of user ids: one a line, a table with a column of them, JSON."),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every user of the data set.")] = False,
    history: Annotated[
        list[str] | None,
        typer.Option(
            help="Items, oldest first, of somebody who is not in the data: I,I,... or a file. "
            "A comma within an id is typed \\,"
        ),
    ] = None,
    similar_to: Annotated[
        list[str] | None,
        typer.Option(metavar="ITEMS|FILE", help="List what is most like these items instead."),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Items a user, at most the catalogue.")] = 10,
    task: Annotated[
        str | None,
        typer.Option(
            help="sequential ranks the whole catalogue without what the user has, and is taken "
            "where no candidates are given; direct ranks the given candidates."
        ),
    ] = None,
    candidates: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ITEMS|FILE",
            help="Items to rank, whether seen or not: I,I,... or a file of item ids, of "
            "user_id,item_id, or JSON. Their order is of no matter.",
        ),
    ] = None,
    exclude: ExcludeOption = None,
    allow: AllowOption = None,
    filter_: FilterOption = None,
    include_seen: IncludeSeenOption = False,
    why: Annotated[
        bool,
        typer.Option(
            "--why", help="Tell the strongest reason of each item; see 'edgewise explain --why'."
        ),
    ] = False,
    form: Annotated[
        str | None, typer.Option("--format", help="table, json, csv or parquet.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write into this file.")] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave unknown ids out with a warning.")
    ] = False,
    weights: WeightsOption = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the data set stands, if it has moved.")
    ] = None,
) -> None:
    """Recommend items from everything the data set tells of the users.

    With --similar-to, list items that are like others.
    """
    check(k >= 1, f"-k {k}: ask for at least one item")
    form = choose_format(form, out)
    typed_users = [*(users or []), *(more_users or [])]
    _check_one_question(
        {
            "--users": users,
            "--users-file": users_file,
            "--all": all_,
            "--history": history,
            "--similar-to": similar_to,
        }
    )
    if more_users and not users:
        raise ConfigError(f"unexpected {' '.join(more_users)!r} after the run folder")
    _check_task(task, candidates)
    for_items = {"--task": task, "--candidates": candidates, "--include-seen": include_seen}
    useless = next((name for name, value in for_items.items() if similar_to and value), None)
    check(useless is None, f"{useless} says nothing of similar items: leave it out")
    check(
        not why or not (history or similar_to),
        "--why tells of users of the data set: leave it out, or name some with --users",
    )
    listed_users = None if users_file is None else read_ids(users_file, "user")
    from edgewise.runs.predict import Predictor
    from edgewise.runs.run import open_data

    found = open_data(run, data)
    ids = _Ids.of(found, skip_unknown, data)
    most = _capped(k, len(found.dataset.items))
    choices = ids.candidates(candidates)
    limits: dict[str, Any] = {
        "allow": ids.some_items("--allow", allow) if allow else None,
        "deny": ids.items("--exclude", exclude),
        "filters": checked_filters(filter_, found.dataset.catalog),
    }
    asked = ids.some_items("--similar-to", similar_to) if similar_to else []
    newcomer = ids.some_items("--history", history, once=False) if history else []
    named: Sequence[str] = []
    if not similar_to and not history:
        typed = listed_users or given_ids("--users", typed_users, ids.user_finder)
        named = ids.users(typed, choices, all_)
    # Whatever is wrong is told by now: the model takes longer to load than all the rest.
    opened = found.open_run(weights)
    warn_of(opened.notes)
    predictor = Predictor(
        opened,
        most,
        candidates=choices,
        exclude_seen=not include_seen,
        why=why and _has_reasons(opened),
        **limits,
    )
    if similar_to:
        answers = predictor.similar(asked)
        about = ListsAbout(opened.model.similarity_unit, key="similar_to")
    else:
        predictor = predictor.asked_as(_task(opened, task, candidates))
        answers = predictor.newcomer(newcomer) if history else predictor.users(named)
        about = _about(predictor)
    _write(answers, form, out, about, predictor, show=all_)


def explain(
    run: Annotated[Path, typer.Argument(help="A run folder, made by 'edgewise fit'.")],
    user: Annotated[str, typer.Option(help="A user id.")],
    item: Annotated[str, typer.Option(help="An item id.")],
    why: Annotated[
        bool,
        typer.Option(
            "--why",
            help="Tell which priors, and how much of the language model, make up the item's score.",
        ),
    ] = False,
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    data: Annotated[
        Path | None, typer.Option(help="Where the data set stands, if it has moved.")
    ] = None,
) -> None:
    """Write why a user may like an item, and show which items of the history speak for it.

    Where the run's texts are no better than the most frequent text, or it writes none, the reason
    comes from the train graph. The shares, too: how much of what reaches the user from the item in
    three steps (item, another user, an item of the history, the user) passes through each item.

    With --why, runs that mix item priors with the language model tell the share of each in the
    item's score, from everything the data set tells of the user.
    """
    check(form in ("table", "json"), f"--format {form}: choose table or json")
    from edgewise.runs.run import open_data

    opened_data = open_data(run, data)
    ids = _Ids.of(opened_data, data=data, newcomers=False)
    user, item = ids.user_finder.one("--user", user), ids.item_finder.one("--item", item)
    from edgewise.runs.explain import explain_pair, score_reason

    opened = opened_data.open_run()
    warn_of(opened.notes)
    if why:
        reason = score_reason(opened, user, item)
        if reason.parts:
            _tell_why(reason, form)
            return
        warn(f"{reason.note}; the graph's reason follows")
    with progress_bar("measuring explanations") as told:
        found = explain_pair(opened, user, item, told)
    if found.warning:
        warn(found.warning)
    if form == "json":
        say(json_text(found.to_dict(), indent=2, allow_nan=False))
        return
    say("\n".join(found.lines()))
    rows = [
        (f"{each.share:.0%}", f"{each.shared_users:,}", each.title, each.item_id)
        for each in found.items[:_MOST_ITEMS]
    ]
    if rows:
        heading = f"what speaks for it in the history of {user}"
        console().print(list_table(heading, rows, ("share", "bought both", "title", "item")))


def _tell_why(reason: ScoreReason, form: str) -> None:
    if form == "json":
        say(json_text(reason.to_dict(), indent=2, allow_nan=False))
        return
    say(reason.text())
    rows = [(f"{100 * each.share:.0f} %", each.name, each.reason) for each in reason.parts]
    heading = f"what makes up its score for {reason.user_id}"
    console().print(list_table(heading, rows, ("share", "part", "why")))


COMMANDS = (
    (
        recommend,
        examples(
            "edgewise recommend runs/mine --users u1 u2 -k 5",
            "edgewise recommend runs/mine --users u1 --why",
            "edgewise recommend runs/mine --history i3,i14",
            "edgewise recommend runs/mine --all --out lists.parquet",
            "edgewise recommend runs/mine --users u1 --task direct --candidates on-sale.txt",
            "edgewise recommend runs/mine --users u1,u2 --exclude sold-out.csv --include-seen",
            "edgewise recommend runs/mine --users u1 --filter brand=Dove",
            "edgewise recommend runs/mine --similar-to i14",
        ),
        {"--allow-seen": "--include-seen", "--item": "--similar-to", "--deny": "--exclude"},
    ),
    (
        explain,
        examples(
            "edgewise explain runs/mine --user u1 --item i14",
            "edgewise explain runs/mine --user u1 --item i14 --why",
            "edgewise explain runs/mine --user u1 --item i14 --format json",
        ),
        {},
    ),
)


@dataclass(frozen=True)
class _Ids:
    """The ids of a run's data set that are meant by options and files."""

    user_finder: IdFinder
    item_finder: IdFinder

    @classmethod
    def of(
        cls,
        run: RunData,
        skip_unknown: bool = False,
        data: Path | None = None,
        newcomers: bool = True,
    ) -> _Ids:
        """With what a message about an unknown id says: which ids there are, and what to do."""
        folder = data or run.place
        users = f"'edgewise data users {folder}' lists all."
        items = f"'edgewise data items {folder} --search WORD' finds items by their titles."
        if newcomers:
            skip = "Leave it out, or add --skip-unknown"
            users += (
                " For somebody who is not in the data, name what they have: --history ITEM,ITEM."
            )
            users, items = f"{users} {skip}", f"{items} {skip}"
        return cls(
            IdFinder(run.dataset.users, skip_unknown, users),
            IdFinder(run.dataset.items, skip_unknown, items),
        )

    def items(self, option: str, values: Sequence[str] | None) -> list[str] | None:
        """The items of an option for everybody; None where it is not given."""
        if not values:
            return None
        return self.item_finder.known(
            for_everybody(option, given_ids(option, values, self.item_finder))
        )

    def some_items(self, option: str, values: Sequence[str], *, once: bool = True) -> list[str]:
        """The same, of an option that asks about at least one; a history may have one twice."""
        given = for_everybody(option, given_ids(option, values, self.item_finder))
        found = self.item_finder.known(given, once=once)
        check(bool(found), f"{option} {','.join(values)}: no known item in it")
        return found

    def candidates(self, values: Sequence[str] | None) -> RawCandidates | None:
        """Items to rank, for everybody or by user; None where they are not given."""
        if not values:
            return None
        given = given_ids("--candidates", values, self.item_finder)
        check(bool(given), "--candidates: no item ids in it")
        if not any(typed.user for typed in given):
            return self.item_finder.known(given)
        bare = next((typed for typed in given if not typed.user), None)
        if bare is not None:
            raise ConfigError(f"{bare.place}: give every candidate a user, or none of them")
        lists: dict[str, list[Typed]] = {}
        for typed in given:
            user = self.user_finder.find(typed.user) or typed.user
            lists.setdefault(user, []).append(typed)
        return {user: self.item_finder.known(row) for user, row in lists.items()}

    def users(
        self, typed: Sequence[Typed], candidates: RawCandidates | None, everybody: bool
    ) -> Sequence[str]:
        """The users that were named, or all."""
        if not everybody:
            found = self.user_finder.known(typed)
            check(bool(found), f"{typed[0].place if typed else '--users'}: no known user in it")
            return found
        if not isinstance(candidates, dict):
            return self.user_finder.vocabulary.ids
        return self.user_finder.known(Typed(u, "--candidates") for u in candidates)


def _check_one_question(options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value]
    check(
        len(given) == 1,
        f"say for whom with one of {', '.join(options)}; got {' and '.join(given) or 'none'}",
    )


def _has_reasons(run: Run) -> bool:
    """Whether scores have parts; warns where they have none."""
    from edgewise.runs.explain import without_parts

    if found := bool(run.model.learned_rows()):
        return found
    warn(f"--why: {without_parts(run)}")
    return False


def _capped(k: int, num_items: int) -> int:
    if k > num_items:
        warn(f"-k {k}: the catalogue has {num_items:,} items; lists hold at most {num_items}")
    return min(k, num_items)


def _check_task(asked: str | None, candidates: Sequence[str] | None) -> None:
    known = ("sequential", "direct")
    if asked is not None:
        check(asked in known, f"--task {asked}: no such task.{nearest(asked, known)}")
        lacking = asked == "direct" and not candidates
        check(not lacking, "--task direct ranks given items: name them with --candidates FILE")


def _task(run: Run, asked: str | None, candidates: Sequence[str] | None) -> Task:
    """The task asked for, or the one that the model and the candidates allow."""
    known: dict[str, Task] = {"sequential": "sequential", "direct": "direct"}
    if asked is None:
        first, second = ("direct", "sequential") if candidates else ("sequential", "direct")
        asked = first if first in run.model.tasks else second
        check(
            asked != "direct" or bool(candidates),
            f"{run.folder} was trained for the task direct only, which ranks given items: name "
            "them with --candidates FILE",
        )
    run.require(asked)
    return known[asked]


def _about(predictor: Predictor) -> ListsAbout:
    """Which task answers, and why."""
    task, num_items = predictor.task, len(predictor.run.dataset.items)
    if predictor.candidates is not None:
        what = f"task {task}: ranks the given candidates, whether seen or not"
    else:
        without = "" if not predictor.exclude_seen else ", without what a user has"
        what = f"task {task}: ranks the whole catalogue ({num_items:,} items){without}"
        if "direct" in predictor.run.model.tasks:
            what += "; the task direct ranks given items: --candidates"
    return ListsAbout(predictor.run.model.SCORE_UNIT, task, what)


def _write(
    answers: Iterator[Answer],
    form: str,
    out: Path | None,
    about: ListsAbout,
    predictor: Predictor,
    *,
    show: bool,
) -> None:
    """Hand the lists on as they come; lists that are short are told at the end."""
    short: list[tuple[str, int]] = []
    cold = 0
    with open_sink(form, out, about) as add, progress_bar("users", show=show) as told:
        for answer in answers:
            add(answer.users, answer.lists)
            told(answer.done, answer.total)
            lengths = dict(answer.lists.group_by(about.key).len().iter_rows())
            counts = ((user, lengths.get(user, 0)) for user in answer.users)
            short += [(user, count) for user, count in counts if count < predictor.wanted(user)]
            if "cold" in answer.lists.columns:
                marked = answer.lists.filter("cold")
                cold += marked[about.key].n_unique()
    if short:
        warn(_shortness(short, about, predictor))
    if cold:
        warn(f"{cold:,} users without a history got popular items; their score is a count of rows")
    if out is not None:
        say(f"wrote {out}")


def _shortness(short: list[tuple[str, int]], about: ListsAbout, predictor: Predictor) -> str:
    names = ", ".join(f"{user} ({count})" for user, count in short[:_NAMED])
    more = f" and {len(short) - _NAMED:,} more" if len(short) > _NAMED else ""
    limits = [
        name
        for name, given in (
            ("--allow", predictor.allow),
            ("--exclude", predictor.deny),
            ("--filter", predictor.filters),
        )
        if given
    ]
    limited = f"; {' and '.join(limits)} shortened them, too" if limits else ""
    if about.key == "similar_to":
        why = "nothing else of the train rows is like them; items without train rows are like none"
    elif predictor.candidates is not None:
        why = "no other candidate is left"
    elif predictor.exclude_seen:
        why = "what they have is left out; --include-seen lists it, too"
    else:
        why = "no other item is left"
    return f"lists shorter than {predictor.k}: {names}{more}: {why}{limited}"
