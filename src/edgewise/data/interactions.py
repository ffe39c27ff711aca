"""The two tables everything starts from: who took what, and what the items are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from edgewise.data.vocabulary import Vocabulary


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


@dataclass(frozen=True)
class Histories:
    """Each user's items in order of time, as compressed rows.

    Attributes:
        offsets: ``int64[U + 1]``; user ``u`` owns ``items[offsets[u]:offsets[u + 1]]``.
        items: item indices, ``int32[rows]``.
    """

    offsets: np.ndarray
    items: np.ndarray

    @classmethod
    def of(cls, num_users: int, *parts: Interactions) -> Histories:
        """Join parts in the order given (train before validation), rows in their order."""
        users = np.concatenate([part.user_index for part in parts])
        items = np.concatenate([part.item_index for part in parts])
        order = np.argsort(users, kind="stable")
        offsets = np.zeros(num_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(users, minlength=num_users), out=offsets[1:])
        return cls(offsets, items[order].astype(np.int32, copy=False))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, user_index: int) -> np.ndarray:
        return self.items[self.offsets[user_index] : self.offsets[user_index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Number of rows of each user, ``int64[U]``."""
        return np.diff(self.offsets)


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
    :mod:`edgewise.data.storage`.

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

    def item_label(self, item_index: int) -> str:
        """The item's title, or its raw id where it has none."""
        return self.catalog.title[item_index] or self.items.ids[item_index]

    @classmethod
    def load(cls, folder: str | Path) -> Dataset:
        """Read a data set folder written by :meth:`save` or ``edgewise data import``."""
        from edgewise.data.storage import load_dataset

        return load_dataset(folder)

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write the data set folder (Parquet tables and ``dataset.json``), whole or not at all.

        ``force`` replaces a data set that is already there.
        """
        from edgewise.data.storage import save_dataset

        save_dataset(self, folder, force=force)
