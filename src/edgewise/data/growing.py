"""Data that grow: rows, users and items appended to a data set, and its earlier states.

Ids keep their numbers: the old vocabularies begin the new ones, and new ids are numbered after
them in a seeded shuffle of their own, so that a number tells of no time but that of the append. The
old rows keep their order among themselves, and what is known of an item stays as it was. So every
earlier state can be cut out of the grown data set again, to the bit, by its checksum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from edgewise.data.dataset import (
    Catalog,
    Dataset,
    Interactions,
    Vocabulary,
    check_target,
    read_manifest,
)
from edgewise.data.importing import (
    ImportOptions,
    catalog_of,
    local_metadata,
    read_frames,
    read_source,
)
from edgewise.data.readers.raw import ITEM_SCHEMA, ROW_SCHEMA, RawTable, ReadRequest
from edgewise.data.readers.read_log import ReadLog
from edgewise.data.readers.sources import local_file
from edgewise.data.readers.tables import read_metadata
from edgewise.data.states import EarlierState
from edgewise.errors import DataError
from edgewise.files import file_checksum
from edgewise.locks import locked

_KEY = ("user_index", "item_index", "timestamp")
_LEAST_PREFIX = 8
_FILLERS = {"rating": float("nan"), "review": "", "summary": ""}


@dataclass(frozen=True)
class Appended:
    """What is to be appended.

    Attributes:
        raw: rows and items as they were read.
        log: what reading them had to tell.
        source, sha256: of the rows' file; empty where there is none.
        items_source, items_sha256: of the file about the items.
    """

    raw: RawTable
    log: ReadLog
    source: str = ""
    sha256: str = ""
    items_source: str = ""
    items_sha256: str = ""

    @property
    def name(self) -> str:
        """For messages."""
        return self.source or self.items_source or "the table"


def append_file(
    folder: str | Path,
    source: str | Path | None,
    options: ImportOptions | None = None,
) -> Dataset:
    """Append a source to a data set folder, which is replaced as a whole or stays.

    Args:
        folder: of the data set.
        source: as :func:`~edgewise.data.importing.import_dataset` reads it; None where there are
            new items alone.
        options: of the import; its filters, name and numbers are not read.

    Returns:
        The grown data set; the last of ``grown_from`` tells what was appended.

    Raises:
        ConfigError: an option is impossible for the source.
        DataError: the source cannot be read, was appended before, or has nothing new.
        LockedError: another process writes the folder.
    """
    folder, options = Path(folder), options or ImportOptions()
    read_manifest(folder)  # what is no data set is not locked
    with locked(folder):
        dataset = Dataset.load(folder)
        check_target(folder, force=True)
        found = _read(dataset, source, options)
        grown = append(dataset, found, cold_items=options.cold_items, seed=options.seed)
        grown.save(folder, force=True)
    return grown


def append_frames(
    dataset: Dataset,
    interactions: Any,
    items: Any,
    *,
    columns: Mapping[str, str],
    cold_items: Literal["keep", "drop"],
    seed: int,
) -> Dataset:
    """See :meth:`edgewise.data.dataset.Dataset.append`."""
    raw, log = read_frames(interactions, items, columns)
    return append(dataset, Appended(raw, log), cold_items=cold_items, seed=seed)


def append(
    dataset: Dataset,
    found: Appended,
    *,
    cold_items: Literal["keep", "drop"] = "keep",
    seed: int = 0,
) -> Dataset:
    """The data set with what is new in some rows and items; see :func:`append_frames`."""
    raw, log = found.raw, found.log
    told = raw.items["item_id"]
    kept = told if cold_items == "keep" else told.filter(told.is_in(raw.rows["item_id"].implode()))
    users = _extended(dataset.users, raw.rows["user_id"], seed)
    items = _extended(dataset.items, pl.concat([raw.rows["item_id"], kept]), seed)
    fresh, num_there = _new_rows(dataset, raw.rows, users, items, found)
    if not len(fresh) and len(items) == dataset.num_items:
        raise DataError(
            f"{found.name}: nothing in it is new to {dataset.name!r} ({num_there:,} rows stand "
            "there already, by user, item and time); nothing was changed"
        )
    different = _num_different(dataset, raw.items)
    _warn(dataset, raw, items, different, log)
    state = EarlierState(
        dataset.checksum,
        len(dataset.interactions),
        dataset.num_users,
        dataset.num_items,
        found.source,
        found.sha256,
        datetime.now(UTC).isoformat(timespec="seconds"),
        raw.rows.height + sum(log.counts.values()),
        len(fresh),
        num_there,
        found.items_source,
        found.items_sha256,
        len(told),
        different,
        dict(log.counts),
        dict(log.item_counts),
        {
            "fields": [asdict(each) for each in log.fields],
            "unused_columns": log.unused,
            "layouts": log.layouts,
        },
        tuple(log.warnings),
    )
    return Dataset(
        dataset.name,
        users,
        items,
        _merged(dataset, fresh),
        _longer_catalog(dataset.catalog, raw.items, Vocabulary(items.ids[dataset.num_items :])),
        dataset.source,
        (*dataset.grown_from, state),
    )


def earlier_state(dataset: Dataset, checksum: str) -> Dataset:
    """See :meth:`edgewise.data.dataset.Dataset.earlier`."""
    if len(checksum) >= _LEAST_PREFIX and dataset.checksum.startswith(checksum):
        return dataset
    for step, state in enumerate(dataset.grown_from):
        if len(checksum) >= _LEAST_PREFIX and state.checksum.startswith(checksum):
            found = _cut(dataset, step)
            if found.checksum != state.checksum:
                raise DataError(
                    f"data set {dataset.name!r}: what is left of its state {state.checksum[:12]} "
                    "has another checksum: rows, ids or texts were altered since. Import the data "
                    "set again, and append to it what had been appended"
                )
            return found
    known = ", ".join(state.checksum[:12] for state in dataset.grown_from) or "none"
    raise DataError(
        f"data set {dataset.name!r} (checksum {dataset.checksum[:12]}) never had the checksum "
        f"{checksum[:12]}: its earlier states are {known}"
    )


def _cut(dataset: Dataset, step: int) -> Dataset:
    """The state before append number ``step + 1``."""
    state, rows, catalog = dataset.grown_from[step], dataset.interactions, dataset.catalog
    if rows.appended is not None:
        rows = rows.take(np.flatnonzero(rows.appended <= step))
    own = slice(state.items)
    return replace(
        dataset,
        users=Vocabulary(dataset.users.ids[: state.users], "user"),
        items=Vocabulary(dataset.items.ids[own]),
        interactions=rows if step else replace(rows, appended=None),
        catalog=Catalog(
            catalog.title[own],
            catalog.brand[own],
            catalog.categories[own],
            catalog.description[own],
        ),
        grown_from=dataset.grown_from[:step],
    )


def _read(dataset: Dataset, source: str | Path | None, options: ImportOptions) -> Appended:
    """The rows of a source and the items of ``options.metadata``, which were not appended yet."""
    if source is None and options.metadata is None:
        raise DataError("nothing to append: name a file of rows, or one about items with --items")
    log = ReadLog(skip=options.on_bad_rows == "skip")
    rows = nullcontext() if source is None else local_file(source)
    with rows as path, local_metadata(options.metadata) as metadata:
        if metadata is not None and not metadata.is_file():
            raise DataError(f"--items {metadata}: there is no such file")
        sums = [_content_checksum(each) for each in (path, metadata)]
        _refuse_again(dataset, source if path else options.metadata, sums[0] or sums[1])
        if path is not None:
            raw = read_source(path, metadata, options, log)
        else:
            assert metadata is not None
            request = ReadRequest(metadata, log, {}, None, options.item_columns, options.form)
            items = read_metadata(metadata, request)
            raw = RawTable(pl.DataFrame(schema=ROW_SCHEMA), items, "items", (metadata.name,))
    names = (each.name if each is not None else "" for each in (path, metadata))
    (source_name, items_name), (sha256, items_sha256) = names, sums
    return Appended(raw, log, source_name, sha256, items_name, items_sha256)


def _content_checksum(path: Path | None) -> str:
    """Of a file, or of the files of a folder; empty where there is nothing to read."""
    if path is None or not path.exists():
        return ""
    if path.is_file():
        return file_checksum(path)
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file_checksum(file)}\n".encode())
    return digest.hexdigest()


def _refuse_again(dataset: Dataset, source: object, sha256: str) -> None:
    for state in dataset.grown_from:
        if sha256 and sha256 in (state.sha256, state.sha256 or state.items_sha256):
            raise DataError(
                f"{source}: was appended to {dataset.name!r} before, on {state.when} (as "
                f"{state.source or state.items_source}, the same SHA-256 {sha256[:12]}); nothing "
                "was changed. Name a file with the rows that have come since"
            )


def _extended(known: Vocabulary, raw_ids: pl.Series, seed: int) -> Vocabulary:
    """The vocabulary with the ids that it lacks behind, in a seeded shuffle."""
    new = [raw for raw in raw_ids.unique() if raw not in known]
    return Vocabulary(
        (*known.ids, *Vocabulary.shuffled(new, kind=known.kind, seed=seed).ids), known.kind
    )


def _new_rows(
    dataset: Dataset, rows: pl.DataFrame, users: Vocabulary, items: Vocabulary, found: Appended
) -> tuple[pl.DataFrame, int]:
    """Rows by index number that do not stand in the data set, in the order given, and how many do.

    Raises:
        DataError: the data set has times, and the rows have none.
    """
    has_times = dataset.interactions.timestamp is not None
    if has_times and "timestamp" not in rows.columns:
        raise DataError(
            f"{found.name}: has no times, and the rows of {dataset.name!r} have: name the column "
            "with --column timestamp=COLUMN"
        )
    numbered = rows.select(
        _numbers(rows["user_id"], users).alias("user_index"),
        _numbers(rows["item_id"], items).alias("item_index"),
        *(pl.col(name) for name in rows.columns if name in _columns(dataset)),
    )
    unused = [name for name in rows.columns[2:] if name not in numbered.columns]
    if unused and len(rows):
        found.log.warn(
            f"{', '.join(unused)}: not kept, since the rows of {dataset.name!r} have none"
        )
    own = [name for name in _KEY if name in numbered.columns]
    there = pl.DataFrame({name: getattr(dataset.interactions, name) for name in own})
    fresh = numbered.unique(own, keep="first", maintain_order=True)
    fresh = fresh.join(there, on=own, how="anti", maintain_order="left")
    return fresh, len(rows) - len(fresh)


def _columns(dataset: Dataset) -> list[str]:
    names = ("timestamp", "rating", "review", "summary")
    return [name for name in names if getattr(dataset.interactions, name) is not None]


def _numbers(raw_ids: pl.Series, vocabulary: Vocabulary) -> pl.Series:
    """The index of each id, all of which are known."""
    ids = pl.Series(vocabulary.ids, dtype=pl.String)
    return raw_ids.cast(pl.Enum(ids)).to_physical().cast(pl.Int32)


def _merged(dataset: Dataset, fresh: pl.DataFrame) -> Interactions:
    """Old and new rows by user and time; old ones stand first at one time.

    Raises:
        DataError: the old rows do not stand in order of time.
    """
    old, step = dataset.interactions, len(dataset.grown_from) + 1
    came = np.zeros(len(old), np.int32) if old.appended is None else old.appended
    joined: dict[str, Any] = {"appended": np.append(came, np.full(len(fresh), step, np.int32))}
    for name in ("user_index", "item_index", *_columns(dataset)):
        new = fresh[name] if name in fresh.columns else None
        joined[name] = _joined(getattr(old, name), new, len(fresh), _FILLERS.get(name))
    rows = Interactions(**joined)
    if rows.timestamp is None:
        return rows.take(np.argsort(rows.user_index, kind="stable"))
    falls = np.diff(rows.timestamp[: len(old)]) < 0
    if (falls & (np.diff(old.user_index) == 0)).any():
        raise DataError(
            f"data set {dataset.name!r}: a user's rows do not stand in order of time, so that "
            "newer ones cannot be put in; import it again"
        )
    return rows.take(np.lexsort((rows.timestamp, rows.user_index)))


def _joined(old: Any, new: pl.Series | None, count: int, filler: Any) -> Any:
    """Two columns, one after the other; what the new rows do not tell is filled in."""
    is_text = isinstance(old, pl.Series)
    if new is None:
        new = pl.Series([filler] * count, dtype=pl.String if is_text else pl.Float32)
    elif filler is not None:
        new = new.fill_null(filler)
    if is_text:
        return pl.concat([old, new.alias(old.name)])
    return np.append(old, new.to_numpy()).astype(old.dtype)


def _longer_catalog(known: Catalog, told: pl.DataFrame, new: Vocabulary) -> Catalog:
    more = catalog_of(told, new)
    return Catalog(
        known.title + more.title,
        known.brand + more.brand,
        known.categories + more.categories,
        known.description + more.description,
    )


def _num_different(dataset: Dataset, told: pl.DataFrame) -> int:
    """Known items of which something else is told than is known."""
    catalog, names = dataset.catalog, [name for name in ITEM_SCHEMA if name != "item_id"]
    known = told.filter(told["item_id"].is_in(pl.Series(dataset.items.ids).implode()))
    count = 0
    for raw, *texts in known.select("item_id", *names).iter_rows():
        item = dataset.items.index_of(raw)
        count += any(
            text
            and (tuple(text) if isinstance(text, list) else text) != getattr(catalog, name)[item]
            for name, text in zip(names, texts, strict=True)
        )
    return count


def _warn(dataset: Dataset, raw: RawTable, items: Vocabulary, different: int, log: ReadLog) -> None:
    if different:
        log.warn(
            f"{different:,} of {len(raw.items):,} items told of are known, and told of otherwise: "
            "they stay as they are, since earlier states of the data must stay the same; import "
            "anew to change them"
        )
    new = pl.Series(items.ids[dataset.num_items :], dtype=pl.String)
    unknown = new.filter(~new.is_in(raw.items["item_id"].implode()))
    if len(unknown):
        log.warn(f"nothing is known of {len(unknown):,} of {len(new):,} new items")
    if len(told := raw.items["item_id"]) and len(raw.rows):
        named: Sequence[str] = dataset.items.ids
        matched = told.is_in(raw.rows["item_id"].implode()) | told.is_in(pl.Series(named).implode())
        if not matched.any():
            log.warn(
                f"none of the {len(told):,} items told of (such as {told[0]!r}) is one of the rows "
                "or of the data set: is it another file, or another column?"
            )
