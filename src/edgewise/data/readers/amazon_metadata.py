"""Amazon product metadata: title, brand, categories and description in any year's layout."""

from __future__ import annotations

import html
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import polars as pl

from edgewise.data.readers import jsonlines
from edgewise.data.readers.bad_rows import BadRows, Kind
from edgewise.data.readers.item_tables import read_item_table
from edgewise.data.readers.raw import item_frame, no_items
from edgewise.data.readers.table_files import table_format

ENDINGS = (".json.gz", ".jsonl.gz", ".json", ".jsonl")
# Left by the crawl of 2018 where a page's script stood in the place of its title.
SCRIPT_MARKS = ("getTime", "<script", "<span", "P.when(")


def find_metadata(reviews: Path) -> Path | None:
    """The metadata beside a review file: ``meta_X`` for ``reviews_X_5``, ``X_5`` or ``X``."""
    name = reviews.name
    ending = next((ending for ending in ENDINGS if name.endswith(ending)), "")
    category = name.removesuffix(ending).removeprefix("reviews_").removesuffix("_5")
    names = (reviews.with_name(f"meta_{category}{ending}") for ending in ENDINGS)
    return next((path for path in names if path.is_file()), None)


def read_metadata(path: Path | None, wanted: set[str], bad: BadRows) -> pl.DataFrame:
    """What a metadata file says of the wanted items, columns as in ``ITEM_SCHEMA``."""
    if path is None:
        return no_items()
    if table_format(path) in ("csv", "tsv", "parquet"):
        return read_item_table(path, bad)
    return item_frame(_records(path, wanted, bad))


def _records(path: Path, wanted: set[str], bad: BadRows) -> Iterator[dict[str, object]]:
    for number, found in jsonlines.read_objects(path, bad, jsonlines.parse_either):
        item_id = found.get("parent_asin") or found.get("asin")
        if not item_id:
            bad.report(Kind.MISSING_FIELD, path, number, "neither parent_asin nor asin")
        elif item_id in wanted:
            yield metadata_record(str(item_id), found)


def metadata_record(item_id: str, found: dict[str, object]) -> dict[str, object]:
    """One item's catalogue row."""
    title = plain_text(found.get("title"))
    return {
        "item_id": item_id,
        "title": "" if any(mark in title for mark in SCRIPT_MARKS) else title,
        "brand": plain_text(found.get("brand") or found.get("store")),
        "categories": category_path(found.get("categories") or found.get("category")),
        "description": plain_text(found.get("description")),
    }


def plain_text(value: object) -> str:
    """A text, or a list of texts joined, with entities resolved and spaces made single."""
    texts = value if isinstance(value, list) else [value]
    return " ".join(html.unescape(" ".join(str(text) for text in texts if text)).split())


def category_path(value: object) -> list[str]:
    """The categories from general to special; of several paths the first."""
    path = value if isinstance(value, list) else [value]
    if path and isinstance(path[0], list):
        path = path[0]
    names = [plain_text(name) for name in path]
    return [name for name, _ in groupby(names) if name]
