"""Raw ids and the contiguous indices that stand for them.

The two tables everything starts from: who took what, and what the items are.

Checksums of files and of a data set's content.

A data set as the three tables of its folder, and back.

The data set folder: three Parquet tables and ``dataset.json``, written whole or not at all.

``interactions.parquet`` holds indices, ``users.parquet`` and ``items.parquet`` the raw ids by index
and what is known of the items. ``dataset.json`` holds the schema version, where the rows came
from, counts, and the checksum of each table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

import edgewise
from edgewise.data.ragged import Ragged
from edgewise.errors import DataError, UnknownIdError
from edgewise.files import file_checksum, is_taken, whole_folder


@dataclass(frozen=True)
class Vocabulary:
    """The ids of one kind of entity; an id's place in the tuple is its index.

    Models that spell an entity as text (``item_17``) use ``index + 1`` as the number.

    Attributes:
        ids: raw ids as they stand in the user's file, by index.
        kind: what the ids name, for messages.
    """

    ids: tuple[str, ...]
    kind: Literal["user", "item"] = "item"

    @classmethod
    def shuffled(
        cls, raw_ids: Iterable[str], *, kind: Literal["user", "item"], seed: int
    ) -> Vocabulary:
        """Number ids by a seeded shuffle of their sorted order.

        Numbers given in order of first appearance tell a model which items were bought next, test
        rows included. A shuffle of the sorted ids depends on the set of ids and the seed alone.
        """
        ordered = sorted(set(raw_ids))
        order = np.random.default_rng(seed).permutation(len(ordered))
        return cls(tuple(ordered[i] for i in order), kind)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {raw: index for index, raw in enumerate(self.ids)}

    def __contains__(self, raw_id: str) -> bool:
        return raw_id in self._index

    def index_of(self, raw_id: str) -> int:
        """The index of one id.

        Raises:
            UnknownIdError: the id is not in the data set; close spellings are named.
        """
        try:
            return self._index[raw_id]
        except KeyError:
            close = get_close_matches(raw_id, self.ids[:50_000], n=3, cutoff=0.7)
            hint = f" Close ids: {', '.join(close)}." if close else ""
            raise UnknownIdError(
                f"unknown {self.kind} id {raw_id!r}: the data set has {len(self)} {self.kind}s "
                f"and this is none of them.{hint}"
            ) from None

    def indices_of(self, raw_ids: Sequence[str]) -> np.ndarray:
        """Indices of many ids, ``int32[len(raw_ids)]``."""
        return np.array([self.index_of(raw_id) for raw_id in raw_ids], dtype=np.int32)


@dataclass(frozen=True)
class Interactions:
    """Rows of (user, item) in each user's order of time.

    Rows are sorted by user, then time, then their order in the source, so that a user's rows are
    contiguous and the last one is the newest.

    Attributes:
        user_index, item_index: ``int32[rows]``.
        timestamp: seconds since 1970, ``int64[rows]``, or None where the source has no times.
        rating: ``float32[rows]`` (NaN where a row has none), or None.
        review: the full review text (empty string where a row has none), or None.
        summary: the review's headline (empty string where a row has none), or None.
    """

    user_index: np.ndarray
    item_index: np.ndarray
    timestamp: np.ndarray | None = None
    rating: np.ndarray | None = None
    review: pl.Series | None = None
    summary: pl.Series | None = None

    def __len__(self) -> int:
        return len(self.user_index)

    def take(self, rows: np.ndarray) -> Interactions:
        """The rows at the given positions, in the given order."""

        def pick(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[rows]

        def pick_text(column: pl.Series | None) -> pl.Series | None:
            return None if column is None else column.gather(rows)

        return replace(
            self,
            user_index=self.user_index[rows],
            item_index=self.item_index[rows],
            timestamp=pick(self.timestamp),
            rating=pick(self.rating),
            review=pick_text(self.review),
            summary=pick_text(self.summary),
        )


def histories_of(num_users: int, *parts: Interactions) -> Ragged:
    """Each user's items in order of time, ``int32``, one row a user.

    Parts are joined in the order given (train before validation), rows in their order.
    """
    users = np.concatenate([part.user_index for part in parts])
    items = np.concatenate([part.item_index for part in parts])
    order = np.argsort(users, kind="stable")
    lengths = np.bincount(users, minlength=num_users)
    return Ragged.of_lengths(lengths, items[order].astype(np.int32, copy=False))


@dataclass(frozen=True)
class Catalog:
    """What is known of each item, by item index; a missing text is an empty string.

    Attributes:
        title, brand, description: one string an item.
        categories: one list of strings an item, from general to special.
    """

    title: tuple[str, ...]
    brand: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    description: tuple[str, ...]

    @classmethod
    def empty(cls, num_items: int) -> Catalog:
        return cls(("",) * num_items, ("",) * num_items, ((),) * num_items, ("",) * num_items)

    def __len__(self) -> int:
        return len(self.title)


@dataclass(frozen=True)
class Dataset:
    """Interactions, items and the vocabularies that number them.

    ``Dataset.load(folder)`` and ``dataset.save(folder)`` read and write the on-disk form, see
    :mod:`edgewise.data.dataset`.

    Attributes:
        name: a short name for tables and messages.
        users, items: raw ids by index.
        interactions: every row, in each user's order of time.
        catalog: item texts, all empty where the source has none.
        source: where the rows came from and how they were filtered (written to ``dataset.json``).
    """

    name: str
    users: Vocabulary
    items: Vocabulary
    interactions: Interactions
    catalog: Catalog
    source: dict[str, object] = field(default_factory=dict)

    @property
    def num_users(self) -> int:
        return len(self.users)

    @property
    def num_items(self) -> int:
        return len(self.items)

    @cached_property
    def checksum(self) -> str:
        """Of the content, computed once."""
        return content_checksum(self)

    def item_label(self, item_index: int) -> str:
        """The item's title, or its raw id where it has none."""
        return self.catalog.title[item_index] or self.items.ids[item_index]

    @classmethod
    def load(cls, folder: str | Path) -> Dataset:
        """Read a data set folder written by :meth:`save` or ``edgewise data import``."""
        return load_dataset(folder)

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write the data set folder (Parquet tables and ``dataset.json``), whole or not at all.

        ``force`` replaces a data set that is already there.
        """
        save_dataset(self, folder, force=force)


SLICE = 100_000


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


TABLES = ("interactions", "users", "items")
TEXTS = ("title", "brand", "description")


def to_tables(dataset: Dataset) -> dict[str, pl.DataFrame]:
    """``interactions`` by index, ``users`` and ``items`` with their raw ids in index order."""
    return {
        "interactions": _interaction_table(dataset.interactions),
        "users": pl.DataFrame({"user_id": pl.Series(dataset.users.ids, dtype=pl.String)}),
        "items": _item_table(dataset.items, dataset.catalog),
    }


def from_tables(
    tables: Mapping[str, pl.DataFrame], name: str, source: dict[str, object]
) -> Dataset:
    """The data set that :func:`to_tables` was given."""
    return Dataset(
        name,
        Vocabulary(tuple(tables["users"]["user_id"]), "user"),
        Vocabulary(tuple(tables["items"]["item_id"]), "item"),
        _interactions(tables["interactions"]),
        _catalog(tables["items"]),
        source,
    )


def _interaction_table(rows: Interactions) -> pl.DataFrame:
    columns = {
        "user_index": rows.user_index,
        "item_index": rows.item_index,
        "timestamp": rows.timestamp,
        "rating": rows.rating,
        "review": rows.review,
        "summary": rows.summary,
    }
    return pl.DataFrame({name: column for name, column in columns.items() if column is not None})


def _item_table(items: Vocabulary, catalog: Catalog) -> pl.DataFrame:
    paths = [list(path) for path in catalog.categories]
    columns = {
        "item_id": pl.Series(items.ids, dtype=pl.String),
        **{name: pl.Series(getattr(catalog, name), dtype=pl.String) for name in TEXTS},
        "categories": pl.Series(paths, dtype=pl.List(pl.String)),
    }
    return pl.DataFrame(columns)


def _interactions(table: pl.DataFrame) -> Interactions:
    def numbers(name: str) -> np.ndarray | None:
        return table[name].to_numpy() if name in table.columns else None

    def texts(name: str) -> pl.Series | None:
        return table[name] if name in table.columns else None

    return Interactions(
        table["user_index"].to_numpy(),
        table["item_index"].to_numpy(),
        numbers("timestamp"),
        numbers("rating"),
        texts("review"),
        texts("summary"),
    )


def _catalog(table: pl.DataFrame) -> Catalog:
    title, brand, description = (tuple(table[name]) for name in TEXTS)
    return Catalog(title, brand, tuple(map(tuple, table["categories"].to_list())), description)


KIND = "edgewise data set"
SCHEMA_VERSION = 1
MANIFEST = "dataset.json"
KEYS = ("name", "counts", "source", "checksum", "sha256")


def save_dataset(dataset: Dataset, folder: str | Path, *, force: bool = False) -> None:
    """Write a data set folder under a temporary name beside it, then rename it.

    Raises:
        DataError: the folder holds something; ``force`` replaces a data set, and nothing else.
    """
    folder = Path(folder)
    check_target(folder, force=force)
    with whole_folder(folder) as partial:
        for name, table in to_tables(dataset).items():
            table.write_parquet(partial / f"{name}.parquet")
        text = json.dumps(_manifest(dataset, partial), indent=2, ensure_ascii=False)
        (partial / MANIFEST).write_text(text + "\n", encoding="utf-8")


def load_dataset(folder: str | Path) -> Dataset:
    """Read a data set folder.

    Raises:
        DataError: the folder is missing, truncated, altered, too new, or no data set.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    tables = {name: _read_table(folder, name, manifest) for name in TABLES}
    return from_tables(tables, manifest["name"], manifest["source"])


def dataset_checksum(dataset: Dataset | str | Path) -> str:
    """The checksum of a data set's content, in memory or in a folder; see
    :func:`edgewise.data.dataset.content_checksum`.
    """
    if not isinstance(dataset, Dataset):
        dataset = load_dataset(dataset)
    return content_checksum(dataset)


def check_target(folder: str | Path, *, force: bool = False) -> None:
    """Whether a data set may be written there.

    Raises:
        DataError: the folder holds something; ``force`` replaces a data set, and nothing else.
    """
    folder = Path(folder)
    if not is_taken(folder):
        return
    if not _is_ours(folder):
        raise DataError(f"{folder}: something else is there and stays; choose another folder")
    if not force:
        raise DataError(f"{folder}: a data set is there; replace it with --force")


def read_manifest(folder: Path) -> dict:
    """``dataset.json``, checked to be ours and of a version that we read."""
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{folder}: no data set folder ({MANIFEST} is missing); make one with "
            "'edgewise data import SOURCE --out DIR'"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); import the data set again") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise DataError(f"{path}: not written by edgewise; make one with 'edgewise data import'")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema version {manifest.get('schema_version')}, this edgewise "
            f"({edgewise.__version__}) reads {SCHEMA_VERSION}; import the data set again"
        )
    if missing := [key for key in KEYS if key not in manifest]:
        raise DataError(f"{path}: {missing[0]!r} is missing; import the data set again")
    return manifest


def _is_ours(folder: Path) -> bool:
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("kind") == KIND
    except (OSError, ValueError, AttributeError):
        return False


def _manifest(dataset: Dataset, folder: Path) -> dict[str, object]:
    return {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "edgewise_version": edgewise.__version__,
        "name": dataset.name,
        "counts": {
            "interactions": len(dataset.interactions),
            "users": dataset.num_users,
            "items": dataset.num_items,
        },
        "source": dataset.source,
        "checksum": content_checksum(dataset),
        "sha256": {f"{name}.parquet": file_checksum(folder / f"{name}.parquet") for name in TABLES},
    }


def _read_table(folder: Path, name: str, manifest: dict) -> pl.DataFrame:
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise DataError(f"{path}: missing from the data set; import it again")
    if file_checksum(path) != manifest["sha256"].get(path.name):
        raise DataError(f"{path}: truncated or altered since it was written; import it again")
    try:
        return pl.read_parquet(path)
    except PolarsError as error:
        raise DataError(f"{path}: cannot be read ({error}); import the data set again") from None
