"""Weights go to their places, new rows stand among their neighbours, and dishonest starts end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.contracts.checkerboard import checkerboard
from tests.growth import MORE_ITEMS, MORE_USERS, grown
from torch import nn

from edgewise.data.dataset import Interactions, Vocabulary
from edgewise.data.ragged import Ragged
from edgewise.data.splits import leave_one_out, ratio_split
from edgewise.errors import ConfigError, DataError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.models import base
from edgewise.models.bert4rec import BERT4Rec
from edgewise.models.ease import EASE
from edgewise.models.elmrec.config import GraphConfig
from edgewise.models.elmrec.graph_embeddings import GraphFeatures, build_graph
from edgewise.models.elmrec.recommender import ELMRec
from edgewise.models.graph_gpt.recommender import GraphGPT
from edgewise.models.item_descriptions import ItemDescriptions
from edgewise.models.item_priors import USUAL
from edgewise.models.sasrec import SASRec
from edgewise.models.semantic_ids import codes_like_old
from edgewise.models.unisrec import UniSRec
from edgewise.models.warm_start import (
    Growth,
    blend,
    check_share,
    take_over,
    users_with_lost_rows,
)

QUICK = ("training.epochs=2",)


@pytest.fixture(scope="module")
def old():
    return checkerboard(described=True).split.dataset


@pytest.fixture(scope="module")
def older(old):
    return SASRec.from_preset("tiny", QUICK).fit(leave_one_out(old))


@pytest.fixture
def growth():
    """Users 0 and 1, items 0 and 1 were there; user 2 and items 2 and 3 are new."""
    taken = np.zeros((3, 4), dtype=np.float32)
    taken[0, [0, 1]] = 1
    taken[1, [1, 2]] = 1
    taken[2, [0, 1]] = 1
    return Growth({"users": 2, "items": 2}, {"users": 3, "items": 4}, sp.csr_array(taken))


class Table(nn.Module):
    def __init__(self, rows, columns=1):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(rows, columns))


def test_new_rows_are_means_of_their_neighbours(growth):
    rows = torch.tensor([[1.0], [2.0]])
    # Item 2 is of user 1 alone, who has the old item 1; nobody has item 3: the mean.
    assert growth.placed("items", rows).flatten().tolist() == [2.0, 1.5]
    # User 2 has item 0, of user 0, and item 1, of both: (1 + (1 + 2) / 2) / 2.
    assert growth.placed("users", rows).flatten().tolist() == [1.25]


@pytest.mark.parametrize(
    ("layout", "before", "expected"),
    [
        (None, [1, 2, 10, 20], [1, 2, 1.25, 10, 20, 20, 15]),
        (("items", "rest"), [10, 20, 7], [10, 20, 20, 15, 7]),
        (("rest", "users", "items"), [5, 6, 1, 2, 10, 20], [5, 6, 1, 2, 1.25, 10, 20, 20, 15]),
        (("rest",), [4, 8], [4, 8, 6]),
    ],
)
def test_old_rows_go_to_their_places(growth, layout, before, expected):
    network, older = Table(len(expected)), Table(len(before))
    older.table.data = torch.tensor(before, dtype=torch.float)[:, None]
    take_over(network, older, growth, {} if layout is None else {"table": layout})
    assert network.table.flatten().tolist() == expected


def test_columns_grow_as_rows_do(growth):
    network, older = Table(4, 3), Table(2, 2)
    older.table.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    take_over(network, older, growth, {})
    assert network.table[:2, :2].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert network.table[:, 2].tolist() == [1.25, 3.25, 3.25, 2.25]
    assert network.table[2].tolist() == [3.0, 4.0, 3.25]


def test_sizes_that_growth_does_not_explain_are_refused(growth):
    with pytest.raises(ConfigError, match=r"table has shape \[7, 1\], but \[5, 1\] in the model"):
        take_over(Table(7), Table(5), growth, {})


def test_weights_of_this_network_alone_keep_their_start(growth):
    take_over(network := Table(3), nn.Linear(1, 1), growth, {})
    assert network.table.flatten().tolist() == [0, 0, 0]


def test_rows_that_train_no_more_are_found():
    before = Ragged.of_rows([np.array([1, 1, 2]), np.array([3]), np.array([4])])
    now = Ragged.of_rows([np.array([1, 2, 5]), np.array([3, 9]), np.array([4]), np.array([0])])
    assert users_with_lost_rows(before, now, 10).tolist() == [0], "item 1 twice, now once"
    nothing = Ragged.of_rows([np.empty(0, np.int32)] * 3)
    assert users_with_lost_rows(before, nothing, 10).tolist() == [0, 1, 2]
    assert users_with_lost_rows(nothing, now, 10).tolist() == []


def test_another_method_is_refused(old, older):
    with pytest.raises(ConfigError, match="a bert4rec cannot start from a fitted sasrec"):
        BERT4Rec.from_preset("tiny").fit(leave_one_out(old), start_from=older)


def test_sizes_must_stay_and_rates_may_change(old, older):
    for setting in ("hidden_size=32", "max_items=20", "scale_items=true"):
        wider = SASRec.from_preset("tiny", [setting])
        with pytest.raises(ConfigError, match=f"{setting.partition('=')[0]} = .*, but .* training"):
            wider.fit(leave_one_out(old), start_from=older)
    changed = ["training.epochs=1", "training.learning_rate=1e-3", "dropout=0.1", "seed=3"]
    SASRec.from_preset("tiny", changed).fit(leave_one_out(old), start_from=older)


def test_unrelated_data_are_refused(old, older):
    ids = old.items.ids
    other = replace(old, items=Vocabulary((ids[1], ids[0], *ids[2:]), "item"))
    with pytest.raises(DataError, match=r"not 'checkerboard' grown: item 0 was 'i0' and is 'i1'"):
        SASRec.from_preset("tiny", QUICK).fit(leave_one_out(other), start_from=older)
    whole = SASRec.from_preset("tiny", QUICK).fit(leave_one_out(grown(old, apart=False)))
    with pytest.raises(DataError, match=r"user 48 was 'new0' and is nobody now.*fit anew"):
        SASRec.from_preset("tiny", QUICK).fit(leave_one_out(old), start_from=whole)


def test_held_out_rows_that_were_learned_are_refused(old):
    """A user of two rows, who both train, gets a third: the second one is held out now."""
    rows = old.interactions
    first = np.flatnonzero(rows.user_index == 0)
    fewer = replace(old, interactions=rows.take(np.r_[first[:2], first[-1] + 1 : len(rows)]))
    more = replace(old, interactions=rows.take(np.r_[first[:3], first[-1] + 1 : len(rows)]))
    older = SASRec.from_preset("tiny", QUICK).fit(leave_one_out(fewer))
    fresh = SASRec.from_preset("tiny", QUICK)
    with pytest.raises(DataError, match=r"1 users, such as 'u0', have train rows .* do not train"):
        fresh.fit(leave_one_out(more), start_from=older)
    fresh.fit(leave_one_out(old), start_from=older)  # with rows enough nothing is held out


def test_a_ratio_split_holds_out_more_rows_of_who_has_more(old):
    older = SASRec.from_preset("tiny", QUICK).fit(ratio_split(old))
    SASRec.from_preset("tiny", QUICK).fit(ratio_split(grown(old, apart=False)), start_from=older)
    rows = old.interactions
    taken = np.zeros((old.num_users, old.num_items), dtype=bool)
    taken[rows.user_index, rows.item_index] = True
    more = np.nonzero(~taken)
    users, items = (
        np.concatenate(pair) for pair in zip((rows.user_index, rows.item_index), more, strict=True)
    )
    order = np.argsort(users, kind="stable")
    all_rows = Interactions(users[order].astype(np.int32), items[order].astype(np.int32))
    split = ratio_split(replace(old, interactions=all_rows))
    with pytest.raises(DataError, match=r"users, such as .*a ratio split holds out more rows"):
        SASRec.from_preset("tiny", QUICK).fit(split, start_from=older)


def test_the_plan_tells_what_is_taken_over_and_what_is_new(old, older):
    plans = []
    larger = grown(old, apart=False)
    model = SASRec.from_preset("tiny", QUICK)
    model.fit(leave_one_out(larger), start_from=older, on_plan=plans.append)
    told = dict(plans[0].rows)
    count = sum(p.numel() for p in older.network.parameters())
    assert f"{count:,} parameters of the model of checkerboard" in told["starts from"]
    assert told["new"].startswith(f"{MORE_USERS} users and {MORE_ITEMS} items")
    assert model.older is None, "nothing of it is kept"
    counted = EASE.from_preset("tiny").fit(leave_one_out(old))
    EASE.from_preset("tiny").fit(leave_one_out(larger), start_from=counted, on_plan=plans.append)
    assert "counted anew" in dict(plans[1].rows)["warm start"]


def test_a_part_of_a_fresh_start():
    network = nn.Linear(1, 2)
    network.bias.requires_grad_(False)
    fresh = {name: torch.zeros_like(each) for name, each in network.named_parameters()}
    weight, bias = network.weight.clone(), network.bias.clone()
    blend(network, fresh, 0.25)
    assert torch.equal(network.weight, weight * 0.25)
    assert torch.equal(network.bias, bias), "what is not learned stays"


def test_a_start_may_count_in_part(old, older, monkeypatch):
    monkeypatch.setattr(base, "train", lambda *args, **kwargs: {})
    split, plans = leave_one_out(old), []
    fresh, half = SASRec.from_preset("tiny", QUICK), SASRec.from_preset("tiny", QUICK)
    fresh.fit(split)
    half.fit(split, start_from=older, start_share=0.5, on_plan=plans.append)
    for name, weight in half.network.named_parameters():
        wanted = (fresh.network.get_parameter(name) + older.network.get_parameter(name)) / 2
        assert torch.allclose(weight, wanted), name
    assert "which count 0.5, a fresh start the rest" in dict(plans[0].rows)["starts from"]
    for share in (0.0, 1.5):
        with pytest.raises(ConfigError, match=f"start_share = {share}: above 0 and at most 1"):
            half.fit(split, start_from=older, start_share=share)
    with pytest.raises(ConfigError, match="mix weights that began as the checkpoint 'some/t5'"):
        check_share(0.5, from_scratch=False, checkpoint="some/t5")


def test_pretraining_is_not_repeated(old):
    settings = (*QUICK, "pretraining.epochs=1", "freeze_encoder=true")
    older = UniSRec.from_preset("tiny", settings).fit(leave_one_out(old))
    model = UniSRec.from_preset("tiny", settings)
    model.fit(leave_one_out(grown(old, apart=False)), start_from=older)
    assert list(older.stage_curves) == ["pretraining", "training"]
    assert list(model.stage_curves) == ["training"]
    # What pre-training froze stays frozen.
    assert torch.equal(model.network.positions.weight, older.network.positions.weight)


def test_an_interrupted_warm_start_resumes_exactly(old, older, tmp_path, monkeypatch):
    split = leave_one_out(grown(old, apart=False))
    settings = ("training.epochs=3",)
    whole = SASRec.from_preset("tiny", settings).fit(split, start_from=older)
    batch, steps = SASRec.training_batch, []

    def interrupted(self, rows, rng):
        steps.append(0)
        if len(steps) > 4:
            raise KeyboardInterrupt
        return batch(self, rows, rng)

    model = SASRec.from_preset("tiny", settings)
    monkeypatch.setattr(SASRec, "training_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(split, folder=tmp_path, start_from=older)
    monkeypatch.setattr(SASRec, "training_batch", batch)
    assert any(tmp_path.rglob("checkpoint")), "it had begun"
    again = SASRec.from_preset("tiny", settings)
    again.fit(split, folder=tmp_path, resume=True, start_from=older)
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, again.network.state_dict()[name]), name


def test_a_chain_of_saved_models_goes_on(old, tmp_path):
    """Attributes and texts keep their meaning from the first model to the last."""
    model = UniSRec.from_preset("tiny", (*QUICK, "pretraining.epochs=1"))
    model.fit(leave_one_out(old))
    first = model.known_texts().clone()
    dataset = old
    for number in range(2):
        model.save_pretrained(tmp_path / f"{number}")
        model = UniSRec.from_pretrained(tmp_path / f"{number}")
        dataset = _renamed(grown(dataset, apart=False), number)
        start, model = model, UniSRec.from_preset("tiny", (*QUICK, "pretraining.epochs=1"))
        model.fit(leave_one_out(dataset), start_from=start)
    assert len(model.data.items) == 24 + 2 * MORE_ITEMS
    assert torch.equal(model.known_texts()[:24], first)


def _renamed(dataset, number):
    return replace(
        dataset,
        users=Vocabulary(tuple(f"u{n}" for n in range(dataset.num_users)), "user"),
        items=Vocabulary(tuple(f"i{n}" for n in range(dataset.num_items)), "item"),
    )


@pytest.mark.parametrize("method", [ELMRec, GraphGPT])
def test_language_models_keep_their_words(old, method):
    """Heads, priors and spectral features of grown data come to a fitted model of them."""
    section = "training.sequence" if method is GraphGPT else "training"
    settings = [f"{section}.epochs=1", f"priors.names={list(USUAL)}".replace("'", '"')]
    if method is GraphGPT:
        settings.append("stages=sequence")
    older = method.from_preset("tiny", settings).fit(leave_one_out(old))
    model = method.from_preset("tiny", settings)
    model.fit(leave_one_out(grown(old, apart=False)), start_from=older)
    tokenizers = [
        getattr(each, "tokenizer", None) or each.tokens.tokenizer for each in (older, model)
    ]
    assert tokenizers[0] is tokenizers[1]
    found = model.recommend([f"new{n}" for n in range(MORE_USERS)], 3)
    assert len(found) == 3 * MORE_USERS


def test_new_items_have_the_codes_of_the_nearest_old_one():
    codes = np.array([[0, 1], [2, 3]])
    vectors = np.array([[0, 0], [5, 5], [4, 5], [1, 0]], np.float32)
    assert codes_like_old(codes, vectors).tolist() == [[0, 1], [2, 3], [2, 3], [0, 1]]


def test_an_item_like_an_old_one_is_read_like_it(old):
    texts = UniSRec.from_preset("tiny").config.texts
    before = ItemDescriptions.of(old, "it", texts, 2)
    larger = grown(old, apart=False)
    catalog = larger.catalog
    twin = {name: (*getattr(catalog, name)[:-1], getattr(old.catalog, name)[3])
            for name in ("title", "brand", "categories", "description")}  # fmt: skip
    larger = replace(larger, catalog=replace(catalog, **twin))
    found = ItemDescriptions.of(larger, "it", texts, 2).read_as(before.texts, before.about)
    assert torch.equal(found.texts[: old.num_items], before.texts)
    assert (found.texts[-1] * before.texts[3]).sum() > 0.95
    assert found.num_attributes == before.num_attributes
    names = np.array([*before.about["names"], ""])
    told = [set(names[row]) - {""} for row in (found.attributes[-1], before.attributes[3])]
    assert told[0] == told[1] and len(told[0]) > 0
    assert "brand Brand new" not in names
    for item in range(old.num_items):
        rows = (names[each.attributes[item]] for each in (found, before))
        assert len({frozenset(row) - {""} for row in rows}) == 1


@pytest.mark.parametrize("kind", ["random", "spectral", "trained"])
def test_graph_features_go_on_from_the_old_ones(old, kind, tmp_path):
    """Without growth they are the old ones; a person without a place is placed where he was."""
    split = leave_one_out(old)
    config = GraphConfig(features=kind, num_folds=0, num_propagation_layers=2)
    graph = BipartiteGraph.from_interactions(split.train, old.num_users, old.num_items)
    before = build_graph(graph, config, 8, 0).learned()
    turned = before
    if kind == "spectral":  # as if the axes had been others
        rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0].astype(np.float32)
        turned = replace(before, features=before.features @ rotation, rotation=rotation)
    turned.save(tmp_path / "graph")
    turned = GraphFeatures.load(tmp_path / "graph", config)
    same = build_graph(graph, config, 8, 0, turned).learned()
    assert same.features == pytest.approx(turned.features, abs=1e-4)
    items = np.array([0, 3, 5])
    expected = before.new_user(items)
    expected = expected @ rotation if kind == "spectral" else expected
    assert same.new_user(items) == pytest.approx(expected, abs=1e-4)
    larger = grown(old, apart=True)
    rows = Interactions(larger.interactions.user_index, larger.interactions.item_index)
    graph = BipartiteGraph.from_interactions(rows, larger.num_users, larger.num_items)
    after = build_graph(graph, config, 8, 0, turned).learned()
    assert after.features.shape == (larger.num_users + larger.num_items, 8)
    if kind != "spectral":
        old_rows = after.of_old_nodes(after.layer_0, turned)
        assert np.array_equal(old_rows, turned.layer_0)


def test_features_without_their_start_are_refused(old):
    split = leave_one_out(old)
    config = GraphConfig(features="random", num_folds=0, num_propagation_layers=2)
    graph = BipartiteGraph.from_interactions(split.train, old.num_users, old.num_items)
    before = replace(build_graph(graph, config, 8, 0).learned(), layer_0=np.empty((0, 0)))
    with pytest.raises(ConfigError, match="saved by an earlier version"):
        build_graph(graph, config, 8, 0, before)
