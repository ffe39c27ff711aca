"""Lists have the lengths that catalogue and users allow, and guessing scores what it must."""

from __future__ import annotations

from math import log2
from typing import Any

import numpy as np
import pytest

from edgewise.data.splits import leave_one_out, ratio_split
from edgewise.errors import EdgewiseError
from edgewise.evaluation.chance import ListSizes, list_notes, spelled_sizes
from edgewise.evaluation.evaluate import evaluate_direct, evaluate_sequential
from edgewise.evaluation.report import RankingReport, comparison_table
from edgewise.models.popularity import Popularity


def sizes_of(users, sizes, findable=None) -> ListSizes:
    marks = np.ones(len(users), bool) if findable is None else np.array(findable)
    return ListSizes(np.array(users), np.array(sizes), marks)


def chance_in(report: RankingReport, metric: str = "HitRate@10") -> float:
    levels: Any = report.settings["chance"]
    return levels[metric]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("HitRate", 2 / 4), ("NDCG", (1 + 1 / log2(3)) / 4), ("MRR", 1.5 / 4), ("Recall", 2 / 4)],
)
def test_chance_of_one_list_by_hand(metric, expected):
    assert sizes_of([7], [4]).chance((2,), (metric,)) == {f"{metric}@2": pytest.approx(expected)}


@pytest.mark.parametrize(
    ("users", "sizes", "findable", "expected"),
    [
        ([0, 1], [2, 10], None, (1 + 0.5) / 2),  # a list of 2 holds its item within 5
        ([0, 0, 1], [5, 10, 20], None, ((1 + 0.5) / 2 + 0.25) / 2),  # a user's lists first
        ([0, 1], [10, 10], [True, False], 0.5 / 2),  # one cannot be found
        ([0], [3], None, 1.0),
    ],
)
def test_chance_is_a_mean_over_users(users, sizes, findable, expected):
    found = sizes_of(users, sizes, findable).chance((5,), ("HitRate",))
    assert found == {"HitRate@5": pytest.approx(expected)}


def test_lists_of_a_small_catalogue_tell_their_true_length(make_dataset, scripted):
    """64 items, histories of 4 to 8: 56 to 60 negatives where 99 were asked for."""
    generator = np.random.default_rng(1)
    lengths = np.tile([4, 5, 6, 7, 8], 400)
    sequences = [generator.choice(64, n, replace=False).tolist() for n in lengths]
    split = leave_one_out(make_dataset(sequences, 64))
    report = evaluate_direct(scripted(generator.random((2000, 64))), split)
    settings = report.settings
    assert (settings["num_negatives"], settings["candidates_asked"]) == (99, 100)
    assert (settings["candidates_mean"], settings["candidates_min"]) == (59.0, 57)
    assert (settings["users_short"], settings["users_left_out"]) == (2000, 0)
    expected = np.mean([10 / n for n in (57, 58, 59, 60, 61)])
    assert chance_in(report) == pytest.approx(expected)
    estimate = report.metrics["HitRate@10"]
    assert estimate.low is not None and estimate.high is not None
    assert estimate.low < expected < estimate.high, "random scores score what chance does"
    (words,) = list_notes(settings, report.num_users)
    assert "lists of 2,000 of 2,000 users are shorter" in words and "64 items" in words
    assert "59.0 items on average, 57 at least" in words and f"HitRate@10 {expected:.4f}" in words
    assert "num_negatives: 99 asked, candidates: 59.0 items on average" in " ".join(
        repr(report).split()
    )
    table = comparison_table({"A": report, "B": report})
    assert [column.header for column in table.columns][-2:] == ["difference", "chance"]


def test_full_lists_say_nothing(make_dataset, scripted):
    sequences = [[3 * user, 3 * user + 1, 3 * user + 2] for user in range(40)]
    split = leave_one_out(make_dataset(sequences, 120))
    report = evaluate_direct(scripted(np.zeros((40, 120))), split)
    assert list_notes(report.settings, 40) == []
    assert spelled_sizes(report.settings) == "100 items"
    assert chance_in(report) == pytest.approx(0.1)


def test_more_negatives_than_items_are_all_there_are(small_split):
    model = Popularity().fit(small_split)
    most = evaluate_direct(model, small_split, num_negatives=100_000)
    all_of_them = evaluate_direct(model, small_split, num_negatives=25)
    assert most.per_user.equals(all_of_them.per_user)
    assert most.settings["candidates_mean"] == 26 and most.settings["num_negatives"] == 100_000


@pytest.mark.parametrize("measure", [evaluate_direct, evaluate_sequential])
def test_who_has_everything_is_left_out_and_counted(measure, make_dataset, scripted):
    everything = [0, 1, 2, 3, 4, 5]
    split = leave_one_out(make_dataset([everything, [0, 1, 2], everything, [3, 4, 5]], 6))
    report = measure(scripted(np.zeros((4, 6))), split)
    assert report.per_user["user_id"].to_list() == ["u1", "u3"]
    assert (report.num_users, report.settings["users_left_out"]) == (2, 2)
    assert report.settings["candidates_min"] == 4
    assert chance_in(report, "HitRate@5") == 1
    assert any(words.startswith("2 users have ") for words in list_notes(report.settings, 2))


@pytest.mark.parametrize("measure", [evaluate_direct, evaluate_sequential])
def test_nobody_with_a_choice_is_an_error(measure, make_dataset, scripted):
    split = leave_one_out(make_dataset([[0, 1, 2, 3], [3, 2, 1, 0]], 4))
    with pytest.raises(EdgewiseError, match="4 items leave none of the 2 users a choice"):
        measure(scripted(np.zeros((2, 4))), split)


def test_chance_of_the_whole_catalogue_counts_unseen_items(make_dataset, scripted):
    """u0 has 4 unseen of 6; u1 took its test item before, which no list may hold."""
    split = leave_one_out(make_dataset([[0, 1, 2], [3, 4, 3]], 6))
    report = evaluate_sequential(scripted(np.zeros((2, 6))), split, ks=(1,))
    assert chance_in(report, "HitRate@1") == pytest.approx((1 / 4 + 0) / 2)


def test_chance_of_several_held_out_items_is_not_told(make_dataset, scripted):
    split = ratio_split(make_dataset([list(range(20)), list(range(10, 30))], 40))
    report = evaluate_sequential(scripted(np.zeros((2, 40))), split)
    assert "chance" not in report.settings and report.settings["candidates_min"] == 22
