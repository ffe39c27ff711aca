"""Fitted recommenders of several kinds are asked about a checkerboard that has grown."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.contracts.checkerboard import checkerboard
from tests.contracts.test_elmrec import SETTINGS as ELMREC
from tests.contracts.test_graph_gpt import SETTINGS as GRAPH_GPT

from edgewise import Dataset
from edgewise.data.dataset import histories_of
from edgewise.data.item_lists import CandidateLists
from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError, DataError, UnknownIdError
from edgewise.models.grown import Grown
from edgewise.models.registry import find_method
from edgewise.recommender import Recommender

SETS = {
    "popularity": (),
    "item-knn": (),
    "ease": (),
    "sasrec": (),
    "graph-gpt": (*GRAPH_GPT, "training.sequence.epochs=3"),
    "elmrec": (*ELMREC, "training.epochs=2"),
}
KNOWN, NOBODY_HAS = 24, "unheard-of"
Shop = tuple[Dataset, Dataset]


@pytest.fixture(scope="module")
def world():
    return checkerboard(described=True)


@pytest.fixture(scope="module")
def shop(world) -> Shop:
    """The checkerboard, and what has grown from it.

    Two new items a group, called as the others of the group are; ``apples`` has two users. One item
    of which nothing is known. Two new users, one of whom took the item ``apples`` alone.
    """
    before = world.split.dataset
    of_1 = np.flatnonzero(world.item_group == 1)
    users = [before.users.ids[user] for user in np.flatnonzero(world.user_group == 0)[:2]]
    rows = [
        *((user, "apples") for user in users),
        *(("newcomer", before.items.ids[item]) for item in of_1[:4]),
        ("first-timer", "apples"),
    ]
    items = {
        "item_id": ["apples", "pears", "stones", "rocks", NOBODY_HAS],
        "title": ["The green apple", "The new apple", "The green stone", "The new stone", ""],
        "categories": [["Shop", "Apple"]] * 2 + [["Shop", "Stone"]] * 2 + [[]],
    }
    users, taken = zip(*rows, strict=True)
    return before, before.append({"user_id": users, "item_id": taken}, items)


@pytest.fixture(scope="module")
def fit(world) -> Callable[[str], Recommender]:
    """A fitted recommender by name, fitted once."""
    fitted: dict[str, Recommender] = {}

    def make(name: str) -> Recommender:
        if name not in fitted:
            method = find_method(name).recommender
            fitted[name] = method.from_preset("tiny", SETS[name]).fit(world.split)
        return fitted[name]

    return make


@pytest.fixture(params=list(SETS))
def pair(request, fit, shop) -> tuple[Recommender, Grown]:
    """The model, and the same asked about the grown shop."""
    model = fit(request.param)
    return model, Grown.of(model, shop[1])


def seen_of(dataset: Dataset) -> list[set[int]]:
    rows = dataset.interactions
    return [set(rows.item_index[rows.user_index == user]) for user in range(dataset.num_users)]


def test_lists_are_whole_and_hold_nothing_that_users_have(pair, shop):
    _, grown = pair
    found, seen = grown.recommend(np.arange(shop[1].num_users), 5), seen_of(shop[1])
    assert len(found) == 5 * shop[1].num_users and np.isfinite(found.score).all()
    assert (np.diff(found.score.reshape(-1, 5), axis=1) <= 0).all()
    for user, row in enumerate(found.item_index.reshape(-1, 5)):
        assert len(set(row)) == 5 and not set(row) & seen[user]
    assert found.to_frame()["user_id"].n_unique() == shop[1].num_users


def test_without_growth_the_lists_are_those_of_the_model(pair, shop):
    model, before = pair[0], shop[0]
    rows = histories_of(before.num_users, before.interactions)
    ours = Grown.of(model, before).recommend(np.arange(10), 6)
    theirs = model.recommend(np.arange(10), 6, histories=rows)
    assert np.array_equal(ours.item_index, theirs.item_index)
    assert np.array_equal(ours.score, theirs.score)


def test_candidates_have_the_scores_of_lists(pair, shop):
    _, grown = pair
    users = np.array([0, 7, shop[1].users.index_of("newcomer")])
    found = grown.recommend(users, 27, exclude_seen=False)
    assert NOBODY_HAS not in found.to_frame()["item_id"].to_list()
    assert {"apples", "rocks"} <= set(found.to_frame()["item_id"])
    lists = Ragged.grouped(np.searchsorted(users, found.user_index), found.item_index, 3)
    asked = CandidateLists.from_lists(users, lists.rows())
    scores = grown.score_candidates(asked, task="sequential")
    assert scores == pytest.approx(found.score, rel=1e-4, abs=1e-4)
    assert grown.score_items(users, grown.data.histories.take(users)).shape == (3, 29)
    alone = CandidateLists.from_lists(
        users[:1], [np.array([grown.data.items.index_of(NOBODY_HAS)])]
    )
    assert np.isfinite(grown.score_candidates(alone)).all()


def test_new_users_are_answered_from_their_histories(pair, shop):
    model, grown = pair
    new = ["apples", "pears", "stones", "rocks", NOBODY_HAS]
    user = shop[1].users.index_of("newcomer")
    history = grown.data.histories[user]
    assert len(history) == 4 and (history < KNOWN).all()
    ours = grown.recommend(["newcomer"], 6, deny=new)
    if model.name != "popularity":  # which counts the newest rows
        theirs = model.recommend_new([history], 6)
        assert np.array_equal(ours.item_index, theirs.item_index)
    first = grown.recommend(["first-timer"], 3)
    assert len(first) == 3 and not first.cold.any()


def test_allow_and_deny_know_new_items(pair):
    _, grown = pair
    only = grown.recommend([0, 1, 2], 9, allow=["pears", "stones", "i3"], exclude_seen=False)
    assert sorted(only.to_frame()["item_id"].unique()) == ["i3", "pears", "stones"]
    without = grown.recommend([0, 1, 2], 24, deny=["pears", "stones"], exclude_seen=False)
    assert not set(without.to_frame()["item_id"]) & {"pears", "stones"}
    with pytest.raises(UnknownIdError, match="plums"):
        grown.recommend([0], 3, deny=["plums"])


def test_similar_items_of_new_ones_are_of_their_group(pair):
    _, grown = pair
    found = grown.similar_items(["pears", "rocks"], 5)
    of_apples = found.similar_to == grown.data.items.index_of("pears")
    right = [
        ("apple" in grown.data.titles[item]) == apple
        for apple, item in zip(of_apples, found.item_index, strict=True)
    ]
    assert len(right) == 10 and np.mean(right) > 0.7
    assert not (found.similar_to == found.item_index).any()
    assert grown.similar_items([NOBODY_HAS], 5).to_frame().is_empty()


def test_what_cannot_be_done_is_said(pair, tmp_path):
    model, grown = pair
    assert "1 of 5 new items have neither texts nor rows" in grown.notes[0]
    assert f"Grown({model!r} + 2 users, 5 items, 7 rows)" == repr(grown)
    assert len(repr(grown)) < 120
    with pytest.raises(ConfigError, match="save the model itself"):
        grown.save_pretrained(tmp_path / "model")
    assert grown.fitted_on_valid().tolist() == model.fitted_on_valid().tolist()
    assert grown.label == model.label and grown.tasks == model.tasks
    assert grown.config is model.config and grown.learned_rows() == model.learned_rows()


def test_a_new_item_is_the_mean_of_its_neighbours_stretched(fit, shop):
    """For dot products, that of the mean of their embeddings: worked out here from embeddings."""
    model = fit("sasrec")
    grown = Grown.of(model, shop[1])
    users = np.arange(6)
    grown.recommend(users, 1)
    histories = grown.told.take(users).keep(grown.told.take(users).values < KNOWN)
    states = model.encode(users, histories).detach().numpy()
    table = model.item_vectors().detach().numpy()
    new = [grown.data.items.index_of(raw) for raw in ("apples", "pears", "stones", "rocks")]
    weights = grown.new_items.weights.toarray()[np.array(new) - KNOWN]
    assert weights.sum(1) == pytest.approx(1, abs=1e-5)
    assert set((weights > 0).sum(1)) <= {3, 4, 5, 6}, "three by texts, three by rows"
    scores = grown.score_candidates(CandidateLists.from_lists(users, [np.array(new)] * 6))
    level, stretch = (part[np.array(new) - KNOWN] for part in grown.scale("sequential"))
    assert (stretch >= 1).all()
    own = states @ (weights @ table).T
    assert scores.reshape(6, 4) == pytest.approx(level + stretch * (own - level), abs=1e-4)


@pytest.mark.parametrize("name", ["item-knn", "ease", "sasrec"])
def test_new_items_are_among_the_best_as_often_as_their_neighbours(name, fit, shop):
    """Counted here from scores of all items; a little more stretch would be too much."""
    grown = Grown.of(fit(name), shop[1])
    everyone = np.arange(shop[0].num_users)
    grown.recommend(everyone[:1], 1)
    histories = grown.data.histories.take(everyone)
    histories = histories.keep(histories.values < KNOWN)
    scores = np.array(grown.model.score_items(everyone, histories), dtype=np.float64)
    weights = grown.new_items.weights.toarray().astype(np.float64)
    unseen = scores.copy()
    unseen[histories.row_of_value, histories.values] = -np.inf
    bars = np.sort(unseen, axis=1)[:, -10:][:, :1]
    fair = ((unseen >= bars) @ weights.T).sum()
    level, stretch = grown.scale("sequential")
    means = scores @ weights.T
    named = weights.any(1)
    assert level[named] == pytest.approx(means.mean(0)[named], rel=1e-4, abs=1e-6)

    def above(c: float) -> int:
        return int(((level + c * (means - level))[:, named] > bars).sum())

    assert stretch[0] == 1 or above(stretch[0] * 0.999) <= fair + 1
    assert stretch[0] > 9.9 or above(stretch[0] * 1.01) > fair - 1


@pytest.mark.parametrize("name", ["item-knn", "ease", "sasrec"])
def test_new_items_are_listed_to_their_group(name, fit, shop, world):
    grown = Grown.of(fit(name), shop[1])
    found = grown.recommend(np.arange(48), 4)
    new = found.item_index >= KNOWN
    titles = [grown.data.titles[item] for item in found.item_index[new]]
    right = [
        ("apple" in title) == (world.user_group[user] == 0)
        for title, user in zip(titles, found.user_index[new], strict=True)
    ]
    assert np.mean(right) > 0.7, "chance is 0.5"
    assert 0.05 < new.mean() < 0.75, "of 6 unseen items of the group, 2 are new"


def test_rows_that_connect_speak_of_new_items_without_texts(fit, world):
    before = world.split.dataset
    users = [before.users.ids[user] for user in np.flatnonzero(world.user_group == 1)[:12]]
    after = before.append({"user_id": users, "item_id": ["thing"] * 12})
    grown = Grown.of(fit("item-knn"), after)
    row = grown.new_items.weights.toarray()[0]
    assert set(world.item_group[np.flatnonzero(row)]) == {1} and row.sum() == pytest.approx(1)
    assert not grown.notes
    grown.recommend([0], 1, histories=histories_of(before.num_users, before.interactions))
    assert "neither texts nor rows" in grown.notes[0], "told nothing of it, it knows nothing"


def test_held_out_rows_are_not_read(fit, shop):
    """What new items are like comes from the histories that are told, not from all rows."""
    before, after = shop
    grown = Grown.of(fit("item-knn"), after)
    known = histories_of(after.num_users, before.interactions)
    told = grown.recommend(np.arange(10), 5, histories=known)
    bare = Grown.of(fit("item-knn"), before.append(items=_items(after)))
    rows = histories_of(before.num_users, before.interactions)
    expected = bare.recommend(np.arange(10), 5, histories=rows)
    assert told.to_frame()["item_id"].to_list() == expected.to_frame()["item_id"].to_list()


def _items(dataset: Dataset) -> dict[str, list]:
    new = slice(KNOWN, None)
    titles, paths = dataset.catalog.title[new], dataset.catalog.categories[new]
    return {
        "item_id": list(dataset.items.ids[new]),
        "title": list(titles),
        "categories": [list(path) for path in paths],
    }


def test_shares_of_scores_are_told_for_new_items_and_users(fit, shop):
    model = fit("graph-gpt")
    grown = Grown.of(model, shop[1])
    if not model.learned_rows():
        assert grown.score_shares(0, np.array([1, KNOWN])) == [(), ()]
        return
    for user in (0, shop[1].users.index_of("newcomer")):
        known, new = grown.score_shares(user, np.array([1, KNOWN]))
        assert sum(abs(part.share) for part in known) == pytest.approx(1)
        assert sum(abs(part.share) for part in new) == pytest.approx(1)
        assert {part.name for part in new} == {part.name for part in known}
        history = set(grown.data.histories[user].tolist())
        assert {item for part in (*known, *new) for item, _ in part.items} <= history


def test_a_language_model_writes_of_what_it_knows(fit, shop):
    grown = Grown.of(fit("elmrec"), shop[1])
    with pytest.raises(ConfigError, match="not trained for the explanation task"):
        grown.explain([(0, 0)])
    with pytest.raises(ConfigError, match="item 'apples' has come since"):
        grown.write_explanations(np.array([0]), np.array([grown.data.items.index_of("apples")]))


def test_other_ids_are_refused(fit, shop):
    other = checkerboard(num_users=48, num_items=30).split.dataset
    Grown.of(fit("ease"), other)
    fewer = checkerboard(num_users=40).split.dataset
    with pytest.raises(DataError, match="do not begin with those of the model"):
        Grown.of(fit("ease"), fewer)


def test_a_search_that_would_take_long_lists_what_it_knows_and_says_so(fit, shop, monkeypatch):
    monkeypatch.setattr("edgewise.models.grown._MOST_SCORED", 2)
    grown = Grown.of(fit("elmrec"), shop[1])
    found = grown.recommend(np.arange(4), 5)
    assert len(found) == 20 and (found.item_index < KNOWN).all()
    assert "ELMRec searches the items it was fitted on, and 5 new ones" in grown.notes[-1]
    candidates = CandidateLists.from_lists(np.array([0]), [np.arange(KNOWN + 5)])
    assert np.isfinite(grown.score_candidates(candidates, task="sequential")).all()
    assert not any("searches" in note for note in Grown.of(fit("ease"), shop[1]).notes)


def test_vectors_are_those_of_the_model_alone(fit, shop):
    grown = Grown.of(fit("sasrec"), shop[1])
    with pytest.raises(ConfigError, match="has grown since the model was fitted"):
        grown.item_embeddings()
    assert len(grown.model.item_embeddings()) == KNOWN
