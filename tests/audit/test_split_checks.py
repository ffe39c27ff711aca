"""Held-out rows that edges, texts, numbers, times or random features tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgewise.audit import split_checks
from edgewise.audit.split_checks import (
    data_as_asked,
    held_out_edges,
    held_out_texts,
    later_events,
    next_numbers,
    probe_hits,
    repeated_rows,
    telling_numbers,
    tie_order,
    untrained_probe,
)
from edgewise.data.dataset import Dataset, Interactions
from edgewise.data.importing import ImportOptions, read_dataset
from edgewise.data.item_lists import CandidateLists
from edgewise.data.negatives import uniform_candidates
from edgewise.data.ragged import Ragged
from edgewise.data.splits import leave_one_out, ratio_split, time_split
from edgewise.data.texts import explanation_split
from edgewise.evaluation.protocols import HONEST

SEQUENCES = [[0, 1, 2, 3], [4, 5, 6, 7], [1, 2, 8, 9], [3, 4, 0, 6]]


def shares(finding):
    return [each.value for each in finding.measurements]


def test_the_graph_of_train_rows_is_clean(make_split):
    split = make_split(SEQUENCES, 10)
    finding = held_out_edges(split.train, split)
    assert finding.verdict == "ok" and shares(finding) == [0, 0]


def test_planted_edges_are_counted(make_split):
    split = make_split(SEQUENCES, 10)
    rows = split.dataset.interactions
    # All of user 0 but the last row, all of user 1: 1 of 4 test rows, 2 of 4 validation rows.
    edges = rows.take(np.array([0, 1, 2, 4, 5, 6, 7, 8]))
    finding = held_out_edges(edges, split)
    assert (finding.verdict, finding.group) == ("leak", "graph")
    assert shares(finding) == [0.25, 0.5]
    assert str(finding.measurements[0]) == "test rows that are edges 25.0 %"
    assert "train rows" in finding.repair


@pytest.mark.parametrize(("kept", "expected"), [("valid", [0, 1]), ("test", [1, 0])])
def test_one_part_is_enough(make_split, kept, expected):
    split = make_split(SEQUENCES, 10)
    finding = held_out_edges(split.held_out(kept), split)
    assert finding.verdict == "leak" and shares(finding) == expected


def test_a_pair_that_train_rows_hold_is_no_leak_of_the_graph(make_split):
    split = make_split([[0, 1, 2, 0], [3, 4, 5, 6]], 7)  # user 0 takes item 0 again
    assert held_out_edges(split.train, split).verdict == "ok"


def test_texts_that_stay_in_their_part_are_clean(shop):
    finding = held_out_texts(explanation_split(shop).train, shop)
    assert finding.verdict == "ok"


def test_texts_dealt_at_random_are_found_with_their_size(shop):
    finding = held_out_texts(explanation_split(shop, "random", seed=1).train, shop)
    assert finding.verdict == "leak" and "prompts.explanations" in finding.repair
    # 80 % of all texts train, and about one row in ten has no text.
    assert [f.value for f in finding.measurements] == pytest.approx([0.78, 0.78], abs=0.08)


def test_no_texts_nothing_to_look_at(make_split):
    split = make_split([[0, 1, 2, 3]], 4)
    assert held_out_texts(None, split).verdict == "not applicable"
    assert held_out_texts(explanation_split(split).train, split).verdict == "not applicable"


def check_numbers(split):
    return telling_numbers(split.test, split.known_before("test"), split.dataset.num_items)


def histories(*rows: list[int]) -> Ragged:
    offsets = np.cumsum([0, *map(len, rows)])
    return Ragged(offsets, np.concatenate([np.array(row) for row in rows]).astype(np.int32))


def by_first_appearance(num_users: int, num_items: int, own: int) -> list[list[int]]:
    """Each user takes ``own`` new items in turn, as files with thin histories do."""
    starts = np.arange(num_users) * own % (num_items - own)
    return [list(range(start, start + own)) for start in starts]


def test_the_rule_by_hand():
    lists = next_numbers(histories([7, 2, 3], [1, 5]), np.array([0, 1]), k=4)
    # User 0: 7 + 1, then 3 + 1, 3 + 2, 3 + 3; 7 is seen. User 1: 5 + 1, and once only.
    assert lists.item_index.tolist() == [8, 4, 5, 6, 6, 7, 8, 9]
    assert lists.rank.tolist() == [1, 2, 3, 4] * 2
    assert lists.user_index.tolist() == [0] * 4 + [1] * 4


def test_the_rule_passes_over_seen_numbers():
    lists = next_numbers(histories([4, 5, 6, 3]), np.array([0]), k=3)
    assert lists.item_index.tolist() == [7, 8, 9]


def test_numbers_by_first_appearance_are_found(make_split):
    finding = check_numbers(make_split(by_first_appearance(200, 1000, 5), 1000))
    assert finding.verdict == "leak" and "shuffled" in finding.repair
    values = {each.name: each.value for each in finding.measurements}
    assert values["HR@10"] == values["NDCG@5"] == 1
    assert values["HR@10 by chance"] < 0.05


def test_the_same_rows_with_shuffled_numbers_are_clean(make_split):
    numbers = np.random.default_rng(2).permutation(1000)
    rows = [numbers[row] for row in by_first_appearance(200, 1000, 5)]
    assert check_numbers(make_split(rows, 1000)).verdict == "ok"


def test_the_numbers_of_the_shop_are_clean(shop):
    assert check_numbers(shop).verdict == "ok"


def test_no_history_nothing_to_guess(make_split):
    split = make_split([[0, 1], [2]], 3)
    assert check_numbers(split).verdict == "not applicable"


def test_a_history_may_be_missing():
    held_out = Interactions(np.array([0, 1]), np.array([3, 4]))
    assert telling_numbers(held_out, histories([2], []), 9).verdict == "ok"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("beauty", [0.0551, 0.0500, 0.0532, 0.0493]), ("toys", [0.0779, 0.0723, 0.0765, 0.0719])],
)
def test_the_numbers_of_published_files_compete_with_models(real_data, name, expected):
    dataset: Dataset = read_dataset(real_data / name, ImportOptions(item_numbers="source"))
    finding = check_numbers(leave_one_out(dataset))
    assert finding.verdict == "leak"
    assert [round(each.value, 4) for each in finding.measurements[:4]] == expected


DAY = 86_400


def test_a_split_by_time_learns_nothing_from_later(shop):
    finding = later_events(time_split(shop.dataset))
    assert finding.verdict == "ok" and shares(finding) == [0, 0]


def test_a_split_by_time_that_is_none_is_found(shop):
    wrong = replace(ratio_split(shop.dataset), kind="time")
    finding = later_events(wrong)
    assert finding.verdict == "leak" and shares(finding)[0] > 0.2


def test_leave_one_out_comes_with_later_events_of_others(make_split):
    # Test rows at 3 and 30; train rows at 0, 1 (user 0) and 0, 10 (user 1).
    split = make_split([[0, 1, 2, 3], [1, 2, 0, 4]], 5, [0, 1, 2, 3, 0, 10, 20, 30])
    finding = later_events(split)
    assert finding.verdict == "warning"
    assert shares(finding) == [pytest.approx(1 / 8), 0]  # 1 of 4 is newer than 3, none than 30


def test_own_later_rows_are_a_leak_of_leave_one_out(make_split):
    split = make_split([[0, 1, 2, 3], [1, 2, 0, 4]], 5, [0, 9, 2, 3, 0, 1, 2, 30])
    finding = later_events(split)
    assert finding.verdict == "leak" and shares(finding)[1] == 0.5


def test_a_ratio_split_is_warned_about(shop):
    assert later_events(ratio_split(shop.dataset)).verdict == "warning"


def tied(rows: np.ndarray, make_split, ids=None):
    """Users who take all items of a row on one day."""
    times = np.repeat(np.arange(len(rows)) * DAY, rows.shape[1])
    return make_split(rows.tolist(), 100, times, ids)


def some_rows(sort: bool) -> np.ndarray:
    rng = np.random.default_rng(4)
    rows = np.stack([rng.choice(100, 5, replace=False) for _ in range(60)])
    return np.sort(rows) if sort else rows


def test_ties_in_order_of_the_numbers_are_a_leak(make_split):
    finding = tie_order(tied(some_rows(sort=True), make_split))
    assert finding.verdict == "leak" and shares(finding) == [1, 1, 1, 240]


def test_ties_in_order_of_the_ids_alone_are_a_warning(make_split):
    # Item n bears the id of item order[n]: rows ascend by id, numbers are shuffled.
    order = np.random.default_rng(5).permutation(100)
    rows = np.argsort(order)[some_rows(sort=True)]
    finding = tie_order(tied(rows, make_split, [f"i{place:03d}" for place in order]))
    assert finding.verdict == "warning" and shares(finding)[0] == 1


def test_ties_in_no_order_are_clean(make_split, shop):
    assert tie_order(tied(some_rows(sort=False), make_split)).verdict == "ok"
    assert tie_order(shop).verdict == "ok"


def test_ties_that_decide_what_is_held_out_are_counted(make_split):
    # User 0 ends with a tie, user 1 begins with one: 1 of 2 users, 2 pairs of rows.
    split = make_split([[0, 1, 2, 3], [4, 5, 6, 7]], 8, [0, 1, 2, 2, 5, 5, 6, 7])
    assert shares(tie_order(split))[2:] == [0.5, 2]


def test_without_ties_or_times_there_is_nothing_to_see(make_split):
    assert tie_order(make_split([[0, 1, 2]], 3, [1, 2, 3])).verdict == "not applicable"
    assert tie_order(make_split([[0, 1, 2]], 3)).verdict == "not applicable"
    assert later_events(make_split([[0, 1, 2]], 3)).verdict == "not applicable"


def test_different_rows_are_clean(make_split):
    assert repeated_rows(make_split([[0, 1, 2, 3], [3, 2, 1, 0]], 4)).verdict == "ok"


def test_the_same_row_in_two_parts_is_a_leak(make_split):
    split = make_split([[0, 1, 2, 2], [3, 2, 1, 0]], 4, [0, 1, 2, 2, 0, 1, 2, 3])
    finding = repeated_rows(split)
    assert finding.verdict == "leak" and shares(finding) == [0.25, 0.25]
    assert "--duplicates last" in finding.repair


def test_taking_it_again_later_is_a_warning(make_split):
    split = make_split([[0, 1, 2, 0], [3, 2, 1, 0]], 4, [0, 1, 2, 3, 0, 1, 2, 3])
    finding = repeated_rows(split)
    assert finding.verdict == "warning" and shares(finding) == [0.25, 0]


def test_without_times_a_repetition_cannot_be_told_from_a_copy(make_split):
    assert repeated_rows(make_split([[0, 1, 2, 0]], 3)).verdict == "leak"


def test_train_alone_repeats_nothing(make_split):
    assert repeated_rows(make_split([[0, 0]], 1)).verdict == "not applicable"


@pytest.fixture(scope="module")
def lists(shop) -> CandidateLists:
    return uniform_candidates(shop, "test", 99)


def test_train_edges_are_clean(shop, lists):
    finding = untrained_probe(shop.train, shop, lists, shop.test.item_index)
    assert finding.verdict == "ok"
    in_use, honest, chance = (each.value for each in finding.measurements)
    assert in_use == honest < 0.35
    assert chance == pytest.approx(0.1)


def test_edges_of_all_parts_are_found(shop, lists):
    finding = untrained_probe(shop.dataset.interactions, shop, lists, shop.test.item_index)
    assert finding.verdict == "leak" and finding.group == "probe"
    in_use, honest, _ = (each.value for each in finding.measurements)
    assert in_use > honest + 0.2


def test_fewer_edges_are_no_leak(shop, lists):
    half = shop.train.take(np.arange(0, len(shop.train), 2))
    assert untrained_probe(half, shop, lists, shop.test.item_index).verdict == "ok"


def test_hits_do_not_depend_on_how_lists_are_cut(shop, lists):
    whole = probe_hits(shop.train, shop, lists, shop.test.item_index)
    first = CandidateLists.from_lists(lists.user_index[:7], [lists[n] for n in range(7)])
    few = probe_hits(shop.train, shop, first, shop.test.item_index[:7])
    assert few.tolist() == whole[:7].tolist()


def test_no_list_nothing_to_find(make_split):
    split = make_split([[0, 1]], 2)
    empty = CandidateLists.from_lists(np.empty(0), [])
    assert untrained_probe(split.train, split, empty, np.empty(0)).verdict == "not applicable"


def test_data_as_asked(shop):
    assert data_as_asked(shop.dataset, HONEST).verdict == "ok"
    numbered = replace(shop.dataset, source={"item_numbers": "source"})
    finding = data_as_asked(numbered, HONEST)
    assert finding.verdict == "warning" and "--id-order source" in finding.meaning


def test_guesses_do_not_depend_on_how_many_users_are_asked_together(shop, monkeypatch):
    whole = check_numbers(shop)
    monkeypatch.setattr(split_checks, "_GUESSING_USERS", 7)
    assert check_numbers(shop) == whole


def test_columns_of_features_that_take_turns_find_the_same_leak(shop, lists, monkeypatch):
    monkeypatch.setattr(split_checks, "_FEATURES_AT_ONCE", 100 * (300 + 200))
    honest, leaking = (
        untrained_probe(rows, shop, lists, shop.test.item_index)
        for rows in (shop.train, shop.dataset.interactions)
    )
    assert honest.verdict == "ok" and honest.measurements[0].value < 0.35
    assert leaking.verdict == "leak"
    assert leaking.measurements[0].value > honest.measurements[0].value + 0.2


def test_the_probe_is_asked_about_a_sample_of_many_lists(shop, lists, monkeypatch):
    monkeypatch.setattr(split_checks, "_PROBED_LISTS", 120)
    edges = shop.dataset.interactions
    finding = untrained_probe(edges, shop, lists, shop.test.item_index, seed=3)
    assert finding.verdict == "leak" and finding.sample == f"120 of {len(lists)} lists, seed 3"
    assert untrained_probe(shop.train, shop, lists, shop.test.item_index).verdict == "ok"


def test_scores_of_the_probe_by_hand():
    features = np.arange(15, dtype=np.float32).reshape(5, 3)  # two users, three items
    lists = CandidateLists.from_lists(np.array([1, 0, 1]), [[0, 2], [1], [2, 1]])
    scores = np.ones(5, dtype=np.float32)
    split_checks._add_dot_products(scores, features, 2, lists)
    users, items = features[[1, 1, 0, 1, 1]], features[[2, 4, 3, 4, 3]]
    assert scores.tolist() == (1 + (users * items).sum(axis=1)).tolist()


def test_copies_are_told_from_returns_by_their_own_time(make_split):
    # User 0 takes item 0 at 0 and 3; user 1 item 3 at 0 and 3, and item 2 twice at 3.
    split = make_split([[0, 1, 2, 0], [3, 2, 1, 2, 3]], 4, [0, 1, 2, 3, 0, 3, 3, 3, 3])
    finding = repeated_rows(split)
    assert finding.verdict == "leak" and shares(finding) == [0.75, 0.25]
