"""Amazon product reviews and metadata in the layouts of 2014, 2018 and 2023."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from edgewise.data.readers import jsonlines
from edgewise.data.readers.amazon_metadata import find_metadata, read_metadata
from edgewise.data.readers.cleaning import clean
from edgewise.data.readers.raw import RawTable, ReadRequest
from edgewise.errors import DataError

ENDINGS = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
OLD = {
    "user_id": "reviewerID",
    "item_id": "asin",
    "timestamp": "unixReviewTime",
    "rating": "overall",
    "review": "reviewText",
    "summary": "summary",
}


@dataclass(frozen=True)
class Layout:
    """Where one year's review files keep our fields.

    Attributes:
        name: ``amazon-2014``, ``amazon-2018`` or ``amazon-2023``.
        columns: our field names to the objects' keys.
    """

    name: str
    columns: dict[str, str]


def find_layout(keys: tuple[str, ...]) -> Layout | None:
    """The layout of a review file from the keys of its objects, None where it is no such file."""
    if {"reviewerID", "asin"} <= set(keys):
        year = "2018" if {"verified", "vote", "style"} & set(keys) else "2014"
        return Layout(f"amazon-{year}", {ours: key for ours, key in OLD.items() if key in keys})
    item_key = next((key for key in ("parent_asin", "asin") if key in keys), None)
    if item_key and {"user_id", "rating"} <= set(keys):
        new = {"timestamp": "timestamp", "rating": "rating", "review": "text", "summary": "title"}
        found = {ours: key for ours, key in new.items() if key in keys}
        return Layout("amazon-2023", {"user_id": "user_id", "item_id": item_key, **found})
    return None


def find_reviews(folder: Path) -> Path | None:
    """The one review file of a folder, None where there is none.

    Raises:
        DataError: there are several.
    """
    files = [path for path in sorted(folder.iterdir()) if path.name.endswith(ENDINGS)]
    reviews = [path for path in files if not path.name.startswith("meta_")]
    reviews = [path for path in reviews if find_layout(jsonlines.peek_keys(path))]
    if len(reviews) > 1:
        names = ", ".join(path.name for path in reviews)
        raise DataError(f"{folder.name}: several review files ({names}); name the one to import")
    return reviews[0] if reviews else None


def read(request: ReadRequest) -> RawTable:
    """Read a review file, or the one in a folder, with the metadata beside it.

    Entities such as ``&amp;`` in the texts become the characters that they stand for.

    Raises:
        DataError: there is no review file, or a row cannot be used.
    """
    path = find_reviews(request.path) if request.path.is_dir() else request.path
    layout = find_layout(jsonlines.peek_keys(path)) if path else None
    if path is None or layout is None:
        raise DataError(
            f"{request.path}: no Amazon reviews here; they are JSON lines with the keys "
            "reviewerID and asin (2014, 2018) or user_id, parent_asin and rating (2023)"
        )
    log, form = request.log, request.form
    found, lines = jsonlines.read_json(path, layout.columns, log, form.encoding, request.limit)
    texts = {name: _plain(found[name]) for name in ("review", "summary") if name in found}
    rows = clean({**found, **texts}, lines, path, log, sources=layout.columns)
    metadata = request.metadata or find_metadata(path)
    items = read_metadata(metadata, set(rows["item_id"].unique()), request)
    files = (path.name, metadata.name) if metadata else (path.name,)
    return RawTable(rows, items, layout=layout.name, files=files)


def _plain(column: pl.Series) -> pl.Series:
    plain = [html.unescape(text) if text and "&" in text else text for text in column]
    return pl.Series(column.name, plain, dtype=pl.String)
