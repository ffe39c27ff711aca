"""Item kNN against plain numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.contracts.checkerboard import checkerboard

from edgewise.errors import ConfigError, DataError
from edgewise.graph import row_blocks
from edgewise.item_texts import tfidf_matrix
from edgewise.models.item_knn import ItemKNN, ItemKNNConfig, nearest_items, weighted


def random_matrix(num_users=40, num_items=25, seed=0):
    rng = np.random.default_rng(seed)
    taken = (rng.random((num_users, num_items)) < 0.25).astype(np.float32)
    taken[3], taken[:, 4] = 0, 0  # a user without items, an item without users
    return taken


@pytest.mark.parametrize(
    ("alpha", "shrink", "k"), [(0.5, 0.0, 100), (0.5, 10.0, 5), (0.8, 2.0, 3), (0.0, 1.0, 7)]
)
def test_likeness_worked_by_loops(alpha, shrink, k, monkeypatch):
    monkeypatch.setattr(row_blocks, "_VALUES_AT_ONCE", 100)
    weights = random_matrix() * np.random.default_rng(1).random((40, 25)).astype(np.float32)
    expected = np.zeros((25, 25))
    length = np.sqrt((weights.astype(float) ** 2).sum(axis=0))
    for scored in range(25):
        for speaking in range(25):
            if speaking != scored:
                both = weights[:, speaking].astype(float) @ weights[:, scored]
                below = length[speaking] ** (2 * alpha) * length[scored] ** (2 - 2 * alpha)
                expected[speaking, scored] = both / (below + shrink) if both else 0
        column = expected[:, scored]
        column[np.argsort(-column)[k:]] = 0
    found = nearest_items(sp.csr_array(weights), k, shrink, alpha)
    assert found.toarray() == pytest.approx(expected, abs=1e-6)


def test_words_of_documents():
    """An item is a document of the users who have it: rare users, and short documents, count."""
    taken = random_matrix()
    num_items = np.maximum(taken.sum(axis=1), 1)
    idf = np.log(26 / num_items)
    found = weighted(sp.csr_array(taken), ItemKNNConfig(weighting="tfidf")).toarray()
    assert found == pytest.approx(taken * idf[:, None], abs=1e-6)
    k1, b, length = 2.0, 0.3, taken.sum(axis=0)
    config = ItemKNNConfig(weighting="bm25", bm25_k1=k1, bm25_b=b)
    saturated = (k1 + 1) / (k1 * (1 - b + b * length / length.mean()) + 1)
    expected = taken * idf[:, None] * saturated[None]
    assert weighted(sp.csr_array(taken), config).toarray() == pytest.approx(expected, abs=1e-6)
    assert weighted(sp.csr_array(taken), ItemKNNConfig()).toarray() == pytest.approx(taken)


def test_scores_are_sums_over_the_users_items():
    model = ItemKNN.from_preset("tiny").fit(checkerboard().split)
    history = model.data.histories.take(np.array([3]))
    found = model.score_items(np.array([3]), history)[0]
    expected = model.similarity.toarray()[history.values].sum(axis=0)
    spoken_for = expected > 0
    assert found[spoken_for] == pytest.approx(expected[spoken_for], abs=1e-6)
    # Items of the other group, which nobody has with these, go by popularity.
    by_score = np.flatnonzero(~spoken_for)[np.argsort(-found[~spoken_for])]
    assert found[by_score].max() < 0 and len(by_score) >= 10
    assert (np.diff(model.data.item_counts[by_score]) <= 0).all()


def test_similar_items_are_its_own():
    model = ItemKNN.from_preset("tiny").fit(checkerboard().split)
    found = model.similar_items([3], 4)
    row = model.similarity.toarray()[3]
    assert found.item_index.tolist() == np.argsort(-row, kind="stable")[:4].tolist()
    assert found.score == pytest.approx(row[found.item_index])


def test_an_unknown_weighting_is_refused():
    with pytest.raises(ConfigError, match="weighting"):
        ItemKNN(weighting="bm52")


def test_titles_speak_for_items_that_nobody_has_taken():
    """Trained on nothing of item 0, it stands where its title puts it; the shares are cosines."""
    world = checkerboard(described=True)
    train = world.split.train
    split = replace(world.split, train=train.take(np.flatnonzero(train.item_index != 0)))
    model = ItemKNN.from_preset("texts").fit(split)
    assert model.data.item_counts[0] == 0
    words = tfidf_matrix(world.split.dataset.catalog.title).toarray()
    cosines = words @ words.T
    np.fill_diagonal(cosines, 0)
    history = model.data.histories.take(np.array([3]))
    found = model.score_items(np.array([3]), history)[0]
    expected = cosines[history.values].sum(axis=0) / (1 + model.config.shrink)
    assert expected[0] > 0
    assert found[expected > 0] == pytest.approx(expected[expected > 0], abs=1e-6)
    with pytest.raises(DataError, match=r"has no titles.*choose another weighting"):
        ItemKNN.from_preset("texts").fit(checkerboard().split)
