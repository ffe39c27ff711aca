"""Data sets that have grown: the old users and items come first, and new ones behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.contracts.checkerboard import descriptions

from edgewise.data.dataset import Dataset, Interactions, Vocabulary

MORE_USERS, MORE_ITEMS = 9, 6


def grown(old: Dataset, *, apart: bool) -> Dataset:
    """New users and items behind the old ones; and, unless they keep apart, new rows of old users.

    What a graph says of old nodes stays only where new ones keep apart.
    """
    num_users, num_items = old.num_users, old.num_items
    rng = np.random.default_rng(1)
    items = np.arange(num_items, num_items + MORE_ITEMS)
    if not apart:
        items = np.concatenate([items, np.arange(num_items)])
    rows = [
        (user, item)
        for user in range(num_users, num_users + MORE_USERS)
        for item in rng.permutation(items)[:5]
    ]
    if not apart:
        rows += [(user, num_items + user % MORE_ITEMS) for user in range(0, num_users, 2)]
    users, taken = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    users = np.concatenate([old.interactions.user_index, users])
    order = np.argsort(users, kind="stable")
    interactions = Interactions(
        users[order], np.concatenate([old.interactions.item_index, taken])[order]
    )
    more = descriptions(np.arange(MORE_ITEMS) % 2)
    catalog = replace(
        old.catalog,
        title=old.catalog.title + tuple(f"{title} again" for title in more.title),
        brand=old.catalog.brand + ("Brand new",) * MORE_ITEMS,
        categories=old.catalog.categories + more.categories,
        description=old.catalog.description + more.description,
    )
    return Dataset(
        "grown",
        Vocabulary(old.users.ids + tuple(f"new{n}" for n in range(MORE_USERS)), "user"),
        Vocabulary(old.items.ids + tuple(f"other{n}" for n in range(MORE_ITEMS)), "item"),
        interactions,
        catalog,
    )
