"""Checksums of files and of a data set's content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgewise.data.interactions import Dataset

SLICE = 100_000


def file_checksum(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_checksum(dataset: Dataset) -> str:
    """The SHA-256 of a data set's ids, rows and catalogue, in hexadecimal.

    The name and the description of the source do not count, nor does the machine or the way the
    columns lie in memory.
    """
    digest = hashlib.sha256()
    for name, pieces in _columns(dataset):
        digest.update(f"\0{name}\0".encode())
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()


def _columns(dataset: Dataset) -> Iterator[tuple[str, Iterable[bytes]]]:
    rows, catalog = dataset.interactions, dataset.catalog
    yield "users", _texts(dataset.users.ids)
    yield "items", _texts(dataset.items.ids)
    for name in ("title", "brand", "description"):
        yield name, _texts(getattr(catalog, name))
    yield "path lengths", [np.array([len(path) for path in catalog.categories], "<i8").tobytes()]
    yield "categories", _texts(name for path in catalog.categories for name in path)
    for name, kind in (("user_index", "<i4"), ("item_index", "<i4"), ("timestamp", "<i8")):
        yield name, _numbers(getattr(rows, name), kind)
    yield "rating", _numbers(_one_nan(rows.rating), "<f4")
    for name in ("review", "summary"):
        column = getattr(rows, name)
        yield name, [] if column is None else _texts(column)


def _one_nan(values: np.ndarray | None) -> np.ndarray | None:
    """The values with every bit pattern that is no number replaced by the same one."""
    return None if values is None else np.where(np.isnan(values), np.float32(np.nan), values)


def _numbers(values: np.ndarray | None, kind: str) -> Iterator[bytes]:
    if values is not None:
        for start in range(0, len(values), SLICE):
            yield values[start : start + SLICE].astype(kind).tobytes()


def _texts(values: Iterable[str]) -> Iterator[bytes]:
    """The lengths and bytes of each text, so that no two lists of texts look the same."""
    rest = iter(values)
    while encoded := [text.encode() for text in islice(rest, SLICE)]:
        yield np.array([len(text) for text in encoded], "<i8").tobytes()
        yield b"".join(encoded)
