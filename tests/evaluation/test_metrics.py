"""Metrics against fractions worked by hand, independent libraries, and properties."""

from __future__ import annotations

import math
import subprocess
import sys

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from edgewise.data.dataset import Interactions
from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation.metrics import (
    Hits,
    check_metrics,
    hits_from_recommendations,
    padded_at_random,
    parse_metric,
    per_user_metrics,
    ranking_metric,
    ranks_from_scores,
    text_metrics,
)
from edgewise.evaluation.statistics import Bootstrap

ALL = ("HitRate", "NDCG", "Recall", "PlainRecall", "MRR", "Precision", "MAP")


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
            "Precision@2": 1 / 2,
            "Precision@4": 2 / 4,
            "MAP@2": (1 / 2) / 2,
            "MAP@4": (1 / 2 + 2 / 4) / 3,
        }
    )
    shares = {"Precision@2": 1 / 2, "Precision@4": 1 / 4}
    assert result[1] == {name: shares.get(name, 1.0) for name in result[1]}
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
    names |= {"Precision": "P", "MAP": "AP"}
    positives = {user: sum(owner == user for owner, _ in held_out) for user in users}
    theirs = {f"{other}@{k}": f"{ours}@{k}" for ours, other in names.items() for k in ks}
    measures = [ir_measures.parse_measure(name) for name in theirs]
    result = measured(recommended, held_out, ks, tuple(names))
    compared = 0
    for value in ir_measures.iter_calc(measures, qrels, run):
        user, name = int(value.query_id), theirs[str(value.measure)]
        ours = result[user][name]
        if name.startswith("MAP"):  # theirs is over all held-out items, beyond k, too
            ours *= min(int(name[4:]), positives[user]) / positives[user]
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
    with pytest.raises(ConfigError, match=r"unknown metric 'NDGC'\. Did you mean 'NDCG'"):
        per_user_metrics(hits, (5,), ("NDGC",))
    for ks in ((), (5, 0)):
        with pytest.raises(ConfigError, match="list length"):
            per_user_metrics(hits, ks, ("NDCG",))


NAMES = ("HitRate", "NDCG")


def lists_of(*rows: list[int]) -> Recommendations:
    falling = [-np.arange(len(row), dtype=float) for row in rows]
    return Recommendations.from_lists(
        np.arange(len(rows)), [np.array(row) for row in rows], falling
    )


def held_out_of(*items: int) -> Interactions:
    return Interactions(np.arange(len(items), dtype=np.int32), np.array(items, np.int32))


def by_entry(lists: Recommendations, held_out: Interactions, ks: tuple[int, ...]) -> dict:
    hits = hits_from_recommendations(lists, held_out, every_entry=True)
    return per_user_metrics(hits, ks, NAMES, count_repeats=True).to_dict(as_series=False)


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


COLUMNS = ("user_index", "item_index", "rank", "score")


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


TEXTS = ["the strings sound very warm and bright", "great sound", "a solid stand for the price"]
REFERENCES = ["the strings sound warm and very bright", "great tone", "a solid stand, good price"]


def metrics_of(texts, references):
    return {name: e.mean for name, e in text_metrics(texts, references)[1].items()}


def test_perfect_texts():
    scores = metrics_of(REFERENCES, REFERENCES)
    assert scores == pytest.approx(dict.fromkeys(scores, 100))
    assert set(scores) == {"BLEU-1", "BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L", "Distinct"}


def test_scores_of_texts_worked_by_hand():
    # 3 of 4 words match; 1 of 3 written pairs (the cat) is among the reference's 4.
    scores = metrics_of(["the cat sat down"], ["the cat has just sat"])
    brevity = math.exp(1 - 5 / 4)
    assert scores["BLEU-1"] == pytest.approx(100 * brevity * 3 / 4)
    assert scores["BLEU-4"] == 0
    assert scores["ROUGE-1"] == pytest.approx(100 * 2 * 3 / (4 + 5))
    assert scores["ROUGE-2"] == pytest.approx(100 * 2 * 1 / (3 + 4))
    assert scores["ROUGE-L"] == pytest.approx(100 * 2 * 3 / (4 + 5))


@pytest.mark.parametrize("order", [1, 4])
def test_bleu_equals_the_librarys_corpus_score(order):
    expected = BLEU(max_ngram_order=order, smooth_method="none").corpus_score(TEXTS, [REFERENCES])
    assert metrics_of(TEXTS, REFERENCES)[f"BLEU-{order}"] == pytest.approx(expected.score)


def test_empty_texts_score_nothing():
    table, metrics = text_metrics(["", ""], ["good strings", "bad strings"])
    assert {name: e.mean for name, e in metrics.items()} == {
        "BLEU-1": 0,
        "BLEU-4": 0,
        "ROUGE-1": 0,
        "ROUGE-2": 0,
        "ROUGE-L": 0,
        "Distinct": 50,
    }
    assert table["ROUGE-1"].to_list() == [0, 0]


def test_an_empty_text_costs_brevity():
    half = metrics_of(["good warm strings", ""], ["good warm strings"] * 2)
    assert half["BLEU-1"] == pytest.approx(100 * math.exp(1 - 6 / 3))
    assert half["ROUGE-L"] == pytest.approx(50)


def test_one_sentence_for_everybody_is_unmasked():
    assert metrics_of(["good"] * 3, REFERENCES)["Distinct"] == pytest.approx(100 / 3)


def test_intervals_hold_the_value_and_follow_the_seed():
    table, metrics = text_metrics(TEXTS, REFERENCES)
    for name in ("BLEU-1", "ROUGE-1", "ROUGE-L"):
        estimate = metrics[name]
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < estimate.mean < estimate.high
    assert metrics["Distinct"].low is None
    assert table.columns == ["text", "reference", "ROUGE-1", "ROUGE-2", "ROUGE-L"]
    assert text_metrics(TEXTS, REFERENCES)[1] == metrics
    few = [text_metrics(TEXTS, REFERENCES, Bootstrap(resamples=3, seed=s))[1] for s in range(5)]
    assert len({each["BLEU-1"].low for each in few}) > 1


@pytest.mark.parametrize("texts", [[], ["one"]])
def test_missing_texts_are_refused(texts):
    references = ["one", "two"] if texts else []
    with pytest.raises(EdgewiseError, match=f"{len(texts)} texts against {len(references)}"):
        text_metrics(texts, references)


def test_importing_the_evaluation_loads_no_heavy_library():
    code = (
        "import sys, edgewise.evaluation.evaluate, edgewise.evaluation.report;"
        "heavy = ('torch', 'scipy', 'sacrebleu', 'rouge_score', 'nltk');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_many_hopeless_texts_before_a_good_one():
    """rouge-score gives the whole number 0 for no overlap, and a fraction otherwise."""
    _, metrics = text_metrics(["x"] * 150 + ["a b"], ["y"] * 150 + ["a c"])
    assert metrics["ROUGE-1"].mean == pytest.approx(50 / 151)


def test_the_mean_of_one_held_out_item_a_user():
    users, ranks = np.array([3, 1, 2]), np.array([1, 30, 3])
    assert ranking_metric("NDCG@10", users, ranks) == pytest.approx((1 + 1 / 2) / 3)
    assert ranking_metric("HitRate@2", users, ranks) == pytest.approx(1 / 3)
    assert ranking_metric("MRR@5", users, ranks) == pytest.approx((1 + 1 / 3) / 3)
    assert ranking_metric("Recall@40", users, ranks) == 1


@pytest.mark.parametrize("name", ALL)
def test_several_held_out_items_share_one_list(name):
    generator = np.random.default_rng(6)
    recommended = {user: generator.permutation(20).tolist() for user in range(9)}
    held_out = [(u, i) for u in recommended for i in range(1 + u % 4)]
    generator.shuffle(held_out)
    users = np.array([user for user, _ in held_out])
    ranks = np.array([recommended[user].index(item) + 1 for user, item in held_out])
    whole = measured(recommended, held_out, (5,), (name,))
    expected = np.mean([row[f"{name}@5"] for row in whole.values()])
    assert ranking_metric(f"{name}@5", users, ranks) == pytest.approx(expected)


def test_names_of_metrics_are_read():
    assert parse_metric("NDCG@10") == ("NDCG", 10)
    for wrong in ("NDCG", "NDCG@", "NDCG@0", "NDCG@-1", "NDCG@1.5", "NDCG@ten"):
        with pytest.raises(ConfigError, match=rf"metric '{wrong}': .*as in 'NDCG@10'"):
            parse_metric(wrong)
    with pytest.raises(ConfigError, match=r"unknown metric 'HitRat'\. Did you mean 'HitRate'\?"):
        parse_metric("HitRat@10")
    with pytest.raises(ConfigError, match=r"metric 'Novelty@10' is of whole lists: name one of"):
        parse_metric("Novelty@10")


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        *(("ndcg", "NDCG"), ("hitrate", "HitRate"), ("hit_rate", "HitRate"), ("mrr", "MRR")),
        *(("Hit Rate", "HitRate"), ("hit", "HitRate"), ("HR", "HitRate"), ("RECALL", "Recall")),
        *(
            ("plain-recall", "PlainRecall"),
            ("hit-ratio", "HitRate"),
            ("PlainRecall", "PlainRecall"),
        ),
    ],
)
def test_metrics_may_be_spelled_in_any_case(spelled, name):
    assert check_metrics([spelled, name]) == [name]
    assert parse_metric(f"{spelled}@5") == (name, 5)
    hits = Hits.from_ranks(np.array([0, 1]), np.array([1, 7]))
    assert per_user_metrics(hits, (5,), (spelled,)).columns == ["user_index", f"{name}@5"]


def test_long_lists_cost_no_memory():
    hits = Hits.from_ranks(np.array([0]), np.array([3]))
    frame = per_user_metrics(hits, (10**15,), ALL)
    assert frame[f"NDCG@{10**15}"].to_list() == [0.5]
