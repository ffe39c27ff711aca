"""What the network reads and what it loses, against plain T5 and hand-made sums; its two heads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.elmrec.conftest import same_weights, small_elmrec
from transformers.modeling_outputs import BaseModelOutput

from edgewise.data.item_lists import CandidateLists
from edgewise.models.elmrec.backbone import build_t5
from edgewise.models.elmrec.batch import Batch, assemble
from edgewise.models.elmrec.config import BackboneConfig, PromptConfig, WholeWordConfig
from edgewise.models.elmrec.graph_embeddings import GraphTable
from edgewise.models.elmrec.model import ELMRecModel
from edgewise.models.elmrec.prompts import EntityTokenTable, PromptWriter, build_entity_token_table
from edgewise.models.elmrec.recommender import ELMRec
from edgewise.models.tokenizers import train_tokenizer

NUM_USERS, NUM_ITEMS, WIDTH = 20, 1200, 64
KINDS = ("graph", "incremental", "random")
IDS = ("prompts.ids=spelled", "prompts.ids=one-token")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["a lamp"], 30)


@pytest.fixture(scope="module")
def table(tokenizer) -> EntityTokenTable:
    return build_entity_token_table(tokenizer, NUM_USERS, NUM_ITEMS)


@pytest.fixture(scope="module")
def batch(table) -> Batch:
    """Items of one, two and three digit groups, among them the same item twice."""
    writer = PromptWriter(table)
    candidates = [np.array([3, 1100, 3]), np.array([7]), np.array([999, 500])]
    prompts = writer.direct(np.array([2, -1, 5]), candidates)
    targets = [table.target(item) for item in (1100, 7, 500)]
    return assemble(table, "direct", prompts, targets, edge_fold=np.array([0, 1, -1]))


def features(folds: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(folds, NUM_USERS + NUM_ITEMS, WIDTH, generator=generator)


def network(tokenizer, prompts=None, **whole_words) -> ELMRecModel:
    generator = torch.Generator().manual_seed(1)
    t5 = build_t5(BackboneConfig(name="tiny", dropout=0.0), tokenizer, generator)
    return ELMRecModel(
        t5,
        prompts or PromptConfig(num_negatives=9),
        WholeWordConfig(**whole_words),
        GraphTable(features()),
        generator,
    ).eval()


@torch.no_grad()
def states(model: ELMRecModel, batch: Batch) -> torch.Tensor:
    return model.encode(batch)[0]


@pytest.mark.parametrize("injection", ["addition", "prepending"])
@pytest.mark.parametrize("kind", KINDS)
def test_injection_changes_the_output(tokenizer, batch, kind, injection):
    plain = states(network(tokenizer, direct="none"), batch)
    changed = states(network(tokenizer, direct=kind, injection=injection), batch)[
        :, -len(plain[0]) :
    ]
    assert not torch.allclose(plain, changed, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_scale_0_is_plain_t5(tokenizer, batch, kind):
    plain = states(network(tokenizer, direct="none"), batch)
    silenced = states(network(tokenizer, direct=kind, direct_alpha=0.0), batch)
    assert torch.equal(plain, silenced)


def test_no_embeddings_at_all_is_the_library_reading_input_ids(tokenizer, batch):
    model = network(tokenizer, PromptConfig(num_prompt_embeddings=0), direct="none")
    expected = model.t5.encoder(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask
    ).last_hidden_state
    tokens = batch.attention_mask.bool()
    assert torch.allclose(states(model, batch)[tokens], expected[tokens], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_all_tokens_of_one_id_share_one_embedding(tokenizer, batch, kind):
    embeddings = network(tokenizer, direct=kind).whole_word_embeddings(batch)
    assert embeddings is not None
    words = [
        embeddings[row][batch.order[row] == place]
        for row in range(len(batch))
        for place in range(1, int(batch.order[row].max()) + 1)
    ]
    assert sum(len(word) >= 2 for word in words) == 3
    assert all((word == word[0]).all() for word in words)


def test_graph_embeddings_are_looked_up_by_node_and_fold(tokenizer, batch):
    model = network(tokenizer, direct="graph", direct_alpha=2.5)
    embeddings = model.whole_word_embeddings(batch)
    assert embeddings is not None
    expected = features()
    for row, fold in enumerate((0, 1, 2)):
        for place, node in enumerate(batch.node[row].tolist()):
            known = 0 <= node < NUM_USERS + NUM_ITEMS
            vector = 2.5 * expected[fold, node] if known else torch.zeros(WIDTH)
            assert torch.equal(embeddings[row, place], vector)


def test_users_take_the_embeddings_they_are_given(tokenizer, batch):
    own = torch.full((3, WIDTH), 7.0)
    model = network(tokenizer, direct="graph")
    before, after = (
        model.whole_word_embeddings(b) for b in (batch, replace(batch, user_embeddings=own))
    )
    assert before is not None and after is not None
    is_user = batch.node == batch.user[:, None]
    assert is_user.any(dim=1).all()
    assert (batch.user == NUM_USERS + NUM_ITEMS).any(), "one is not in the data"
    assert (after[is_user] == 7).all()
    assert torch.equal(after[~is_user], before[~is_user])


def test_order_embeddings_follow_the_order_of_appearance(tokenizer, batch):
    model = network(tokenizer, direct="incremental")
    embeddings = model.whole_word_embeddings(batch)
    assert embeddings is not None
    assert torch.equal(embeddings, model.order_embeddings[batch.order])


def test_disorder_is_a_permutation_of_the_words_present(tokenizer, batch):
    model = network(tokenizer, direct="random")
    for mode in (True, False):
        model.train(mode)
        disorder = model._disordered(batch.order)
        for row in range(len(batch)):
            pairs = set(zip(batch.order[row].tolist(), disorder[row].tolist(), strict=True))
            words = {word for word, _ in pairs}
            assert len(pairs) == len(words), "one word, one index"
            assert words == {index for _, index in pairs}, "the same indices, in disorder"
            assert (0, 0) in pairs or 0 not in words
    model.train()
    drawn = {tuple(model._disordered(batch.order)[0].tolist()) for _ in range(20)}
    assert len(drawn) > 3, "training draws anew"
    model.eval()
    drawn = {tuple(model._disordered(batch.order)[0].tolist()) for _ in range(5)}
    assert len(drawn) == 1, "inference repeats itself"


def test_prepended_embeddings_stand_before_the_prompt_once_a_word(tokenizer, batch):
    prompts = PromptConfig(num_prompt_embeddings=0)
    model = network(tokenizer, prompts, direct="graph", injection="prepending")
    inputs, mask = model.embed(batch)
    length = batch.input_ids.shape[1]
    assert inputs.shape[1] == 2 * length
    assert mask[:, :length].sum(1).tolist() == batch.order.amax(1).tolist()
    embeddings = model.whole_word_embeddings(batch)
    assert embeddings is not None
    assert torch.equal(inputs[:, :length], embeddings)
    tokens = model.t5.get_input_embeddings()(batch.input_ids)
    assert torch.equal(inputs[:, length:], tokens)


def test_the_soft_prompt_comes_first_and_belongs_to_the_task(tokenizer, batch):
    model = network(tokenizer, PromptConfig(num_prompt_embeddings=3), direct="none")
    inputs, mask = model.embed(batch)
    assert torch.equal(inputs[1, :3], model.prompt_embeddings[2])
    assert (mask[:, :3] == 1).all()
    sequential, _ = model.embed(replace(batch, task="sequential"))
    assert not torch.equal(sequential[1, :3], inputs[1, :3])


def test_without_text_prompt_ids_are_read_through_embeddings_alone(tokenizer, batch):
    model = network(tokenizer, PromptConfig(text_prompt=False), direct="graph")
    inputs, _ = model.embed(batch)
    assert torch.equal(inputs, model.whole_word_embeddings(batch))


def test_loss_is_eq_1_by_hand(tokenizer, batch):
    model = network(tokenizer)
    assert batch.labels is not None
    hidden, mask = model.encode(batch)
    examples = []
    for row in range(len(batch)):
        target = batch.labels[row][batch.labels[row] != -100]
        start = torch.tensor([model.t5.config.decoder_start_token_id])
        logits = model.t5(
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden[row : row + 1]),
            attention_mask=mask[row : row + 1],
            decoder_input_ids=torch.cat([start, target[:-1]])[None],
        ).logits[0]
        probabilities = logits.softmax(-1)
        tokens = [-probabilities[t, target[t]].log() for t in range(len(target))]
        examples.append(torch.stack(tokens).mean())
    assert len({len(row[row != -100]) for row in batch.labels}) > 1, "targets of unequal lengths"
    assert model(batch).item() == pytest.approx(torch.stack(examples).mean().item(), rel=1e-5)


def test_padding_changes_nothing(tokenizer, table, batch):
    model = network(tokenizer)
    together = states(model, batch)
    prompts = PromptWriter(table).direct(np.array([-1]), [np.array([7])])
    alone = assemble(table, "direct", prompts, edge_fold=np.array([1]))
    length = states(model, alone).shape[1]
    assert torch.allclose(together[1, :length], states(model, alone)[0], atol=1e-5)


def test_incremental_embeddings_never_read_the_graph(tokenizer, batch):
    model = network(tokenizer, direct="incremental")
    with_graph = states(model, batch)
    model.graph = None
    assert torch.equal(states(model, batch), with_graph)


CANDIDATE_HEAD = (
    "prompts.direct_likelihood=candidates",
    "whole_words.decoder_alpha=2.0",
    "graph.normalize=true",
    "prompts.candidate_head=true",
    "prompts.tasks=direct",
    "backbone.dropout=0.0",
)


@pytest.fixture(scope="module", params=IDS)
def with_candidate_head(shop_split, request):
    return small_elmrec(*CANDIDATE_HEAD, request.param).fit(shop_split)


def prompt_and_loss(model, user: int, candidates: np.ndarray, target: int) -> float:
    prompts = model._writer.direct(np.array([user]), [candidates])
    batch = assemble(model.table, "direct", prompts, [model.table.target(target)])
    with torch.no_grad():
        return float(model.network(batch)) * len(model.table.target(target))


@pytest.mark.parametrize("likelihood", ["candidates", "vocabulary"])
def test_training_loss_is_the_score_of_a_candidate(with_candidate_head, as_printed, likelihood):
    model = with_candidate_head if likelihood == "candidates" else as_printed
    candidates = np.array([5, 40, 17, 4, 22])
    lists = CandidateLists.from_lists(np.array([3]), [candidates])
    scores = model.score_candidates(lists)
    for place, item in enumerate(candidates):
        loss = prompt_and_loss(model, 3, candidates, item)
        assert loss == pytest.approx(-scores[place], abs=1e-4)


def test_likelihoods_among_candidates_sum_to_one(with_candidate_head):
    lists = CandidateLists.from_lists(np.array([0, 1]), [np.array([9, 3, 30]), np.arange(48)])
    scores = with_candidate_head.score_candidates(lists)
    assert np.exp(scores[:3]).sum() == pytest.approx(1, abs=1e-5)
    assert np.exp(scores[3:]).sum() == pytest.approx(1, abs=1e-5)


def test_the_decoder_hears_of_the_user(with_candidate_head):
    model = with_candidate_head
    prompts = model._writer.direct(np.array([0, -1]), [np.arange(4), np.arange(4)])
    shift = model.network.decoder_shift(assemble(model.table, "direct", prompts))
    width = shift.shape[1]
    feature = torch.from_numpy(model.graph.features[0])
    expected = 2 * feature / feature.norm() * width**0.5
    torch.testing.assert_close(shift[0], expected)
    assert not shift[1].any(), "somebody unknown has no vector unless one is given"


def test_a_graph_match_adds_the_features_dot_product(shop_split):
    model = small_elmrec(*CANDIDATE_HEAD, "prompts.graph_match=true").fit(shop_split)
    network, head = model.network, model.network.candidate_head
    items = np.array([5, 40, 17])
    batch = assemble(model.table, "direct", model._writer.direct(np.array([3]), [items]))
    with torch.no_grad():
        states, _ = network.encode(batch)
        with_match = network.head_scores(batch, states)
        strength, head.match_strength = head.match_strength, None
        without = network.head_scores(batch, states)
        head.match_strength = strength
    features = model.graph.features
    dots = features[model.table.num_users + items] @ features[3] / features.shape[1]
    np.testing.assert_allclose(
        (with_match - without)[0], float(strength.detach()) * dots, atol=1e-4
    )


def test_candidates_far_below_the_best_keep_their_likelihood(shop_split):
    model = small_elmrec(*CANDIDATE_HEAD, "prompts.graph_match=true").fit(shop_split)
    head = model.network.candidate_head
    head.match_strength.data.fill_(3000.0)
    candidates = np.array([5, 40, 17, 4, 22])
    scores = model.score_candidates(CandidateLists.from_lists(np.array([3]), [candidates]))
    assert scores.min() < -150, "float32 holds exp(-104) at least"
    for place, item in enumerate(candidates):
        loss = prompt_and_loss(model, 3, candidates, item)
        assert loss == pytest.approx(-scores[place], rel=1e-4, abs=1e-3)


ITEM_HEAD = (
    "prompts.tasks=sequential",
    "prompts.item_head=true",
    "prompts.history_sampling=prefix",
)


@pytest.fixture(scope="module", params=IDS)
def with_item_head(shop_split, request) -> ELMRec:
    return small_elmrec(*ITEM_HEAD, request.param).fit(shop_split)


def sequential_batch(model: ELMRec, histories: list[list[int]], targets: list[int]):
    users = np.arange(len(histories))
    prompts = model._writer.sequential(users, [np.array(row) for row in histories])
    answers = [model.table.target(item) for item in targets]
    return assemble(model.table, "sequential", prompts, answers)


def test_states_do_not_see_later_items(with_item_head) -> None:
    network = with_item_head.network
    first = sequential_batch(with_item_head, [[5, 9, 14]], [2])
    second = sequential_batch(with_item_head, [[5, 9, 30]], [2])
    same = (first.input_ids == second.input_ids).long().cumprod(dim=1).bool()[0]
    same &= (first.node == second.node)[0]
    with torch.no_grad():
        states = [network.encode(batch)[0][:, -len(same) :][0] for batch in (first, second)]
    assert 0 < same.sum() < len(same)
    torch.testing.assert_close(states[0][same], states[1][same])
    assert not torch.allclose(states[0][~same], states[1][~same])


def test_every_item_of_the_history_is_a_target(with_item_head) -> None:
    network, head = with_item_head.network, with_item_head.network.item_head
    batch = sequential_batch(with_item_head, [[5, 9, 14], [7], [3, 3]], [2, 4, 6])
    expected = []
    with torch.no_grad():
        states, _ = network.encode(batch)
        own = states[:, -batch.node.shape[1] :]
        loss = head.history_loss(own, batch)
        for row, (known, following) in [(0, (1, 9)), (0, (2, 14)), (2, (1, 3))]:
            # order counts the user as the first word
            closing = int((batch.order[row] == known + 1).nonzero().max())
            scores = head._match(own[row, closing][None])[0].log_softmax(dim=0)
            expected.append(-float(scores[following]))
    assert float(loss) == pytest.approx(sum(expected) / (3 * head.usual_targets), abs=1e-5)
    lengths = with_item_head.data.histories.lengths
    longest = with_item_head.config.prompts.max_history
    targets = [min(n - 1, longest) - 1 for n in lengths if n >= 2]
    assert head.usual_targets == pytest.approx(np.mean(targets))


def test_a_lone_item_teaches_nothing_about_a_history(with_item_head) -> None:
    batch = sequential_batch(with_item_head, [[7], [8]], [2, 4])
    with torch.no_grad():
        states, _ = with_item_head.network.encode(batch)
        own = states[:, -batch.node.shape[1] :]
        assert float(with_item_head.network.item_head.history_loss(own, batch)) == 0


def test_training_loss_is_the_score_of_an_item(with_item_head) -> None:
    on = with_item_head
    lists = CandidateLists.from_lists(np.array([3]), [np.arange(on.table.num_items)])
    scores = on.score_candidates(lists, task="sequential")
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-4)
    history = list(on.data.histories[3][-on.config.prompts.max_history :])
    for item in (0, 17, 40):
        prompts = on._writer.sequential(np.array([3]), [np.array(history)])
        batch = assemble(on.table, "sequential", prompts, [on.table.target(item)])
        with torch.no_grad():
            loss = float(on.network(batch)) * len(on.table.target(item))
        assert loss == pytest.approx(-scores[item], abs=1e-4)


def test_an_empty_history_is_answered(with_item_head) -> None:
    found = with_item_head.recommend_new([np.array([], dtype=np.int64)], k=4)
    assert len(set(found.item_index)) == 4


def test_item_embeddings_are_saved(with_item_head, tmp_path) -> None:
    on = with_item_head
    on.save_pretrained(tmp_path / "model")
    loaded = ELMRec.from_pretrained(tmp_path / "model")
    assert same_weights(on, loaded)
    users = np.array([0, 1, 2])
    np.testing.assert_array_equal(
        loaded.recommend(users, k=5).item_index, on.recommend(users, k=5).item_index
    )


def test_other_tasks_do_without_item_embeddings(shop_split) -> None:
    model = small_elmrec("prompts.tasks=direct", "prompts.item_head=true").fit(shop_split)
    assert model.network.item_head is None
