"""What the ``edgewise data`` commands print.

``edgewise data``: import a source, look at a data set, make the demo shop.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from edgewise.cli.output import command_of, console, examples, say, warn
from edgewise.data.dataset import Dataset, check_target
from edgewise.data.describe import DatasetInfo, describe, plot
from edgewise.data.filters import Filters
from edgewise.data.importing import ImportOptions, import_dataset, read_dataset
from edgewise.data.readers.raw import Form
from edgewise.display import json_text
from edgewise.errors import ConfigError, DataError


def import_tables(name: str, source: Mapping[str, Any]) -> Iterator[Table]:
    """What each field was read from, and what was read, left out and kept.

    Args:
        name: of the data set.
        source: as ``dataset.json`` keeps it; data sets of older versions say less.
    """
    if source.get("fields"):
        table = Table("field", "read from", "as", title=f"{name}: how it was read")
        for field in source["fields"]:
            ours = field["field"] if field["table"] == "interactions" else f"item {field['field']}"
            table.add_row(*(ours, field["column"], field["form"]))
        for file, columns in source.get("unused_columns", {}).items():
            table.add_row("not used", ", ".join(columns), f"in {file}")
        for file, layout in source.get("layouts", {}).items():
            table.add_row("layout", file, layout)
        yield table
    table = Table(
        "step", "rows", "users", "items", title=f"{name} ({source.get('format', 'a table')})"
    )
    rows_read, bad_rows = source.get("rows_read", 0), source.get("bad_rows", {})
    table.add_row("read", f"{rows_read:,}", "", "")
    for kind, count in bad_rows.items():
        table.add_row(f"left out: {kind}", f"{count:,}", "", "")
    before = rows_read - sum(bad_rows.values())
    for step in source.get("filters", ()):
        sizes = (f"{step['after'][key]:,}" for key in ("rows", "users", "items"))
        left = before - step["after"]["rows"]
        before = step["after"]["rows"]
        table.add_row(f"{step['name']} {step['setting']} leaves out {left:,}", *sizes)
    if metadata := source.get("metadata"):
        table.add_row(f"metadata: {metadata.get('matched', 0):,} of its rows match", "", "", "")
        for kind, count in source.get("bad_item_rows", {}).items():
            table.add_row(f"metadata left out: {kind}", f"{count:,}", "", "")
        table.add_row("items kept without rows", "", "", f"{metadata.get('cold_items', 0):,}")
    yield table


def print_import(name: str, source: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    """The tables of an import, its sizes and its warnings."""
    *read, steps = import_tables(name, source)
    for table in read:
        console().print(table)
    sizes = (f"{counts[key]:,}" for key in ("interactions", "users", "items"))
    steps.add_row("kept", *sizes)
    console().print(steps)
    for warning in source.get("warnings", ()):
        warn(warning)


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
        "edgewise data items data/mine --search lipstick",
        "edgewise data demo --out data/shop",
    ),
)
# Of a dry run.
DRY_ROWS = 1_000

Out = Annotated[Path, typer.Option("--out", help="The data set folder to write.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a data set that is there.")]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of every random choice.")
]


@app.command(
    "import",
    cls=command_of({"--item-numbers": "--id-order"}),
    epilog=examples(
        "edgewise data import ratings.csv --out data/mine",
        "edgewise data import ratings.csv --dry-run",
        "edgewise data import log.tsv --out data/log --column user_id=who --column item_id=what",
        "edgewise data import BX.csv --out data/bx --separator ';' --encoding cp1252",
        "edgewise data import events.csv --out data/bought --where event=transaction",
        "edgewise data import reviews_Beauty_5.json.gz --metadata meta_Beauty.json.gz "
        "--out data/beauty --k-core 5",
    ),
)
def import_(
    source: Annotated[
        str, typer.Argument(help="A file or folder to read, or an address such as s3://...")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The data set folder to write.")] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="csv, tsv, parquet, jsonl, amazon, p5, sequences, movielens, mind or recbole; "
            "detected if absent."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="FIELD=COLUMN, for example user_id=reviewer. 'timestamp=' leaves times out; "
            "a place such as user_id=1 reads a file without a header line."
        ),
    ] = None,
    metadata: Annotated[str | None, typer.Option(help="A file about the items.")] = None,
    item_column: Annotated[
        list[str] | None,
        typer.Option(help="FIELD=COLUMN of the file about the items, for example item_id=sku."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN=VALUE[,VALUE]: keep rows of some kind, such as event=purchase."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how the first rows are read; write nothing.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="A short name for tables.")] = None,
    on_bad_rows: Annotated[
        str, typer.Option(help="error: stop at the first; skip: leave out and count.")
    ] = "error",
    encoding: Annotated[
        str | None, typer.Option(help="Of the text, such as cp1252; UTF-8 if absent.")
    ] = None,
    separator: Annotated[
        str | None, typer.Option(help="Between fields, such as ';', tab or space; looked at.")
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether the first line holds names."),
    ] = None,
    quote: Annotated[
        str | None, typer.Option(help="The character around texts, or none; looked at.")
    ] = None,
    escape_: Annotated[
        str | None, typer.Option("--escape", help="Before a quote in a text, such as '\\'.")
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(help="s, ms, us, ns, or codes such as %d/%m/%Y; looked at if absent."),
    ] = None,
    keep_na: Annotated[
        bool, typer.Option("--keep-na", help="Take nan, NULL, None and NA for ids, not for none.")
    ] = False,
    cold_items: Annotated[
        str, typer.Option(help="keep or drop items that have metadata and no row.")
    ] = "keep",
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
    shuffle_ties: Annotated[
        bool,
        typer.Option(
            "--shuffle-ties",
            help="Order a user's rows of equal time by chance, from the seed, not as the source "
            "does: figures that fall have read the source's order.",
        ),
    ] = False,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Read SOURCE, filter it (ratings, duplicates, users, k-core, in this order) and store it.

    What each field was read from is printed, and kept in the folder's dataset.json.
    """
    if out is None and not dry_run:
        raise ConfigError("--out is missing: name the folder to write, or look with --dry-run")
    options = ImportOptions(
        name=name,
        format=format,
        columns=parse_columns(column or ()),
        metadata=metadata,
        item_columns=parse_columns(item_column or (), "--item-column"),
        form=Form(encoding, separator, header, quote, escape_, time_format, keep_na),
        where={
            column: tuple(value.strip() for value in values.split(","))
            for column, values in parse_columns(where or (), "--where").items()
        },
        cold_items=cold_items,  # pyright: ignore[reportArgumentType]  # checked there
        limit=DRY_ROWS if dry_run else None,
        on_bad_rows=on_bad_rows,  # pyright: ignore[reportArgumentType]  # checked there
        filters=Filters(min_rating, duplicates, max_users, k_core, seed),  # pyright: ignore[reportArgumentType]
        item_numbers=id_order,  # pyright: ignore[reportArgumentType]
        shuffle_ties=shuffle_ties,
        seed=seed,
    )
    if dry_run or out is None:
        dataset = read_dataset(source, options)
        print_import(dataset.name, dataset.source, _counts(dataset))
        console().print(first_rows(dataset))
        say(f"looked at the first {DRY_ROWS:,} rows or fewer; wrote nothing")
        return
    dataset = import_dataset(source, out, options, force=force)
    print_import(dataset.name, dataset.source, _counts(dataset))
    say(f"wrote {out!s}")


def _counts(dataset: Dataset) -> dict[str, int]:
    rows = len(dataset.interactions)
    return {"interactions": rows, "users": dataset.num_users, "items": dataset.num_items}


def first_rows(dataset: Dataset, count: int = 5) -> Table:
    """Some rows as they were understood."""
    rows = dataset.interactions
    table = Table("user", "item", "time (UTC)", "rating", title="some rows")
    for row in range(min(count, len(rows))):
        time = "" if rows.timestamp is None else str(rows.timestamp[row].astype("datetime64[s]"))
        rating = "" if rows.rating is None else f"{rows.rating[row]:g}"
        user, item = dataset.users.ids[rows.user_index[row]], int(rows.item_index[row])
        label, raw_id = dataset.item_label(item), dataset.items.ids[item]
        table.add_row(user, raw_id if label == raw_id else f"{raw_id} {label}", time, rating)
    return table


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
        say(json_text(asdict(found), indent=2))
    else:
        if dataset.source.get("rows_read"):
            print_import(dataset.name, dataset.source, _counts(dataset))
        console().print(info_table(found))


_Count = Annotated[int, typer.Option("-n", "--count", min=1, help="Print so many.")]
_Search = Annotated[
    str | None, typer.Option("--search", help="Part of an id or title, in any case.")
]


@app.command(
    epilog=examples("edgewise data users data/mine", "edgewise data users data/mine --search 17")
)
def users(
    folder: Annotated[Path, typer.Argument(help="A data set folder.")],
    search: _Search = None,
    count: _Count = 20,
) -> None:
    """List ids of users with the number of their rows, those with most rows first."""
    dataset = Dataset.load(folder)
    lengths = np.bincount(dataset.interactions.user_index, minlength=dataset.num_users)
    table = Table("user", "rows", title=dataset.name)
    for user in _found(dataset.users.ids, lengths, search, count):
        table.add_row(dataset.users.ids[user], f"{lengths[user]:,}")
    _print_found(table, "users", dataset.num_users, search)


@app.command(
    epilog=examples(
        "edgewise data items data/mine", "edgewise data items data/mine --search shampoo"
    )
)
def items(
    folder: Annotated[Path, typer.Argument(help="A data set folder.")],
    search: _Search = None,
    count: _Count = 20,
) -> None:
    """List ids of items with title and number of rows, those with most rows first."""
    dataset = Dataset.load(folder)
    rows = np.bincount(dataset.interactions.item_index, minlength=dataset.num_items)
    catalog = dataset.catalog
    texts = [
        f"{i} {t} {b}"
        for i, t, b in zip(dataset.items.ids, catalog.title, catalog.brand, strict=True)
    ]
    table = Table("item", "title", "rows", title=dataset.name)
    for item in _found(texts, rows, search, count):
        table.add_row(dataset.items.ids[item], catalog.title[item], f"{rows[item]:,}")
    _print_found(table, "items", dataset.num_items, search)


def _found(texts: Sequence[str], rows: np.ndarray, search: str | None, count: int) -> list[int]:
    """The most frequent ones whose text has the words in it."""
    order = np.argsort(-rows, kind="stable")
    wanted = (search or "").casefold()
    hits = (int(place) for place in order if wanted in str(texts[place]).casefold())
    return list(islice(hits, count))


def _print_found(table: Table, kind: str, total: int, search: str | None) -> None:
    if not table.row_count:
        raise DataError(f"--search {search}: none of {total:,} {kind} has it in its id or title")
    console().print(table)
    say(f"{table.row_count:,} of {total:,} {kind}")


@app.command(epilog=examples("edgewise data demo --out data/shop"))
def demo(out: Out, seed: Seed = 0, force: Force = False) -> None:
    """Make the demo shop: made-up customers with tastes, habits and reviews."""
    from edgewise.data.synthetic import make_demo_shop

    check_target(out, force=force)
    dataset = make_demo_shop(seed=seed)
    dataset.save(out, force=force)
    console().print(info_table(describe(dataset)))
    say(f"wrote {out}")


def parse_columns(pairs: Sequence[str], option: str = "--column") -> dict[str, str]:
    """``FIELD=COLUMN`` pairs as a mapping.

    Raises:
        ConfigError: a pair has no equals sign, or holds several pairs.
    """
    for pair in pairs:
        if "=" not in pair:
            raise ConfigError(f"{option} {pair}: write FIELD=COLUMN, for example user_id=reviewer")
        if option != "--where" and re.search(r",\s*\w+=", pair):
            raise ConfigError(f"{option} {pair}: give the option once for each FIELD=COLUMN")
    if twice := [f for f, n in Counter(p.partition("=")[0] for p in pairs).items() if n > 1]:
        raise ConfigError(f"{option} {twice[0]}=...: given twice; give each once")
    return {field: name for field, _, name in (pair.partition("=") for pair in pairs)}
