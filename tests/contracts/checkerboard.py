"""A world in which the right recommendation is known beforehand.

Users of group A took only items of group A, users of group B only those of group B, each all but
two of his group's items, and the last two he took are withheld. Numbers are shuffled, so that none
gives the group away. Where items are to be described, titles and categories have words of their
group among words that all share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.splits import Split, leave_one_out


@dataclass(frozen=True)
class Checkerboard:
    """The split, and what belongs together.

    Attributes:
        split: leave-one-out; each user's validation and test items are of the user's group.
        user_group, item_group: 0 or 1, by index.
    """

    split: Split
    user_group: np.ndarray
    item_group: np.ndarray


def checkerboard(
    num_users: int = 48, num_items: int = 24, seed: int = 0, *, described: bool = False
) -> Checkerboard:
    """Each user takes all but two items of the group in random order."""
    rng = np.random.default_rng(seed)
    user_group = rng.permutation(num_users) % 2
    item_group = rng.permutation(num_items) % 2
    rows = [
        (user, item)
        for user in range(num_users)
        for item in rng.permutation(np.flatnonzero(item_group == user_group[user]))[:-2]
    ]
    users, items = np.array(rows, dtype=np.int32).T
    dataset = Dataset(
        "checkerboard",
        Vocabulary(tuple(f"u{n}" for n in range(num_users)), "user"),
        Vocabulary(tuple(f"i{n}" for n in range(num_items)), "item"),
        Interactions(users, items),
        descriptions(item_group) if described else Catalog.empty(num_items),
    )
    return Checkerboard(leave_one_out(dataset), user_group, item_group)


def descriptions(item_group: np.ndarray) -> Catalog:
    """A title, brand and categories of every item; brands say nothing of the group."""
    kinds = ("apple", "stone")
    words = ("small", "large", "red", "blue", "old")
    return Catalog(
        tuple(f"The {words[n % 5]} {kinds[group]} {n}" for n, group in enumerate(item_group)),
        tuple(f"Brand {n % 3}" for n in range(len(item_group))),
        tuple(
            ("Shop", kinds[group].title(), f"Shelf {n % 4}") for n, group in enumerate(item_group)
        ),
        tuple("" for _ in item_group),
    )


def with_other_held_out_items(split: Split) -> Split:
    """The same train rows; what each user took last and before last is anything else."""
    dataset = split.dataset
    rows = dataset.interactions
    last = np.flatnonzero(np.diff(rows.user_index, append=-1))
    items = rows.item_index.copy()
    for held_out in (last, last - 1):
        items[held_out] = (items[held_out] + 7) % dataset.num_items
    return leave_one_out(replace(dataset, interactions=replace(rows, item_index=items)))
