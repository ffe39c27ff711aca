"""Seals: digests by which a result that was changed after it was measured is recognised.

They protect against slips and tidying up, not against somebody who computes the digest anew.
Whoever doubts that far measures the run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from edgewise.errors import EdgewiseError

KEY = "seal"
_ALGORITHM = "sha256"
# Came with seals: no file that is older tells them.
_SEALED_ONLY = {"protocol", "rows_sha256"}


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with a digest of all of them at the end; an older seal is replaced.

    Order of keys, white space and indentation do not count. Call it last: whatever is added later
    breaks the seal.
    """
    bare = {key: value for key, value in values.items() if key != KEY}
    return bare | {KEY: {"algorithm": _ALGORITHM, "digest": content_digest(bare)}}


def is_sealed(values: Mapping[str, Any]) -> bool:
    """Whether there is a seal, right or wrong."""
    return KEY in values


def has_lost_its_seal(values: Mapping[str, Any]) -> bool:
    """Whether values without a seal once had one: they tell, at any depth, what came with it."""
    return not is_sealed(values) and _tells(values, _SEALED_ONLY)


def check_seal(values: Mapping[str, Any], where: object) -> None:
    """Refuse values that are not those that were sealed.

    Args:
        values: read from a file.
        where: for the message.

    Raises:
        EdgewiseError: they differ, or the seal is none of ours.
    """
    found = values.get(KEY)
    bare = {key: value for key, value in values.items() if key != KEY}
    if found != {"algorithm": _ALGORITHM, "digest": content_digest(bare)}:
        raise EdgewiseError(
            f"{where}: its content is not what was sealed when it was measured: a figure, a "
            "condition or the seal was changed afterwards. Measure the run again with 'edgewise "
            "evaluate RUN --json FILE'"
        )


def _tells(values: object, keys: set[str]) -> bool:
    if not isinstance(values, Mapping):
        return False
    return bool(keys & values.keys()) or any(_tells(part, keys) for part in values.values())


def content_digest(values: Mapping[str, Any]) -> str:
    """The SHA-256 of JSON values in their one canonical spelling, in hexadecimal."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def rows_digest(rows: pl.DataFrame) -> str:
    """The SHA-256 of a table of numbers and texts, in hexadecimal: names, kinds, values, order."""
    digest = hashlib.sha256()
    for column in rows:
        kind, content = _content(column)
        digest.update(f"\0{column.name}\0{kind}\0{len(column)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _content(column: pl.Series) -> tuple[str, bytes]:
    if column.dtype == pl.String:
        encoded = [text.encode() for text in column.to_list()]
        lengths = np.array([len(text) for text in encoded], "<i8")
        return "text", lengths.tobytes() + b"".join(encoded)
    kind = "<f8" if column.dtype.is_float() else "<i8"
    return kind, column.to_numpy().astype(kind).tobytes()
