"""Graph filters against dense matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.contracts.checkerboard import checkerboard

from edgewise.data.ragged import Ragged
from edgewise.models.graph_filter import GraphFilter

RANK = 3


@pytest.mark.parametrize("filter", ["two-step", "gf-cf", "svd"])
def test_filters_worked_with_dense_matrices(filter):
    settings = {"steps": 0.7, "low_pass": 0.4, "popularity": 0.2, "rank": RANK}
    model = GraphFilter(filter=filter, **settings).fit(checkerboard().split)
    taken = model.matrix(model.data.histories).toarray().astype(float)
    users, degrees = taken.sum(1), taken.sum(0)
    graph = taken / np.sqrt(np.outer(users, degrees))
    _, values, vectors = np.linalg.svd(graph)
    values, vectors = values[:RANK], vectors[:RANK].T
    met, ideal = graph.T @ graph, vectors @ vectors.T
    asked = np.zeros(24)
    asked[[2, 5, 11]] = 1
    row = asked / np.sqrt(degrees) / np.sqrt(3)
    expected = {
        "two-step": row @ (met + 0.7 * met @ met + 0.4 * (vectors * values**2) @ vectors.T),
        "gf-cf": asked @ (met + 0.4 * ideal * degrees**0.5 / degrees[:, None] ** 0.5),
        "svd": row @ ideal,
    }[filter] * degrees**0.2
    found = model.score_items(np.array([-1]), Ragged.of_rows([np.array([2, 5, 11])]))[0]
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_rank_beyond_the_data_is_the_whole_graph():
    split = checkerboard().split
    whole, more = (GraphFilter(filter="svd", rank=rank).fit(split) for rank in (24, 1000))
    rows = whole.data.histories
    users = np.arange(len(rows))
    assert np.allclose(whole.score_items(users, rows), more.score_items(users, rows), atol=1e-4)


@pytest.mark.parametrize("relearn", [False, True])
def test_edges_that_the_split_names_are_the_graph_and_stay_it(relearn, tmp_path):
    split = checkerboard().split
    everything = split.dataset.interactions
    model = GraphFilter(relearn=relearn, rank=4).fit(replace(split, edges=everything))
    model.save_pretrained(tmp_path / "model")
    for fitted in (model, GraphFilter.from_pretrained(tmp_path / "model")):
        for told in ("valid", "test"):
            fitted.prepare(split.known_before(told))
            assert fitted.graph.nnz == len(everything)
            assert (fitted.graph[split.test.user_index, split.test.item_index] > 0).all()


def test_nothing_is_decomposed_that_nothing_reads():
    model = GraphFilter(low_pass=0.0).fit(checkerboard().split)
    assert model.vectors.shape == (24, 0)


@pytest.mark.parametrize("filter", ["two-step", "gf-cf"])
def test_all_neighbors_are_the_exact_filter(filter):
    split = checkerboard().split
    exact, kept = (GraphFilter(filter=filter, rank=4, neighbors=n).fit(split) for n in (0, 24))
    rows = exact.data.histories
    users = np.arange(len(rows))
    np.testing.assert_allclose(
        kept.score_items(users, rows), exact.score_items(users, rows), rtol=1e-5, atol=1e-6
    )


def test_the_neighbors_that_add_most_to_scores_are_kept(tmp_path):
    split = checkerboard().split
    model = GraphFilter(neighbors=3, popularity=0.5, low_pass=0.0, steps=0.0).fit(split)
    taken = model.matrix(model.data.histories).toarray().astype(float)
    degrees = taken.sum(0)
    graph = taken / np.sqrt(np.outer(taken.sum(1), degrees))
    added = graph.T @ graph * degrees**0.5
    bar = -np.sort(-added, axis=1)[:, [2]]
    expected = np.where(added >= bar - 1e-6, graph.T @ graph, 0)
    kept = model.meetings.toarray()
    assert (np.count_nonzero(kept, axis=1) == 3).all()
    np.testing.assert_allclose(kept, np.where(kept > 0, expected, 0), atol=1e-6)
    assert model.graph.shape[0] == 0, "the edges are not kept"
    model.save_pretrained(tmp_path / "model")
    again = GraphFilter.from_pretrained(tmp_path / "model")
    rows = model.data.histories.take(np.arange(5))
    users = np.arange(5)
    assert np.array_equal(again.score_items(users, rows), model.score_items(users, rows))


def test_long_histories_meet_with_their_newest_items():
    split = checkerboard().split
    longest = int(np.bincount(split.train.user_index).max())
    all_of_them, cut = (
        GraphFilter(neighbors=24, longest=longest, low_pass=0.0).fit(split),
        GraphFilter(neighbors=24, longest=2, low_pass=0.0).fit(split),
    )
    exact = GraphFilter(neighbors=24, low_pass=0.0).fit(split)
    assert np.array_equal(all_of_them.meetings.toarray(), exact.meetings.toarray())
    taken = np.zeros((len(exact.data.users), 24))
    for user, row in enumerate(exact.data.histories.rows()):
        taken[user, row[-2:]] = 1
    graph = taken / np.sqrt(np.maximum(taken.sum(1, keepdims=True), 1) * exact.degrees)
    np.testing.assert_allclose(cut.meetings.toarray(), graph.T @ graph, atol=1e-6)
