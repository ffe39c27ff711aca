"""Every prior's score against loops over a world of a few items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split, leave_one_out
from edgewise.item_texts import item_sentences, tfidf_matrix
from edgewise.models.item_priors import (
    PRIORS,
    REASONS,
    ItemPrior,
    PriorsConfig,
    build_priors,
    unknown_priors,
)

NUM_USERS, NUM_ITEMS = 12, 10
BRANDS = ["Norr", "Vela", "Norr", "Moka", "Vela", "", "Norr", "Solo", "Moka", ""]
SHELVES = ["Tea", "Tea", "Bikes", "Tea", "Bikes", "Bikes", "Tea", "Ink", "Ink", "Maps"]
TITLES = ["green tea pot", "green tea cup", "bike lamp", "tea cup", "bike pump", "lamp pump",
          "tea pot", "ink pen", "ink pen set", "map"]  # fmt: skip
DAY = 86_400
# Of people who are not in the data, one of them with an item twice.
ASKED = Ragged.of_rows([np.array([4]), np.array([1, 3, 1, 0]), np.arange(NUM_ITEMS)])


@pytest.fixture(scope="module")
def split() -> Split:
    rng = np.random.default_rng(5)
    rows = [rng.integers(NUM_ITEMS, size=rng.integers(4, 16)) for _ in range(NUM_USERS)]
    users = np.repeat(np.arange(NUM_USERS), [len(row) for row in rows]).astype(np.int32)
    items = np.concatenate(rows).astype(np.int32)
    times = np.concatenate([np.sort(rng.integers(0, 400, len(row))) * DAY for row in rows])
    catalog = Catalog(
        tuple(TITLES), tuple(BRANDS), tuple((name,) for name in SHELVES), ("",) * NUM_ITEMS
    )
    dataset = Dataset(
        "few",
        Vocabulary(tuple(f"u{user}" for user in range(NUM_USERS)), "user"),
        Vocabulary(tuple(f"i{item}" for item in range(NUM_ITEMS)), "item"),
        Interactions(users, items, timestamp=times),
        catalog,
    )
    return leave_one_out(dataset)


def built(split: Split, **settings) -> dict[str, ItemPrior]:
    config = PriorsConfig(**({"names": PRIORS} | settings))
    return {prior.name: prior for prior in build_priors(split, config, seed=0)}


@pytest.fixture(scope="module")
def priors(split) -> dict[str, ItemPrior]:
    return built(split)


# The oracles: matrices by loops.


def train_rows(split: Split) -> list[list[int]]:
    return [row.tolist() for row in split.known_before("valid").rows()]


def counted(split: Split, window: int, forward: float, backward: float) -> np.ndarray:
    found = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for row in train_rows(split):
        for place, first in enumerate(row):
            for steps, second in enumerate(row[place + 1 : place + 1 + window], 1):
                if first != second:
                    found[first, second] += forward / steps
                    found[second, first] += backward / steps
    return found


def power(values: np.ndarray, exponent: float) -> np.ndarray:
    return np.array([value**exponent if value > 0 else 0.0 for value in values])


def normalised(found: np.ndarray) -> np.ndarray:
    return power(found.sum(1), -0.5)[:, None] * found * power(found.sum(0), -0.25)


def without_self(matrix: np.ndarray) -> np.ndarray:
    return matrix * (1 - np.eye(NUM_ITEMS))


def smoothed(split: Split) -> np.ndarray:
    """``D^-1/2 N^T N D^1/2``: with as many singular vectors as there are, nothing is left out."""
    taken = np.zeros((NUM_USERS, NUM_ITEMS))
    for user, row in enumerate(train_rows(split)):
        taken[user, row] = 1
    degrees = taken.sum(0)
    graph = power(taken.sum(1), -0.5)[:, None] * taken * power(degrees, -0.5)
    return power(degrees, -0.5)[:, None] * (graph.T @ graph) * power(degrees, 0.5)


def alike_in_attributes() -> np.ndarray:
    """Cosines of brands and shelves, each weighing the log of its rarity."""
    names = [{("b", b), ("s", s)} for b, s in zip(BRANDS, SHELVES, strict=True)]
    shared = {n for own in names for n in own if n[1] and sum(n in each for each in names) > 1}
    weight = {
        name: np.log((1 + NUM_ITEMS) / (1 + sum(name in each for each in names))) for name in shared
    }
    rows = np.array([[weight[n] * (n in own) for n in sorted(shared)] for own in names])
    rows *= power(np.square(rows).sum(1), -0.5)[:, None]
    return rows @ rows.T


def read(history: list[int], recency: float, newest: int = 0, averaged: bool = False) -> np.ndarray:
    """What each item of the catalogue weighs in a history."""
    weights = [(len(history) - place) ** -recency for place in range(len(history))]
    if newest:
        weights = [w * (len(history) - place <= newest) for place, w in enumerate(weights)]
    total = sum(weights) if averaged else 1.0
    found = np.zeros(NUM_ITEMS)
    for item, weight in zip(history, weights, strict=True):
        found[item] += weight / total
    return found


def expected(split: Split, name: str, history: list[int]) -> np.ndarray:
    described = {"recency": 0.5, "newest": 8, "averaged": True}
    if name == "transitions":
        return read(history, 1.0) @ normalised(counted(split, 10, 1.0, 0.0))
    if name == "markov":
        found = counted(split, 1, 1.0, 0.0)
        return (power(found.sum(1), -1.0)[:, None] * found)[history[-1]]
    if name == "two_hops":
        once = normalised(counted(split, 10, 3.0, 1.0))
        return read(history, 1.0) @ without_self(once @ once)
    if name == "spectral":
        return np.maximum(read(history, 0.5) @ smoothed(split), 0)
    if name == "texts":
        rows = tfidf_matrix(TITLES).toarray()
        return read(history, **described) @ without_self(rows @ rows.T)
    if name == "topics":
        # With as many directions as there are, cosines are those of the words.
        rows = tfidf_matrix(item_sentences(split.dataset.catalog)).toarray()
        return read(history, **described) @ (rows @ rows.T)
    if name == "attributes":
        return read(history, **described) @ without_self(alike_in_attributes())
    taken = [item for row in train_rows(split) for item in row]
    if name == "popularity":
        return np.array([taken.count(item) for item in range(NUM_ITEMS)])
    times, items = split.train.timestamp, split.train.item_index
    assert name == "trend" and times is not None
    ages = (times.max() - times) / DAY
    return np.array([sum(0.5 ** (ages[items == item] / 90)) for item in range(NUM_ITEMS)])


def dense(scores) -> np.ndarray:
    found = scores.toarray() if sp.issparse(scores) else scores
    return np.broadcast_to(found, (len(ASKED), NUM_ITEMS))


@pytest.mark.parametrize("name", PRIORS)
def test_a_score_is_that_of_loops(split, priors, name):
    wanted = [expected(split, name, row.tolist()) for row in ASKED.rows()]
    assert np.count_nonzero(wanted) > NUM_ITEMS
    np.testing.assert_allclose(dense(priors[name].scores(ASKED)), wanted, rtol=2e-4, atol=2e-5)


def test_every_prior_has_reasons_and_they_stand_in_order(priors):
    assert tuple(priors) == PRIORS == tuple(REASONS)


@pytest.mark.parametrize("name", ["transitions", "markov", "two_hops", "texts", "attributes"])
def test_what_items_of_a_history_say_adds_up_to_the_score(priors, name):
    history = np.array([1, 3, 1, 0, 6])
    (scores,) = priors[name].scores(Ragged.of_rows([history])).toarray()
    for item in range(NUM_ITEMS):
        said = priors[name].speaking(history, item)
        assert said.shape == (5,) and said.sum() == pytest.approx(scores[item], rel=1e-5, abs=1e-7)


def test_what_reads_no_history_lets_none_speak(priors):
    assert priors["trend"].speaking(np.array([1, 2]), 3).tolist() == [0, 0]


@pytest.mark.parametrize("name", ["transitions", "two_hops", "texts"])
def test_neighbours_are_the_nearest(split, priors, name):
    few = built(split, names=(name,), neighbours=2)[name].left.toarray()
    whole = priors[name].left.toarray()
    for row, all_of_them in zip(few, whole, strict=True):
        kept = np.sort(row[row > 0])
        assert kept.tolist() == np.sort(all_of_them[all_of_them > 0])[-2:].tolist()
        np.testing.assert_array_equal(row[row > 0], all_of_them[row > 0])


def same(first: ItemPrior, second: ItemPrior) -> bool:
    return np.array_equal(dense(first.scores(ASKED)), dense(second.scores(ASKED)))


def test_held_out_rows_change_nothing(split, priors):
    def other(rows):
        return replace(rows, item_index=(rows.item_index + 3) % NUM_ITEMS)

    changed = replace(split, valid=other(split.valid), test=other(split.test))
    assert all(same(prior, priors[name]) for name, prior in built(changed).items())
    train = built(replace(split, train=other(split.train)))
    unlike = {name for name in PRIORS if not same(train[name], priors[name])}
    assert unlike == set(PRIORS) - {"texts", "topics", "attributes"}


def test_what_the_data_do_not_tell_is_left_out(split):
    bare = replace(split.dataset, catalog=Catalog.empty(NUM_ITEMS))
    untold = replace(split, dataset=bare, train=replace(split.train, timestamp=None))
    assert unknown_priors(split, PRIORS) == ()
    assert unknown_priors(untold, PRIORS) == ("texts", "topics", "attributes", "trend")
    assert unknown_priors(untold, ("trend", "markov")) == ("trend",)
    assert list(built(untold)) == ["transitions", "markov", "two_hops", "spectral", "popularity"]
    assert built(split, names=()) == {}
