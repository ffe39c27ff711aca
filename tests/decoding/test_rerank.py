from __future__ import annotations

import numpy as np
import pytest

from edgewise.decoding import beam_search, rerank

ITEMS = np.array([[4, 9, 2, 7], [5, 1, -1, -1]])
SCORES = np.array([[-1.0, -2.0, -3.0, -4.0], [-0.5, -0.6, -np.inf, -np.inf]], dtype=np.float32)


def test_seen_items_are_dropped_and_the_order_is_kept() -> None:
    items, scores = rerank(ITEMS, SCORES, [np.array([9, 4]), np.array([3])], k=2)
    assert items.tolist() == [[2, 7], [5, 1]]
    np.testing.assert_array_equal(scores, np.array([[-3, -4], [-0.5, -0.6]], dtype=np.float32))


def test_a_list_is_short_when_too_many_were_seen() -> None:
    items, scores = rerank(ITEMS, SCORES, [np.array([9, 4, 7]), np.array([5, 1])], k=3)
    assert items.tolist() == [[2, -1, -1], [-1, -1, -1]]
    assert scores.tolist() == [[-3, -np.inf, -np.inf], [-np.inf] * 3]


def test_without_reranking_seen_items_stay() -> None:
    items, scores = rerank(ITEMS, SCORES, None, k=2)
    assert items.tolist() == [[4, 9], [5, 1]]
    assert scores.dtype == np.float32


def test_more_wanted_than_asked_for_is_padded() -> None:
    items, scores = rerank(ITEMS, SCORES, None, k=6)
    assert items.tolist() == [[4, 9, 2, 7, -1, -1], [5, 1, -1, -1, -1, -1]]
    assert np.isneginf(scores[:, 4:]).all()


def test_lists_that_are_out_of_order_are_sorted() -> None:
    items, _ = rerank(ITEMS[:, ::-1], SCORES[:, ::-1], [np.array([4]), np.empty(0)], k=3)
    assert items.tolist() == [[9, 2, 7], [5, 1, -1]]


@pytest.mark.parametrize("num_extra", [6, 30])
def test_banning_equals_filtering_when_the_beam_is_the_catalogue(
    t5, prompts, table, num_extra
) -> None:
    rng = np.random.default_rng(5)
    seen = [rng.choice(len(table), 6, replace=False) for _ in prompts.hidden]
    wide = beam_search(t5, prompts.hidden, prompts.mask, table.trie, len(table), 10 + num_extra)
    inside = beam_search(t5, prompts.hidden, prompts.mask, table.trie, len(table), 10, seen)
    filtered = rerank(*wide, seen, 10)
    np.testing.assert_array_equal(filtered[0], inside[0])
    np.testing.assert_allclose(filtered[1], inside[1], atol=1e-4)
