"""From a source to a data set: read, filter, number, sort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from edgewise.data import readers
from edgewise.data.filters import Filters, FilterStep, apply_filters
from edgewise.data.interactions import Catalog, Dataset
from edgewise.data.numbering import (
    encode_ids,
    index_of_sorted,
    interactions_by_index,
    left_vocabulary,
    source_vocabularies,
)
from edgewise.data.readers.bad_rows import BadRows
from edgewise.data.readers.raw import RawTable, ReadRequest
from edgewise.data.storage import check_target, save_dataset
from edgewise.data.vocabulary import Vocabulary
from edgewise.errors import ConfigError, DataError


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
