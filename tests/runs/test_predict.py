"""Asking a few users at a time changes nothing but the telling; everybody is asked alike."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from edgewise.data.dataset import Vocabulary, histories_of
from edgewise.data.negatives import uniform_candidates
from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError
from edgewise.models.popularity import Popularity
from edgewise.runs import open_run
from edgewise.runs.predict import BatchedRecommender, Predictor


class Explaining(Popularity):
    """Popularity that writes texts."""

    def explain(self, pairs):
        return [f"{user}-{item}" for user, item in pairs]


def test_parts_equal_the_whole():
    split = leave_one_out(make_demo_shop(0, num_users=11, num_items=60))
    model, told = Explaining().fit(split), []
    batched = BatchedRecommender(model, lambda done, total: told.append((done, total)), size=4)
    users = np.array([9, 0, 3, 5, 1])
    known = split.known_before("test")
    whole, parts = (m.recommend(users, 3, histories=known) for m in (model, batched))
    for name in ("user_index", "item_index", "rank", "score"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))
    assert told == [(4, 5), (5, 5)]
    seen = [m.recommend(users, 40, histories=known, exclude_seen=False) for m in (model, batched)]
    assert np.array_equal(seen[0].item_index, seen[1].item_index)
    lists = uniform_candidates(split, "test", 5)
    scores = [m.score_candidates(lists, histories=known) for m in (model, batched)]
    assert np.array_equal(*scores)
    asked = [(user, user + 1) for user in range(9)]
    assert batched.explain(asked) == model.explain(asked)
    assert len(batched.recommend(users[:0], 3, histories=known)) == 0
    assert len(batched.score_candidates(lists.take(np.arange(0)))) == 0


@pytest.fixture
def opened(run):
    """As it was read back, not as it was fitted."""
    return open_run(run.folder)


def test_everything_the_data_set_tells_is_known(opened):
    dataset = opened.dataset
    ids = list(dataset.users.ids)
    answers = list(Predictor(opened, k=4).users(ids))
    assert [(answer.done, answer.total) for answer in answers] == [(60, 60)]
    known = histories_of(dataset.num_users, dataset.interactions)
    expected = opened.model.recommend(np.arange(60), 4, histories=known)
    assert answers[0].lists["item_id"].to_list() == expected.to_frame()["item_id"].to_list()


def test_users_without_a_history_are_told_in_every_part(monkeypatch):
    shop = make_demo_shop(0, num_users=9, num_items=60)
    users = Vocabulary((*shop.users.ids, "newest"), "user")
    dataset = replace(shop, users=users)
    split = leave_one_out(dataset)
    run = SimpleNamespace(dataset=dataset, model=Popularity().fit(split))
    monkeypatch.setattr("edgewise.runs.predict.USERS_AT_ONCE", 4)
    for candidates in (None, list(dataset.items.ids[:7])):
        predictor = Predictor(run, 2, candidates=candidates)  # type: ignore[arg-type]
        parts = [answer.lists for answer in predictor.users(users.ids)]
        whole = pl.concat(parts)
        assert len(parts) == 3 and set(whole.filter("cold")["user_id"]) == {"newest"}
        (warm,) = predictor.users(users.ids[:3])
        assert "cold" not in warm.lists.columns


def test_allowed_and_denied_items(opened):
    ids, user = opened.dataset.items.ids, opened.dataset.users.ids[0]
    (answer,) = Predictor(opened, 3, exclude_seen=False, allow=ids[:4], deny=ids[1:3]).users([user])
    assert sorted(answer.lists["item_id"]) == sorted([ids[0], ids[3]])
    (new,) = Predictor(opened, 3, allow=ids[:4], deny=ids[1:3]).newcomer([ids[0]])
    assert new.lists["item_id"].to_list() == [ids[3]]
    assert new.lists["user_id"].to_list() == ["new user"]


def test_candidates_are_ranked_once_each(opened):
    items, users = opened.dataset.items.ids, opened.dataset.users.ids
    shared = Predictor(opened, 2, "direct", [*items[:5], items[0]])
    answers = [next(shared.newcomer([items[9]])), next(shared.users(users[:1]))]
    for answer in answers:
        assert len(set(answer.lists["item_id"])) == 2
        assert set(answer.lists["item_id"]) <= set(items[:5])
    own = Predictor(opened, 2, "direct", {users[0]: list(items[5:8])})
    (answer,) = own.users(users[:1])
    assert set(answer.lists["item_id"]) < set(items[5:8])
    with pytest.raises(ConfigError, match="--candidates has none for user"):
        next(own.users(users[1:2]))
    with pytest.raises(ConfigError, match="not with lists by user"):
        next(own.newcomer([items[9]]))


def test_candidates_are_asked_about_in_an_order_of_their_own(opened, monkeypatch):
    """The seed and the ids say it, not whoever wrote the list."""
    asked = []
    monkeypatch.setattr(
        type(opened.model),
        "score_candidates",
        lambda self, lists, **_: asked.append(lists[0]) or np.zeros(len(lists.items)),
    )
    items, user = list(opened.dataset.items.ids[:20]), opened.dataset.users.ids[0]
    for given in (items, items[::-1], {user: items}):
        next(Predictor(opened, 2, "direct", given).users([user]))
    next(Predictor(opened, 2, "direct", items).newcomer([items[0]]))
    next(Predictor(opened, 2, "direct", items, deny=items[3:7], allow=items[:10]).users([user]))
    whole = asked[0].tolist()
    assert sorted(whole) == list(range(20)) and whole != sorted(whole)
    assert all(each.tolist() == whole for each in asked[1:4])
    assert asked[4].tolist() == [item for item in whole if item in (0, 1, 2, 7, 8, 9)]


def test_similar_items_come_a_few_at_a_time(opened, monkeypatch):
    monkeypatch.setattr("edgewise.runs.predict.USERS_AT_ONCE", 4)
    ids = list(opened.dataset.items.ids[:6])
    answers = list(Predictor(opened, 2).similar(ids))
    assert [(answer.users, answer.done) for answer in answers] == [(ids[:4], 4), (ids[4:], 6)]
    whole = opened.model.similar_items(ids, 2).to_frame()
    assert pl.concat([answer.lists for answer in answers]).equals(whole)
