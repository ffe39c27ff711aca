from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from edgewise.data.dataset import Interactions, histories_of
from edgewise.data.ragged import Ragged
from edgewise.graph import transition_counts
from edgewise.graph.transition_counts import free_memory, item_transitions
from edgewise.graph.transitions import transition_features


def paths(*rows: list[int]) -> Ragged:
    users = np.repeat(np.arange(len(rows), dtype=np.int32), [len(row) for row in rows])
    items = np.array([item for row in rows for item in row], dtype=np.int32)
    return histories_of(len(rows), Interactions(users, items))


def test_transitions_are_counted_by_hand():
    counted = item_transitions(paths([0, 1, 2], [2, 1], [3]), num_items=5).toarray()
    expected = np.zeros((5, 5))
    expected[0, 1] = expected[1, 0] = 1
    expected[1, 2] = expected[2, 1] = 2
    expected[0, 2] = expected[2, 0] = 1 / 2
    np.testing.assert_allclose(counted, expected)


def test_pairs_beyond_the_window_and_repetitions_do_not_count():
    history = paths([0, 0, 1, 2, 3])
    near = item_transitions(history, 4, window=1).toarray()
    assert near.nonzero()[0].tolist() == [0, 1, 1, 2, 2, 3]
    assert item_transitions(history, 4).diagonal().tolist() == [0, 0, 0, 0]


def random_histories(num_items: int) -> Ragged:
    rng = np.random.default_rng(0)
    start = rng.integers(0, num_items - 6, 200)
    return paths(*[(first + rng.permutation(6)[:4]).tolist() for first in start])


def test_vectors_are_the_leading_eigenvectors():
    histories, width = random_histories(30), 6
    found = transition_features(histories, 31, width, seed=0)
    counted = item_transitions(histories, 31).toarray()
    degrees = np.maximum(counted.sum(1), 1e-9)
    values, vectors = np.linalg.eigh(counted / np.sqrt(np.outer(degrees, degrees)))
    wanted = vectors[:, -width:] * np.sqrt(values[-width:])
    wanted *= width**0.5 / np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-9)
    # Signs are free; similarities are not.
    np.testing.assert_allclose(
        (found @ found.T)[:30, :30], (wanted @ wanted.T)[:30, :30], atol=0.01
    )
    assert not found[30].any(), "an item without neighbours"


def test_items_of_one_path_are_closer_than_others():
    found = transition_features(random_histories(60), 60, 8, seed=0)
    cosine = found @ found.T / 8
    steps = np.abs(np.subtract.outer(np.arange(60), np.arange(60)))
    assert cosine[steps == 1].mean() > 0.8 > cosine[steps > 20].mean() + 0.5


def test_no_rows_give_zeros():
    assert not transition_features(paths([], [1]), 3, 4, seed=0).any()
    assert sp.issparse(item_transitions(paths([]), 3))


def test_directions_and_distances_weigh_as_told():
    counted = item_transitions(
        paths([0, 1, 2]), num_items=3, decay=2.0, forward=3.0, backward=0.5
    ).toarray()
    expected = np.array([[0, 3, 3 / 4], [0.5, 0, 3], [0.5 / 4, 0.5, 0]])
    np.testing.assert_allclose(counted, expected)


def by_loops(histories: Ragged, num_items: int, window: int, forward: float, backward: float):
    expected = np.zeros((num_items, num_items))
    for row in histories.rows():
        for first in range(len(row)):
            for second in range(first + 1, min(first + window, len(row) - 1) + 1):
                if row[first] != row[second]:
                    weight = (second - first) ** -0.5
                    expected[row[first], row[second]] += forward * weight
                    expected[row[second], row[first]] += backward * weight
    return expected


def in_file(array: Any) -> bool:
    """Whether an array is read from a file."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


@pytest.mark.parametrize(("forward", "backward"), [(1.0, 1.0), (3.0, 0.5), (0.0, 1.0), (2.0, 0.0)])
@pytest.mark.parametrize("memory", [None, 10])
def test_long_histories_are_counted_in_parts(forward, backward, memory, monkeypatch, caplog):
    monkeypatch.setattr(transition_counts, "_PAIRS_AT_ONCE", 50)
    monkeypatch.setattr(transition_counts, "_ROWS_AT_ONCE", 20)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 12, length).tolist() for length in (0, 1, 40, 2, 0, 7, 25, 3)]
    ways = {"decay": 0.5, "forward": forward, "backward": backward, "memory": memory}
    found = item_transitions(paths(*rows), 13, 6, **ways)
    expected = by_loops(paths(*rows), 13, 6, forward, backward)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    assert (found.data > 0).all(), "nothing that does not count is kept"
    assert found.has_canonical_format
    said = "temporary file" in caplog.text
    assert said == in_file(found.data) == in_file(found.indices) == (memory is not None)


def test_little_free_memory_means_a_file(monkeypatch, caplog):
    monkeypatch.setattr(transition_counts, "free_memory", lambda: 100)
    few, many = paths([0, 1], [2, 1]), paths(*([[0, 1, 2, 3]] * 50))
    assert item_transitions(few, 4, 1).nnz == 4
    assert not caplog.text
    item_transitions(many, 4, 1)
    assert "2.0 GB" not in caplog.text and "temporary file" in caplog.text


def test_free_memory_is_told_in_bytes():
    assert free_memory() > 10**6
