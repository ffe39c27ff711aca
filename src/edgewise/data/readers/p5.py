"""Folders of the P5 kind: numbered sequences and a map from numbers to ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from edgewise.data.readers.amazon_metadata import read_metadata
from edgewise.data.readers.bad_rows import BadRows, Kind
from edgewise.data.readers.raw import RawTable, ReadRequest
from edgewise.data.readers.streams import read_chunks, read_lines
from edgewise.errors import DataError

SEQUENCES, MAPS, ITEMS = "sequential.txt", "datamaps.json", "items.jsonl"
Numbers = Mapping[str, str]


def read(request: ReadRequest) -> RawTable:
    """Read ``sequential.txt``, ``datamaps.json`` and, where it is there, ``items.jsonl``.

    A line of the sequences is a user's number and the numbers of the user's items in order of
    time. There are no times, ratings or texts.

    Raises:
        DataError: a file is missing, or a row cannot be used.
    """
    folder = request.path if request.path.is_dir() else request.path.parent
    users, items = read_maps(folder / MAPS)
    rows = _rows(folder / SEQUENCES, users, items, request.bad)
    beside = folder / ITEMS if (folder / ITEMS).is_file() else None
    metadata = request.metadata or beside
    catalogue = read_metadata(metadata, set(items.values()), request.bad)
    files = (SEQUENCES, MAPS) + ((metadata.name,) if metadata else ())
    return RawTable(rows, catalogue, layout="p5", files=files, numbers=_in_order(users, items))


def read_maps(path: Path) -> tuple[Numbers, Numbers]:
    """The maps ``id2user`` and ``id2item`` from numbers (as texts) to ids."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; it should map the numbers to ids")
    try:
        maps = json.loads(b"".join(read_chunks(path, BadRows())))
        return dict(maps["id2user"]), dict(maps["id2item"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path.name}: should hold a JSON object with id2user and id2item: {error!r}"
        ) from None


def _rows(path: Path, users: Numbers, items: Numbers, bad: BadRows) -> pl.DataFrame:
    user_ids: list[str] = []
    item_ids: list[list[str]] = []
    for number, line in read_lines(path, bad):
        user, *taken = line.split()
        unknown = [f"item {item}" for item in taken if item not in items]
        if user not in users or unknown:
            which = f"user {user}" if user not in users else unknown[0]
            bad.report(Kind.UNKNOWN_ID, path, number, f"{which} is not in {MAPS}")
        elif not taken:
            bad.report(Kind.MISSING_FIELD, path, number, f"user {user} has no items")
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
