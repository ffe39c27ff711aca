"""A data set as the three tables of its folder, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from edgewise.data.interactions import Catalog, Dataset, Interactions
from edgewise.data.vocabulary import Vocabulary

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
