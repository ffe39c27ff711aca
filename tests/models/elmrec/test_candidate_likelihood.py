"""The likelihood among candidates, the decoder's whole-word vector, and graph vector shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.elmrec.conftest import small_elmrec

from edgewise.data.item_lists import CandidateLists
from edgewise.errors import ConfigError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.models.elmrec.batch import assemble
from edgewise.models.elmrec.config import GraphConfig
from edgewise.models.elmrec.graph_embeddings import build_graph

ON = (
    "prompts.direct_likelihood=candidates",
    "whole_words.decoder_alpha=2.0",
    "graph.normalize=true",
    "prompts.candidate_head=true",
    "prompts.tasks=direct",
    "backbone.dropout=0.0",
)


@pytest.fixture(scope="module")
def on(shop_split):
    return small_elmrec(*ON).fit(shop_split)


def prompt_and_loss(model, user: int, candidates: np.ndarray, target: int) -> float:
    tokens, lengths = model.table.item_targets
    prompts = model._writer.direct(np.array([user]), [candidates])
    batch = assemble(model.table, "direct", prompts, [tokens[target, : lengths[target]]])
    with torch.no_grad():
        return float(model.model(batch)) * int(lengths[target])


@pytest.mark.parametrize("likelihood", ["candidates", "vocabulary"])
def test_training_loss_is_the_score_that_recommending_uses(on, as_printed, likelihood):
    model = on if likelihood == "candidates" else as_printed
    candidates = np.array([5, 40, 17, 4, 22])
    lists = CandidateLists.from_lists(np.array([3]), [candidates])
    scores = model.score_candidates(lists)
    for place, item in enumerate(candidates):
        loss = prompt_and_loss(model, 3, candidates, item)
        assert loss == pytest.approx(-scores[place], abs=1e-4)


def test_likelihoods_among_candidates_sum_to_one(on):
    lists = CandidateLists.from_lists(np.array([0, 1]), [np.array([9, 3, 30]), np.arange(48)])
    scores = on.score_candidates(lists)
    assert np.exp(scores[:3]).sum() == pytest.approx(1, abs=1e-5)
    assert np.exp(scores[3:]).sum() == pytest.approx(1, abs=1e-5)


def test_the_decoder_hears_of_the_user(on):
    network = on.model
    prompts = on._writer.direct(np.array([0, -1]), [np.arange(4), np.arange(4)])
    shift = network.decoder_shift(assemble(on.table, "direct", prompts))
    width = shift.shape[1]
    feature = torch.from_numpy(on.knowledge.features[0])
    expected = 2 * feature / feature.norm() * width**0.5
    torch.testing.assert_close(shift[0], expected)
    assert not shift[1].any(), "somebody unknown has no vector unless one is given"


def test_rank_keeps_the_leading_columns_and_a_users_vector_length(shop_split):
    dataset = shop_split.dataset
    graph = BipartiteGraph.from_interactions(shop_split.train, dataset.num_users, dataset.num_items)
    built = build_graph(graph, GraphConfig(rank=8, num_folds=0), width=32, seed=0)
    features = built.knowledge.features
    assert not features[:, 8:].any()
    connected = graph.degrees > 0
    assert (features[connected] ** 2).mean() == pytest.approx(1, rel=1e-4)
    items = graph.items[graph.users == 0]
    np.testing.assert_allclose(built.knowledge.new_user(items), features[0], atol=1e-4)


def test_a_graph_match_adds_the_features_dot_product(shop_split):
    model = small_elmrec(*ON, "prompts.graph_match=true").fit(shop_split)
    network, pointer = model.model, model.model.pointer
    items = np.array([5, 40, 17])
    batch = assemble(model.table, "direct", model._writer.direct(np.array([3]), [items]))
    with torch.no_grad():
        states, _ = network.encode(batch)
        with_match = network.point(batch, states)
        strength, pointer.match_strength = pointer.match_strength, None
        without = network.point(batch, states)
        pointer.match_strength = strength
    features = model.knowledge.features
    dots = features[model.table.num_users + items] @ features[3] / features.shape[1]
    np.testing.assert_allclose(
        (with_match - without)[0], float(strength.detach()) * dots, atol=1e-4
    )


def test_candidates_far_below_the_best_keep_their_likelihood(shop_split):
    model = small_elmrec(*ON, "prompts.graph_match=true").fit(shop_split)
    pointer = model.model.pointer
    pointer.match_strength.data.fill_(3000.0)
    candidates = np.array([5, 40, 17, 4, 22])
    scores = model.score_candidates(CandidateLists.from_lists(np.array([3]), [candidates]))
    assert scores.min() < -150, "float32 holds exp(-104) at least"
    for place, item in enumerate(candidates):
        loss = prompt_and_loss(model, 3, candidates, item)
        assert loss == pytest.approx(-scores[place], rel=1e-4, abs=1e-3)


def test_a_graph_match_needs_a_graph():
    with pytest.raises(ConfigError, match="graph_match needs"):
        small_elmrec(*ON, "prompts.graph_match=true", "whole_words.direct=none")
