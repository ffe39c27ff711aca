"""What reading a source has to tell: rows that cannot be used, what each field was read from.

Nothing is decided in silence: a reader writes here how it understood a file, and ``edgewise data
import`` prints it, keeps it in ``dataset.json`` and repeats it in ``edgewise data info``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edgewise.errors import DataError


class Kind(StrEnum):
    """The ways in which a source row can be unusable."""

    MISSING_FIELD = "missing field"
    EXTRA_FIELD = "extra field"
    EMPTY_ID = "empty id"
    WRONG_ID = "no id"
    UNKNOWN_ID = "unknown id"
    TIME = "unparsable time"
    RATING = "unparsable rating"
    JSON = "wrong JSON"
    QUOTE = "unclosed quote"
    ENCODING = "wrong encoding"
    ARCHIVE = "damaged archive"
    HEADER = "repeated header line"
    WHERE = "left out by --where"


# Left out on purpose or of no use to anybody: never a reason to stop.
HARMLESS = (Kind.HEADER, Kind.WHERE)


@dataclass(frozen=True)
class FieldRead:
    """Where a field came from.

    Attributes:
        table: ``interactions`` or ``items``.
        field: our name.
        column: the file's.
        form: how its values were read, such as ``epoch milliseconds``.
    """

    table: str
    field: str
    column: str
    form: str


class ReadLog:
    """Stops at the first bad row, or with ``skip`` counts bad rows by kind.

    Attributes:
        skip: leave bad rows out instead of raising.
        counts: rows of interactions left out so far, by kind.
        item_counts: rows about items left out so far, by kind.
        fields: what was read from which column.
        unused: columns that nothing was read from, by file name.
        warnings: what a person should know, in the order found.
        layouts: how each file is laid out, by its name.
    """

    def __init__(self, *, skip: bool = False) -> None:
        self.skip = skip
        self.counts: Counter[str] = Counter()
        self.item_counts: Counter[str] = Counter()
        self._counting = self.counts
        self.fields: list[FieldRead] = []
        self.unused: dict[str, list[str]] = {}
        self.warnings: list[str] = []
        self.layouts: dict[str, str] = {}

    def report(
        self, kind: Kind, path: Path, line: int | Callable[[], int], detail: str, count: int = 1
    ) -> None:
        """Note ``count`` bad rows, the first of which stands at ``line`` (counted from 1).

        A line that is costly to find may be given as a function; it is called only to raise.

        Raises:
            DataError: unless ``skip`` is set, or the kind is harmless.
        """
        if not self.skip and kind not in HARMLESS:
            number = line if isinstance(line, int) else line()
            raise DataError(
                f"{path.name}, line {number}: {kind}: {detail}. Mend the file, or leave such rows "
                "out with --on-bad-rows skip."
            )
        self._counting[str(kind)] += count

    @contextmanager
    def about_items(self) -> Iterator[None]:
        """What is reported inside is about the rows of a catalogue."""
        self._counting = self.item_counts
        yield
        self._counting = self.counts

    def warn(self, text: str) -> None:
        """Tell a person once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def read(self, table: str, field: str, column: str, form: str) -> None:
        """Note what a field was read from."""
        self.fields.append(FieldRead(table, field, column, form))

    def left(self, path: Path, columns: Iterable[str]) -> None:
        """Note columns that nothing was read from."""
        if names := list(columns):
            self.unused[path.name] = names
