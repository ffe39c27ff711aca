"""Answers against those of the model itself, asked beside the service."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from tests.serving.conftest import Make, World, popular

from edgewise.serving.shop import Shop
from edgewise.serving.store import StoredList


class TestLists:
    def test_the_models_list_then_the_stored_one(self, world: World, user: str):
        expected = world.best(world.history(user))
        first = world.post("/v1/recommend", user_id=user)
        assert [item["item_id"] for item in first["items"]] == expected
        assert (first["source"], first["cold_user"]) == ("model", False)
        world.settle()
        second = world.post("/v1/recommend", user_id=user)
        assert second["source"] == "cache" and second["items"] == first["items"]
        assert second["recommendation_id"] != first["recommendation_id"]
        assert [item["rank"] for item in first["items"]] == list(range(1, 11))
        titles = dict(
            zip(world.run.dataset.items.ids, world.run.dataset.catalog.title, strict=True)
        )
        assert all(item["title"] == titles[item["item_id"]] for item in first["items"])

    def test_another_worker_answers_from_the_store(self, make_world: Make):
        one, two = make_world(), make_world()
        user = one.run.dataset.users.ids[3]
        first = one.post("/v1/recommend", user_id=user)
        one.settle()
        second = two.post("/v1/recommend", user_id=user)
        assert second["source"] == "cache" and second["items"] == first["items"]

    def test_pages_are_parts_of_one_list(self, world: World, user: str):
        whole = world.best(world.history(user), 60)
        pages = [world.items(user_id=user, k=7, offset=offset) for offset in range(0, 60, 7)]
        assert [item for page in pages for item in page] == whole
        assert world.post("/v1/recommend", user_id=user, k=7, offset=7)["items"][0]["rank"] == 8
        assert world.items(user_id=user, offset=200) == []

    def test_somebody_by_what_they_have(self, world: World):
        history = world.run.dataset.items.ids[4:8]
        answer = world.post("/v1/recommend", history=history, k=5)
        assert [item["item_id"] for item in answer["items"]] == world.best(list(history), 5)
        again = world.post("/v1/recommend", history=history, k=5)
        assert (answer["source"], again["source"]) == ("model", "cache")
        assert again["items"] == answer["items"]
        assert world.items(history=history[:1], k=5) == world.best(list(history[:1]), 5)

    @pytest.mark.parametrize("asked", [{"user_id": "nobody"}, {"history": []}])
    def test_nobody_gets_what_is_popular(self, world: World, asked):
        answer = world.post("/v1/recommend", **asked)
        assert answer["cold_user"] and answer["source"] == "model"
        assert [item["item_id"] for item in answer["items"]] == popular(world.run)[:10]

    def test_seen_items_where_they_are_wanted(self, world: World, user: str):
        history = world.history(user)
        found = world.items(user_id=user, k=60, exclude_seen=False)
        assert found == world.best(history, 60, exclude_seen=False)
        assert set(history) <= set(found)

    def test_several_at_once(self, world: World):
        users = world.run.dataset.users.ids[:9]
        asked = [{"user_id": user, "k": 3} for user in users]
        answers = world.post("/v1/recommend:batch", requests=asked)["answers"]
        for user, answer in zip(users, answers, strict=True):
            expected = world.best(world.history(user), 3)
            assert [item["item_id"] for item in answer["items"]] == expected


class TestWishes:
    def test_allow_and_deny(self, world: World, user: str):
        best = world.best(world.history(user), 60)
        for _ in range(2):  # by the model, then from the store
            assert world.items(user_id=user, k=3, deny=best[:2]) == best[2:5]
            assert world.items(user_id=user, k=5, allow=[best[30], best[4], "no such"]) == [
                *(best[4], best[30])
            ]
            assert world.items(user_id=user, allow=[]) == []
            world.items(user_id=user)
            world.settle()

    def test_filters(self, world: World, user: str):
        dataset = world.run.dataset
        best = world.best(world.history(user), 60)
        index = dataset.items.index_of
        brands = {item: dataset.catalog.brand[index(item)] for item in best}
        shelves = {item: dataset.catalog.categories[index(item)] for item in best}
        brand, shelf = brands[best[7]], shelves[best[9]][-1]
        some = sorted({*brands.values()})[:3]
        of_brand = [item for item in best if brands[item] == brand]
        both = [item for item in best if shelf in shelves[item] and brands[item] in some]
        for _ in range(2):
            assert world.items(user_id=user, k=60, filters={"brand": [brand]}) == of_brand
            found = world.items(user_id=user, k=60, filters={"brand": some, "categories": [shelf]})
            assert found == both
            assert world.items(user_id=user, filters={"brand": ["none such"]}) == []
            world.items(user_id=user)
            world.settle()

    def test_filters_of_people_without_items(self, world: World):
        catalog = world.run.dataset.catalog
        shelf = catalog.categories[0][-1]
        index = world.run.dataset.items.index_of
        expected = [i for i in popular(world.run) if shelf in catalog.categories[index(i)]]
        found = world.items(user_id="nobody", k=60, filters={"categories": [shelf]})
        assert found == expected

    def test_few_stored_items_are_no_reason_for_few(self, make_world: Make):
        world = make_world(stored=5)
        user = world.run.dataset.users.ids[7]
        best = world.best(world.history(user), 60)
        assert world.items(user_id=user, k=3) == best[:3]
        world.settle()
        assert world.post("/v1/recommend", user_id=user, k=3)["source"] == "cache"
        asked = world.post("/v1/recommend", user_id=user, k=3, deny=best[:4])
        assert [item["item_id"] for item in asked["items"]] == best[4:7]
        assert asked["source"] == "model"
        assert world.items(user_id=user, k=20, offset=10) == best[10:30]

    def test_stored_lists_of_a_batch_job(self, world: World, user: str):
        """However short they are, and whatever they hold."""
        best = world.best(world.history(user), 60)
        version = world.service.shop.active.version
        rows = [("gone", 9.0), *((item, 1.0) for item in best[:4])]
        world.service.shop.store.put_lists(version, [(user, StoredList(0, rows))])
        answer = world.post("/v1/recommend", user_id=user, k=4)
        assert answer["source"] == "cache"
        assert [item["item_id"] for item in answer["items"]] == best[:4]
        assert world.items(user_id=user, k=9) == best[:9]


class TestEvents:
    def test_the_next_list_knows(self, world: World, user: str):
        history = world.history(user)
        first = world.items(user_id=user)
        world.settle()
        assert world.event(user, first[0], "k1") == {"accepted": 1, "repeated": 0}
        answer = world.post("/v1/recommend", user_id=user, k=59)
        found = [item["item_id"] for item in answer["items"]]
        assert answer["source"] == "model" and first[0] not in found
        assert found == world.best([*history, first[0]], 59)

    def test_sent_twice_it_counts_once(self, world: World, user: str):
        item = world.run.dataset.items.ids[0]
        world.event(user, item, "k1")
        assert world.event(user, item, "k1") == {"accepted": 0, "repeated": 1}
        told = {"user_id": user, "item_id": item}
        events = [{"key": "k2", **told}, {"key": "k2", **told}, {"key": "k1", **told}]
        assert world.post("/v1/events", events=events) == {"accepted": 1, "repeated": 2}

    def test_dismissing_hides_and_says_nothing(self, world: World, user: str):
        best = world.best(world.history(user), 60)
        world.event(user, best[0], "k1", "dismiss")
        assert world.items(user_id=user, k=59) == best[1:]
        hidden = world.items(user_id=user, k=60, exclude_seen=False)
        assert best[0] not in hidden and set(world.history(user)) <= set(hidden)
        have = world.client.get(f"/v1/users/{user}/history").json()["items"]
        assert [item["item_id"] for item in have] == world.history(user)

    def test_a_stranger_is_known_by_their_events(self, world: World):
        items = list(world.run.dataset.items.ids[10:13])
        for n, item in enumerate(items):
            world.event("stranger", item, f"k{n}", "view")
        answer = world.post("/v1/recommend", user_id="stranger", k=5)
        assert [item["item_id"] for item in answer["items"]] == world.best(items, 5)
        assert not answer["cold_user"]
        have = world.client.get("/v1/users/stranger/history").json()["items"]
        assert [item["item_id"] for item in have] == items

    def test_a_history_in_the_order_of_what_happened(self, world: World):
        items = world.run.dataset.items.ids
        world.event("w", items[1], "a", timestamp=2_000)
        world.event("w", items[2], "b", timestamp=1_000)
        have = world.client.get("/v1/users/w/history").json()["items"]
        assert [item["item_id"] for item in have] == [items[2], items[1]]

    def test_one_unknown_item_refuses_all(self, world: World, user: str):
        known = world.run.dataset.items.ids[0]
        events = [
            {"key": str(n), "user_id": user, "item_id": item}
            for n, item in enumerate([known, "no such item"])
        ]
        answer = world.client.post("/v1/events", json={"events": events})
        assert answer.status_code == 422
        assert "events[1]" in answer.json()["error"] and "PUT" in answer.json()["error"]
        assert world.service.shop.store.person(user).seen == 0

    def test_events_hide_items_of_a_named_history(self, world: World):
        items = world.run.dataset.items.ids
        best = world.best([items[5]], 60)
        world.event("w", best[0], "a")
        assert world.items(user_id="w", history=[items[5]], k=60) == best[1:]

    def test_all_workers_know(self, make_world: Make):
        one, two = make_world(), make_world()
        user = one.run.dataset.users.ids[3]
        first = one.items(user_id=user)
        one.settle()
        assert two.items(user_id=user) == first
        one.event(user, first[0], "k")
        assert first[0] not in two.items(user_id=user, k=59)


class TestItems:
    def test_what_is_not_available_is_not_shown(self, make_world: Make):
        one, two = make_world(), make_world()
        user = one.run.dataset.users.ids[3]
        best = one.best(one.history(user), 60)
        assert one.items(user_id=user, k=3) == two.items(user_id=user, k=3) == best[:3]
        changed = one.client.put(f"/v1/items/{best[1]}", json={"available": False})
        assert changed.status_code == 200 and not changed.json()["available"]
        for world in (one, two):
            assert world.items(user_id=user, k=3) == [best[0], *best[2:4]]
            assert best[1] not in world.items(user_id="nobody", k=60)
            assert best[1] not in world.items(history=[best[5]], k=60)
        one.client.put(f"/v1/items/{best[1]}", json={"available": True})
        assert two.items(user_id=user, k=3) == best[:3]

    def test_what_changes_of_an_item(self, make_world: Make):
        one, two = make_world(), make_world()
        item = one.run.dataset.items.ids[0]
        before = one.client.get(f"/v1/items/{item}/similar").json()["item"]
        one.client.put(f"/v1/items/{item}", json={"title": "New", "brand": "Own"})
        assert two.items(user_id="nobody", filters={"brand": ["Own"]}) == [item]
        told = two.post("/v1/recommend", user_id="nobody", allow=[item])["items"][0]
        assert told["title"] == "New"
        after = two.client.get(f"/v1/items/{item}/similar").json()["item"]
        assert after == {**before, "title": "New", "brand": "Own"}

    def test_a_new_item_may_be_had(self, make_world: Make, monkeypatch):
        monkeypatch.setattr(Shop, "has_grown", False)  # as before the model is told of it
        one, two = make_world(), make_world()
        told = {"title": "Fresh", "brand": "b", "categories": ["c"]}
        answer = one.client.put("/v1/items/fresh/1", json=told)
        assert answer.json() == {"item_id": "fresh/1", "available": True, **told}
        known = one.run.dataset.items.ids[5]
        two.event("w", "fresh/1", "a")
        two.event("w", known, "b")
        have = one.client.get("/v1/users/w/history").json()["items"]
        assert [item["item_id"] for item in have] == ["fresh/1", known]
        assert one.items(user_id="w", k=5) == one.best([known], 5)
        asked = {"user_id": "w", "candidates": ["fresh/1"]}
        refused = two.client.post("/v1/rank", json=asked)
        assert refused.status_code == 422 and "newer than" in refused.json()["error"]

    def test_similar_items(self, world: World):
        item = world.run.dataset.items.ids[5]
        expected = world.run.model.similar_items([item], 4).to_frame()["item_id"].to_list()
        answer = world.client.get(f"/v1/items/{item}/similar", params={"k": 4}).json()
        assert [each["item_id"] for each in answer["items"]] == expected
        assert answer["unit"] == "EASE weight"
        world.client.put(f"/v1/items/{expected[0]}", json={"available": False})
        again = world.client.get(f"/v1/items/{item}/similar", params={"k": 3}).json()
        assert [each["item_id"] for each in again["items"]] == expected[1:]
        assert world.client.get("/v1/items/none/similar").status_code == 404


class TestRanking:
    def test_candidates_by_the_models_scores(self, world: World, user: str):
        history, ids = world.history(user), list(world.run.dataset.items.ids[:20])
        whole = world.best(history, 60, exclude_seen=False)
        answer = world.post("/v1/rank", user_id=user, candidates=[*ids, ids[0]])
        assert [item["item_id"] for item in answer["items"]] == [i for i in whole if i in ids]
        assert answer["source"] == "model"

    def test_of_people_without_items(self, world: World):
        ids = list(world.run.dataset.items.ids[:20])
        answer = world.post("/v1/rank", history=[], candidates=ids)
        assert answer["cold_user"]
        assert [item["item_id"] for item in answer["items"]] == [
            item for item in popular(world.run) if item in ids
        ]

    def test_reasons_of_the_graph(self, world: World):
        """Counted by hand: who took both, by everything the data set tells."""
        dataset = world.run.dataset
        user = dataset.users.ids[7]
        history = world.history(user)
        item = world.items(user_id=user, k=1)[0]
        rows: dict[str, set[str]] = {}
        for who in dataset.users.ids:
            for taken in world.history(who):
                rows.setdefault(taken, set()).add(who)
        shared = {had: len(rows[item] & rows[had]) for had in history}
        answer = world.post("/v1/explain", user_id=user, item_id=item)
        (reason,) = answer["reasons"]
        most = max(shared.values())
        assert reason["name"] == "graph" and f"{most} p" in reason["text"]
        assert shared[reason["items"][0]] == most and reason["share"] == 1
        assert answer["text"].endswith(reason["text"])
        told = world.post("/v1/recommend", user_id=user, k=1, explain=True)["items"][0]
        assert told["item_id"] == item and told["reasons"] == [reason]

    def test_reasons_of_parts(self, world: World, user: str, monkeypatch):
        from edgewise.recommender import ScoreShare

        index = world.run.dataset.items.index_of
        had = index(world.history(user)[0])
        share = ScoreShare("texts", 1.0, 0.75, "titles like", ((had, 1.0),))
        model = world.service.shop.active.run.model
        monkeypatch.setattr(model, "shares", lambda users, rows, items: [(share,)] * len(items))
        item = world.items(user_id=user, k=1)[0]
        answer = world.post("/v1/explain", user_id=user, item_id=item)
        title = world.run.dataset.item_label(had)
        reason = {"name": "texts", "share": 0.75, "text": f'titles like "{title}"'}
        assert answer["reasons"] == [{**reason, "items": [world.history(user)[0]]}]
        assert "75 % texts: titles like" in answer["text"]

    def test_reasons_for_nobody(self, world: World):
        item = world.run.dataset.items.ids[0]
        answer = world.post("/v1/explain", history=[], item_id=item)
        assert answer["reasons"][0]["name"] == "popularity"


class TestForgetting:
    def test_nothing_is_known_any_more(self, make_world: Make):
        one, two = make_world(), make_world()
        user = one.run.dataset.users.ids[7]
        best = one.items(user_id=user)
        assert two.items(user_id=user) == best
        one.event(user, best[0], "k")
        one.settle()
        answer = one.client.delete(f"/v1/users/{user}")
        assert answer.json() == {"user_id": user, "events": 1, "lists": 1}
        for world in (one, two):
            told = world.post("/v1/recommend", user_id=user)
            assert told["cold_user"]
            assert [item["item_id"] for item in told["items"]] == popular(world.run)[:10]
            assert world.client.get(f"/v1/users/{user}/history").status_code == 404

    def test_who_comes_back_is_new(self, world: World, user: str):
        world.client.delete(f"/v1/users/{user}")
        item = world.run.dataset.items.ids[9]
        world.event(user, item, "k")
        assert world.items(user_id=user, k=5) == world.best([item], 5)


class TestLate:
    def slow(self, world: World, monkeypatch) -> threading.Event:
        model, go = world.service.shop.active.run.model, threading.Event()
        rank = model.rank

        def waits(*asked):
            assert go.wait(120)
            return rank(*asked)

        monkeypatch.setattr(model, "rank", waits)
        return go

    def test_popular_items_when_the_deadline_passes(self, make_world: Make, monkeypatch):
        world = make_world(deadline_ms=50)
        user = world.run.dataset.users.ids[7]
        go = self.slow(world, monkeypatch)
        answer = world.post("/v1/recommend", user_id=user, k=5, deny=popular(world.run)[:1])
        assert answer["source"] == "fallback" and not answer["cold_user"]
        history = world.history(user)
        assert [item["item_id"] for item in answer["items"]] == [
            item for item in popular(world.run)[1:] if item not in history
        ][:5]
        go.set()

    def test_a_list_that_comes_late_is_kept(self, make_world: Make, monkeypatch):
        world = make_world(deadline_ms=50)
        user = world.run.dataset.users.ids[7]
        go = self.slow(world, monkeypatch)
        assert world.post("/v1/recommend", user_id=user)["source"] == "fallback"
        go.set()
        for _ in range(6000):
            answer = world.post("/v1/recommend", user_id=user)
            if answer["source"] == "cache":
                break
            time.sleep(0.01)
        assert [item["item_id"] for item in answer["items"]] == world.best(world.history(user))

    def test_popular_items_when_the_model_fails(self, world: World, user: str, monkeypatch):
        def fails(*asked):
            raise RuntimeError("no more memory")

        model = world.service.shop.active.run.model
        for name in ("rank", "score_lists", "shares"):
            monkeypatch.setattr(model, name, fails)
        answer = world.post("/v1/recommend", user_id=user, explain=True)
        assert answer["source"] == "fallback" and answer["items"][0]["reasons"] == []
        ids = list(world.run.dataset.items.ids[:9])
        ranked = world.post("/v1/rank", user_id=user, candidates=ids)
        assert ranked["source"] == "fallback"
        assert [each["item_id"] for each in ranked["items"]] == [
            item for item in popular(world.run) if item in ids
        ]
        refused = world.client.post("/v1/explain", json={"user_id": user, "item_id": ids[0]})
        assert refused.status_code == 503


def test_events_that_the_data_set_has_been_told_of_count_once(world: World, user: str):
    """As on the day after the log was joined to the data set."""
    dataset = world.run.dataset
    rows = dataset.interactions
    place = int(rows.by_user(dataset.num_users)[dataset.users.index_of(user)][-1])
    item = dataset.items.ids[rows.item_index[place]]
    assert rows.timestamp is not None
    world.event(user, item, "a", timestamp=int(rows.timestamp[place]))
    have = world.client.get(f"/v1/users/{user}/history").json()["items"]
    assert [each["item_id"] for each in have] == world.history(user)
    world.event(user, item, "b", timestamp=int(rows.timestamp[place]) + 5)
    have = world.client.get(f"/v1/users/{user}/history").json()["items"]
    assert [each["item_id"] for each in have] == [*world.history(user), item]


def test_a_batch_jobs_list_of_somebody_without_items_is_told_as_such(world: World, user: str):
    served, store = world.service.shop.active, world.service.shop.store
    offsets = served.histories.offsets.copy()
    index = served.user_index(user)
    kept = np.ones(len(served.histories.values), bool)
    kept[offsets[index] : offsets[index + 1]] = False
    vars(served)["histories"] = served.histories.keep(kept)
    best = popular(world.run)
    store.put_lists(served.key, [(user, StoredList(0, [(item, 1.0) for item in best[:20]]))])
    answer = world.post("/v1/recommend", user_id=user)
    assert answer["cold_user"] and [each["item_id"] for each in answer["items"]] == best[:10]
    world.event(user, best[0], "k", "dismiss")
    assert world.items(user_id=user) == best[1:11]
