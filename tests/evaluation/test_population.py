"""Who is measured."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.data.splits import leave_one_out
from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation.evaluate import choose_users, held_out_rows, sample


def test_a_sample_follows_its_seed(small_split):
    choose = lambda seed: choose_users(small_split.test, None, 7, seed).tolist()  # noqa: E731
    assert choose(0) == choose(0) == sorted(set(choose(0)))
    assert len(choose(0)) == 7
    assert choose(0) != choose(1)


def test_given_users_come_sorted_and_once(small_split):
    chosen = choose_users(small_split.test, np.array([9, 3, 9]), None, 0)
    assert chosen.tolist() == [3, 9]


def test_all_users_where_no_limit_binds(small_split):
    assert choose_users(small_split.test, None, None, 0).tolist() == list(range(40))
    assert choose_users(small_split.test, None, 1000, 0).tolist() == list(range(40))


def test_impossible_requests_are_refused(small_split, make_dataset):
    with pytest.raises(EdgewiseError, match="no held-out rows, first user_index 77"):
        choose_users(small_split.test, np.array([1, 77]), None, 0)
    with pytest.raises(ConfigError, match="max_users=0"):
        choose_users(small_split.test, None, 0, 0)
    with pytest.raises(ConfigError, match="max_pairs=-1"):
        sample(np.arange(4), -1, 0, "max_pairs")
    with pytest.raises(ConfigError, match="part='tests'"):
        held_out_rows(small_split, "tests")
    with pytest.raises(EdgewiseError, match="no test rows under the leave-one-out split"):
        held_out_rows(leave_one_out(make_dataset([[0, 1], [1]], 2)), "test")
