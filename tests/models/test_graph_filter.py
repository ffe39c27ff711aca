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
