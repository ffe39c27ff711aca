"""What to do with source rows that cannot be used: stop at the first, or count and go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from edgewise.errors import DataError


class Kind(StrEnum):
    """The ways in which a source row can be unusable."""

    MISSING_FIELD = "missing field"
    EXTRA_FIELD = "extra field"
    EMPTY_ID = "empty id"
    UNKNOWN_ID = "unknown id"
    TIME = "unparsable time"
    RATING = "unparsable rating"
    JSON = "wrong JSON"
    UTF8 = "invalid UTF-8"
    GZIP = "truncated gzip"


class BadRows:
    """Stops at the first bad row, or with ``skip`` counts bad rows by kind.

    Attributes:
        skip: leave bad rows out instead of raising.
        counts: rows left out so far, by kind.
    """

    def __init__(self, *, skip: bool = False) -> None:
        self.skip = skip
        self.counts: Counter[str] = Counter()

    def report(
        self, kind: Kind, path: Path, line: int | Callable[[], int], detail: str, count: int = 1
    ) -> None:
        """Note ``count`` bad rows, the first of which stands at ``line`` (counted from 1).

        A line that is costly to find may be given as a function; it is called only to raise.

        Raises:
            DataError: unless ``skip`` is set.
        """
        if not self.skip:
            number = line if isinstance(line, int) else line()
            raise DataError(
                f"{path.name}, line {number}: {kind}: {detail}. Mend the file, or leave such rows "
                "out with --on-bad-rows skip."
            )
        self.counts[str(kind)] += count
