"""Ranking metrics against fractions worked by hand, an independent library, and properties."""

from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.data.dataset import Interactions
from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation.metrics import (
    Hits,
    hits_from_recommendations,
    per_user_metrics,
    ranks_from_scores,
)

ALL = ("HitRate", "NDCG", "Recall", "PlainRecall", "MRR")


def rows(pairs: list[tuple[int, int]]) -> Interactions:
    table = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    return Interactions(table[:, 0], table[:, 1])


def lists(content: dict[int, list[int]]) -> Recommendations:
    items = [np.array(row) for row in content.values()]
    scores = [-np.arange(len(row), dtype=float) for row in items]
    return Recommendations.from_lists(np.array(list(content)), items, scores)


def measured(recommended, held_out, ks, metrics=ALL) -> dict[int, dict[str, float]]:
    hits = hits_from_recommendations(lists(recommended), rows(held_out))
    frame = per_user_metrics(hits, ks, metrics)
    return {row.pop("user_index"): row for row in frame.to_dicts()}


def test_fractions_worked_by_hand():
    held_out = [(0, 11), (0, 13), (0, 99), (1, 21), (2, 31)]
    result = measured({0: [10, 11, 12, 13], 1: [21, 20], 3: [31]}, held_out, (2, 4))
    two, four = 1 / math.log2(3), 1 / math.log2(3) + 1 / math.log2(5)
    assert result[0] == pytest.approx(
        {
            "HitRate@2": 1,
            "HitRate@4": 1,
            "NDCG@2": two / (1 + 1 / math.log2(3)),
            "NDCG@4": four / (1 + 1 / math.log2(3) + 1 / 2),
            "Recall@2": 1 / 2,
            "Recall@4": 2 / 3,
            "PlainRecall@2": 1 / 3,
            "PlainRecall@4": 2 / 3,
            "MRR@2": 1 / 2,
            "MRR@4": 1 / 2,
        }
    )
    assert set(result[1].values()) == {1.0}
    assert set(result[2].values()) == {0.0}, "a held-out user without a list has missed"
    assert 3 not in result, "a user without held-out rows is not measured"


def test_a_hit_just_beyond_k_earns_nothing():
    result = measured({0: [5, 6, 7]}, [(0, 7)], (2, 3))
    assert all(value == 0 for name, value in result[0].items() if name.endswith("@2"))
    assert result[0]["NDCG@3"] == pytest.approx(1 / 2)
    assert result[0]["MRR@3"] == pytest.approx(1 / 3)


def test_a_repeated_item_counts_once_and_keeps_its_place():
    once = measured({0: [7, 8, 9, 6]}, [(0, 7), (0, 6)], (4,))
    assert measured({0: [7, 7, 7, 6]}, [(0, 7), (0, 6)], (4,)) == once
    assert measured({0: [8, 8, 6]}, [(0, 6)], (2,))[0]["HitRate@2"] == 0


def test_a_repeated_held_out_row_is_one_positive():
    assert measured({0: [7]}, [(0, 7), (0, 7)], (1,))[0]["Recall@1"] == 1


def test_the_rank_column_decides_not_the_row_order():
    whole = lists({0: [3, 4, 5, 4]})
    shuffled = whole.take(np.array([3, 2, 0, 1]))
    hits = hits_from_recommendations(shuffled, rows([(0, 4)]))
    assert hits.rank.tolist() == [2], "of a repeated item the best place counts"


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_ir_measures(seed):
    generator = np.random.default_rng(seed)
    users, num_items, ks = range(60), 40, (1, 5, 10)
    recommended = {
        u: generator.choice(num_items, generator.integers(1, 15), replace=False).tolist()
        for u in users
    }
    held_out = [
        (u, i)
        for u in users
        for i in generator.choice(num_items, generator.integers(1, 8), replace=False).tolist()
    ]
    qrels = [ir_measures.Qrel(str(u), str(i), 1) for u, i in held_out]
    run = [
        ir_measures.ScoredDoc(str(u), str(i), -place)
        for u, row in recommended.items()
        for place, i in enumerate(row)
    ]
    names = {"HitRate": "Success", "NDCG": "nDCG", "PlainRecall": "R", "MRR": "RR"}
    theirs = {f"{other}@{k}": f"{ours}@{k}" for ours, other in names.items() for k in ks}
    measures = [ir_measures.parse_measure(name) for name in theirs]
    result = measured(recommended, held_out, ks, tuple(names))
    compared = 0
    for value in ir_measures.iter_calc(measures, qrels, run):
        ours = result[int(value.query_id)][theirs[str(value.measure)]]
        assert ours == pytest.approx(value.value, abs=1e-9)
        compared += 1
    assert compared == len(users) * len(theirs)


def test_papers_metrics_of_several_positives_worked_by_hand():
    """Recall over min(k, positives), NDCG over the best that k places allow."""
    held_out = [(0, item) for item in range(4)] + [(1, 50)]
    result = measured({0: [0, 90, 1, 91, 92, 2], 1: [60, 61, 62, 50]}, held_out, (2, 3, 20))
    gain = {rank: 1 / math.log2(rank + 1) for rank in range(1, 21)}
    assert result[0]["Recall@2"] == 1 / 2, "one hit of at most two"
    assert result[0]["Recall@3"] == 2 / 3, "two hits of at most three, four are held out"
    assert result[0]["Recall@20"] == 3 / 4
    assert result[0]["NDCG@3"] == pytest.approx((gain[1] + gain[3]) / (gain[1] + gain[2] + gain[3]))
    ideal = gain[1] + gain[2] + gain[3] + gain[4]
    assert result[0]["NDCG@20"] == pytest.approx((gain[1] + gain[3] + gain[6]) / ideal)
    assert (result[0]["HitRate@2"], result[0]["MRR@2"]) == (1, 1), "of the best placed one"
    assert (result[1]["HitRate@3"], result[1]["HitRate@20"]) == (0, 1)
    assert (result[1]["MRR@20"], result[1]["Recall@20"]) == (1 / 4, 1)


def test_no_metric_is_refused():
    with pytest.raises(ConfigError, match="no metric to measure"):
        per_user_metrics(Hits.from_ranks(np.array([0]), np.array([1])), (5,), ())


def one_list(items: list[int]) -> CandidateLists:
    return CandidateLists.from_lists(np.array([0]), [np.array(items)])


def test_ranks_of_several_lists_of_different_lengths():
    candidates = CandidateLists.from_lists(
        np.array([4, 2, 4]), [np.array([1, 2, 3]), np.array([9]), np.array([5, 6])]
    )
    scores = np.array([0.1, 0.5, 0.9, -3.0, 2.0, 1.0])
    ranks = ranks_from_scores(candidates, scores, np.array([2, 9, 6]))
    assert ranks.tolist() == [2, 1, 2]


def test_ties_and_nan_count_against_the_model():
    candidates = one_list([1, 2, 3, 4])
    rank = lambda *scores: ranks_from_scores(candidates, np.array(scores), np.array([3]))[0]  # noqa: E731
    assert rank(1.0, 1.0, 1.0, 1.0) == 4
    assert rank(1.0, 0.0, 1.0, 0.0) == 2
    assert rank(0.0, 0.0, np.nan, 0.0) == 4
    assert rank(np.nan, 0.0, 1.0, np.nan) == 3
    assert rank(-np.inf, -np.inf, -np.inf, 0.0) == 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
def test_rank_is_one_more_than_the_others_not_below(values, data):
    place = data.draw(st.integers(0, len(values) - 1))
    ranks = ranks_from_scores(
        one_list(list(range(len(values)))), np.array(values, float), np.array([place])
    )
    others = values[:place] + values[place + 1 :]
    assert ranks[0] == 1 + sum(other >= values[place] for other in others)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=12),
    st.sets(st.integers(0, 9), min_size=1),
    st.integers(1, 12),
)
def test_no_list_earns_more_than_1_and_repeats_never_help(items, positives, k):
    held_out = [(0, item) for item in positives]
    result = measured({0: items}, held_out, (k,))[0]
    assert all(0 <= value <= 1 + 1e-12 for value in result.values())
    # Every repeat is replaced by an item that nobody wants.
    honest = [item if item not in items[:p] else 100 + p for p, item in enumerate(items)]
    assert result == pytest.approx(measured({0: honest}, held_out, (k,))[0])
    capped, plain = result[f"Recall@{k}"], result[f"PlainRecall@{k}"]
    assert capped == pytest.approx(plain * len(positives) / min(k, len(positives)))


def test_queries_of_one_user_are_averaged():
    hits = Hits.from_ranks(np.array([5, 5, 7]), np.array([1, 20, 2]))
    frame = per_user_metrics(hits, (10,), ("HitRate", "MRR"))
    assert frame.rows() == [(5, 0.5, 0.5), (7, 1.0, 0.5)]


@pytest.mark.parametrize("found", [[1, 2], [3, 4, 3]])
def test_a_list_without_exactly_one_positive_is_refused(found):
    with pytest.raises(EdgewiseError, match=r"list 0 \(user_index 0\).*exactly once"):
        ranks_from_scores(one_list(found), np.zeros(len(found)), np.array([3]))


def test_an_empty_list_is_refused():
    empty = CandidateLists.from_lists(np.array([0, 1]), [np.array([3]), np.array([], int)])
    with pytest.raises(EdgewiseError, match="list 1"):
        ranks_from_scores(empty, np.zeros(1), np.array([3, 3]))


def test_misaligned_scores_are_refused():
    with pytest.raises(EdgewiseError, match=r"3 candidates.*shape \(2,\)"):
        ranks_from_scores(one_list([1, 2, 3]), np.zeros(2), np.array([3]))


def test_unknown_metric_and_impossible_k_are_refused():
    hits = Hits.from_ranks(np.array([0]), np.array([1]))
    with pytest.raises(ConfigError, match="did you mean 'NDCG'"):
        per_user_metrics(hits, (5,), ("NDGC",))
    for ks in ((), (5, 0)):
        with pytest.raises(ConfigError, match="list length"):
            per_user_metrics(hits, ks, ("NDCG",))
