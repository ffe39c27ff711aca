"""``edgewise client``: questions to a service that runs, as lines or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.output import console, examples, list_table, say

if TYPE_CHECKING:
    from pydantic import BaseModel

    from edgewise.serving.client import Client

app = typer.Typer(
    no_args_is_help=True,
    help="Ask a service that runs: recommend, explain, events, models.",
    epilog=examples(
        "edgewise client recommend --user u1",
        "edgewise client models --url https://shop.example",
        "EDGEWISE_KEY=... edgewise client event --user u1 --item i7 --kind click",
    ),
)
Url = Annotated[str, typer.Option(envvar="EDGEWISE_URL", help="Where the service is.")]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="EDGEWISE_KEY", help="Made by 'edgewise serve-key'; better in the environment."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as the service gave it.")]
User = Annotated[str, typer.Option(help="A user id.")]
Item = Annotated[str, typer.Option(help="An item id.")]
Somebody = Annotated[str | None, typer.Option(help="A user id.", show_default=False)]
History = Annotated[
    list[str] | None,
    typer.Option(help="An item that they have, instead of --user; repeatable, oldest first."),
]
LOCAL = "http://127.0.0.1:8000"


@app.command(
    epilog=examples(
        "edgewise client recommend --user u1 -k 5 --explain",
        "edgewise client recommend --history i7 --history i9 --where brand=Acme",
    )
)
def recommend(
    user: Somebody = None,
    history: History = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Items wanted.")] = 10,
    where: Annotated[
        list[str] | None,
        typer.Option(help="ATTRIBUTE=VALUE that items must have; repeatable."),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="With reasons.")] = False,
    url: Url = LOCAL,
    key: Key = None,
    json: Json = False,
) -> None:
    """Items for somebody."""
    answer = _client(url, key).recommend(
        user, history=history, k=k, filters=_filters(where or ()), explain=explain
    )
    if json:
        return _print_json(answer)
    cold = ", without any history: popular items" if answer.cold_user else ""
    _print_items(f"{answer.model_version} ({answer.source}{cold})", answer.items)


@app.command(epilog=examples("edgewise client rank --user u1 --item i7 --item i9"))
def rank(
    item: Annotated[list[str], typer.Option(help="An item id; repeatable.")],
    user: Somebody = None,
    history: History = None,
    url: Url = LOCAL,
    key: Key = None,
    json: Json = False,
) -> None:
    """Given items, best first for somebody."""
    answer = _client(url, key).rank(item, user, history=history)
    if json:
        return _print_json(answer)
    _print_items(f"{answer.model_version} ({answer.source})", answer.items)


@app.command(epilog=examples("edgewise client explain --user u1 --item i7"))
def explain(
    item: Item,
    user: Somebody = None,
    history: History = None,
    url: Url = LOCAL,
    key: Key = None,
    json: Json = False,
) -> None:
    """Why an item goes with somebody."""
    answer = _client(url, key).explain(item, user, history=history)
    return _print_json(answer) if json else say(answer.text)


@app.command(epilog=examples("edgewise client similar --item i7 -k 5"))
def similar(
    item: Item,
    k: Annotated[int, typer.Option("-k", "--k", help="Items wanted.")] = 10,
    url: Url = LOCAL,
    key: Key = None,
    json: Json = False,
) -> None:
    """Items that are most like one."""
    answer = _client(url, key).similar(item, k)
    if json:
        return _print_json(answer)
    _print_items(f"like {answer.item.title or item} ({answer.model_version})", answer.items)


@app.command(epilog=examples("edgewise client history --user u1"))
def history(user: User, url: Url = LOCAL, key: Key = None, json: Json = False) -> None:
    """What somebody has, oldest first."""
    answer = _client(url, key).history(user)
    if json:
        return _print_json(answer)
    rows = [(str(n), item.item_id, item.title) for n, item in enumerate(answer.items, start=1)]
    console().print(list_table(f"{user} has", rows, ("", "item", "title")))


@app.command(epilog=examples("edgewise client event --user u1 --item i7 --kind click"))
def event(
    user: User,
    item: Item,
    kind: Annotated[str, typer.Option(help="view, click, purchase, like or dismiss.")] = "purchase",
    event_key: Annotated[
        str | None, typer.Option(help="Of the event: sent twice with it, it counts once.")
    ] = None,
    url: Url = LOCAL,
    key: Key = None,
    json: Json = False,
) -> None:
    """Tell what somebody did."""
    answer = _client(url, key).add_event(user, item, kind, key=event_key)  # type: ignore[arg-type]
    return _print_json(answer) if json else say("written" if answer.accepted else "was known")


@app.command(epilog=examples("edgewise client forget --user u1"))
def forget(user: User, url: Url = LOCAL, key: Key = None, json: Json = False) -> None:
    """Forget a person for good."""
    answer = _client(url, key).forget(user)
    if json:
        return _print_json(answer)
    say(f"forgot {user}: {answer.events:,} events and {answer.lists:,} lists are deleted")


@app.command(epilog=examples("edgewise client models --url http://127.0.0.1:8000"))
def models(url: Url = LOCAL, key: Key = None, json: Json = False) -> None:
    """The versions that the service knows."""
    _print_models(_client(url, key).models(), json)


@app.command(epilog=examples("edgewise client activate ease-0123456789ab"))
def activate(
    version: Annotated[str, typer.Argument(help="As 'edgewise client models' lists it.")],
    url: Url = LOCAL,
    key: Key = None,
    json: Json = False,
) -> None:
    """Let another version answer, in all workers at one moment."""
    _print_models(_client(url, key).activate(version), json)


def _client(url: str, key: str | None) -> Client:
    from edgewise.serving.client import Client

    return Client(url, key)


def _filters(pairs: Iterable[str]) -> dict[str, list[str]] | None:
    from edgewise.config import check

    found: dict[str, list[str]] = {}
    for pair in pairs:
        name, mark, value = pair.partition("=")
        check(bool(name and mark and value), f"--where {pair}: write ATTRIBUTE=VALUE")
        found.setdefault(name, []).append(value)
    return found or None


def _print_json(answer: BaseModel) -> None:
    say(answer.model_dump_json(indent=2))


def _print_items(title: str, items: Iterable[Any]) -> None:
    rows = [
        (
            *(str(item.rank), item.item_id, item.title, f"{item.score:.4g}"),
            "; ".join(reason.text for reason in item.reasons),
        )
        for item in items
    ]
    columns = ("rank", "item", "title", "score", "why")
    shown = columns if any(row[-1] for row in rows) else columns[:-1]
    console().print(list_table(title, [row[: len(shown)] for row in rows], shown))


def _print_models(answer: Any, json: bool) -> None:
    if json:
        return _print_json(answer)
    rows = [("", each.version, each.state, each.method, each.data) for each in answer.models]
    console().print(list_table("models", rows, ("", "version", "state", "method", "data")))
