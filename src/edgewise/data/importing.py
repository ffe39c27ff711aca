"""From a source to a data set: read, filter, number, sort.

Ids are numbered without a loop over the rows: each is first replaced by its place among the sorted
ids, which is what the filters work on, and these places by the numbers of a vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from edgewise.config import nearest
from edgewise.data import readers
from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary, check_target
from edgewise.data.filters import Filters, FilterStep, apply_filters
from edgewise.data.readers.cleaning import clean
from edgewise.data.readers.item_tables import item_rows
from edgewise.data.readers.raw import (
    ITEM_SCHEMA,
    ROW_SCHEMA,
    Form,
    RawTable,
    ReadRequest,
    no_items,
)
from edgewise.data.readers.read_log import Kind, ReadLog
from edgewise.data.readers.sources import local_file
from edgewise.errors import ConfigError, DataError
from edgewise.locks import locked

# Names of files that say nothing of what is in them.
_GENERAL = ("sequential.txt", "user_sequence.txt", "ratings.csv", "ratings.dat", "u.data")
_GENERAL += ("behaviors.tsv",)


@dataclass(frozen=True)
class ImportOptions:
    """How to import a source.

    Attributes:
        name: of the data set; the source's name where it is None.
        format: one of :data:`edgewise.data.readers.READERS`, or None to detect it.
        columns: our field names to the source's column names; an empty name leaves a field out.
        metadata: a file about the items, where it is not found beside the source.
        item_columns: as ``columns``, for the file about the items.
        form: how the source is written, where that is not told by looking at it.
        where: columns to the values that a row must have one of.
        cold_items: ``keep`` items that have metadata and no row (they are in the catalogue, and can
            be recommended by what is known of them), or ``drop`` them.
        limit: read about so many rows only, to look at a source.
        on_bad_rows: stop at the first unusable row, or leave such rows out and count them.
        filters: rows to leave out.
        item_numbers: ``shuffled`` numbers users and items by a seeded shuffle of their sorted ids;
            ``source`` keeps the numbers of a P5 folder (index = number - 1), which follow first
            appearance, test rows included: for reproducing papers only.
        shuffle_ties: order a user's rows of equal time by chance instead of as the source does.
        seed: of the shuffles.
    """

    name: str | None = None
    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    metadata: str | Path | None = None
    item_columns: Mapping[str, str] = field(default_factory=dict)
    form: Form = field(default_factory=Form)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cold_items: Literal["keep", "drop"] = "keep"
    limit: int | None = None
    on_bad_rows: Literal["error", "skip"] = "error"
    filters: Filters = field(default_factory=Filters)
    item_numbers: Literal["shuffled", "source"] = "shuffled"
    shuffle_ties: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.on_bad_rows not in ("error", "skip"):
            raise ConfigError(f"--on-bad-rows {self.on_bad_rows}: must be error or skip")
        if self.cold_items not in ("keep", "drop"):
            raise ConfigError(f"--cold-items {self.cold_items}: must be keep or drop")
        if self.item_numbers not in ("shuffled", "source"):
            raise ConfigError(f"--id-order {self.item_numbers}: must be shuffled or source")


def import_dataset(
    source: str | Path,
    folder: str | Path,
    options: ImportOptions | None = None,
    *,
    force: bool = False,
) -> Dataset:
    """Read a source and write the data set folder, whole or not at all.

    Raises:
        ConfigError: an option is impossible for the source.
        DataError: the source cannot be read, nothing is left of it, or the folder is taken.
        LockedError: another process writes the folder.
    """
    folder = Path(folder)
    check_target(folder, force=force)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        dataset = read_dataset(source, options)
        dataset.save(folder, force=force)
    return dataset


def read_dataset(source: str | Path, options: ImportOptions | None = None) -> Dataset:
    """Read a source into a data set in memory; see :func:`import_dataset` for what it raises."""
    options = options or ImportOptions()
    log = ReadLog(skip=options.on_bad_rows == "skip")
    with local_file(source) as path, local_metadata(options.metadata) as metadata:
        raw = read_source(path, metadata, options, log)
    return build_dataset(raw, options, name=options.name or _short_name(path), log=log)


def read_source(
    path: Path, metadata: Path | None, options: ImportOptions, log: ReadLog
) -> RawTable:
    """The rows of a local source, and what is known of its items.

    Raises:
        DataError: it cannot be read, or has no usable row.
    """
    request = ReadRequest(
        path,
        log,
        options.columns,
        metadata,
        options.item_columns,
        options.form,
        options.where,
        options.limit,
    )
    raw = readers.read(request, options.format)
    if raw.rows.is_empty():
        left = ", ".join(f"{count:,} {kind}" for kind, count in log.counts.items())
        raise DataError(f"{path}: no usable rows{f' (left out: {left})' if left else ''}")
    return raw


def local_metadata(metadata: str | Path | None) -> AbstractContextManager[Path | None]:
    """A file about the items as a local path; None where there is none."""
    return nullcontext() if metadata is None else local_file(metadata)


def dataset_from_frames(
    interactions: Any,
    items: Any,
    *,
    columns: Mapping[str, str],
    name: str,
    filters: Filters | None,
    seed: int,
) -> Dataset:
    """A data set from tables in memory, see :meth:`edgewise.data.dataset.Dataset.from_frame`."""
    raw, log = read_frames(interactions, items, columns)
    options = ImportOptions(filters=filters or Filters(), seed=seed)
    return build_dataset(raw, options, name=name, log=log)


def read_frames(
    interactions: Any, items: Any, columns: Mapping[str, str]
) -> tuple[RawTable, ReadLog]:
    """Tables in memory, either of which may be None, and what reading them has to tell.

    Raises:
        ConfigError: ``columns`` names a field that there is not.
        DataError: a column is missing, a row cannot be used, or there is none.
    """
    if unknown := [ours for ours in columns if ours not in {**ROW_SCHEMA, **ITEM_SCHEMA}]:
        fields = {**ROW_SCHEMA, **ITEM_SCHEMA}
        raise ConfigError(f"columns: unknown field {unknown[0]!r}.{nearest(unknown[0], fields)}")
    log, rows, known = _FrameLog(), pl.DataFrame(schema=ROW_SCHEMA), no_items()
    if interactions is not None:
        table, sources = _fields(interactions, "interactions", columns)
        if table.is_empty():
            raise DataError("interactions: the table has no rows")
        lines, series = np.arange(len(table)), {column.name: column for column in table}
        rows = clean(series, lines, Path("interactions"), log, sources=sources)
    if items is not None:
        table, sources = _fields(items, "items", columns)
        values, lines = {column.name: column for column in table}, np.arange(len(table))
        request = ReadRequest(Path("items"), log)
        known = item_rows(values, lines, Path("items"), request, sources)
    return RawTable(rows, known, "frame", ()), log


def build_dataset(
    raw: RawTable, options: ImportOptions, *, name: str, log: ReadLog | None = None
) -> Dataset:
    """Filter, number and sort the rows of a reader."""
    log = log or ReadLog()
    rows, user_ids, item_ids = _encode_ids(raw.rows, options.seed if options.shuffle_ties else None)
    metadata = _match(raw, item_ids, log)
    cold = raw.items["item_id"].filter(~raw.items["item_id"].is_in(item_ids.implode()))
    if options.cold_items == "drop":
        cold = cold.clear()
    rows, steps = apply_filters(rows, options.filters)
    if options.item_numbers == "source":
        users, items = _source_vocabularies(raw, steps)
    else:
        users = _vocabulary_of("user", rows, user_ids, options.seed)
        items = _vocabulary_of("item", rows, item_ids, options.seed, cold)
    _tell_lengths(rows, log)
    numbers = _index_of_sorted(user_ids, users), _index_of_sorted(item_ids, items)
    return Dataset(
        name,
        users,
        items,
        _interactions_by_index(rows, *numbers),
        catalog_of(raw.items, items),
        _source_description(raw, options, steps, log, {**metadata, "cold_items": len(cold)}),
    )


def _match(raw: RawTable, item_ids: pl.Series, log: ReadLog) -> dict[str, int]:
    """How many items of the rows and of the metadata know each other.

    Raises:
        DataError: none does: it is the wrong file or column.
    """
    known = raw.items["item_id"]
    matched = int(known.is_in(item_ids.implode()).sum())
    if len(known) and not matched:
        raise DataError(
            f"{raw.files[-1] if raw.files else 'items'}: none of its {len(known):,} item ids (such "
            f"as {known[0]!r}) is one of the {len(item_ids):,} of the interactions (such as "
            f"{item_ids[0]!r}): it is another file, or another column; name the column with "
            "--item-column item_id=COLUMN"
        )
    if len(known) and matched < len(item_ids):
        log.warn(f"nothing is known of {len(item_ids) - matched:,} of {len(item_ids):,} items")
    return {"rows": len(known), "matched": matched}


def _tell_lengths(rows: pl.DataFrame, log: ReadLog) -> None:
    """Warn of what leaves little to learn from or to measure."""
    lengths = rows["user_id"].value_counts()["count"]
    short, users, items = int((lengths < 3).sum()), len(lengths), rows["item_id"].n_unique()
    if short:
        log.warn(
            f"{short:,} of {users:,} users have fewer than 3 rows: nothing of theirs is held out, "
            "so that they are neither validated nor tested on"
        )
    if items < 3:
        log.warn(f"{items} item{'s' * (items > 1)} with rows: there is nothing to choose from")


def _encode_ids(
    rows: pl.DataFrame, tie_seed: int | None
) -> tuple[pl.DataFrame, pl.Series, pl.Series]:
    """Rows in each user's order of time, ids replaced by places among the sorted ids.

    Rows of equal time stand as in the source, or by chance where there is a seed.

    Raises:
        DataError: ties of rows without times.
    """
    ids = {side: rows[side].unique().sort() for side in ("user_id", "item_id")}
    codes = rows.with_columns(
        rows[side].cast(pl.Enum(values)).to_physical() for side, values in ids.items()
    )
    if "rating" in rows.columns:
        codes = codes.with_columns(pl.col("rating").fill_null(float("nan")))
    keys = [codes[name].to_numpy() for name in ("timestamp", "user_id") if name in codes.columns]
    if tie_seed is not None:
        if "timestamp" not in codes.columns:
            raise DataError(
                "--shuffle-ties: the source has no times, and its order is all there is of them; "
                "leave the option out, or name the column of times with --column timestamp=COLUMN"
            )
        keys = [np.random.default_rng(tie_seed).random(len(codes)), *keys]
    return codes[np.lexsort(keys)], ids["user_id"], ids["item_id"]


def _vocabulary_of(
    kind: Literal["user", "item"],
    rows: pl.DataFrame,
    ids: pl.Series,
    seed: int,
    more: Iterable[str] = (),
) -> Vocabulary:
    """The ids that occur in the rows that are left, and some more, shuffled."""
    left = ids.gather(rows[f"{kind}_id"].unique())
    return Vocabulary.shuffled([*left, *more], kind=kind, seed=seed)


def _source_vocabularies(
    raw: RawTable, steps: Sequence[FilterStep]
) -> tuple[Vocabulary, Vocabulary]:
    """The source's own numbering, which bears no gaps."""
    if raw.numbers is None:
        raise ConfigError(
            "--id-order source: only P5 folders numbered 1, 2, 3 and so on have numbers to "
            f"keep; this source is {raw.layout}"
        )
    for step in steps:
        if (step.before.users, step.before.items) != (step.after.users, step.after.items):
            raise ConfigError(
                f"--id-order source keeps every user and item, and --{step.name} "
                f"{step.setting} leaves some out; use one of the two"
            )
    users, items = raw.numbers
    return Vocabulary(users, "user"), Vocabulary(items, "item")


def _index_of_sorted(ids: pl.Series, vocabulary: Vocabulary) -> np.ndarray:
    """The vocabulary's index of each of the sorted ids, -1 for those it lacks, ``int32``."""
    places = pl.Series(vocabulary.ids, dtype=pl.String).cast(pl.Enum(ids), strict=False)
    known = places.is_not_null().to_numpy()
    lookup = np.full(len(ids), -1, dtype=np.int32)
    lookup[places.to_physical().drop_nulls().to_numpy()] = np.flatnonzero(known)
    return lookup


def _interactions_by_index(
    rows: pl.DataFrame, users: np.ndarray, items: np.ndarray
) -> Interactions:
    """Rows by user index; within a user they already stand in order of time.

    Args:
        rows: places among the sorted ids, and the other columns.
        users, items: the index of each place, ``int32``.
    """
    columns: dict[str, Any] = {
        **{name: rows[name].to_numpy() for name in ("timestamp", "rating") if name in rows.columns},
        **{name: rows[name] for name in ("review", "summary") if name in rows.columns},
    }
    user_index, item_index = users[rows["user_id"].to_numpy()], items[rows["item_id"].to_numpy()]
    by_user = np.argsort(user_index, kind="stable")
    return Interactions(user_index, item_index, **columns).take(by_user)


def catalog_of(known: pl.DataFrame, items: Vocabulary) -> Catalog:
    """What is known of each item in the vocabulary's order; empty texts where nothing is."""
    ids = pl.DataFrame({"item_id": items.ids}, schema={"item_id": pl.String})
    table = ids.join(known, on="item_id", how="left", maintain_order="left")
    title, brand, description = (
        tuple(table[column].fill_null("")) for column in ("title", "brand", "description")
    )
    categories = tuple(tuple(path or ()) for path in table["categories"].to_list())
    return Catalog(title, brand, categories, description)


def _source_description(
    raw: RawTable,
    options: ImportOptions,
    steps: Sequence[FilterStep],
    log: ReadLog,
    metadata: Mapping[str, int],
) -> dict[str, object]:
    return {
        "format": raw.layout,
        "files": list(raw.files),
        "layouts": log.layouts,
        "fields": [asdict(field) for field in log.fields],
        "unused_columns": log.unused,
        "rows_read": raw.rows.height + sum(log.counts.values()),
        "bad_rows": dict(log.counts),
        "bad_item_rows": dict(log.item_counts),
        "filters": [asdict(step) for step in steps],
        "metadata": dict(metadata) if len(raw.items) else {},
        "warnings": log.warnings,
        "item_numbers": options.item_numbers,
        **({"shuffle_ties": True} if options.shuffle_ties else {}),
        "seed": options.seed,
    }


def _short_name(path: Path) -> str:
    """The source's name without endings, or its folder's where the name says nothing."""
    path = path.resolve()
    general = path.name in _GENERAL
    return (path.parent if general else path).name.split(".")[0]


class _FrameLog(ReadLog):
    """Stops at the first bad row of a table in memory."""

    def report(self, kind: Kind, path: Path, line: Any, detail: str, count: int = 1) -> None:
        number = line if isinstance(line, int) else line()
        raise DataError(
            f"{path}, row {number} (counted from 0): {kind}: {detail}. Mend such rows or leave "
            "them out of the table."
        )


def _fields(
    table: Any, what: str, columns: Mapping[str, str]
) -> tuple[pl.DataFrame, dict[str, str]]:
    """The table's fields under our names, and what the table calls them.

    Raises:
        DataError: a column that must be there, or that ``columns`` names, is missing.
    """
    schema, required = {
        "interactions": (ROW_SCHEMA, ("user_id", "item_id")),
        "items": (ITEM_SCHEMA, ("item_id",)),
    }[what]
    frame = _as_polars(table, what)
    names = {ours: columns.get(ours, ours) for ours in schema}
    if what == "items" and names["item_id"] not in frame.columns:
        names["item_id"] = "item_id"
    needed = [theirs for ours, theirs in names.items() if ours in columns or ours in required]
    if missing := [theirs for theirs in needed if theirs not in frame.columns]:
        raise DataError(
            f"{what}: no column {' and '.join(map(repr, missing))}; the columns are "
            f"{', '.join(frame.columns)}. Name those that are called otherwise, as in "
            "columns={'user_id': 'customer'}"
        )
    found = {ours: theirs for ours, theirs in names.items() if theirs in frame.columns}
    return frame.select(**{ours: pl.col(theirs) for ours, theirs in found.items()}), found


def _as_polars(table: Any, what: str) -> pl.DataFrame:
    if isinstance(table, (str, Path)):
        raise DataError(
            f"{what}: {str(table)!r} is the name of a file, not a table; read the file first, or "
            "make a data set of it with 'edgewise data import'"
        )
    try:
        if isinstance(table, pl.LazyFrame):
            return table.collect()
        if type(table).__module__.partition(".")[0] == "pandas":
            return pl.from_pandas(table)
        if type(table).__module__.partition(".")[0] == "pyarrow":
            return pl.DataFrame(pl.from_arrow(table))
        return pl.DataFrame(table)
    except (PolarsError, TypeError, ValueError) as error:
        raise DataError(
            f"{what}: a {type(table).__name__} cannot be read as a table ({error}); give a polars, "
            "pandas or pyarrow table, or a dictionary of columns"
        ) from None
