"""What random features know of the held-out rows."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.audit.split_checks import probe_hits, untrained_probe
from edgewise.data.item_lists import CandidateLists
from edgewise.data.negatives import uniform_candidates


@pytest.fixture(scope="module")
def lists(shop) -> CandidateLists:
    return uniform_candidates(shop, "test", 99)


def test_train_edges_are_clean(shop, lists):
    finding = untrained_probe(shop.train, shop, lists, shop.test.item_index)
    assert finding.verdict == "ok"
    in_use, honest, chance = (figure.value for figure in finding.figures)
    assert in_use == honest < 0.35
    assert chance == pytest.approx(0.1)


def test_edges_of_all_parts_are_found(shop, lists):
    finding = untrained_probe(shop.dataset.interactions, shop, lists, shop.test.item_index)
    assert finding.verdict == "leak" and finding.group == "probe"
    in_use, honest, _ = (figure.value for figure in finding.figures)
    assert in_use > honest + 0.2


def test_fewer_edges_are_no_leak(shop, lists):
    half = shop.train.take(np.arange(0, len(shop.train), 2))
    assert untrained_probe(half, shop, lists, shop.test.item_index).verdict == "ok"


def test_hits_do_not_depend_on_how_lists_are_cut(shop, lists):
    whole = probe_hits(shop.train, shop, lists, shop.test.item_index)
    first = CandidateLists.from_lists(lists.user_index[:7], [lists[n] for n in range(7)])
    few = probe_hits(shop.train, shop, first, shop.test.item_index[:7])
    assert few.tolist() == whole[:7].tolist()


def test_nobody_to_ask(make_split):
    split = make_split([[0, 1]], 2)
    empty = CandidateLists.from_lists(np.empty(0), [])
    assert untrained_probe(split.train, split, empty, np.empty(0)).verdict == "not applicable"
