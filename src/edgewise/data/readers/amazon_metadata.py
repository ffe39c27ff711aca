"""Amazon product metadata: title, brand, categories and description in any year's layout."""

from __future__ import annotations

import html
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import polars as pl

from edgewise.data.readers import jsonlines
from edgewise.data.readers.raw import ReadRequest, item_frame, no_items
from edgewise.data.readers.read_log import Kind, ReadLog
from edgewise.data.readers.tables import read_metadata as read_table
from edgewise.data.readers.tables import table_kind

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


def read_metadata(path: Path | None, wanted: set[str], request: ReadRequest) -> pl.DataFrame:
    """What a metadata file says of the wanted items, columns as in ``ITEM_SCHEMA``.

    It describes a whole department, so that items without a review are no part of the data.
    """
    if path is None:
        return no_items()
    if table_kind(path) in ("csv", "parquet"):
        return read_table(path, request)
    with request.log.about_items():
        return item_frame(_records(path, wanted, request.log))


def _records(path: Path, wanted: set[str], log: ReadLog) -> Iterator[dict[str, object]]:
    others = 0
    for number, found in jsonlines.read_objects(path, log):
        item_id = found.get("parent_asin") or found.get("asin")
        if not item_id:
            log.report(Kind.MISSING_FIELD, path, number, "neither parent_asin nor asin")
        elif not isinstance(item_id, str | int):
            log.report(Kind.WRONG_ID, path, number, f"the id is {jsonlines.NOT_AN_ID}")
        elif str(item_id) in wanted:
            yield metadata_record(str(item_id), found)
        else:
            others += 1
    if others:
        log.warn(f"{path.name}: {others:,} rows about items without reviews were not used")


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
