"""From ids as they stand in a source to indices, without a loop over the rows.

From a source to a data set: read, filter, number, sort.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from edgewise.data import readers
from edgewise.data.dataset import (
    Catalog,
    Dataset,
    Interactions,
    Vocabulary,
    check_target,
    save_dataset,
)
from edgewise.data.filters import Filters, FilterStep, apply_filters
from edgewise.data.readers.bad_rows import BadRows
from edgewise.data.readers.raw import RawTable, ReadRequest
from edgewise.errors import ConfigError, DataError


def encode_ids(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series, pl.Series]:
    """Rows in each user's order of time, ids replaced by places among the sorted ids."""
    ids = {side: rows[side].unique().sort() for side in ("user_id", "item_id")}
    codes = rows.with_columns(
        rows[side].cast(pl.Enum(values)).to_physical() for side, values in ids.items()
    )
    if "rating" in rows.columns:
        codes = codes.with_columns(pl.col("rating").fill_null(float("nan")))
    keys = [codes[name].to_numpy() for name in ("timestamp", "user_id") if name in codes.columns]
    return codes[np.lexsort(keys)], ids["user_id"], ids["item_id"]


def left_vocabulary(
    kind: Literal["user", "item"], rows: pl.DataFrame, ids: pl.Series, seed: int
) -> Vocabulary:
    left = ids.gather(rows[f"{kind}_id"].unique())
    return Vocabulary.shuffled(left, kind=kind, seed=seed)


def source_vocabularies(
    raw: RawTable, steps: Sequence[FilterStep]
) -> tuple[Vocabulary, Vocabulary]:
    if raw.numbers is None:
        raise ConfigError(
            "--item-numbers source: only P5 folders numbered 1, 2, 3 and so on have numbers to "
            f"keep; this source is {raw.layout}"
        )
    for step in steps:
        if (step.before.users, step.before.items) != (step.after.users, step.after.items):
            raise ConfigError(
                f"--item-numbers source keeps every user and item, and --{step.name} "
                f"{step.setting} leaves some out; use one of the two"
            )
    users, items = raw.numbers
    return Vocabulary(users, "user"), Vocabulary(items, "item")


def interactions_by_index(rows: pl.DataFrame, users: np.ndarray, items: np.ndarray) -> Interactions:
    """Rows by user index; within a user they already stand in order of time.

    Args:
        rows: places among the sorted ids, and the other columns.
        users, items: the index of each place, ``int32``.
    """
    user_index = users[rows["user_id"].to_numpy()]
    order = np.argsort(user_index, kind="stable")

    def numbers(name: str) -> np.ndarray | None:
        return rows[name].to_numpy()[order] if name in rows.columns else None

    def texts(name: str) -> pl.Series | None:
        return rows[name].gather(order) if name in rows.columns else None

    return Interactions(
        user_index[order],
        items[rows["item_id"].to_numpy()[order]],
        timestamp=numbers("timestamp"),
        rating=numbers("rating"),
        review=texts("review"),
        summary=texts("summary"),
    )


def index_of_sorted(ids: pl.Series, vocabulary: Vocabulary) -> np.ndarray:
    """The vocabulary's index of each of the sorted ids, -1 for those it lacks, ``int32``."""
    places = pl.Series(vocabulary.ids, dtype=pl.String).cast(pl.Enum(ids), strict=False)
    known = places.is_not_null().to_numpy()
    lookup = np.full(len(ids), -1, dtype=np.int32)
    lookup[places.to_physical().drop_nulls().to_numpy()] = np.flatnonzero(known)
    return lookup


@dataclass(frozen=True)
class ImportOptions:
    """How to import a source.

    Attributes:
        name: of the data set; the source's name where it is None.
        format: one of :data:`edgewise.data.readers.READERS`, or None to detect it.
        columns: our field names to the source's column names; an empty name leaves a field out.
        metadata: a file about the items, where it is not found beside the source.
        on_bad_rows: stop at the first unusable row, or leave such rows out and count them.
        filters: rows to leave out.
        item_numbers: ``shuffled`` numbers users and items by a seeded shuffle of their sorted ids;
            ``source`` keeps the numbers of a P5 folder (index = number - 1), which follow first
            appearance, test rows included: for reproducing papers only.
        seed: of the shuffle.
    """

    name: str | None = None
    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    metadata: Path | None = None
    on_bad_rows: Literal["error", "skip"] = "error"
    filters: Filters = field(default_factory=Filters)
    item_numbers: Literal["shuffled", "source"] = "shuffled"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.on_bad_rows not in ("error", "skip"):
            raise ConfigError(f"--on-bad-rows {self.on_bad_rows}: must be error or skip")
        if self.item_numbers not in ("shuffled", "source"):
            raise ConfigError(f"--item-numbers {self.item_numbers}: must be shuffled or source")


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
    """
    check_target(folder, force=force)
    dataset = read_dataset(source, options)
    save_dataset(dataset, folder, force=force)
    return dataset


def read_dataset(source: str | Path, options: ImportOptions | None = None) -> Dataset:
    """Read a source into a data set in memory; see :func:`import_dataset` for what it raises."""
    options, path = options or ImportOptions(), Path(source)
    bad = BadRows(skip=options.on_bad_rows == "skip")
    request = ReadRequest(path, bad, options.columns, options.metadata)
    raw = readers.read(request, options.format)
    if raw.rows.is_empty():
        raise DataError(f"{path}: no usable rows ({sum(bad.counts.values())} left out as bad)")
    return build_dataset(raw, options, name=options.name or _short_name(path), bad=bad)


def build_dataset(
    raw: RawTable, options: ImportOptions, *, name: str, bad: BadRows | None = None
) -> Dataset:
    """Filter, number and sort the rows of a reader."""
    rows, user_ids, item_ids = encode_ids(raw.rows)
    rows, steps = apply_filters(rows, options.filters)
    if options.item_numbers == "source":
        users, items = source_vocabularies(raw, steps)
    else:
        users = left_vocabulary("user", rows, user_ids, options.seed)
        items = left_vocabulary("item", rows, item_ids, options.seed)
    return Dataset(
        name,
        users,
        items,
        interactions_by_index(
            rows, index_of_sorted(user_ids, users), index_of_sorted(item_ids, items)
        ),
        catalog_of(raw.items, items),
        _source_description(raw, options, steps, bad or BadRows()),
    )


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
    raw: RawTable, options: ImportOptions, steps: Sequence[FilterStep], bad: BadRows
) -> dict[str, object]:
    return {
        "format": raw.layout,
        "files": list(raw.files),
        "rows_read": raw.rows.height,
        "bad_rows": dict(bad.counts),
        "filters": [asdict(step) for step in steps],
        "item_numbers": options.item_numbers,
        "seed": options.seed,
    }


def _short_name(path: Path) -> str:
    """The source's name without endings, or its folder's where the name says nothing."""
    path = path.resolve()
    general = path.name in ("sequential.txt", "ratings.csv", "ratings.dat", "u.data")
    return (path.parent if general else path).name.split(".")[0]
