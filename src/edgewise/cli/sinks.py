"""Where recommendations go: a table, JSON, csv or Parquet, written a few users at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from edgewise.cli.render import console, list_table
from edgewise.configuration import nearest
from edgewise.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

FORMATS = ("table", "json", "csv", "parquet")
Add = Callable[[Sequence[str], "pl.DataFrame"], None]
"""Takes some users and their rows ``user_id, item_id, rank, score, title``."""


def choose_format(asked: str | None, out: Path | None) -> str:
    """The format asked for, or the one that the file's name tells.

    Raises:
        ConfigError: there is no such format, or it does not go with ``--out``.
    """
    suffix = "" if out is None else out.suffix.lstrip(".")
    chosen = asked or (suffix if suffix in FORMATS else "table")
    if chosen not in FORMATS:
        raise ConfigError(f"--format {chosen}: no such format.{nearest(chosen, FORMATS)}")
    if chosen == "parquet" and out is None:
        raise ConfigError("--format parquet writes a file: name it with --out FILE.parquet")
    if chosen == "table" and out is not None:
        raise ConfigError(f"--out {out}: choose what to write with --format json, csv or parquet")
    return chosen


@contextmanager
def open_sink(form: str, out: Path | None) -> Iterator[Add]:
    """A function that takes users' lists; a file appears whole or not at all."""
    if out is None:
        with _SINKS[form](typer.get_text_stream("stdout")) as add:
            yield add
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    try:
        with _opened(form, partial) as add:
            yield add
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _opened(form: str, path: Path) -> Iterator[Add]:
    if form == "parquet":
        with _parquet(path) as add:
            yield add
    else:
        with path.open("w", encoding="utf-8") as file, _SINKS[form](file) as add:
            yield add


@contextmanager
def _table(file: TextIO) -> Iterator[Add]:
    def add(users: Sequence[str], frame: pl.DataFrame) -> None:
        for user, rows in _by_user(users, frame):
            lines = [(str(r["rank"]), r["title"], r["item_id"], f"{r['score']:.3f}") for r in rows]
            console().print(list_table(user, lines, ("rank", "title", "item", "score")))

    yield add


@contextmanager
def _json(file: TextIO) -> Iterator[Add]:
    opening = "["

    def add(users: Sequence[str], frame: pl.DataFrame) -> None:
        nonlocal opening
        for user, rows in _by_user(users, frame):
            items = [{key: row[key] for key in row if key != "user_id"} for row in rows]
            text = json.dumps({"user_id": user, "items": items}, ensure_ascii=False)
            file.write(f"{opening}\n  {text}")
            opening = ","

    yield add
    file.write("\n]\n" if opening == "," else "[]\n")


@contextmanager
def _csv(file: TextIO) -> Iterator[Add]:
    header = True

    def add(users: Sequence[str], frame: pl.DataFrame) -> None:
        nonlocal header
        file.write(frame.write_csv(include_header=header))
        header = False

    yield add


@contextmanager
def _parquet(path: Path) -> Iterator[Add]:
    from pyarrow.parquet import ParquetWriter

    writer: Any = None

    def add(users: Sequence[str], frame: pl.DataFrame) -> None:
        nonlocal writer
        table = frame.to_arrow()
        writer = writer or ParquetWriter(path, table.schema)
        writer.write_table(table)

    try:
        yield add
    finally:
        if writer is not None:
            writer.close()


_SINKS = {"table": _table, "json": _json, "csv": _csv}


def _by_user(users: Sequence[str], frame: pl.DataFrame) -> Iterator[tuple[str, list[dict]]]:
    """Each user's rows, an empty list for users whose list is empty."""
    rows: dict[str, list[dict]] = {user: [] for user in users}
    for row in frame.iter_rows(named=True):
        rows[row["user_id"]].append(row)
    yield from rows.items()
