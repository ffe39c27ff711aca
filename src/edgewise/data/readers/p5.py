"""A line a user, the user and then the user's items in order of time: P5, OpenP5 and others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

import polars as pl

from edgewise.data.readers.amazon_metadata import read_metadata
from edgewise.data.readers.cleaning import clean
from edgewise.data.readers.raw import RawTable, ReadRequest, no_items
from edgewise.data.readers.read_log import Kind, ReadLog
from edgewise.data.readers.sources import read_chunks, read_lines
from edgewise.data.readers.tables import read_metadata as read_table
from edgewise.errors import DataError

SEQUENCES, MAPS, ITEMS = "sequential.txt", "datamaps.json", "items.jsonl"
# The same lines with ids instead of numbers.
OPEN = "user_sequence.txt"
Numbers = Mapping[str, str]


def read(request: ReadRequest) -> RawTable:
    """Read ``sequential.txt``, ``datamaps.json`` and, where it is there, ``items.jsonl``.

    A line of the sequences is a user's number and the numbers of the user's items in order of
    time. There are no times, ratings or texts.

    Raises:
        DataError: a file is missing, or a row cannot be used.
    """
    folder = request.path if request.path.is_dir() else request.path.parent
    if not (folder / SEQUENCES).is_file() and (folder / OPEN).is_file():
        return read_sequences(replace(request, path=folder / OPEN))
    users, items = read_maps(folder / MAPS)
    rows = _rows(folder / SEQUENCES, users, items, request.log)
    beside = folder / ITEMS if (folder / ITEMS).is_file() else None
    metadata = request.metadata or beside
    catalogue = read_metadata(metadata, set(items.values()), request)
    files = (SEQUENCES, MAPS) + ((metadata.name,) if metadata else ())
    return RawTable(rows, catalogue, layout="p5", files=files, numbers=_in_order(users, items))


def read_sequences(request: ReadRequest) -> RawTable:
    """Read lines of a user's id and the ids of the user's items in order of time.

    The ids are parted by spaces. There are no times, ratings or texts.

    Raises:
        DataError: a row cannot be used.
    """
    path, log = request.path, request.log
    if path.is_dir():
        path = path / OPEN
    users: list[str] = []
    items: list[list[str]] = []
    numbers: list[int] = []
    for number, line in islice(read_lines(path, log, request.form.encoding), request.limit):
        user, *taken = line.split()
        if not taken:
            log.report(Kind.MISSING_FIELD, path, number, f"user {user} has no items")
            continue
        users.append(user)
        items.append(taken)
        numbers.append(number)
    schema = {"user_id": pl.String(), "item_id": pl.List(pl.String()), "line": pl.Int64()}
    table = pl.DataFrame([users, items, numbers], schema=schema).explode("item_id")
    log.warn(f"{path.name}: no times; a line's items are taken for the order of time")
    rows = clean(
        {name: table[name] for name in ("user_id", "item_id")},
        table["line"].to_numpy(),
        path,
        log,
        sources={"user_id": "first of a line", "item_id": "rest of a line"},
        keep_na=request.form.keep_na,
    )
    metadata = request.metadata
    known = read_table(metadata, request) if metadata else no_items()
    files = (path.name, metadata.name) if metadata else (path.name,)
    return RawTable(rows, known, layout="sequences", files=files)


def read_maps(path: Path) -> tuple[Numbers, Numbers]:
    """The maps ``id2user`` and ``id2item`` from numbers (as texts) to ids."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; it should map the numbers to ids")
    try:
        maps = json.loads(b"".join(read_chunks(path)))
        return dict(maps["id2user"]), dict(maps["id2item"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path.name}: should hold a JSON object with id2user and id2item: {error!r}"
        ) from None


def _rows(path: Path, users: Numbers, items: Numbers, log: ReadLog) -> pl.DataFrame:
    user_ids: list[str] = []
    item_ids: list[list[str]] = []
    for number, line in read_lines(path, log):
        user, *taken = line.split()
        unknown = [f"item {item}" for item in taken if item not in items]
        if user not in users or unknown:
            which = f"user {user}" if user not in users else unknown[0]
            log.report(Kind.UNKNOWN_ID, path, number, f"{which} is not in {MAPS}")
        elif not taken:
            log.report(Kind.MISSING_FIELD, path, number, f"user {user} has no items")
        else:
            user_ids.append(users[user])
            item_ids.append([items[item] for item in taken])
    schema = {"user_id": pl.String(), "item_id": pl.List(pl.String())}
    return pl.DataFrame([user_ids, item_ids], schema=schema).explode("item_id")


def _in_order(users: Numbers, items: Numbers) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Ids by number, or None where the numbers are not 1, 2, 3 and so on."""
    if not all(_is_counted(numbers) for numbers in (users, items)):
        return None
    by_number = ({int(number): raw for number, raw in ids.items()} for ids in (users, items))
    user_ids, item_ids = (tuple(ids[n] for n in sorted(ids)) for ids in by_number)
    return user_ids, item_ids


def _is_counted(numbers: Numbers) -> bool:
    return set(numbers) == {str(number) for number in range(1, len(numbers) + 1)}
