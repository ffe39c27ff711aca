"""Windows of histories and batches of equal weight."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.sequences import cut_evenly, windows_of


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
