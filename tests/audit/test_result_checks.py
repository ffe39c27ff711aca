"""Lists, results and logs of a run with planted faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.audit.worlds import measured_of

from edgewise.audit.result_checks import (
    Measured,
    TrainingLog,
    epoch_choice,
    metric_pairs,
    mixing_rows,
    padded_lists,
    pairs_digest,
    repeated_items,
    sealed_figures,
)
from edgewise.data.item_lists import Recommendations


def lists_of(*rows: list[int], score=None) -> Recommendations:
    scores = [np.arange(len(row), 0.0, -1.0) if score is None else score for row in rows]
    return Recommendations.from_lists(np.arange(len(rows)), [np.array(row) for row in rows], scores)


def test_good_lists_are_clean():
    lists = lists_of([3, 1, 2], [3, 4])
    assert repeated_items(lists).verdict == "ok"
    assert padded_lists(lists, 5).verdict == "ok"


def test_repeated_items_are_found():
    finding = repeated_items(lists_of([3, 1, 3, 3], [3, 4]))
    assert finding.verdict == "leak" and finding.measurements[0].value == pytest.approx(2 / 6)


def test_a_protocol_that_counts_repeats_leaks_without_lists_too():
    assert repeated_items(None, counted=True).verdict == "leak"
    assert repeated_items(lists_of([1, 2]), counted=True).measurements[0].value == 0


@pytest.mark.parametrize(
    ("lists", "shares"),
    [
        (lists_of([0, 5], [1, -1]), [0.5, 0]),
        (lists_of([0, 1, 2], score=np.array([2.0, -np.inf, np.nan])), [0, 2 / 3]),
    ],
    ids=["no item", "no score"],
)
def test_padding_is_found(lists, shares):
    finding = padded_lists(lists, 5)
    assert finding.verdict == "leak"
    assert [each.value for each in finding.measurements] == pytest.approx(shares)


def test_a_protocol_that_pads_leaks_without_lists_too():
    assert padded_lists(None, 5, padded=True).verdict == "leak"


def test_no_lists_nothing_to_look_at():
    nothing = Recommendations.from_lists(np.empty(0), [], [])
    assert repeated_items(None).verdict == padded_lists(None, 5).verdict == "not applicable"
    assert repeated_items(nothing).verdict == padded_lists(nothing, 5).verdict == "ok"


def test_measured_figures_are_possible():
    finding = metric_pairs([measured_of("honest", np.array([1, 3, 6, 9, 40, 2, 10]))])
    assert finding.verdict == "ok" and str(finding.measurements[0]) == "impossible 0 of 1"


@pytest.mark.parametrize(
    "change", [{"HitRate@10": 0.99}, {"NDCG@5": 0.1}, {"NDCG@10": 0.9}, {"HitRate@5": 1.2}]
)
def test_a_figure_changed_by_hand_is_found(change):
    honest = measured_of("ours", np.array([1, 3, 6, 9, 40, 2, 10]))
    finding = metric_pairs([Measured("ours", {**honest.metrics, **change})])
    assert finding.verdict == "leak" and "ours, " in finding.meaning


def test_seals():
    sealed, bare = Measured("a", {}), Measured("b", {}, is_sealed=False)
    broken = Measured("c", {}, fault="c.json: a figure was changed")
    assert sealed_figures([]).verdict == "not applicable"
    assert sealed_figures([sealed]).verdict == "ok"
    assert sealed_figures([sealed, bare]).verdict == "warning"
    finding = sealed_figures([sealed, bare, broken])
    assert (finding.verdict, finding.meaning) == ("leak", broken.fault)
    assert str(finding.measurements[0]) == "changed files 1 of 3"


def test_several_targets_obey_no_such_bound():
    several = Measured("ratio", {"HitRate@10": 0.2, "NDCG@10": 0.9}, one_target=False)
    assert metric_pairs([several]).verdict == "not applicable"
    assert metric_pairs([]).verdict == "not applicable"


def nothing(rows):
    return rows.take([])


def test_a_split_without_test_rows_is_proof(shop):
    log = TrainingLog.of(replace(shop, test=nothing(shop.test)), {"": 3})
    finding = epoch_choice(log, shop, fitted=True)
    assert finding.verdict == "ok"
    assert [each.value for each in finding.measurements] == [0, 300, 3]


def test_test_rows_that_were_handed_over_are_found(shop):
    finding = epoch_choice(TrainingLog.of(shop, {"": 3}), shop, fitted=True)
    assert finding.verdict == "leak" and "test rows are among them" in finding.meaning


def test_test_rows_in_the_place_of_validation_rows_are_found(shop):
    swapped = replace(shop, valid=shop.test, test=nothing(shop.test))
    finding = epoch_choice(TrainingLog.of(swapped, {"": 3}), shop, fitted=True)
    assert finding.verdict == "leak" and "valid rows are not the split's" in finding.meaning


def test_other_edges_than_those_audited_are_found(shop):
    leaking = replace(shop, edges=shop.dataset.interactions, test=nothing(shop.test))
    finding = epoch_choice(TrainingLog.of(leaking, {"": 3}), shop, fitted=True)
    assert finding.verdict == "leak" and "edges rows are not the split's" in finding.meaning


def test_an_epoch_chosen_on_the_test_is_found(shop):
    log = TrainingLog.of(replace(shop, test=nothing(shop.test)), {"first": 3, "last": 0})
    assert log.chosen_on == {"first": "valid", "last": "nothing"}
    finding = epoch_choice(replace(log, chosen_on={"first": "test"}), shop, fitted=True)
    assert finding.verdict == "leak" and "chosen on test" in finding.meaning


def test_without_a_run_or_a_log(shop):
    assert epoch_choice(None, shop, fitted=False).verdict == "not applicable"
    assert epoch_choice(None, shop, fitted=True).verdict == "warning"


def test_the_digest_knows_users_items_and_order(shop):
    rows = shop.test
    digests = {
        pairs_digest(rows),
        pairs_digest(replace(rows, user_index=rows.item_index, item_index=rows.user_index)),
        pairs_digest(rows.take([1, 0])),
        pairs_digest(rows.take([0, 1])),
    }
    assert len(digests) == 4
    assert pairs_digest(rows) == pairs_digest(replace(rows, rating=None))


def measured_on(*users: int) -> Measured:
    return Measured("sequential-valid", {}, valid_users=np.array(users))


def test_rows_that_fitted_weights_are_looked_for_among_the_measured(shop):
    having = np.unique(shop.valid.user_index)
    fitted, others = having[::2], having[1::2]
    clean = [measured_on(*others), Measured("sequential-test", {})]
    finding = mixing_rows(fitted, clean, shop)
    assert finding.verdict == "ok" and finding.measurements[1].value == len(fitted)
    finding = mixing_rows(fitted, [*clean, measured_on(*others, *fitted[:3])], shop)
    assert finding.verdict == "leak" and "sequential-valid" in finding.meaning
    assert str(finding.measurements[0]) == "measured although they fitted weights 3"
    assert "edgewise evaluate --part valid" in finding.repair
    assert "no figures on validation rows" in mixing_rows(fitted, [], shop).meaning


def test_weights_of_users_without_validation_rows_are_a_leak(shop):
    without = replace(shop, valid=shop.valid.take(np.arange(5)))
    finding = mixing_rows(np.unique(shop.valid.user_index), [], without)
    assert finding.verdict == "leak" and "no validation row" in finding.meaning


@pytest.mark.parametrize("fitted", [None, np.empty(0, np.int64)])
def test_without_fitted_weights_there_are_no_mixing_rows(shop, fitted):
    assert mixing_rows(fitted, [measured_on(0)], shop).verdict == "not applicable"
