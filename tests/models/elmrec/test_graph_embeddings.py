"""Features of the train graph: looked up, cut to a rank, trained, kept, and of new users."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.elmrec.conftest import small_elmrec

from edgewise.data.splits import Split
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.models.elmrec.config import GraphConfig
from edgewise.models.elmrec.graph_embeddings import (
    GraphFeatures,
    GraphTable,
    TrainedGraphTable,
    build_graph,
)

PLAIN = ("prompts.tasks=direct,sequential", "training.epochs=1", "graph.num_folds=0")
KINDS = ("random", "trained", "spectral")


def graph_of(split: Split) -> BipartiteGraph:
    dataset = split.dataset
    return BipartiteGraph.from_interactions(split.train, dataset.num_users, dataset.num_items)


def test_a_table_knows_folds_nodes_and_nobody():
    table = torch.arange(12.0).reshape(3, 2, 2)
    found = GraphTable(table)(torch.tensor([[0, 1, 2]] * 3), torch.tensor([0, 1, -1]))
    assert torch.equal(found[:, :2], table), "fold -1 is the whole graph"
    assert not found[:, 2].any(), "somebody unknown"


def test_a_trained_table_starts_as_the_frozen_one(shop_split):
    frozen, trained = (
        build_graph(graph_of(shop_split), GraphConfig(features=kind, num_folds=0), 8, seed=3)
        for kind in ("random", "trained")
    )
    node, fold = torch.tensor([[0, 3, 88]]), torch.tensor([-1])
    expected, found = frozen.lookup(node, fold), trained.lookup(node, fold)
    torch.testing.assert_close(found, expected)
    assert not found[0, 2].any()


@pytest.mark.parametrize("variant", ["mean", "shifted"])
@pytest.mark.parametrize("num_layers", [0, 1, 4])
def test_propagation_for_a_batch_is_that_of_all_nodes(shop_split, variant, num_layers):
    graph = graph_of(shop_split)
    config = GraphConfig(
        features="trained", num_folds=0, num_propagation_layers=num_layers, variant=variant
    )
    # Wider than the columns that are propagated at once.
    table = build_graph(graph, config, 130, seed=3).lookup
    assert isinstance(table, TrainedGraphTable)
    node, fold = torch.tensor([[0, 41, 60, 41], [7, 0, 87, 88]]), torch.tensor([-1, -1])
    weight = torch.randn(2, 4, 130)
    everything = torch.cat([table.propagation(), torch.zeros(1, 130)])
    wanted = everything[node]
    found = table(node, fold)
    torch.testing.assert_close(found, wanted)
    (of_all,) = torch.autograd.grad((wanted * weight).sum(), table.propagation.layer_0)
    (of_batch,) = torch.autograd.grad((found * weight).sum(), table.propagation.layer_0)
    torch.testing.assert_close(of_batch, of_all)


def test_rank_keeps_the_leading_columns_and_the_length_of_embeddings(shop_split):
    graph = graph_of(shop_split)
    built = build_graph(graph, GraphConfig(rank=8, num_folds=0), width=32, seed=0)
    features = built.start.features
    assert not features[:, 8:].any()
    connected = graph.degrees > 0
    assert (features[connected] ** 2).mean() == pytest.approx(1, rel=1e-4)
    items = graph.items[graph.users == 0]
    np.testing.assert_allclose(built.start.new_user(items), features[0], atol=1e-4)


def test_trained_features_move_and_are_kept(shop_split):
    model = small_elmrec(*PLAIN, "graph.features=trained").fit(shop_split)
    frozen = small_elmrec(*PLAIN, "graph.features=random").fit(shop_split)
    assert not np.array_equal(model.graph.features, frozen.graph.features)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_features_are_read_back(shop_split, tmp_path, kind):
    config = GraphConfig(features=kind, num_folds=0, num_iterations=2)
    kept = build_graph(graph_of(shop_split), config, 8, seed=3).start
    kept.save(tmp_path / "graph.safetensors")
    read = GraphFeatures.load(tmp_path / "graph.safetensors", config)
    assert np.array_equal(read.features, kept.features) and read.scale == kept.scale
    items = np.array([3, 9, 3])
    assert np.array_equal(read.new_user(items), kept.new_user(items))
