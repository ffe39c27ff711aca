"""Ids as people type them or keep them in files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.cli.output import warn
from edgewise.errors import ConfigError, UnknownIdError

if TYPE_CHECKING:
    import numpy as np

    from edgewise.data.dataset import Vocabulary

RawCandidates = list[str] | dict[str, list[str]]
_COLUMNS = ["user_id", "item_id"]
_SKIPPABLE = " Leave it out, or add --skip-unknown"


def find_ids(vocabulary: Vocabulary, raw_ids: Iterable[str], skip_unknown: bool) -> np.ndarray:
    """Indices of raw ids in their order, ``int32[n]``.

    Args:
        vocabulary: of the data set.
        raw_ids: as they stand in the user's file.
        skip_unknown: leave unknown ids out with a warning.

    Raises:
        UnknownIdError: an id is unknown; the nearest ones are named.
    """
    import numpy as np

    found: list[int] = []
    for raw_id in raw_ids:
        try:
            found.append(vocabulary.index_of(raw_id))
        except UnknownIdError as error:
            if not skip_unknown:
                raise UnknownIdError(f"{error}{_SKIPPABLE}") from None
            warn(f"skipped: {error}")
    return np.array(found, dtype=np.int32)


def read_lines(path: Path) -> list[str]:
    """One id a line; empty lines do not count."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason})") from None
    return [line.strip() for line in lines if line.strip()]


def read_candidates(path: Path) -> RawCandidates:
    """Candidate items: one list for everybody, or one a user.

    Understands lines of item ids, a csv with the columns ``user_id,item_id``, and JSON: a list of
    item ids, or an object from user ids to such lists.

    Raises:
        ConfigError: the file is none of these.
    """
    lines = read_lines(path)
    if not lines:
        raise ConfigError(f"{path}: no candidates in this file")
    if path.suffix == ".json":
        return _from_json(path)
    header = next(csv.reader(lines[:1]))
    if len(header) == 1:
        return lines[1:] if header == ["item_id"] else lines
    if sorted(header) != sorted(_COLUMNS):
        raise ConfigError(
            f"{path}: the first line is {lines[0]!r}; a table of candidates starts with "
            f"{','.join(_COLUMNS)}"
        )
    return _from_table(path, lines)


def _from_table(path: Path, lines: list[str]) -> RawCandidates:
    lists: dict[str, list[str]] = {}
    for number, row in enumerate(csv.DictReader(lines), start=2):
        user, item = row["user_id"], row["item_id"]
        if not user or not item or None in row:
            raise ConfigError(f"{path}:{number}: a user and an item are wanted, nothing else")
        lists.setdefault(user, []).append(item)
    return lists


def _from_json(path: Path) -> RawCandidates:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON ({error})") from None
    lists = values.values() if isinstance(values, dict) else [values]
    if not all(isinstance(row, list) and all(isinstance(i, str) for i in row) for row in lists):
        raise ConfigError(
            f"{path}: a list of item ids as strings is wanted, or an object from user ids to lists"
        )
    return values
