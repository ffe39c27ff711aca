"""What the ``edgewise data`` commands print.

``edgewise data``: import a source, look at a data set, make the demo shop.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from edgewise.cli.output import command_of, examples
from edgewise.data.dataset import Dataset, check_target
from edgewise.data.describe import DatasetInfo, describe, plot
from edgewise.data.filters import Filters
from edgewise.data.importing import ImportOptions, import_dataset
from edgewise.errors import ConfigError


def import_table(dataset: Dataset) -> Table:
    """What was read, left out and kept."""
    source = dataset.source
    table = Table("step", "rows", "users", "items", title=f"{dataset.name} ({source['format']})")
    table.add_row("read", f"{source['rows_read']:,}", "", "")
    for kind, count in source["bad_rows"].items():  # pyright: ignore[reportAttributeAccessIssue]
        table.add_row(f"left out: {kind}", f"{count:,}", "", "")
    for step in source["filters"]:  # pyright: ignore[reportGeneralTypeIssues]
        sizes = (f"{step['after'][key]:,}" for key in ("rows", "users", "items"))
        table.add_row(f"{step['name']} {step['setting']}", *sizes)
    kept = (len(dataset.interactions), dataset.num_users, dataset.num_items)
    table.add_row("kept", *(f"{count:,}" for count in kept))
    return table


def info_table(found: DatasetInfo) -> Table:
    """The figures of a data set, one a line."""
    table = Table("figure", "value", title=found.name)
    lengths = ", ".join(f"{key} {value:g}" for key, value in found.history_lengths.items())
    ties = "no times" if found.same_day_ties is None else f"{found.same_day_ties:.1%}"
    lines = {
        "interactions": f"{found.interactions:,}",
        "users": f"{found.users:,}",
        "items": f"{found.items:,}",
        "density": f"{found.density:.4%}",
        "history length": lengths,
        "same-day ties": ties,
        "duplicate rows": f"{found.duplicates:,}",
        "cold items (fewer than 5 rows)": f"{found.cold_items:,}",
        "items never in leave-one-out train": f"{found.items_never_in_train:,}",
        "rows on the top 1 % of items": f"{found.top_1_percent:.1%}",
        "rows on the top 10 % of items": f"{found.top_10_percent:.1%}",
        "items with a title": f"{found.titled_items:,}",
        "columns": ", ".join(_columns(found)),
    }
    for figure, value in lines.items():
        table.add_row(figure, value)
    return table


def _columns(found: DatasetInfo) -> list[str]:
    has = {"time": found.has_times, "rating": found.has_ratings, "review": found.has_reviews}
    return ["user", "item", *(name for name, there in has.items() if there)]


app = typer.Typer(
    no_args_is_help=True,
    help="Import, describe and make data sets.",
    epilog=examples(
        "edgewise data import ratings.csv --out data/mine",
        "edgewise data info data/mine",
        "edgewise data demo --out data/shop",
    ),
)
console = Console()

Out = Annotated[Path, typer.Option("--out", help="The data set folder to write.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a data set that is there.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]


@app.command(
    "import",
    cls=command_of({"--item-numbers": "--id-order"}),
    epilog=examples(
        "edgewise data import ratings.csv --out data/mine",
        "edgewise data import log.tsv --out data/log --column user_id=who --column item_id=what",
        "edgewise data import reviews_Beauty_5.json.gz --metadata meta_Beauty.json.gz "
        "--out data/beauty --k-core 5",
    ),
)
def import_(
    source: Annotated[Path, typer.Argument(help="A file or folder to read.")],
    out: Out,
    format: Annotated[
        str | None,
        typer.Option(
            help="csv, tsv, parquet, jsonl, amazon, p5, movielens or recbole; detected if absent."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="FIELD=COLUMN, for example user_id=reviewer. 'timestamp=' leaves times out; "
            "a place such as user_id=1 reads a file without a header line."
        ),
    ] = None,
    metadata: Annotated[Path | None, typer.Option(help="A file about the items.")] = None,
    name: Annotated[str | None, typer.Option(help="A short name for tables.")] = None,
    on_bad_rows: Annotated[
        str, typer.Option(help="error: stop at the first; skip: leave out and count.")
    ] = "error",
    min_rating: Annotated[
        float | None,
        typer.Option(help="Keep rows rated so or better; 'above 3' of whole stars is 4."),
    ] = None,
    duplicates: Annotated[
        str, typer.Option(help="Of a user's rows of one item: keep all, or the first or last.")
    ] = "last",
    max_users: Annotated[int | None, typer.Option(help="Keep so many users, sampled.")] = None,
    k_core: Annotated[
        int | None, typer.Option(help="Keep users and items with so many rows, to a fixed point.")
    ] = None,
    id_order: Annotated[
        str, typer.Option(help="shuffled, or source to keep a P5 folder's own numbers.")
    ] = "shuffled",
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Read SOURCE, filter it (ratings, duplicates, users, k-core, in this order) and store it."""
    options = ImportOptions(
        name=name,
        format=format,
        columns=parse_columns(column or ()),
        metadata=metadata,
        on_bad_rows=on_bad_rows,  # pyright: ignore[reportArgumentType]  # checked there
        filters=Filters(min_rating, duplicates, max_users, k_core, seed),  # pyright: ignore[reportArgumentType]
        item_numbers=id_order,  # pyright: ignore[reportArgumentType]
        seed=seed,
    )
    dataset = import_dataset(source, out, options, force=force)
    console.print(import_table(dataset))
    console.print(f"wrote {out}")


@app.command(
    epilog=examples(
        "edgewise data info data/mine",
        "edgewise data info data/mine --plot figure.png",
    )
)
def info(
    folder: Annotated[Path, typer.Argument(help="A data set folder.")],
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Draw a small figure into this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print a data set's sizes, histories, ties, repetitions, cold and popular items."""
    dataset = Dataset.load(folder)
    found = describe(dataset)
    if plot_file is not None:
        plot(dataset, plot_file)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        console.print(info_table(found))


@app.command(epilog=examples("edgewise data demo --out data/shop"))
def demo(out: Out, seed: Seed = 0, force: Force = False) -> None:
    """Make the demo shop: made-up customers with tastes, habits and reviews."""
    from edgewise.data.synthetic import make_demo_shop

    check_target(out, force=force)
    dataset = make_demo_shop(seed=seed)
    dataset.save(out, force=force)
    console.print(info_table(describe(dataset)))
    console.print(f"wrote {out}")


def parse_columns(pairs: Sequence[str]) -> dict[str, str]:
    """``FIELD=COLUMN`` pairs as a mapping.

    Raises:
        ConfigError: a pair has no equals sign.
    """
    for pair in pairs:
        if "=" not in pair:
            raise ConfigError(f"--column {pair}: write FIELD=COLUMN, for example user_id=reviewer")
    return {field: name for field, _, name in (pair.partition("=") for pair in pairs)}
