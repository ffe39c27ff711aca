"""From ids as they stand in a source to indices, without a loop over the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

from edgewise.data.filters import FilterStep
from edgewise.data.interactions import Interactions
from edgewise.data.readers.raw import RawTable
from edgewise.data.vocabulary import Vocabulary
from edgewise.errors import ConfigError


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
