"""A data set: who took what, what the items are, and the raw ids behind the index numbers.

Everything starts from two tables, :class:`Interactions` and :class:`Catalog`, numbered by two
vocabularies. On disk a data set is a folder of three Parquet tables and ``dataset.json``, written
whole or not at all: ``interactions.parquet`` holds index numbers, ``users.parquet`` and
``items.parquet`` the raw ids by index and what is known of the items, ``dataset.json`` the schema
version, where the rows came from, counts, and checksums of the content and of each table. A data
set may grow (:mod:`edgewise.data.growing`): ``dataset.json`` then tells of its earlier states.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from polars.exceptions import PanicException, PolarsError
from pydantic import Field

import edgewise
from edgewise.data.interactions import COLUMNS, WORDS, Interactions, StoredRows
from edgewise.data.interactions import histories_of as histories_of
from edgewise.data.states import EarlierState, StateShape, states_of
from edgewise.data.table_checks import AGAIN, check_tables
from edgewise.errors import DataError, EdgewiseError, UnknownIdError
from edgewise.files import file_checksum, is_taken, recover, whole_folder
from edgewise.parsing import Shape, check_shape, read_json
from edgewise.seals import SEAL, check_fields, seal_fields

if TYPE_CHECKING:
    from edgewise.data.filters import Filters

MANIFEST = "dataset.json"
_KIND = "edgewise data set"
_SCHEMA_VERSION = 1
_AGAIN = "import the data set again"
_TABLES = ("interactions", "users", "items")
_TEXTS = ("title", "brand", "description")
# Values hashed together: bounds the memory that a checksum takes.
_SLICE = 100_000


class _Sizes(Shape):
    rows: int
    users: int
    items: int


class _Step(Shape):
    name: str
    setting: Any
    after: _Sizes


class _Field(Shape):
    table: str
    field: str
    column: str
    form: str


class _Metadata(Shape):
    matched: int = 0
    cold_items: int = 0


class _Source(Shape):
    """What an import tells of its source; data sets made otherwise tell less."""

    format: str = ""
    rows_read: int = 0
    bad_rows: dict[str, int] = Field(default_factory=dict)
    bad_item_rows: dict[str, int] = Field(default_factory=dict)
    filters: list[_Step] = Field(default_factory=list)
    fields: list[_Field] = Field(default_factory=list)
    unused_columns: dict[str, list[str]] = Field(default_factory=dict)
    layouts: dict[str, str] = Field(default_factory=dict)
    metadata: _Metadata = Field(default_factory=_Metadata)
    warnings: list[str] = Field(default_factory=list)


class _Manifest(Shape):
    """``dataset.json``."""

    name: str
    counts: dict[str, int]
    source: _Source
    checksum: str
    sha256: dict[str, str]
    grown_from: list[StateShape] = Field(default_factory=list)


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

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {self.kind}s)"

    @cached_property
    def _index(self) -> dict[str, int]:
        return {raw: index for index, raw in enumerate(self.ids)}

    @cached_property
    def checksum(self) -> str:
        """The SHA-256 of the ids in their order, in hexadecimal; computed once."""
        digest = hashlib.sha256()
        for piece in _text_bytes(self.ids):
            digest.update(piece)
        return digest.hexdigest()

    def __contains__(self, raw_id: str) -> bool:
        return raw_id in self._index

    def index_of(self, raw_id: str) -> int:
        """The index of one id.

        Raises:
            UnknownIdError: the id is not in the data set; close spellings are named, or a few ids.
        """
        try:
            return self._index[raw_id]
        except KeyError:
            close = get_close_matches(raw_id, self.ids[:50_000], n=3, cutoff=0.7)
            some = ", ".join(close or self.ids[:3])
            hint = f" {'Close ids' if close else 'Some that it has'}: {some}." if some else ""
            raise UnknownIdError(
                f"unknown {self.kind} id {raw_id!r}: the data set has {len(self)} {self.kind}s "
                f"and this is none of them.{hint}"
            ) from None

    def indices_of(self, raw_ids: Sequence[str]) -> np.ndarray:
        """Indices of many ids, ``int32[len(raw_ids)]``."""
        return np.array([self.index_of(raw_id) for raw_id in raw_ids], dtype=np.int32)


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

    def __repr__(self) -> str:
        return f"Catalog(items={len(self)})"


@dataclass(frozen=True)
class Dataset:
    """Interactions, items and the vocabularies that number them.

    Attributes:
        name: a short name for tables and messages.
        users, items: raw ids by index.
        interactions: every row, in each user's order of time.
        catalog: item texts, all empty where the source has none.
        source: where the rows came from and how they were filtered (written to ``dataset.json``).
        grown_from: the states it had before rows were appended, oldest first.
    """

    name: str
    users: Vocabulary
    items: Vocabulary
    interactions: Interactions
    catalog: Catalog
    source: dict[str, object] = field(default_factory=dict)
    grown_from: tuple[EarlierState, ...] = ()

    @classmethod
    def load(cls, folder: str | Path) -> Dataset:
        """Read a data set folder written by :meth:`save` or ``edgewise data import``.

        Raises:
            DataError: the folder is missing, truncated, altered, too new, or no data set; ids are
                repeated or missing, or rows name users or items that there are not.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        for name in _TABLES:
            _check_file(folder, name, manifest)
        users, items = (
            read_parquet(folder / f"{name}.parquet", DataError, _AGAIN) for name in _TABLES[1:]
        )
        stored = _stored_rows(folder / "interactions.parquet")
        index = check_tables(stored, users, items, folder, manifest["counts"])
        dataset = _from_tables(stored.interactions(**index), users, items, manifest)
        if SEAL in manifest:
            # The tables are those that were written with it: nothing needs to be hashed again.
            vars(dataset)["checksum"] = manifest["checksum"]
        elif dataset.checksum != manifest["checksum"]:
            raise DataError(f"{folder / MANIFEST}: checksum is not that of the tables. {AGAIN}")
        return dataset

    @classmethod
    def from_frame(
        cls,
        interactions: Any,
        items: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        name: str = "frame",
        filters: Filters | None = None,
        seed: int = 0,
    ) -> Dataset:
        """A data set from tables in memory: polars, pandas, pyarrow, or a dictionary of columns.

        Ids are read as text, rows ordered and numbered, as ``edgewise data import`` does it.

        Args:
            interactions: columns ``user_id`` and ``item_id``, and any of ``timestamp``,
                ``rating``, ``review`` and ``summary``; others are not read.
            items: columns ``item_id`` and any of ``title``, ``brand``, ``categories`` (lists, or
                names joined by ``|``) and ``description``.
            columns: our names to those of the tables, where they differ.
            name: of the data set.
            filters: rows to leave out; by default all but the last row of each user and item.
            seed: of the shuffle by which users and items are numbered.

        Raises:
            ConfigError: ``columns`` names a field that there is not.
            DataError: a column is missing, a row cannot be used, or no row is left.
        """
        # Importing is built on this file, so it can only be asked for here.
        from edgewise.data.importing import dataset_from_frames

        return dataset_from_frames(
            interactions, items, columns=columns or {}, name=name, filters=filters, seed=seed
        )

    def append(
        self,
        interactions: Any = None,
        items: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        cold_items: Literal["keep", "drop"] = "keep",
        seed: int = 0,
    ) -> Dataset:
        """The data set with new rows, and the users and items that come with them.

        Ids keep their numbers; new ones come after them, in a seeded shuffle of their own. Rows
        that stand there already (the same user, item and time) are left out, what is known of an
        item stays, and no filter is applied. The last of :attr:`grown_from` counts all that, and
        :meth:`earlier` gives back the data set as it was.

        Args:
            interactions: a table as for :meth:`from_frame`; times are a must where the data set has
                them. None where there are new items alone.
            items: a table as for :meth:`from_frame`.
            columns: our names to those of the tables, where they differ.
            cold_items: keep or drop new items that have no row.
            seed: of the shuffle by which new users and items are numbered.

        Raises:
            ConfigError: ``columns`` names a field that there is not.
            DataError: a column is missing, a row cannot be used, or nothing in it is new.
        """
        from edgewise.data.growing import append_frames

        return append_frames(
            self, interactions, items, columns=columns or {}, cold_items=cold_items, seed=seed
        )

    def earlier(self, checksum: str) -> Dataset:
        """The data set as it was when its checksum was this, or began like this.

        Raises:
            DataError: it never was, or its rows were altered since.
        """
        from edgewise.data.growing import earlier_state

        return earlier_state(self, checksum)

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write the data set folder under a temporary name beside it, then rename it.

        Raises:
            DataError: the folder holds something; ``force`` replaces a data set, and nothing else.
        """
        folder = Path(folder)
        check_target(folder, force=force)
        with whole_folder(folder) as partial:
            check_target(folder, force=force)  # nobody else writes it from here on
            for name, table in _to_tables(self).items():
                table.write_parquet(partial / f"{name}.parquet")
            text = json.dumps(_manifest(self, partial), indent=2, ensure_ascii=False)
            (partial / MANIFEST).write_text(text + "\n", encoding="utf-8")

    def __repr__(self) -> str:
        grown = f", grown={len(self.grown_from)} times" if self.grown_from else ""
        return (
            f"Dataset(name={self.name!r}, users={self.num_users}, items={self.num_items}, "
            f"rows={len(self.interactions)}{grown})"
        )

    @property
    def num_users(self) -> int:
        return len(self.users)

    @property
    def num_items(self) -> int:
        return len(self.items)

    def item_label(self, item_index: int) -> str:
        """The item's title, or its raw id where it has none."""
        return self.catalog.title[item_index] or self.items.ids[item_index]

    @cached_property
    def checksum(self) -> str:
        """The SHA-256 of ids, rows and catalogue, in hexadecimal; computed once.

        The name and the description of the source do not count, nor does the machine or the way
        the columns lie in memory.
        """
        digest = hashlib.sha256()
        for name, pieces in _hashed_columns(self):
            digest.update(f"\0{name}\0".encode())
            for piece in pieces:
                digest.update(piece)
        return digest.hexdigest()


def _hashed_columns(dataset: Dataset) -> Iterator[tuple[str, Iterable[bytes]]]:
    rows, catalog = dataset.interactions, dataset.catalog
    yield "users", _text_bytes(dataset.users.ids)
    yield "items", _text_bytes(dataset.items.ids)
    for name in _TEXTS:
        yield name, _text_bytes(getattr(catalog, name))
    yield "path lengths", [np.array([len(path) for path in catalog.categories], "<i8").tobytes()]
    yield "categories", _text_bytes(name for path in catalog.categories for name in path)
    for name, kind in (("user_index", "<i4"), ("item_index", "<i4"), ("timestamp", "<i8")):
        yield name, _number_bytes(getattr(rows, name), kind)
    yield "rating", _number_bytes(_one_nan(rows.rating), "<f4")
    for name in WORDS:
        column = getattr(rows, name)
        yield name, [] if column is None else _text_bytes(column)


def _one_nan(values: np.ndarray | None) -> np.ndarray | None:
    """The values with every bit pattern that is no number replaced by the same one."""
    return None if values is None else np.where(np.isnan(values), np.float32(np.nan), values)


def _number_bytes(values: np.ndarray | None, kind: str) -> Iterator[bytes]:
    if values is not None:
        for start in range(0, len(values), _SLICE):
            yield values[start : start + _SLICE].astype(kind).tobytes()


def _text_bytes(values: Iterable[str]) -> Iterator[bytes]:
    """The lengths and bytes of each text, so that no two lists of texts look the same."""
    rest = iter(values)
    while encoded := [text.encode() for text in islice(rest, _SLICE)]:
        yield np.array([len(text) for text in encoded], "<i8").tobytes()
        yield b"".join(encoded)


def _to_tables(dataset: Dataset) -> dict[str, pl.DataFrame]:
    """``interactions`` by index, ``users`` and ``items`` with their raw ids in index order."""
    rows, catalog = dataset.interactions, dataset.catalog
    columns = {name: getattr(rows, name) for name in COLUMNS}
    texts = {name: pl.Series(getattr(catalog, name), dtype=pl.String) for name in _TEXTS}
    paths = pl.Series([list(path) for path in catalog.categories], dtype=pl.List(pl.String))
    item_ids = pl.Series(dataset.items.ids, dtype=pl.String)
    return {
        "interactions": pl.DataFrame({k: v for k, v in columns.items() if v is not None}),
        "users": pl.DataFrame({"user_id": pl.Series(dataset.users.ids, dtype=pl.String)}),
        "items": pl.DataFrame({"item_id": item_ids, **texts, "categories": paths}),
    }


def _from_tables(
    rows: Interactions, users: pl.DataFrame, items: pl.DataFrame, manifest: Mapping[str, Any]
) -> Dataset:
    """The data set that :func:`_to_tables` was given."""
    title, brand, description = (tuple(items[name]) for name in _TEXTS)
    paths = tuple(map(tuple, items["categories"].to_list()))
    return Dataset(
        manifest["name"],
        Vocabulary(tuple(users["user_id"]), "user"),
        Vocabulary(tuple(items["item_id"]), "item"),
        rows,
        Catalog(title, brand, paths, description),
        manifest["source"],
        states_of(manifest),
    )


def check_target(folder: str | Path, *, force: bool = False) -> None:
    """Whether a data set may be written there.

    Raises:
        DataError: the folder holds something; ``force`` replaces a data set, and nothing else.
    """
    folder = Path(folder)
    recover(folder)
    if not is_taken(folder):
        return
    if not _is_ours(folder):
        raise DataError(f"{folder}: something else is there and stays; choose another folder")
    if not force:
        raise DataError(f"{folder}: a data set is there; replace it with --force")


def read_manifest(folder: Path) -> dict:
    """``dataset.json``, checked to be ours, of a version that we read, and as it was written."""
    path = folder / MANIFEST
    recover(folder)
    if not path.is_file():
        raise DataError(
            f"{folder}: no data set folder ({MANIFEST} is missing); make one with "
            "'edgewise data import SOURCE --out DIR'"
        )
    manifest = read_json(path, DataError, _AGAIN)
    if manifest.get("kind") != _KIND:
        raise DataError(f"{path}: not written by edgewise; make one with 'edgewise data import'")
    if manifest.get("schema_version") != _SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema version {manifest.get('schema_version')}, this edgewise "
            f"({edgewise.__version__}) reads {_SCHEMA_VERSION}; {_AGAIN}"
        )
    check_shape(manifest, _Manifest, path, DataError, _AGAIN)
    if SEAL in manifest:  # older ones have none: their content is hashed instead
        check_fields(manifest, path, AGAIN, DataError)
    return manifest


def _is_ours(folder: Path) -> bool:
    try:
        return read_json(folder / MANIFEST, DataError, _AGAIN).get("kind") == _KIND
    except DataError:
        return False


def _manifest(dataset: Dataset, folder: Path) -> dict[str, object]:
    about = {
        "kind": _KIND,
        "schema_version": _SCHEMA_VERSION,
        "edgewise_version": edgewise.__version__,
        "name": dataset.name,
        "counts": {
            "interactions": len(dataset.interactions),
            "users": dataset.num_users,
            "items": dataset.num_items,
        },
        "source": dataset.source,
        "checksum": dataset.checksum,
        "sha256": {
            f"{name}.parquet": file_checksum(folder / f"{name}.parquet") for name in _TABLES
        },
    }
    if dataset.grown_from:
        about["grown_from"] = [state.to_dict() for state in dataset.grown_from]
    return seal_fields(about)


def _check_file(folder: Path, name: str, manifest: dict) -> None:
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise DataError(f"{path}: missing from the data set; import it again")
    if file_checksum(path) != manifest["sha256"].get(path.name):
        raise DataError(f"{path}: truncated or altered since it was written; import it again")


def _stored_rows(path: Path) -> StoredRows:
    with _readable(path, DataError, _AGAIN):
        return StoredRows(path)


def read_parquet(path: Path, error: type[EdgewiseError], repair: str) -> pl.DataFrame:
    """A Parquet file of ours.

    Raises:
        EdgewiseError: of the class ``error``: it is missing or damaged.
    """
    with _readable(path, error, repair):
        return pl.read_parquet(path, glob=False)  # "[" may stand in the name of a folder


@contextmanager
def _readable(path: Path, error: type[EdgewiseError], repair: str) -> Iterator[None]:
    try:
        yield
    except (PolarsError, OSError, ValueError, PanicException) as found:
        reason = " ".join(str(found).split())[:200]
        raise error(f"{path}: cannot be read ({reason}); {repair}") from None
