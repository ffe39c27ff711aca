"""The best items of many rows: as a full sort finds them, whatever the rows look like."""

import numpy as np
import pytest

from edgewise.data.ranking import Ranked, best_of_products, best_of_rows, top_k


def sorted_rows(scores, k):
    """By a stable sort of every row, which is slow and plainly right."""
    orders = [np.argsort(-row, kind="stable")[:k] for row in scores]
    return [order[np.isfinite(row[order])] for row, order in zip(scores, orders, strict=True)]


def drawn(kind, rows, items):
    rng = np.random.default_rng(items)
    scores = rng.normal(size=(rows, items)).astype(np.float32)
    if kind == "tied":
        scores = np.round(scores, 1)
    if kind == "hidden":
        scores[rng.random(scores.shape) < 0.97] = -np.inf
    if kind == "all hidden":
        scores[:] = -np.inf
    if kind == "equal":
        scores[:] = 1.0
    return scores


@pytest.mark.parametrize("kind", ["distinct", "tied", "hidden", "all hidden", "equal"])
@pytest.mark.parametrize("items", [1, 9, 10, 11, 40, 383, 1056, 1057, 3001])
def test_lists_are_those_of_a_stable_sort(kind, items):
    scores = drawn(kind, 17, items)
    found, expected = best_of_rows(scores, 10), sorted_rows(scores, 10)
    assert [row.tolist() for row in found.items.rows()] == [row.tolist() for row in expected]
    for row, score, own in zip(found.items.rows(), found.scores.rows(), scores, strict=True):
        assert score.tolist() == own[row].tolist()


def test_the_best_may_stand_beside_each_other_and_at_the_end():
    scores = np.zeros((2, 1000))
    scores[0, 990:] = np.arange(1, 11)
    scores[1, 100:110] = np.arange(10, 0, -1)
    found = best_of_rows(scores, 10).items
    assert found[0].tolist() == list(range(999, 989, -1))
    assert found[1].tolist() == list(range(100, 110))


def test_whole_numbers_are_scores_too():
    found = best_of_rows(np.array([[3, 9, 9, -1]]), 3)
    assert (found.items[0].tolist(), found.scores[0].tolist()) == ([1, 2, 0], [9, 9, 3])


def test_scores_are_left_as_they_are():
    scores = drawn("tied", 3, 500)
    before = scores.copy()
    best_of_rows(scores, 5)
    assert np.array_equal(scores, before)


def test_rows_are_joined_and_put_in_their_places():
    first = Ranked.of_rows([np.array([4, 2]), np.array([], np.int64)], [np.ones(2), np.ones(0)])
    both = Ranked.concat([first, Ranked.of_rows([np.array([7])], [np.array([0.5])])])
    put = both.put(np.array([2, 0, 1]))
    assert [row.tolist() for row in put.items.rows()] == [[], [7], [4, 2]]
    assert [row.tolist() for row in put.scores.rows()] == [[], [0.5], [1.0, 1.0]]
    assert not len(Ranked.concat([]).items)


def test_the_k_best_are_finite_and_tied_by_place():
    scores = np.array([1.0, 3.0, -np.inf, 3.0, 2.0])
    assert top_k(scores, 3).tolist() == [1, 3, 4]
    assert top_k(scores, 9).tolist() == [1, 3, 4, 0]
    assert top_k(scores, 1).tolist() == [1]


@pytest.mark.parametrize("block", [1, 7, 10, 64, 1000])
def test_products_by_blocks_of_items_are_those_of_all_items(block):
    rng = np.random.default_rng(0)
    # Whole numbers, so that sums are exact and scores are often equal.
    queries, items = (rng.integers(-2, 3, (n, 4)).astype(np.float32) for n in (9, 500))
    found, scores = best_of_products(queries, items, 10, block)
    expected = sorted_rows(queries @ items.T, 10)
    assert found.tolist() == [row.tolist() for row in expected]
    assert scores.tolist() == np.take_along_axis(queries @ items.T, found, axis=1).tolist()


def test_products_with_fewer_items_than_places():
    found, scores = best_of_products(np.ones((1, 1)), np.array([[1.0], [3.0], [2.0]]), 10, 2)
    assert (found.tolist(), scores.tolist()) == ([[1, 2, 0]], [[3.0, 2.0, 1.0]])
