"""What every reader takes and gives: a request to read, and one intermediate table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from edgewise.data.readers.read_log import ReadLog

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

# What programs write for a value that they do not have.
MISSING = (
    *("", "nan", "NaN", "-nan", "-NaN", "null", "NULL", "Null", "None", "none", "NA", "N/A"),
    *("n/a", "#N/A", "#NA", "<NA>", "nil", "NIL", r"\N", "undefined", "NaT"),
)


@dataclass(frozen=True)
class Form:
    """How a person says that a file is written, where it is not to be told by looking at it.

    Attributes:
        encoding: such as ``cp1252``; UTF-8 or what the byte order mark says if None.
        separator: between fields; ``tab``, ``space`` and ``::`` included; sniffed if None.
        header: whether the first line holds names; None looks.
        quote: the character around texts, or ``none``; None looks.
        escape: the character that takes its meaning from a quote behind it; None looks.
        time_format: of times, see :func:`~edgewise.data.readers.times.read_times`.
        keep_na: ``nan``, ``NULL``, ``None`` and ``NA`` are ids like others.
    """

    encoding: str | None = None
    separator: str | None = None
    header: bool | None = None
    quote: str | None = None
    escape: str | None = None
    time_format: str | None = None
    keep_na: bool = False


@dataclass(frozen=True)
class ReadRequest:
    """One source to read.

    Attributes:
        path: a file or folder.
        log: what to do with unusable rows, and where to tell what was read how.
        columns: our field names to the file's column names, where guessing is not wanted; an
            empty column name leaves the field out.
        metadata: a file about the items, where it is not found beside the source.
        item_columns: as ``columns``, for the file about the items.
        form: how the file is written.
        where: columns to the values that a row must have one of.
        limit: read about so many rows only; None reads all.
    """

    path: Path
    log: ReadLog = field(default_factory=ReadLog)
    columns: Mapping[str, str] = field(default_factory=dict)
    metadata: Path | None = None
    item_columns: Mapping[str, str] = field(default_factory=dict)
    form: Form = field(default_factory=Form)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    limit: int | None = None


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


def item_frame(records: Iterable[Mapping[str, object]]) -> pl.DataFrame:
    """Catalogue rows as a frame; of several rows about an item the first that says something."""
    frame = pl.DataFrame(list(records), schema=ITEM_SCHEMA)
    if frame["item_id"].is_unique().all():
        return frame
    texts = [
        pl.col(name).filter(pl.col(name) != "").first()
        for name in ITEM_SCHEMA
        if name in ("title", "brand", "description")
    ]
    paths = pl.col("categories").filter(pl.col("categories").list.len() > 0).first()
    merged = frame.group_by("item_id", maintain_order=True).agg(*texts, paths)
    return merged.with_columns(
        pl.col("title", "brand", "description").fill_null(""), pl.col("categories").fill_null([])
    ).select(list(ITEM_SCHEMA))
