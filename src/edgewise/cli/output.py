"""What all commands share: wording, tables and bars, and where lists go."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

from edgewise.config import nearest
from edgewise.display import json_text, printable
from edgewise.errors import ConfigError
from edgewise.files import check_target, replacing

if TYPE_CHECKING:
    import polars as pl


def examples(*commands: str) -> str:
    """The end of a ``--help`` text; each command stands on a line of its own."""
    return "\n\n".join(["Examples:", *(f"  {command}" for command in commands)])


_WIDTH_OF_FILES = 132


class SafeConsole(Console):
    """A console that shows texts as they are: no markup, no emoji codes, no control characters."""

    def render_str(self, text: str, *args: Any, **options: Any) -> Text:
        """All texts of tables and bars come through here."""
        return super().render_str(printable(text), *args, **options)


def console(stderr: bool = False) -> Console:
    """As wide as the terminal; wide enough for every table where the output goes into a file."""
    options: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
    found = SafeConsole(stderr=stderr, **options)
    return (
        found if found.is_terminal else SafeConsole(stderr=stderr, width=_WIDTH_OF_FILES, **options)
    )


def say(
    message: str, *, colour: str | None = None, stderr: bool = False, newline: bool = True
) -> None:
    """Print a text that may hold names, ids and titles."""
    typer.secho(printable(message), fg=colour, err=stderr, nl=newline)


def command_line() -> str:
    """The command as it was typed, for the records."""
    typed = shlex.join(["edgewise", *sys.argv[1:]])
    return typed.encode(errors="replace").decode()


def list_table(title: str, rows: Sequence[Sequence[str]], columns: Sequence[str]) -> Table:
    """A small table of texts; the first column is a number."""
    table = Table(title=title, title_justify="left", min_width=40)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number == 0 else "left")
    for row in rows:
        table.add_row(*row)
    return table


@contextmanager
def first_process_speaks() -> Iterator[None]:
    """Let only the first of the processes print that ``torchrun`` has started."""
    if os.environ.get("RANK", "0") == "0":
        yield
        return
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        yield


@contextmanager
def progress_bar(what: str, show: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to be told (done, total); draws nothing where nobody looks."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    target = console(stderr=True)
    columns = (TextColumn(what, markup=False), BarColumn(), MofNCompleteColumn(), TimeLeft())
    hidden = not (show and target.is_terminal)
    with Progress(*columns, console=target, disable=hidden, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield told


def command_of(renamed: Mapping[str, str]) -> type[TyperCommand]:
    """A class of commands that refuses options of older versions, with their new names."""

    class Command(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            for word in args:
                name = word.partition("=")[0]
                if name in renamed and not ctx.resilient_parsing:
                    raise ConfigError(f"{name} is called {renamed[name]} now")
            return super().parse_args(ctx, args)

    return Command


def at_most(option: str, asked: int, most: int) -> int:
    """A number, or the most that there can be, with a warning."""
    if asked <= most:
        return asked
    warn(f"{option} {asked}: the catalogue gives {most} at most, which are taken")
    return most


def warn_of(notes: Sequence[str]) -> None:
    """What a run cannot do for what has come since it was fitted."""
    for note in notes:
        warn(note)


def warn(message: str) -> None:
    """A line that does not stop the command."""
    say(f"warning: {message}", colour="yellow", stderr=True)


FORMATS = ("table", "json", "csv", "parquet")
Add = Callable[[Sequence[str], "pl.DataFrame"], None]
"""Takes some users and their rows ``user_id, item_id, score, rank, title``."""


@dataclass(frozen=True)
class ListsAbout:
    """What lists are, for whoever reads them.

    Attributes:
        unit: what a score is, in a few words.
        task: that answers; empty where it is none.
        told: before tables.
        key: the column by which lists belong together.
    """

    unit: str = "score"
    task: str = ""
    told: str = ""
    key: str = "user_id"


def choose_format(asked: str | None, out: Path | None) -> str:
    """The format asked for, or the one that the file's name tells.

    Raises:
        ConfigError: there is no such format, or it does not go with ``--out``.
    """
    suffix = "" if out is None else out.suffix.lstrip(".").lower()
    chosen = asked or (suffix if suffix in FORMATS else "table")
    if chosen not in FORMATS:
        raise ConfigError(f"--format {chosen}: no such format.{nearest(chosen, FORMATS)}")
    if chosen == "parquet" and out is None:
        raise ConfigError("--format parquet writes a file: name it with --out FILE.parquet")
    if out is not None and suffix in FORMATS and suffix != chosen:
        raise ConfigError(
            f"--out {out} and --format {chosen} do not agree: leave --format out, or name a file "
            f"that ends in .{chosen}"
        )
    if out is not None:
        check_target(out)
    if chosen == "table" and out is not None:
        raise ConfigError(f"--out {out}: choose what to write with --format json, csv or parquet")
    return chosen


@contextmanager
def open_sink(
    form: str,
    out: Path | None,
    about: ListsAbout = ListsAbout(),
) -> Iterator[Add]:
    """A function that takes users' lists; a file appears whole or not at all."""
    if out is None:
        with _SINKS[form](typer.get_text_stream("stdout"), about) as add:
            yield add
        return
    with replacing(out) as partial, _opened(form, partial, about) as add:
        yield add


@contextmanager
def _opened(form: str, path: Path, about: ListsAbout) -> Iterator[Add]:
    if form == "parquet":
        with _parquet(path) as add:
            yield add
    else:
        with path.open("w", encoding="utf-8") as file, _SINKS[form](file, about) as add:
            yield add


@contextmanager
def _table(file: TextIO, about: ListsAbout) -> Iterator[Add]:
    if about.told:
        console().print(about.told)
    score = "score" if about.unit == "score" else f"score ({about.unit})"

    def more(row: dict) -> list[str]:
        return [row["why"]] if "why" in row else []

    def add(users: Sequence[str], frame: pl.DataFrame) -> None:
        for user, rows in _by_user(users, frame, about.key):
            title = f"like {user}" if about.key == "similar_to" else user
            title += "" if rows else ": no items"
            lines = [
                (str(r["rank"]), r["title"], r["item_id"], f"{r['score']:.3f}", *more(r))
                for r in rows
            ]
            why = ("why",) if "why" in frame.columns else ()
            console().print(list_table(title, lines, ("rank", "title", "item", score, *why)))

    yield add


@contextmanager
def _json(file: TextIO, about: ListsAbout) -> Iterator[Add]:
    opening = "["
    task = {"task": about.task} if about.task else {}

    def add(users: Sequence[str], frame: pl.DataFrame) -> None:
        nonlocal opening
        for user, rows in _by_user(users, frame, about.key):
            items = [{key: row[key] for key in row if key != about.key} for row in rows]
            values = {about.key: user, **task, "score_unit": about.unit, "items": items}
            text = json_text(values, allow_nan=False)
            file.write(f"{opening}\n  {text}")
            opening = ","

    yield add
    file.write("\n]\n" if opening == "," else "[]\n")


@contextmanager
def _csv(file: TextIO, about: ListsAbout) -> Iterator[Add]:
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


def _by_user(
    users: Sequence[str], frame: pl.DataFrame, key: str
) -> Iterator[tuple[str, list[dict]]]:
    """Each user's rows, an empty list for users whose list is empty."""
    rows: dict[str, list[dict]] = {user: [] for user in users}
    for row in frame.iter_rows(named=True):
        rows[row[key]].append(row)
    yield from rows.items()
