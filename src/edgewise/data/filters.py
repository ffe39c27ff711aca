"""Leaving rows out at import: by rating, repetition, sampling of users, and k-core.

A filter works on a frame whose ``user_id`` and ``item_id`` are small integers that stand for the
ids (places among the sorted ids), and keeps the order of the rows it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
import polars as pl

from edgewise.errors import ConfigError, DataError

Duplicates = Literal["keep", "first", "last"]
Filter = Callable[[pl.DataFrame], pl.DataFrame]
Setting = float | int | str


@dataclass(frozen=True)
class Filters:
    """What to leave out, applied in the order of the fields.

    Attributes:
        min_rating: leave out rows rated lower than this, and rows without a rating.
        duplicates: of a user's rows about the same item keep all, the first or the last in time.
        max_users: keep at most so many users, sampled by ``seed``.
        k_core: keep the largest set of rows in which each user and each item has at least so many.
        seed: of the sampling.
    """

    min_rating: float | None = None
    duplicates: Duplicates = "last"
    max_users: int | None = None
    k_core: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.duplicates not in get_args(Duplicates):
            raise ConfigError(f"--duplicates {self.duplicates}: must be keep, first or last")
        for option, value in (("--max-users", self.max_users), ("--k-core", self.k_core)):
            if value is not None and value < 1:
                raise ConfigError(f"{option} {value}: must be at least 1")


@dataclass(frozen=True)
class Counts:
    """Sizes of a table of interactions."""

    rows: int
    users: int
    items: int

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Counts:
        return cls(rows.height, rows["user_id"].n_unique(), rows["item_id"].n_unique())


@dataclass(frozen=True)
class FilterStep:
    """What one filter did: its option, the option's value, and the sizes around it."""

    name: str
    setting: Setting
    before: Counts
    after: Counts


def apply_filters(rows: pl.DataFrame, filters: Filters) -> tuple[pl.DataFrame, list[FilterStep]]:
    """The rows that pass, and what each filter did.

    Args:
        rows: ``user_id``, ``item_id`` (integers) and perhaps ``rating``; a user's rows in order of
            time.
        filters: what to leave out.

    Raises:
        DataError: a lowest rating is asked for and there are no ratings, or no row is left.
    """
    steps: list[FilterStep] = []
    for name, setting, apply in _plan(filters):
        before = steps[-1].after if steps else Counts.of(rows)
        rows = apply(rows)
        steps.append(FilterStep(name, setting, before, Counts.of(rows)))
        if rows.is_empty() and before.rows:
            raise DataError(f"--{name} {setting} leaves none of {before.rows} rows; choose less")
    return rows, steps


def _plan(filters: Filters) -> Iterator[tuple[str, Setting, Filter]]:
    if (lowest := filters.min_rating) is not None:
        yield "min-rating", lowest, partial(keep_rated, lowest=lowest)
    if (keep := filters.duplicates) != "keep":
        yield "duplicates", keep, partial(drop_duplicates, keep=keep)
    if (count := filters.max_users) is not None:
        yield "max-users", count, partial(sample_users, count=count, seed=filters.seed)
    if (k := filters.k_core) is not None:
        yield "k-core", k, partial(k_core, k=k)


def keep_rated(rows: pl.DataFrame, lowest: float) -> pl.DataFrame:
    """Rows rated ``lowest`` or better; "above 3" on a scale of whole stars is ``lowest = 4``."""
    if "rating" not in rows.columns:
        raise DataError(f"--min-rating {lowest}: the source has no ratings; leave the option out")
    # Polars orders NaN, our mark of a missing rating, above every number.
    return rows.filter(pl.col("rating").is_not_nan() & (pl.col("rating") >= lowest))


def drop_duplicates(rows: pl.DataFrame, keep: Literal["first", "last"]) -> pl.DataFrame:
    """One row of each user and item: the user's first or last."""
    users, items = _codes(rows)
    pair = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    order = np.argsort(pair, kind="stable")
    changes = np.diff(pair[order]) != 0
    ends = (np.concatenate([[True], changes]), np.concatenate([changes, [True]]))
    if changes.all():
        return rows
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[order[ends[keep == "last"]]] = True
    return rows.filter(chosen)


def sample_users(rows: pl.DataFrame, count: int, seed: int) -> pl.DataFrame:
    """The rows of ``count`` users; the choice depends on the set of users and the seed alone."""
    users = rows["user_id"].unique().sort()
    if len(users) <= count:
        return rows
    chosen = np.random.default_rng(seed).choice(len(users), count, replace=False)
    return rows.filter(pl.col("user_id").is_in(users.gather(chosen).implode()))


def k_core(rows: pl.DataFrame, k: int) -> pl.DataFrame:
    """The largest set of rows in which each user and each item has at least ``k`` rows.

    Users and items with fewer leave until none is left that must.
    """
    users, items = _codes(rows)
    left = np.arange(len(rows))
    while True:
        user, item = users[left], items[left]
        strong = (np.bincount(user)[user] >= k) & (np.bincount(item)[item] >= k)
        if strong.all():
            return rows if len(left) == len(rows) else rows[left]
        left = left[strong]


def _codes(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return rows["user_id"].to_numpy(), rows["item_id"].to_numpy()
