"""Splits that leak do so by exactly what they promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgewise.data.dataset import Dataset, Interactions
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.data.texts import explanation_pairs, explanation_split
from edgewise.errors import ConfigError
from edgewise.evaluation.protocols import random_share, with_all_edges, with_explained_edges


def pairs(rows: Interactions) -> list[tuple[int, int]]:
    return list(zip(rows.user_index.tolist(), rows.item_index.tolist(), strict=True))


def without_texts(dataset: Dataset) -> Dataset:
    return replace(dataset, interactions=replace(dataset.interactions, review=None, summary=None))


@pytest.fixture(scope="module")
def split() -> Split:
    return leave_one_out(make_demo_shop(0, num_users=80))


def test_edges_are_the_rows_whose_texts_are_trained_on(split):
    leaking = with_explained_edges(split, 0.5, seed=4)
    texts = explanation_split(leaking)
    train = texts.train
    assert texts.mode == "random"
    trained = list(zip(train.user_index.tolist(), train.item_index.tolist(), strict=True))
    assert pairs(leaking.graph_edges()) == trained
    having = len(explanation_pairs(split.dataset.interactions))
    assert len(trained) == having - 2 * (having // 10), "80 % of the rows with a text"
    leaked = len(set(pairs(split.test)) & set(trained)) / len(split.test)
    assert 0.5 < leaked < 0.9


def test_the_parts_themselves_stay_as_they_are(split):
    for leaking in (with_explained_edges(split, 0.5), with_all_edges(split)):
        for part in ("train", "valid", "test"):
            assert getattr(leaking, part) is getattr(split, part)


def test_texts_are_dealt_as_the_model_s_own_setting_deals_them(split):
    leaking, asked = (
        with_explained_edges(split, 0.5, seed=3),
        explanation_split(split, "random", seed=3),
    )
    for part in ("train", "valid", "test"):
        assert getattr(explanation_split(leaking), part).text == getattr(asked, part).text


def test_without_texts_a_share_of_all_rows_becomes_edges(split):
    bare = leave_one_out(without_texts(split.dataset))
    leaking = with_explained_edges(bare, 0.4, seed=1)
    edges = pairs(leaking.graph_edges())
    assert len(edges) == round(0.4 * len(bare.dataset.interactions))
    rows = pairs(bare.dataset.interactions)
    assert set(edges) <= set(rows) and set(edges) & set(pairs(bare.test))
    assert len(explanation_split(leaking).train) == 0


def test_the_deal_hangs_on_the_seed_alone(split):
    def deal(seed):
        return pairs(with_explained_edges(split, 0.5, seed).graph_edges())

    assert deal(1) == deal(1)
    assert deal(1) != deal(2)


def test_a_share_keeps_the_order_of_rows():
    rows = Interactions(np.arange(10, dtype=np.int32), np.arange(10, dtype=np.int32))
    chosen = random_share(rows, 0.5, seed=0).user_index.tolist()
    assert len(chosen) == 5 and chosen == sorted(chosen)
    assert len(random_share(rows, 1.0, seed=0)) == 10
    with pytest.raises(ConfigError, match="edge_share = 0"):
        random_share(rows, 0, seed=0)


def test_all_edges_are_all_rows(split):
    assert pairs(with_all_edges(split).graph_edges()) == pairs(split.dataset.interactions)
    assert with_all_edges(split).text_rows is None
