"""What the ``edgewise data`` commands print.

``edgewise data``: import a source, append to a data set, look at a data set, make the demo shop.
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
from edgewise.data.growing import append_file
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
        yield reading_table(name, source)
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


def reading_table(name: str, source: Mapping[str, Any]) -> Table:
    """What each field was read from."""
    table = Table("field", "read from", "as", title=f"{name}: how it was read")
    for field in source["fields"]:
        ours = field["field"] if field["table"] == "interactions" else f"item {field['field']}"
        table.add_row(*(ours, field["column"], field["form"]))
    for file, columns in source.get("unused_columns", {}).items():
        table.add_row("not used", ", ".join(columns), f"in {file}")
    for file, layout in source.get("layouts", {}).items():
        table.add_row("layout", file, layout)
    return table


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
    help="Import, append to, describe and make data sets.",
    epilog=examples(
        "edgewise data import ratings.csv --out data/mine",
        "edgewise data append data/mine new-orders.csv",
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


# How a source is written, for whatever reads one.
_Format = Annotated[
    str | None,
    typer.Option(
        help="csv, tsv, parquet, jsonl, amazon, p5, sequences, movielens, mind or recbole; "
        "detected if absent."
    ),
]
_Column = Annotated[
    list[str] | None,
    typer.Option(
        help="FIELD=COLUMN, for example user_id=reviewer. 'timestamp=' leaves times out; "
        "a place such as user_id=1 reads a file without a header line."
    ),
]
_ItemColumn = Annotated[
    list[str] | None,
    typer.Option(help="FIELD=COLUMN of the file about the items, for example item_id=sku."),
]
_Where = Annotated[
    list[str] | None,
    typer.Option(help="COLUMN=VALUE[,VALUE]: keep rows of some kind, such as event=purchase."),
]
_OnBadRows = Annotated[
    str, typer.Option(help="error: stop at the first; skip: leave out and count.")
]
_Encoding = Annotated[
    str | None, typer.Option(help="Of the text, such as cp1252; UTF-8 if absent.")
]
_Separator = Annotated[
    str | None, typer.Option(help="Between fields, such as ';', tab or space; looked at.")
]
_Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="Whether the first line holds names."),
]
_Quote = Annotated[str | None, typer.Option(help="The character around texts, or none; looked at.")]
_Escape = Annotated[
    str | None, typer.Option("--escape", help="Before a quote in a text, such as '\\'.")
]
_TimeFormat = Annotated[
    str | None,
    typer.Option(help="s, ms, us, ns, or codes such as %d/%m/%Y; looked at if absent."),
]
_KeepNA = Annotated[
    bool, typer.Option("--keep-na", help="Take nan, NULL, None and NA for ids, not for none.")
]
_ColdItems = Annotated[str, typer.Option(help="keep or drop items that have metadata and no row.")]


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
    format: _Format = None,
    column: _Column = None,
    metadata: Annotated[str | None, typer.Option(help="A file about the items.")] = None,
    item_column: _ItemColumn = None,
    where: _Where = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how the first rows are read; write nothing.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="A short name for tables.")] = None,
    on_bad_rows: _OnBadRows = "error",
    encoding: _Encoding = None,
    separator: _Separator = None,
    header: _Header = None,
    quote: _Quote = None,
    escape_: _Escape = None,
    time_format: _TimeFormat = None,
    keep_na: _KeepNA = False,
    cold_items: _ColdItems = "keep",
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
        where=_kept_values(where),
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


@app.command(
    cls=command_of({"--metadata": "--items"}),
    epilog=examples(
        "edgewise data append data/mine new-orders.csv",
        "edgewise data append data/mine new-orders.csv --items new-items.csv",
        "edgewise data append data/mine --items new-items.csv",
        "edgewise data append data/log log.tsv --column user_id=who --column item_id=what",
    ),
)
def append(
    folder: Annotated[Path, typer.Argument(help="A data set folder.")],
    source: Annotated[
        str | None,
        typer.Argument(help="A file or folder of new rows, read as 'data import' reads it."),
    ] = None,
    items_file: Annotated[
        str | None, typer.Option("--items", help="A file about the new items.")
    ] = None,
    format: _Format = None,
    column: _Column = None,
    item_column: _ItemColumn = None,
    where: _Where = None,
    on_bad_rows: _OnBadRows = "error",
    encoding: _Encoding = None,
    separator: _Separator = None,
    header: _Header = None,
    quote: _Quote = None,
    escape_: _Escape = None,
    time_format: _TimeFormat = None,
    keep_na: _KeepNA = False,
    cold_items: _ColdItems = "keep",
    seed: Seed = 0,
) -> None:
    """Append the rows of SOURCE to the data set in FOLDER, with their new users and items.

    Ids keep their numbers, so that runs fitted before can be asked at once. Rows that stand there
    already (same user, item and time) are left out, and what is known of an item stays. None of the
    filters of 'data import' (ratings, repeated items, k-core) is applied. The folder is replaced as
    a whole.
    """
    options = ImportOptions(
        format=format,
        columns=parse_columns(column or ()),
        metadata=items_file,
        item_columns=parse_columns(item_column or (), "--item-column"),
        form=Form(encoding, separator, header, quote, escape_, time_format, keep_na),
        where=_kept_values(where),
        cold_items=cold_items,  # pyright: ignore[reportArgumentType]  # checked there
        on_bad_rows=on_bad_rows,  # pyright: ignore[reportArgumentType]  # checked there
        seed=seed,
    )
    grown = append_file(folder, source, options)
    console().print(reading_table(grown.name, grown.grown_from[-1].reading))
    console().print(growth_table(grown))
    for warning in grown.grown_from[-1].warnings:
        warn(warning)
    say(f"wrote {folder}, checksum {grown.checksum[:12]}")


def growth_table(dataset: Dataset) -> Table:
    """What the last append read, left out and added."""
    state, name = dataset.grown_from[-1], dataset.name
    table = Table("step", "rows", "users", "items", title=f"{name}: what was appended")
    before = (f"{each:,}" for each in (state.interactions, state.users, state.items))
    table.add_row("before", *before)
    read_items = f"{state.items_read:,}" if state.items_read else ""
    table.add_row("read", f"{state.rows_read:,}", "", read_items)
    for kind, count in state.bad_rows.items():
        table.add_row(f"left out: {kind}", f"{count:,}", "", "")
    for kind, count in state.bad_item_rows.items():
        table.add_row(f"about items, left out: {kind}", "", "", f"{count:,}")
    table.add_row("left out: there already", f"{state.rows_there:,}", "", "")
    if state.items_different:
        table.add_row("known, told of otherwise: stay", "", "", f"{state.items_different:,}")
    users, items = dataset.num_users - state.users, dataset.num_items - state.items
    table.add_row("new", f"{state.rows_appended:,}", f"{users:,}", f"{items:,}")
    table.add_row("now", *(f"{count:,}" for count in _counts(dataset).values()))
    return table


def states_table(dataset: Dataset) -> Table:
    """The states that a data set has grown from."""
    table = Table("checksum", "rows", "users", "items", "then came", "on", title="earlier states")
    for state in dataset.grown_from:
        sizes = (f"{each:,}" for each in (state.interactions, state.users, state.items))
        came = " and ".join(filter(None, (state.source, state.items_source))) or "a table"
        table.add_row(state.checksum[:12], *sizes, came, state.when)
    return table


def _kept_values(where: Sequence[str] | None) -> dict[str, tuple[str, ...]]:
    return {
        column: tuple(value.strip() for value in values.split(","))
        for column, values in parse_columns(where or (), "--where").items()
    }


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
        if dataset.grown_from:
            console().print(states_table(dataset))


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
