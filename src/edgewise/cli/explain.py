"""``edgewise explain``: why a user may like an item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.output import console, examples, list_table
from edgewise.config import check

if TYPE_CHECKING:
    from edgewise.runs.run import Run

EXAMPLES = examples(
    "edgewise explain runs/mine --user u1 --item i14",
    "edgewise explain runs/mine --user u1 --item i14 --format json",
)
_MOST_ITEMS = 5


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
