"""Items that share a brand or a category, window by window."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.dataset import Catalog
from edgewise.data.ragged import Ragged
from edgewise.models.graph_gpt.stages.content import SharedLists, SharedName, shared_names


def lists_of(*sizes: int, window: int = 4, seed: int = 0) -> SharedLists:
    starts = np.cumsum([0, *sizes])
    rows = [np.arange(start, start + size) for start, size in zip(starts, sizes, strict=False)]
    return SharedLists(Ragged.of_rows(rows), window, seed)


def test_names_of_two_items_and_more_but_not_of_all():
    catalog = Catalog(
        title=("",) * 4,
        brand=("Toot", "", "Toot", "Solo"),
        categories=(("Music", "Brass"), ("Music", "Brass", "Brass"), ("Music", ""), ("Music",)),
        description=("",) * 4,
    )
    assert list(shared_names(catalog)) == [
        SharedName("shared_brand", "Toot", [0, 2]),
        SharedName("shared_category", "Brass", [0, 1]),
    ]
    assert list(shared_names(Catalog.empty(4))) == []


def test_a_last_single_item_is_joined_by_another():
    assert lists_of(2, 9, 5).windows.tolist() == [
        [0, 0, 2],
        *([1, 0, 4], [1, 4, 8], [1, 7, 9]),
        *([2, 0, 4], [2, 3, 5]),
    ]


@given(st.lists(st.integers(2, 30), min_size=1, max_size=4), st.integers(2, 7))
def test_windows_cover_every_item(sizes, window):
    lists = lists_of(*sizes, window=window)
    seen: dict[int, set[int]] = {}
    for number, (owner, start, end) in enumerate(lists.windows.tolist()):
        items = lists.items_of(number, epoch=3).tolist()
        assert 2 <= len(items) == end - start <= window and len(set(items)) == len(items)
        seen.setdefault(owner, set()).update(items)
    assert [seen[n] for n in range(len(sizes))] == [set(row.tolist()) for row in lists.items.rows()]


def test_lists_are_shuffled_anew_each_epoch_from_the_seed():
    lists = lists_of(20, window=20)
    orders = [lists.items_of(0, epoch).tolist() for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert lists_of(20, window=20, seed=1).items_of(0, 0).tolist() != orders[0]
