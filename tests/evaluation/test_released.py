"""How the released code counts, by hand, and how it fills lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.dataset import Interactions
from edgewise.data.item_lists import Recommendations
from edgewise.data.splits import leave_one_out
from edgewise.evaluation.evaluate import evaluate_sequential
from edgewise.evaluation.metrics import (
    ENTRY_METRICS,
    hits_from_recommendations,
    padded_at_random,
    per_user_metrics,
)
from edgewise.evaluation.protocols import find_protocol, split_under

NAMES = ("HitRate", "NDCG")
COLUMNS = ("user_index", "item_index", "rank", "score")


def lists_of(*rows: list[int]) -> Recommendations:
    falling = [-np.arange(len(row), dtype=float) for row in rows]
    return Recommendations.from_lists(
        np.arange(len(rows)), [np.array(row) for row in rows], falling
    )


def held_out_of(*items: int) -> Interactions:
    return Interactions(np.arange(len(items), dtype=np.int32), np.array(items, np.int32))


def by_entry(lists: Recommendations, held_out: Interactions, ks: tuple[int, ...]) -> dict:
    hits = hits_from_recommendations(lists, held_out, every_entry=True)
    return per_user_metrics(hits, ks, NAMES, ENTRY_METRICS).to_dict(as_series=False)


def test_every_entry_counts_once_more():
    """Item 7 at places 1 and 3: two hits, and less gain than one hit at the top alone."""
    found = by_entry(lists_of([7, 1, 7], [1, 2, 3], [1, 8, 2]), held_out_of(7, 9, 8), (1, 3))
    assert found["HitRate@1"] == [1, 0, 0]
    assert found["HitRate@3"] == [2, 0, 1]
    assert found["NDCG@1"] == [1, 0, 0]
    twice = (1 / np.log2(2) + 1 / np.log2(4)) / (1 / np.log2(2) + 1 / np.log2(3))
    assert found["NDCG@3"] == pytest.approx([twice, 0, 1 / np.log2(3)])
    assert found["NDCG@3"][0] < 1


def test_a_list_longer_than_asked_is_cut():
    found = by_entry(lists_of([7, 7, 7, 7]), held_out_of(7), (2,))
    assert found["HitRate@2"] == [2]
    assert found["NDCG@2"] == [1]


def test_what_is_impossible_for_one_target_comes_of_repeats():
    """From k = 2 to k = 4 a repeat adds a whole hit and takes gain away."""
    found = by_entry(lists_of([7, 1, 2, 7]), held_out_of(7), (2, 4))
    assert found["HitRate@4"][0] - found["HitRate@2"][0] == 1
    assert found["NDCG@4"][0] < found["NDCG@2"][0]


@given(st.lists(st.permutations(range(6)), min_size=1, max_size=4), st.integers(0, 5))
def test_without_repeats_it_is_the_usual_count(rows, wanted):
    lists, held_out = lists_of(*rows), held_out_of(*[wanted] * len(rows))
    usual = per_user_metrics(hits_from_recommendations(lists, held_out), (1, 3, 6), NAMES)
    found = by_entry(lists, held_out, (1, 3, 6))
    for name in usual.columns:
        assert found[name] == pytest.approx(usual[name].to_list())


class TestPadding:
    @pytest.fixture
    def dataset(self, make_dataset):
        return make_dataset([[0, 1, 2]] * 50, 30)

    def test_short_and_missing_lists_are_filled_behind_what_they_hold(self, dataset):
        lists = lists_of([4, 5], [6, 7, 8])
        whole = padded_at_random(lists, np.array([0, 1, 2]), dataset, 3, seed=0)
        assert whole.user_index.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert whole.rank.tolist() == [1, 2, 3] * 3
        assert whole.item_index[[0, 1, 3, 4, 5]].tolist() == [4, 5, 6, 7, 8]
        assert ((whole.item_index >= 0) & (whole.item_index < 30)).all()
        for name in COLUMNS:
            assert getattr(whole, name).dtype == getattr(lists, name).dtype

    def test_full_lists_stay_as_they_are(self, dataset):
        lists = lists_of([4, 5], [6, 7])
        whole = padded_at_random(lists, np.array([0, 1]), dataset, 2, seed=0)
        assert all((getattr(whole, name) == getattr(lists, name)).all() for name in COLUMNS)

    def test_draws_hang_on_seed_user_and_place_alone(self, dataset):
        nothing = Recommendations.from_lists(np.empty(0, np.int32), [], [])
        some = padded_at_random(nothing, np.array([3]), dataset, 5, seed=1).item_index
        users = np.array([2, 3, 4])
        all_ = padded_at_random(nothing, users, dataset, 5, seed=1)
        assert all_.item_index[all_.user_index == 3].tolist() == some.tolist()
        other = padded_at_random(nothing, np.array([3]), dataset, 5, seed=2).item_index
        assert other.tolist() != some.tolist()

    def test_draws_are_uniform_over_the_catalogue(self, dataset):
        nothing = Recommendations.from_lists(np.empty(0, np.int32), [], [])
        drawn = padded_at_random(nothing, np.arange(50), dataset, 60, seed=0).item_index
        counts = np.bincount(drawn, minlength=30)
        assert abs(counts - 100).max() < 50, "3,000 draws of 30 items: 100 each, give or take"


def test_the_protocol_decides_how_lists_count(make_dataset, scripted):
    dataset = make_dataset([[0, 1, 2, 3]] * 10, 6)
    dataset.source["item_numbers"] = "source"
    released = find_protocol("elmrec-released")

    class Repeats(scripted):
        def recommend(self, users, k=10, *, histories=None):
            rows = [np.array([3, 5, 3])] * len(users)
            return Recommendations.from_lists(users, rows, [np.array([3.0, 2.0, 1.0])] * len(users))

    model = Repeats(np.zeros((10, 6)))
    leaking = split_under(released, dataset)
    report = evaluate_sequential(model, leaking, ks=(1, 5), protocol=released)
    assert set(report.per_user["HitRate@1"]) == {1}
    assert min(report.per_user["HitRate@5"]) >= 2, "two entries, and what padding hits"
    assert max(report.per_user["HitRate@5"]) > 2, "padding hits, too"
    assert report.settings["padding_seed"] == 0
    honest = leave_one_out(dataset)
    with pytest.raises(Exception, match="a repeated item"):
        evaluate_sequential(model, honest, ks=(1, 5))
