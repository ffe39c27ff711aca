"""What large data need: users without tokens, sampled items, gradients of a batch's rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.graph_gpt.conftest import same_weights, small_graph_gpt

from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.recommender import GraphGPT
from edgewise.models.graph_gpt.stages import sequence
from edgewise.models.graph_gpt.tokens import TokenSpace

ALONE = ("stages=sequence", "history.user_token=false", "backbone.user_tokens=false")


@pytest.fixture(scope="module")
def without_users(shop_split) -> GraphGPT:
    return small_graph_gpt(*ALONE, "history.order=time").fit(shop_split)


class TestUsersWithoutTokens:
    def test_parameters_do_not_grow_with_users(self, without_users):
        tokens, table = without_users.tokens, without_users.network.gpt.wte.weight
        assert len(table) == len(tokens) == tokens.num_text + tokens.num_items
        assert tokens.first_item == tokens.num_text

    def test_nodes_are_those_of_the_graph(self, fitted):
        tokens = TokenSpace(fitted.tokens.tokenizer, 40, 48, with_users=False)
        row = np.array([3, tokens.item_token(0), tokens.item_token(47)])
        assert tokens.nodes_of(row).tolist() == [-1, 40, 87]
        assert len(tokens) == tokens.num_text + 48

    def test_it_answers_as_before_and_after_saving(self, without_users, tmp_path):
        users = np.arange(6)
        found = without_users.recommend(users, 5)
        without_users.save_pretrained(tmp_path / "model")
        again = GraphGPT.from_pretrained(tmp_path / "model")
        assert again.recommend(users, 5).item_index.tolist() == found.item_index.tolist()
        assert same_weights(again, without_users)

    def test_everybody_is_what_they_took(self, without_users):
        histories = Ragged.of_rows([np.array([3, 4, 5])] * 2)
        scores = without_users.score_items(np.array([0, 7]), histories)
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)
        vectors = without_users.node_vectors()
        items = vectors[40:]
        np.testing.assert_allclose(
            vectors[3], items[without_users.data.histories[3]].mean(0), rtol=1e-4, atol=1e-5
        )
        table = without_users.network.gpt.wte.weight.detach().numpy()
        assert np.array_equal(items, table[-48:])

    def test_it_goes_on_from_older_weights(self, without_users, shop_split):
        again = small_graph_gpt(*ALONE, "history.order=time", "seed=3")
        again.fit(shop_split, start_from=without_users)
        assert len(again.network.gpt.wte.weight) == len(again.tokens)

    @pytest.mark.parametrize(
        "settings", [ALONE[2:], ALONE[1:], (ALONE[0], ALONE[2]), ("stages=events", *ALONE[1:])]
    )
    def test_prompts_that_name_users_need_tokens(self, settings):
        with pytest.raises(ConfigError, match="leaves no token for the users"):
            small_graph_gpt(*settings)


@pytest.mark.parametrize("gradients", ["dense", "sparse"])
@pytest.mark.parametrize("name", ["sampled_softmax", "in_batch_softmax"])
def test_losses_of_sampled_items(shop_split, name, gradients):
    settings = (*ALONE, f"sequence_loss.name={name}", "sequence_loss.num_negatives=9")
    gradient = f"training.sequence.embedding_gradients={gradients}"
    model = small_graph_gpt(*settings, gradient, "priors.names=[]", "training.sequence.epochs=3")
    plans = []
    model.fit(shop_split, on_plan=plans.append)
    assert ("embeddings" in dict(plans[0].rows)) == (gradients == "sparse")
    assert dict(plans[0].rows)["loss"] == f"{name} (sequence_loss.name)"
    curves = model.stage_curves["sequence"]
    assert curves.valid[-1]["loss"] < np.log(48), "better than chance, by the softmax over all"
    batch = model.stages(shop_split)[0].data.batch(0, slice(None))
    assert len(batch.negatives) == (9 if name == "sampled_softmax" else 0)
    slope = torch.autograd.grad(model.network(batch), [model.network.gpt.wte.weight])[0]
    assert slope.is_sparse == (gradients == "sparse")


def test_sparse_gradients_need_sampled_items(shop_split):
    model = small_graph_gpt(*ALONE, "training.sequence.embedding_gradients=sparse")
    with pytest.raises(ConfigError, match="softmax reads all"):
        model.fit(shop_split)


@pytest.mark.parametrize(
    ("most", "setting", "wanted"),
    [
        (48, "seed=0", "softmax"),
        (47, "seed=0", "sampled_softmax"),
        (47, "sequence_loss.name=softmax", "softmax"),
        (47, "sequence.residual=true", "softmax"),
        (47, "sequence.label_smoothing=0.1", "softmax"),
        (48, "sequence_loss.name=in_batch_softmax", "in_batch_softmax"),
    ],
)
def test_many_items_are_sampled(monkeypatch, most, setting, wanted):
    monkeypatch.setattr(sequence, "MANY_ITEMS", most)
    assert sequence.loss_of(small_graph_gpt(*ALONE, setting).config, 48) == wanted


@pytest.mark.parametrize("setting", ["sequence.residual=true", "sequence.label_smoothing=0.1"])
def test_what_changes_the_loss_over_all_items_samples_none(setting):
    with pytest.raises(ConfigError, match="sampled_softmax reads some items"):
        small_graph_gpt(*ALONE, setting, "sequence_loss.name=sampled_softmax")
