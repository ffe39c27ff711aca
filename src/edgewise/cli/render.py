"""Tables and bars for the terminal."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

_WIDTH_OF_FILES = 132


def console(stderr: bool = False) -> Console:
    """As wide as the terminal; wide enough for every table where the output goes into a file."""
    found = Console(stderr=stderr, highlight=False)
    return (
        found
        if found.is_terminal
        else Console(stderr=stderr, highlight=False, width=_WIDTH_OF_FILES)
    )


def command_line() -> str:
    """The command as it was typed, for the records."""
    return shlex.join(["edgewise", *sys.argv[1:]])


def list_table(title: str, rows: Sequence[Sequence[str]], columns: Sequence[str]) -> Table:
    """A small table of texts; the first column is a number."""
    table = Table(title=title, title_justify="left", min_width=40)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number == 0 else "left")
    for row in rows:
        table.add_row(*row)
    return table


@contextmanager
def progress_bar(what: str, show: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to be told (done, total); draws nothing where nobody looks."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    target = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeLeft())
    hidden = not (show and target.is_terminal)
    with Progress(*columns, console=target, disable=hidden, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield told
