"""Ranked lists and candidate lists: what they hold, and how they read in raw ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.errors import DataError

USERS, ITEMS = Vocabulary(("ann", "bob"), "user"), Vocabulary(("x", "y", "z"))
COLUMNS = ["user_id", "item_id", "score", "rank", "title"]


def lists() -> Recommendations:
    return Recommendations.from_lists(
        np.array([1, 0]), [np.array([2, 0]), np.array([1])], [np.array([0.5, 0.25]), np.array([3])]
    )


def named() -> Recommendations:
    return replace(lists(), users=USERS, items=ITEMS, titles=("X", "Y", ""))


def dataset() -> Dataset:
    rows = Interactions(np.array([0], np.int32), np.array([0], np.int32))
    catalog = replace(Catalog.empty(3), title=("Ex", "Why", "Zed"))
    return Dataset("toy", USERS, ITEMS, rows, catalog)


def test_lists_become_columns():
    made = lists()
    assert made.user_index.tolist() == [1, 1, 0] and made.user_index.dtype == np.int32
    assert made.item_index.tolist() == [2, 0, 1] and made.item_index.dtype == np.int32
    assert made.rank.tolist() == [1, 2, 1] and made.rank.dtype == np.int32
    assert made.score.tolist() == [0.5, 0.25, 3] and made.score.dtype == np.float32
    empty = Recommendations.from_lists(np.empty(0, np.int32), [], [])
    assert [len(empty), empty.score.dtype, empty.rank.dtype] == [0, np.float32, np.int32]


def test_a_frame_in_the_ids_of_a_data_set():
    frame = lists().to_frame(dataset())
    assert frame.columns == COLUMNS
    assert frame.rows() == [
        ("bob", "z", 0.5, 1, "Zed"),
        ("bob", "x", 0.25, 2, "Ex"),
        ("ann", "y", 3.0, 1, "Why"),
    ]


def test_a_frame_in_the_ids_that_the_lists_carry():
    assert named().to_frame()["item_id"].to_list() == ["z", "x", "y"]
    assert named().to_frame()["title"].to_list() == ["", "X", "Y"]
    assert replace(named(), titles=None).to_frame()["title"].to_list() == ["", "", ""]
    assert named().to_frame(dataset())["title"].to_list() == ["Zed", "Ex", "Why"]
    empty = named().take(np.empty(0, np.int64)).to_frame()
    assert empty.schema == named().to_frame().schema and empty.height == 0


def test_without_any_ids():
    with pytest.raises(DataError, match=r"index numbers without ids: .* to_frame\(dataset\)"):
        lists().to_frame()


def test_users_without_history_are_marked_where_there_are_any():
    cold = np.array([False, False, True])
    frame = replace(named(), cold=cold).to_frame()
    assert frame.columns == [*COLUMNS, "cold"]
    assert frame["cold"].to_list() == [False, False, True]
    assert replace(named(), cold=np.zeros(3, bool)).to_frame().columns == COLUMNS


def test_parts_are_joined_with_their_ids():
    cold = replace(named(), cold=np.array([True, True, False]))
    whole = Recommendations.concat([named(), cold.take(np.array([0, 1]))])
    assert whole.item_index.tolist() == [2, 0, 1, 2, 0]
    assert whole.score.tolist() == [0.5, 0.25, 3, 0.5, 0.25]
    assert whole.cold is not None
    assert whole.cold.tolist() == [False, False, False, True, True]
    assert whole.to_frame()["user_id"].to_list() == ["bob", "bob", "ann", "bob", "bob"]
    assert Recommendations.concat([lists(), lists()]).cold is None
    assert len(Recommendations.concat([])) == 0


def test_taking_rows():
    taken = replace(named(), cold=np.array([False, False, True])).take(np.array([2, 0]))
    assert taken.item_index.tolist() == [1, 2] and taken.users is USERS
    assert taken.cold is not None and taken.cold.tolist() == [True, False]


def test_repr_is_short():
    lines = repr(named()).splitlines()
    assert lines[0] == "Recommendations(users=2, rows=3)" and len(lines) < 10
    assert "user_id" in lines[2] and "bob" in lines[4] and "0.5" in lines[4]
    many = Recommendations.from_lists(np.arange(9), [np.array([0])] * 9, [np.array([1.0])] * 9)
    assert repr(many).splitlines()[0] == "Recommendations(users=9, rows=9), first 5 of 9 rows"
    assert len(repr(many).splitlines()) <= 10
    ugly = repr(replace(named(), titles=("a\nb\x1b[31m", "x" * 500, "")))
    assert "\x1b" not in ugly and max(map(len, ugly.splitlines())) <= 100
    candidates = CandidateLists.from_lists(np.array([0, 1]), [np.array([1, 2]), np.array([0])])
    assert repr(candidates) == "CandidateLists(lists=2, items=3)"


def test_taking_candidate_lists():
    candidates = CandidateLists.from_lists(
        np.array([0, 1, 0]), [np.array([1, 2]), np.array([], int), np.array([0])]
    )
    taken = candidates.take(np.array([2, 0]))
    assert taken.user_index.tolist() == [0, 0]
    assert [row.tolist() for row in taken.lists.rows()] == [[0], [1, 2]]
    assert len(candidates[1]) == 0 and candidates.offsets.tolist() == [0, 2, 2, 3]
