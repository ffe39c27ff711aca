"""UniSRec: adaptor, transformer and contrasts against plain numpy; items that nobody has taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard
from tests.oracles.layers import array, attention, gelu, linear, normed

from edgewise.data.sequences import NO_TARGET
from edgewise.errors import ConfigError, DataError
from edgewise.models.item_descriptions import ItemDescriptions
from edgewise.models.next_item import NextItemBatch, NextItemNetwork
from edgewise.models.unisrec import ContrastBatch, UniSRec, UniSRecConfig, UniSRecNetwork

FEW = ("training.epochs=1", "pretraining.epochs=1", "dropout=0.0")
TEXTS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


def build(**settings):
    torch.manual_seed(0)
    config = UniSRecConfig(hidden_size=8, inner_size=12, num_experts=3, init_std=0.5, **settings)
    known = ItemDescriptions(torch.from_numpy(TEXTS), torch.zeros(7, 1), 0, {})
    network = UniSRecNetwork(config, np.arange(7), known).eval()
    torch.nn.init.normal_(network.adaptor.shift)
    return network


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def adapted(network, item):
    adaptor, x = network.adaptor, TEXTS[item].astype(float)
    gate = np.exp(linear(x, adaptor.gate))
    experts = np.split(array(adaptor.whiten.weight), 3)
    shifts = array(adaptor.shift)
    said = [W @ (x - b) for W, b in zip(experts, shifts, strict=True)]
    return np.einsum("g,gd->d", gate / gate.sum(), np.stack(said))


def states(network, vectors):
    x = normed(vectors + array(network.positions.weight)[: len(vectors)], network.start)
    for block in network.blocks:
        x = normed(x + attention(x, block, causal=True), block.norms[0])
        x = normed(x + linear(gelu(linear(x, block.inner)), block.outer), block.norms[1])
    return unit(x)


@pytest.mark.parametrize("mode", ["inductive", "transductive"])
def test_the_equations(mode):
    network, items = build(mode=mode, temperature=0.1), np.array([3, 6, 3, 0])
    table = np.stack([adapted(network, item) for item in range(7)])
    if mode == "transductive":
        table = table + array(network.items.weight)
    expected = states(network, table[items]) / 0.1
    assert array(network.states(torch.from_numpy(items)[None])[0]) == pytest.approx(
        expected, abs=1e-4
    )
    assert array(network.item_table()) == pytest.approx(unit(table), abs=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_contrasts(weight):
    """Texts alone, even where items have embeddings; repeated targets do not count."""
    network = build(temperature=0.5, sequence_weight=weight)
    rows, targets, others = [[3, 5, 2], [1, 5]], [[5, 2, 0], [5, 4]], [[3, 2], [5]]
    table = np.stack([adapted(network, item) for item in range(7)])
    found = [states(network, table[row]) for row in rows]
    asked, wanted = np.concatenate(found), np.concatenate([np.array(row) for row in targets])
    losses = []
    for n, target in enumerate(wanted):
        logits = asked[n] @ unit(table[wanted]).T / 0.5
        counted = (wanted != target) | (np.arange(5) == n)
        losses.append(np.log(np.exp(logits[counted]).sum()) - logits[n])
    last = np.stack([each[-1] for each in found])
    views = np.stack([states(network, table[row])[-1] for row in others])
    logits = last @ views.T / 0.5
    sequence = np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits))
    batch = ContrastBatch(
        torch.tensor([[3, 5, 2], [1, 5, 0]]),
        torch.tensor([[5, 2, 0], [5, 4, NO_TARGET]]),
        torch.tensor([[3, 2], [5, 0]]),
        torch.tensor([2, 1]),
    )
    expected = np.mean(losses) + weight * sequence
    assert network(batch).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bce", "bpr", "top1"])
def test_a_loss_that_samples_reads_the_same_scores(loss):
    """Only the items that it reads are worked out, and that changes nothing."""
    network = build(loss=loss, num_negatives=2)
    items, targets = torch.tensor([[3, 5], [1, 0]]), torch.tensor([[5, 2], [4, NO_TARGET]])
    own = loss in ("bce", "bpr")
    negatives = torch.tensor([[[0, 6], [1, 1]], [[2, 3], [0, 0]]]) if own else np.array([6, 2])
    batch = NextItemBatch(items, targets, negatives, torch.zeros(2, dtype=torch.int64))
    expected = NextItemNetwork.forward(network, batch)
    assert network(batch).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.fixture(scope="module")
def split():
    return checkerboard(described=True).split


def test_other_views_are_histories_with_items_left_out(split):
    model = UniSRec.from_preset("tiny", [*FEW, "drop_rate=0.5"]).fit(split)
    batch = model.contrast_batch(np.arange(40), np.random.default_rng(0))
    for row in range(40):
        whole = batch.items[row][batch.targets[row] >= 0].tolist()
        other = batch.other[row][: batch.other_lengths[row]].tolist()
        rest = iter(whole)
        assert all(item in rest for item in other), "in their order"
        assert other[-1] == whole[-1]
    kept = batch.other_lengths.sum() / (batch.targets >= 0).sum()
    assert 0.45 < kept < 0.65


def test_the_transformer_may_stay_as_it_was_pretrained(split):
    frozen = UniSRec.from_preset("tiny", [*FEW, "freeze_encoder=true", "mode=inductive"])
    frozen.fit(split)
    first = UniSRec.from_preset(
        "tiny", [*FEW, "training.learning_rate=1e-30", "mode=inductive"]
    ).fit(split)
    ours, theirs = (model.network.encoder_parameters() for model in (frozen, first))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(
        frozen.network.adaptor.whiten.weight, first.network.adaptor.whiten.weight
    )


def test_an_item_that_nobody_has_taken_is_its_text(split):
    """One with the words of another is scored like that, and is similar to it."""
    counts = np.bincount(split.train.item_index, minlength=24)
    cold, twin = 5, int(np.argmax(np.where(np.arange(24) == 5, 0, counts)))
    catalog = split.dataset.catalog
    titles, brands, paths = map(list, (catalog.title, catalog.brand, catalog.categories))
    for column in (titles, brands, paths):
        column[cold] = column[twin]
    known = replace(catalog, title=tuple(titles), brand=tuple(brands), categories=tuple(paths))
    rows = split.train.take(np.flatnonzero(split.train.item_index != cold))
    world = replace(split, train=rows, dataset=replace(split.dataset, catalog=known))
    model = UniSRec.from_preset("tiny", [*FEW, "mode=inductive"]).fit(world)
    scores = model.score_items(np.arange(3), model.data.histories.take(np.arange(3)))
    assert scores[:, cold] == pytest.approx(scores[:, twin], abs=1e-4)
    assert twin in model.similar_items([cold], 1).item_index


def test_data_without_texts_are_refused_before_training():
    with pytest.raises(DataError, match=r"no text.*unisrec.*title \(0\), brand \(0\)"):
        UniSRec.from_preset("tiny").fit(checkerboard().split)


def test_embeddings_that_are_not_there_have_no_start():
    with pytest.raises(ConfigError, match=r"item_init = 'transitions'.*mode=transductive"):
        UniSRec(mode="inductive", item_init="transitions")


def test_the_encoder_is_kept_with_the_model(split, tmp_path):
    import json

    UniSRec.from_preset("tiny", FEW).fit(split).save_pretrained(tmp_path / "model")
    told = json.loads((tmp_path / "model" / "model.json").read_text())["settings"]["learned"]
    assert told["descriptions"]["texts"] == {"encoder": "tfidf", "version": "tfidf-1", "size": 8}
