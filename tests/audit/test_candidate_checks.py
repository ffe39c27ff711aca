"""Candidate lists with planted faults."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.audit import candidate_checks
from edgewise.audit.candidate_checks import (
    popular_negatives,
    positive_place,
    repeated_candidates,
    touched_negatives,
)
from edgewise.data.item_lists import CandidateLists
from edgewise.data.negatives import uniform_candidates


@pytest.fixture(scope="module")
def clean(shop) -> CandidateLists:
    return uniform_candidates(shop, "test", 49)


@pytest.fixture(scope="module")
def positives(shop) -> np.ndarray:
    return shop.test.item_index


def relisted(lists: CandidateLists, change) -> CandidateLists:
    rows = [change(n, lists[n].copy()) for n in range(len(lists))]
    return CandidateLists.from_lists(lists.user_index, rows)


def test_lists_as_we_draw_them_are_clean(shop, clean, positives):
    assert touched_negatives(clean, positives, shop).verdict == "ok"
    assert positive_place(clean, positives).verdict == "ok"
    assert repeated_candidates(clean, positives, 200).verdict == "ok"
    assert popular_negatives(clean, positives, shop).verdict == "ok"


def test_a_negative_that_the_user_took_is_found(shop, clean, positives):
    def with_first_item(n, row):
        row[np.flatnonzero(row != positives[n])[0]] = shop.known_before("valid")[n][0]
        return row

    finding = touched_negatives(relisted(clean, with_first_item), positives, shop)
    assert finding.verdict == "leak"
    assert [f.value for f in finding.measurements] == [pytest.approx(1 / 49), len(clean)]


@pytest.mark.parametrize("place", [0, 17, -1])
def test_a_favourite_place_is_found(clean, positives, place):
    def moved(n, row):
        rest = row[row != positives[n]]
        return np.insert(rest, place % len(row), positives[n])

    finding = positive_place(relisted(clean, moved), positives)
    assert finding.verdict == "leak" and finding.measurements[0].value == 1


def test_lists_of_different_lengths_have_fair_bins(clean, positives):
    def cut(n, row):  # only negatives are left out
        rest = np.flatnonzero(row != positives[n])[: 7 * (n % 3)]
        return np.delete(row, rest)

    finding = positive_place(relisted(clean, lambda n, row: cut(n, row[::-1])), positives)
    assert finding.verdict == "leak"  # negatives left out at the front move the positive forward
    rng = np.random.default_rng(0)
    shuffled = relisted(clean, lambda n, row: rng.permutation(cut(n, row)))
    assert positive_place(shuffled, positives).verdict == "ok"


def test_repeats_and_missing_positives_are_found(clean, positives):
    def spoilt(n, row):
        if n % 4 == 0:
            row[:2] = row[0] if row[0] != positives[n] else row[1]
        return row[row != positives[n]] if n % 4 == 1 else row

    finding = repeated_candidates(relisted(clean, spoilt), positives, 200)
    assert finding.verdict == "leak"
    repeating, lacking = (each.value for each in finding.measurements)
    assert repeating == pytest.approx(0.25, abs=0.01) and lacking >= 0.25


def test_popular_negatives_are_found(shop, clean, positives):
    popularity = np.bincount(shop.train.item_index, minlength=200)
    rng = np.random.default_rng(1)
    by_popularity = relisted(
        clean,
        lambda n, row: np.append(
            rng.choice(200, 49, replace=False, p=popularity / popularity.sum()), positives[n]
        ),
    )
    finding = popular_negatives(by_popularity, positives, shop)
    assert finding.verdict == "leak"
    drawn, uniform = (each.value for each in finding.measurements)
    assert drawn > 1.1 * uniform


def test_rare_negatives_are_found_too(shop, clean, positives):
    rare = np.argsort(np.bincount(shop.dataset.interactions.item_index, minlength=200))[:49]
    rows = relisted(clean, lambda n, row: np.append(rare, positives[n]))
    assert popular_negatives(rows, positives, shop).verdict == "leak"


def test_nothing_to_look_at(make_split):
    split = make_split([[0, 1]], 2)
    none, nobody = CandidateLists.from_lists(np.empty(0), []), np.empty(0, np.int32)
    for finding in (
        touched_negatives(none, nobody, split),
        positive_place(none, nobody),
        repeated_candidates(none, nobody, 2),
        popular_negatives(none, nobody, split),
    ):
        assert finding.verdict == "not applicable"


@pytest.mark.parametrize("block", [1, 7])
def test_findings_do_not_depend_on_how_many_lists_are_looked_at_together(
    shop, clean, positives, monkeypatch, block
):
    def spoilt(n, row):
        row = row[row != positives[n]] if n % 5 == 1 else np.sort(row)
        row[:2] = row[0] if n % 4 == 0 else row[:2]
        return np.append(row, shop.known_before("valid")[n][0]) if n % 3 == 0 else row

    lists = relisted(clean, spoilt)

    def findings():
        return [
            touched_negatives(lists, positives, shop),
            positive_place(lists, positives),
            repeated_candidates(lists, positives, 200),
            popular_negatives(lists, positives, shop),
        ]

    whole = findings()
    monkeypatch.setattr(candidate_checks, "_BLOCK", block)
    for mine, other in zip(whole, findings(), strict=True):
        assert mine.verdict == other.verdict
        values = [[each.value for each in finding.measurements] for finding in (mine, other)]
        assert values[0] == pytest.approx(values[1], rel=1e-12)
    assert [finding.verdict for finding in whole[::2]] == ["leak", "leak"]
