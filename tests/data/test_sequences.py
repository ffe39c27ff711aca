"""Windows of histories and batches of equal weight."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.ragged import Ragged
from edgewise.data.sequences import (
    NO_TARGET,
    NextItems,
    batches_by_length,
    cut_evenly,
    newest,
    windows_of,
)


class TestWindows:
    def test_by_hand(self):
        """Ten items in windows of four, none, and three."""
        windows = windows_of(np.array([10, 0, 3]), 4)
        assert list(zip(*(column.tolist() for column in windows), strict=True)) == [
            (0, 6, 10),
            (0, 2, 6),
            (0, 0, 2),
            (2, 0, 3),
        ]

    @given(st.lists(st.integers(0, 30), min_size=1), st.integers(1, 9))
    def test_each_item_once(self, lengths, most):
        user, first, last = windows_of(np.array(lengths), most)
        found = [(u, n) for u, a, b in zip(user, first, last, strict=True) for n in range(a, b)]
        assert sorted(found) == [(u, n) for u, length in enumerate(lengths) for n in range(length)]
        assert (last - first <= most).all() and (last > first).all()

    @given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.data())
    def test_even_cuts(self, weights, data):
        parts = data.draw(st.integers(1, len(weights)))
        cuts = cut_evenly(np.array(weights), parts)
        assert cuts[0] == 0 and cuts[-1] == len(weights) and len(cuts) == parts + 1
        assert (np.diff(cuts) > 0).all()

    def test_equal_weights_are_cut_equally(self):
        assert cut_evenly(np.ones(12), 4).tolist() == [0, 3, 6, 9, 12]
        assert cut_evenly(np.array([1, 1, 1, 1, 4]), 2).tolist() == [0, 4, 5]


def test_every_item_but_the_first_is_the_target_of_the_one_before_it():
    histories = Ragged.of_rows([np.array(row) for row in ([5, 3, 8, 1, 9], [7], [], [2, 4])])
    examples = NextItems(histories, max_items=3)
    items, targets = examples.take(np.arange(len(examples.windows.user)))
    assert items.tolist() == [[3, 8, 1], [5, 0, 0], [2, 0, 0]]
    assert targets.tolist() == [[8, 1, 9], [3, NO_TARGET, NO_TARGET], [4, NO_TARGET, NO_TARGET]]
    assert examples.windows.user.tolist() == [0, 0, 3]


def test_the_newest_items():
    histories = Ragged.of_rows([np.array(row) for row in ([5, 3, 8], [], [7])])
    assert [row.tolist() for row in newest(histories, 2).rows()] == [[3, 8], [], [7]]


def test_batches_by_length_hold_every_example_once_and_weigh_alike():
    lengths = np.random.default_rng(0).integers(1, 50, size=1000)
    batches = batches_by_length(lengths, 10, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(1000))
    assert len(batches) == 100
    targets = [lengths[rows].sum() for rows in batches]
    assert max(targets) < 1.5 * np.mean(targets)
    waste = sum(lengths[rows].max() * len(rows) for rows in batches) / lengths.sum()
    assert waste < 1.2
