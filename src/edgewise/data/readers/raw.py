"""What every reader takes and gives: a request to read, and one intermediate table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from edgewise.data.readers.bad_rows import BadRows

ROW_SCHEMA: dict[str, type[pl.DataType]] = {
    "user_id": pl.String,
    "item_id": pl.String,
    "timestamp": pl.Int64,
    "rating": pl.Float32,
    "review": pl.String,
    "summary": pl.String,
}
ITEM_SCHEMA: dict[str, pl.DataType] = {
    "item_id": pl.String(),
    "title": pl.String(),
    "brand": pl.String(),
    "categories": pl.List(pl.String()),
    "description": pl.String(),
}


@dataclass(frozen=True)
class ReadRequest:
    """One source to read.

    Attributes:
        path: a file or folder.
        bad: what to do with unusable rows.
        columns: our field names to the file's column names, where guessing is not wanted; an
            empty column name leaves the field out.
        metadata: a file about the items, where it is not found beside the source.
    """

    path: Path
    bad: BadRows = field(default_factory=BadRows)
    columns: Mapping[str, str] = field(default_factory=dict)
    metadata: Path | None = None


@dataclass(frozen=True)
class RawTable:
    """Rows and items of a source in the source's own ids and order.

    Attributes:
        rows: ``user_id`` and ``item_id``, and those of ``timestamp`` (seconds), ``rating``,
            ``review`` and ``summary`` that the source has; types as in ``ROW_SCHEMA``.
        items: what is known of the items, columns as in ``ITEM_SCHEMA``; at most one row an item.
        layout: which variant of which format was read, such as ``amazon-2018``.
        files: names of the files read.
        numbers: user ids and item ids in the order of the source's own numbers, where it has any.
    """

    rows: pl.DataFrame
    items: pl.DataFrame
    layout: str
    files: tuple[str, ...]
    numbers: tuple[tuple[str, ...], tuple[str, ...]] | None = None


def no_items() -> pl.DataFrame:
    """The catalogue of a source that says nothing about its items."""
    return pl.DataFrame(schema=ITEM_SCHEMA)


def join_rows(batches: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """All batches as one frame; a source without rows gives an empty one."""
    frames = list(batches)
    if not frames:
        return pl.DataFrame(schema={key: ROW_SCHEMA[key] for key in ("user_id", "item_id")})
    return pl.concat(frames, how="vertical")


def item_frame(records: Iterable[Mapping[str, object]]) -> pl.DataFrame:
    """Catalogue rows as a frame; of several rows about an item the first one counts."""
    frame = pl.DataFrame(list(records), schema=ITEM_SCHEMA)
    return frame.unique("item_id", keep="first", maintain_order=True)
