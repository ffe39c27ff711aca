"""Graphs between items: vectors by hand, what is concatenated and projected, and what is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.elmrec.conftest import small_elmrec

from edgewise.config import updated
from edgewise.data.dataset import Catalog
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.transitions import item_transitions
from edgewise.item_texts import item_attributes
from edgewise.models.elmrec.config import GraphConfig
from edgewise.models.elmrec.graph_embeddings import BuiltGraph, build_graph
from edgewise.models.elmrec.item_graphs import ItemGraphs, ProjectedTable, told_graphs
from edgewise.models.elmrec.recommender import ELMRec

BOTH = ("transitions", "attributes")
WIDTH = 16


def graph_of(split: Split) -> BipartiteGraph:
    dataset = split.dataset
    return BipartiteGraph.from_interactions(split.train, dataset.num_users, dataset.num_items)


def built(split: Split, older=None, **settings) -> BuiltGraph:
    config = updated(GraphConfig(), {"item_graphs": BOTH, "num_folds": 0, **settings})
    graphs = ItemGraphs.of(split, split.known_before("valid"), config)
    return build_graph(graph_of(split), config, WIDTH, 3, older, graphs)


def without_attributes(split: Split) -> Split:
    catalog = Catalog.empty(split.dataset.num_items)
    return replace(split, dataset=replace(split.dataset, catalog=catalog))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


@pytest.mark.parametrize("kind", ["random", "trained", "spectral"])
def test_at_the_start_the_user_item_graph_passes_alone(shop_split, kind):
    three = built(shop_split, features=kind)
    one = built(shop_split, features=kind, item_graphs=())
    node, fold = torch.tensor([[0, 3, 70, 88]]), torch.tensor([-1])
    torch.testing.assert_close(three.lookup(node, fold), one.lookup(node, fold))
    assert np.array_equal(three.start.vectors, one.start.vectors)
    assert three.start.more.shape == (shop_split.dataset.num_users + 48, 2 * WIDTH)


def test_items_are_propagated_over_each_graph(shop_split):
    """Frozen noise, one step of ``D^-1/2 A D^-1/2`` written out."""
    found = built(shop_split, features="random", num_propagation_layers=1).start.more
    dataset, histories = shop_split.dataset, shop_split.known_before("valid")
    counted = item_transitions(histories, 48).toarray()
    matrix = item_attributes(dataset.catalog, 2).matrix.toarray()
    weighed = matrix * np.log((1 + 48) / (1 + matrix.sum(0)))
    rows = weighed / np.maximum(np.linalg.norm(weighed, axis=1, keepdims=True), 1e-12)
    for number, adjacency in enumerate((counted, rows @ rows.T)):
        scale = np.divide(1, adjacency.sum(1) ** 0.5, where=adjacency.sum(1) > 0, out=np.zeros(48))
        start = np.random.default_rng(4 + number).standard_normal((48, WIDTH), dtype=np.float32)
        expected = start + (scale[:, None] * adjacency * scale) @ start
        items = found[dataset.num_users :, number * WIDTH : (number + 1) * WIDTH]
        np.testing.assert_allclose(unit(items), unit(expected), atol=1e-4)


@pytest.mark.parametrize("kind", ["random", "spectral"])
def test_users_carry_the_sum_of_their_items(shop_split, kind):
    start = built(shop_split, features=kind).start
    graph = graph_of(shop_split)
    for user in (0, 7, 31):
        items = graph.items[graph.users == user]
        places = start.num_users + items
        summed = (start.more[places] / graph.item_degrees[items, None] ** 0.5).sum(0)
        blocks = unit(summed.reshape(2, WIDTH)) * WIDTH**0.5
        np.testing.assert_allclose(start.more[user].reshape(2, WIDTH), blocks, atol=1e-4)


def test_who_is_new_with_the_same_items_gets_the_same_vector(shop_split):
    start = built(shop_split).start
    projection = np.random.default_rng(0).normal(size=start.projection.shape).astype(np.float32)
    start = replace(start, projection=projection)
    graph = graph_of(shop_split)
    items = graph.items[graph.users == 5]
    np.testing.assert_allclose(start.new_user(items), start.vectors[5], atol=1e-3)


def test_items_of_one_brand_are_alike(shop_split):
    start = built(shop_split, item_graphs=("attributes",)).start
    items = unit(start.more[start.num_users :])
    alike = items @ items.T
    brand = np.array(shop_split.dataset.catalog.brand)
    same = (brand[:, None] == brand) & (brand != "")
    np.fill_diagonal(same, False)
    assert alike[same].mean() > alike[~same].mean() + 0.2


def test_a_pair_is_not_told_by_its_own_edge(shop_split):
    """Of the random kind, which no rotation turns: a fold's table is the graph's without it."""
    found = built(shop_split, features="random", num_folds=3)
    folds = found.folds
    assert folds is not None
    graph = graph_of(shop_split)
    part = graph.without(folds.fold_of_edge == 1)
    config = found.start.config
    graphs = ItemGraphs.of(shop_split, shop_split.known_before("valid"), config)
    assert graphs is not None
    expected = graphs.features(part, config, WIDTH, 3)
    node = torch.arange(graph.num_nodes)[None]
    assert isinstance(found.lookup, ProjectedTable)
    told = found.lookup.more(node, torch.tensor([1]))[0]
    np.testing.assert_allclose(told, expected, atol=1e-5)
    assert not np.allclose(expected, found.start.more)


def test_folds_of_singular_vectors_lie_near_the_whole_graphs(shop_split):
    found = built(shop_split, num_folds=3)
    node = torch.arange(len(found.start.more))[None]
    assert isinstance(found.lookup, ProjectedTable)
    for fold in range(3):
        told = found.lookup.more(node, torch.tensor([fold]))[0].numpy()
        near = (unit(told) * unit(found.start.more)).sum(1)
        assert np.median(near) > 0.5


def test_grown_data_turn_towards_the_old_vectors(shop_split):
    older = built(shop_split).start
    turned = replace(older, more=-older.more, projection=2 * older.projection)
    again = built(shop_split, older=turned)
    np.testing.assert_allclose(again.start.more, -older.more, atol=1e-3)
    assert np.array_equal(again.start.projection, 2 * older.projection)


def test_data_without_attributes_have_two_graphs(shop_split):
    config = GraphConfig(item_graphs=BOTH)
    bare = without_attributes(shop_split)
    found = ItemGraphs.of(bare, bare.known_before("valid"), config)
    assert found is not None and found.names == ("transitions",)
    assert told_graphs(found, config) == (
        ", with graphs of transitions; not told by the data: attributes"
    )
    none = GraphConfig(item_graphs=("attributes",))
    assert ItemGraphs.of(bare, bare.known_before("valid"), none) is None
    assert told_graphs(None, none) == "; not told by the data: attributes"
    assert told_graphs(None, GraphConfig()) == ""


def test_the_projection_learns_and_is_kept(shop_split, tmp_path):
    settings = ("prompts.tasks=direct,sequential", "training.epochs=1", "graph.num_folds=2")
    graphs = "graph.item_graphs=transitions,attributes"
    model = small_elmrec(*settings, graphs).fit(shop_split)
    width = model.network.t5.config.d_model
    start = np.eye(len(model.graph.projection), width, dtype=np.float32)
    assert np.abs(model.graph.projection - start)[width:].max() > 0
    model.save_pretrained(tmp_path / "model")
    again = ELMRec.from_pretrained(tmp_path / "model")
    np.testing.assert_allclose(again.node_vectors(), model.node_vectors())
    lists = [np.arange(9)] * 2
    asked = np.array([0, -1]), model.data.histories.take(np.array([0, 1])), Ragged.of_rows(lists)
    first, second = (each.score_lists(*asked, "direct") for each in (model, again))
    np.testing.assert_allclose(first, second, atol=1e-5)
