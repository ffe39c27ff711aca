"""Users and items as one input vector: what is read, and that nothing is spelled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.elmrec.conftest import small_elmrec

from edgewise.data.item_lists import CandidateLists
from edgewise.models.elmrec.batch import assemble
from edgewise.models.elmrec.recommender import ELMRec

FORM = ("prompts.ids=one-token", "prompts.user_vectors=true")
USERS = np.arange(6)


@pytest.fixture(scope="module")
def model(shop_split) -> ELMRec:
    """All three tasks, one epoch; do not change it."""
    return small_elmrec(*FORM).fit(shop_split)


def test_a_prompt_has_a_token_for_each_user_and_item(model):
    table = model.table
    prompts = model._writer.direct(np.array([2, -1]), [np.array([3, 1, 40]), np.array([7])])
    batch = assemble(table, "direct", prompts)
    first = len(model.tokenizer)
    items = first + table.num_users
    assert batch.input_ids.tolist() == [
        [first + 2, items + 3, items + 1, items + 40],
        [first + table.num_nodes, items + 7, table.pad_id, table.pad_id],
    ]
    words = model._writer.direct(np.array([2]), [np.array([3])], "Choose one item for {user}")
    read = assemble(table, "direct", words).input_ids[0].tolist()
    spelled = model.tokenizer("Choose one item for", add_special_tokens=False)["input_ids"]
    assert read == [*spelled, first + 2]


def test_what_is_read_is_the_spellings_mean_and_an_own_vector_and_the_whole_word(model):
    network, table = model.network, model.table
    prompts = model._writer.direct(np.array([2, -1]), [np.array([3, 40]), np.array([3])])
    batch = assemble(table, "direct", prompts)
    with torch.no_grad():
        read = network.embed(batch)[0][:, -3:].numpy()
    tokens = network.t5.shared.weight.detach().numpy()
    width = tokens.shape[1]

    def spelled(text: str) -> np.ndarray:
        return tokens[model.tokenizer(text, add_special_tokens=False)["input_ids"]].mean(axis=0)

    def graph(node: int) -> np.ndarray:
        vector = model.graph.features[node]
        return vector / np.linalg.norm(vector) * width**0.5

    own = network.item_head.embeddings.detach().numpy() * width**0.5
    users = network.one_token.users.detach().numpy() * width**0.5
    item = spelled("item_4") + own[3] + graph(table.num_users + 3)
    assert read[0, 0] == pytest.approx(spelled("user_3") + users[2] + graph(2), abs=1e-5)
    assert read[0, 1] == pytest.approx(item, abs=1e-5)
    assert read[1, 1] == pytest.approx(item, abs=1e-5)
    assert read[1, 0] == pytest.approx(spelled("user_0"), abs=1e-5), "nobody has no vector"


def test_own_vectors_of_users_are_learned_where_they_are_asked_for(model, shop_split):
    assert model.network.one_token.users.detach().abs().sum(dim=1).gt(0).all()
    without = small_elmrec(FORM[0], "prompts.tasks=direct").fit(shop_split)
    names = [name for name, _ in without.network.named_parameters() if "one_token" in name]
    assert names == ["one_token.items"] and without.network.item_head is None


def test_a_target_is_its_place_or_its_item(model):
    users, lists = np.array([0, 1]), [np.array([9, 4, 30]), np.array([4])]
    answers = [model.table.target(4), model.table.target(4)]
    direct = assemble(model.table, "direct", model._writer.direct(users, lists), answers)
    assert direct.labels.tolist() == [[1], [0]] and direct.continuations is None
    histories = model._writer.sequential(users, lists)
    assert assemble(model.table, "sequential", histories, answers).labels.tolist() == [[4], [4]]


def test_all_items_are_scored_at_once(model):
    num_items = model.table.num_items
    histories = model.data.histories.take(USERS)
    scores = model.score_items(USERS, histories)
    assert np.exp(scores).sum(axis=1) == pytest.approx(1, abs=1e-4)
    found = model.recommend(USERS, num_items)
    for user in USERS:
        unseen = np.setdiff1d(np.arange(num_items), histories[user])
        best = unseen[np.argsort(-scores[user][unseen], kind="stable")]
        assert found.item_index[found.user_index == user].tolist() == best.tolist()


def test_a_lists_scores_are_log_probabilities_in_its_order(model):
    lists = [np.array([9, 3, 30]), np.array([3, 9])]
    asked = CandidateLists.from_lists(np.array([0, 0]), lists)
    scores = model.score_candidates(asked, task="direct")
    assert np.exp(scores[:3]).sum() == pytest.approx(1, abs=1e-5)
    assert np.exp(scores[3:]).sum() == pytest.approx(1, abs=1e-5)
    with torch.no_grad():
        batch = assemble(model.table, "direct", model._writer.direct(np.array([0]), lists[:1]))
        states, _ = model.network.encode(batch)
        # Behind the soft prompt: the user, then the candidates.
        user, *items = states[0, model.config.prompts.num_prompt_embeddings :]
        head = model.network.candidate_head
        expected = torch.stack([head.query(user) @ head.key(item) for item in items])
    assert scores[:3] == pytest.approx(expected.log_softmax(0).numpy(), abs=1e-4)


def test_texts_are_still_written(model):
    for text in model.explain([(0, 3), (1, 4)]):
        assert text and "\n" not in text
    trained = {name for name, each in model.network.named_parameters() if each.requires_grad}
    assert any("decoder.block" in name for name in trained)


def test_without_texts_the_decoder_rests(shop_split):
    model = small_elmrec(FORM[0], "prompts.tasks=sequential").fit(shop_split)
    names = {name for name, each in model.network.named_parameters() if each.requires_grad}
    assert "t5.shared.weight" in names and not any("decoder" in name for name in names)
