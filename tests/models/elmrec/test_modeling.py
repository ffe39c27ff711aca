"""What the network reads and what it loses, against plain T5 and hand-made sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from edgewise.models.elmrec.backbone import build_t5
from edgewise.models.elmrec.batch import Batch, assemble
from edgewise.models.elmrec.config import (
    BackboneConfig,
    ELMRecConfig,
    PromptConfig,
    WholeWordConfig,
    preset,
)
from edgewise.models.elmrec.model import ELMRecModel, GraphTable
from edgewise.models.elmrec.prompts import EntityTokenTable, PromptWriter, build_entity_token_table
from edgewise.models.tokenizers import train_tokenizer

NUM_USERS, NUM_ITEMS, WIDTH = 20, 1200, 64
KINDS = ("graph", "incremental", "random")


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
    tokens, lengths = table.item_targets
    targets = [tokens[item, : lengths[item]] for item in (1100, 7, 500)]
    return assemble(table, "direct", prompts, targets, edge_fold=np.array([0, 1, -1]))


def features(folds: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(folds, NUM_USERS + NUM_ITEMS, WIDTH, generator=generator)


def network(tokenizer, prompts=None, **whole_words) -> ELMRecModel:
    generator = torch.Generator().manual_seed(1)
    t5 = build_t5(BackboneConfig("tiny", dropout=0.0), tokenizer, generator)
    return ELMRecModel(
        t5,
        prompts or PromptConfig(num_negatives=9),
        WholeWordConfig(**whole_words),
        GraphTable(features()),
        NUM_USERS + NUM_ITEMS,
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


def test_no_vectors_at_all_is_the_library_reading_input_ids(tokenizer, batch):
    model = network(tokenizer, PromptConfig(num_prompt_embeddings=0), direct="none")
    expected = model.t5.encoder(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask
    ).last_hidden_state
    assert torch.allclose(states(model, batch), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_all_tokens_of_one_id_share_one_vector(tokenizer, batch, kind):
    vectors = network(tokenizer, direct=kind).whole_word_vectors(batch)
    assert vectors is not None
    words = [
        vectors[row][batch.order[row] == place]
        for row in range(len(batch))
        for place in range(1, int(batch.order[row].max()) + 1)
    ]
    assert sum(len(word) >= 2 for word in words) == 3
    assert all((word == word[0]).all() for word in words)


def test_graph_vectors_are_looked_up_by_node_and_fold(tokenizer, batch):
    model = network(tokenizer, direct="graph", direct_alpha=2.5)
    vectors = model.whole_word_vectors(batch)
    assert vectors is not None
    expected = features()
    for row, fold in enumerate((0, 1, 2)):
        for place, node in enumerate(batch.node[row].tolist()):
            known = 0 <= node < NUM_USERS + NUM_ITEMS
            vector = 2.5 * expected[fold, node] if known else torch.zeros(WIDTH)
            assert torch.equal(vectors[row, place], vector)


def test_users_take_the_vectors_they_are_given(tokenizer, batch):
    own = torch.full((3, WIDTH), 7.0)
    model = network(tokenizer, direct="graph")
    before, after = (model.whole_word_vectors(b) for b in (batch, replace(batch, user_vectors=own)))
    assert before is not None and after is not None
    is_user = batch.node == batch.user[:, None]
    assert is_user.any(dim=1).all()
    assert (batch.user == NUM_USERS + NUM_ITEMS).any(), "one is not in the data"
    assert (after[is_user] == 7).all()
    assert torch.equal(after[~is_user], before[~is_user])


def test_order_vectors_follow_the_order_of_appearance(tokenizer, batch):
    model = network(tokenizer, direct="incremental")
    vectors = model.whole_word_vectors(batch)
    assert vectors is not None
    assert torch.equal(vectors, model.order_vectors[batch.order])


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


def test_prepended_vectors_stand_before_the_prompt_once_a_word(tokenizer, batch):
    prompts = PromptConfig(num_prompt_embeddings=0)
    model = network(tokenizer, prompts, direct="graph", injection="prepending")
    inputs, mask = model.embed(batch)
    length = batch.input_ids.shape[1]
    assert inputs.shape[1] == 2 * length
    assert mask[:, :length].sum(1).tolist() == batch.order.amax(1).tolist()
    vectors = model.whole_word_vectors(batch)
    assert vectors is not None
    assert torch.equal(inputs[:, :length], vectors)
    tokens = model.t5.get_input_embeddings()(batch.input_ids)
    assert torch.equal(inputs[:, length:], tokens)


def test_prompt_vectors_come_first_and_belong_to_the_task(tokenizer, batch):
    model = network(tokenizer, PromptConfig(num_prompt_embeddings=3), direct="none")
    inputs, mask = model.embed(batch)
    assert torch.equal(inputs[1, :3], model.prompt_vectors[2])
    assert (mask[:, :3] == 1).all()
    sequential, _ = model.embed(replace(batch, task="sequential"))
    assert not torch.equal(sequential[1, :3], inputs[1, :3])


def test_without_text_prompt_ids_are_read_through_vectors_alone(tokenizer, batch):
    model = network(tokenizer, PromptConfig(text_prompt=False), direct="graph")
    inputs, _ = model.embed(batch)
    assert torch.equal(inputs, model.whole_word_vectors(batch))


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


def test_elmrec_without_its_graph_is_pod():
    """The presets are settings of the same parts: undo four of them, and POD remains."""
    elmrec, pod = preset("paper-beauty"), preset("pod")
    undone = replace(
        elmrec,
        whole_words=WholeWordConfig("incremental", "incremental", "incremental"),
        graph=ELMRecConfig().graph,
        training=replace(elmrec.training, learning_rate=pod.training.learning_rate),
        decoding=replace(elmrec.decoding, rerank_extra=0),
    )
    assert undone == pod


def test_incremental_vectors_never_read_the_graph(tokenizer, batch):
    model = network(tokenizer, direct="incremental")
    with_graph = states(model, batch)
    model.graph = None
    assert torch.equal(states(model, batch), with_graph)
