"""What every store must do; a module of tests makes one a store and imports all of these.

The module has a fixture ``opened``: ``opened()`` opens the same store once more, as another worker
would.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgewise.serving.store import Store, StoredEvent, StoredList, Worker

Open = Callable[[], Store]
LIST = StoredList(0, [("a", 2.5), ("b", -1.0)])


def event(key: str, user: str = "u", item: str = "i", kind: str = "click") -> StoredEvent:
    return StoredEvent(key, user, item, kind, 1_700_000_000, "r-1")


class TestEvents:
    def test_a_key_counts_once(self, opened: Open):
        store = opened()
        assert store.add_events([event("1"), event("2"), event("1")]) == [True, True, False]
        assert store.add_events([event("2", user="other"), event("3")]) == [False, True]
        assert [each.key for each in store.events_of(["u"])["u"]] == ["1", "2", "3"]
        assert store.person("u").seen == 3 and store.person("other").seen == 0

    def test_events_come_back_whole_and_in_order(self, opened: Open):
        store = opened()
        store.add_events([event("1", "u", "x"), event("2", "v", "y"), event("3", "u", "é\x00")])
        found = opened().events_of(["u", "v", "nobody"])
        assert set(found) == {"u", "v"}
        assert [(e.item_id, e.kind, e.timestamp) for e in found["u"]] == [
            ("x", "click", 1_700_000_000),
            ("é\x00", "click", 1_700_000_000),
        ]
        assert found["v"][0].recommendation_id == "r-1"
        assert [each.place for each in found["u"] + found["v"]] == [1, 3, 2]

    def test_the_log_is_read_on_from_a_place(self, opened: Open):
        store = opened()
        store.add_events([event(str(n), user=f"u{n % 2}") for n in range(5)])
        first = store.events_after(0, 3)
        assert [each.key for each in first] == ["0", "1", "2"]
        assert [each.key for each in store.events_after(first[-1].place, 9)] == ["3", "4"]

    def test_nothing_is_lost_when_many_write(self, opened: Open):
        def write(worker: int) -> None:
            store = opened()
            for n in range(20):
                store.add_events([event(f"{n}", user=f"u{worker}"), event(f"{worker}.{n}")])

        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = opened().events_after(0, 1000)
        own = [each for each in found if "." in each.key]
        assert len(own) == 80 and len(found) == 100  # a shared key is whoever's came first
        assert opened().person("u").seen == 80
        assert sum(opened().person(f"u{worker}").seen for worker in range(4)) == 20

    def test_many_people_at_once(self, opened: Open):
        store = opened()
        store.add_events([event(str(n), user=f"u{n}") for n in range(1200)])
        assert len(store.events_of([f"u{n}" for n in range(1200)])) == 1200


class TestLists:
    def test_a_list_is_kept_for_its_version(self, opened: Open):
        opened().put_lists("v1", [("u", LIST), ("w", StoredList(0, []))])
        store = opened()
        found = store.get_list("v1", "u")
        assert found is not None and [tuple(item) for item in found.items] == LIST.items
        assert store.get_list("v2", "u") is None and store.get_list("v1", "nobody") is None
        empty = store.get_list("v1", "w")
        assert empty is not None and not len(empty.items)

    def test_an_event_makes_a_list_stale(self, opened: Open):
        store = opened()
        store.put_lists("v1", [("u", LIST)])
        opened().add_events([event("1")])
        assert store.get_list("v1", "u") is None
        store.put_lists("v1", [("u", StoredList(1, [("c", 1.0)]))])
        found = store.get_list("v1", "u")
        assert found is not None and [tuple(item) for item in found.items] == [("c", 1.0)]

    def test_a_list_that_comes_late_is_passed_over(self, opened: Open):
        store = opened()
        store.add_events([event("1")])
        store.put_lists("v1", [("u", StoredList(1, [("c", 1.0)]))])
        store.put_lists("v1", [("u", LIST)])
        found = store.get_list("v1", "u")
        assert found is not None and found.seen == 1

    def test_what_is_looked_up_is_of_one_moment(self, opened: Open):
        store = opened()
        assert store.look_up("u", "v1").active is None
        store.begin("v1", ["v1"])
        store.put_lists("v1", [("u", LIST)])
        place = store.put_item("i", {"title": "x"}).place
        found = store.look_up("u", "v1")
        assert (found.active, found.items, found.seen, found.forgotten) == ("v1", place, 0, False)
        assert found.list is not None and found.list.seen == 0
        assert store.look_up("u", "v1", held=0).list is None  # the caller has it
        store.add_events([event("1")])
        store.put_lists("v1", [("u", StoredList(1, []))])
        again = store.look_up("u", "v1", held=0)
        assert again.seen == 1 and again.list is not None and again.list.seen == 1

    def test_lists_of_old_versions_go(self, opened: Open):
        store = opened()
        for version in ("v1", "v2", "v3"):
            store.put_lists(version, [("u", LIST)])
        assert store.delete_lists(["v3"]) == 2
        assert store.get_list("v3", "u") is not None and store.get_list("v1", "u") is None


class TestForgetting:
    def test_events_and_lists_go_and_it_is_known(self, opened: Open):
        store = opened()
        store.add_events([event("1"), event("2"), event("3", user="other")])
        store.put_lists("v1", [("u", StoredList(2, [])), ("other", StoredList(1, []))])
        store.put_lists("v2", [("u", StoredList(2, []))])
        assert store.forget("u") == (2, 2)
        person = opened().person("u")
        assert person.forgotten and not person.events and person.seen == 3
        assert store.look_up("u", "v1").forgotten and store.get_list("v1", "u") is None
        assert store.events_of(["u", "other"]).keys() == {"other"}
        assert store.get_list("v1", "other") is not None

    def test_a_list_of_before_is_never_kept(self, opened: Open):
        store = opened()
        store.forget("u")
        store.put_lists("v1", [("u", LIST)])  # of a batch job that reads the data set alone
        assert store.get_list("v1", "u") is None

    def test_who_comes_back_is_new(self, opened: Open):
        store = opened()
        store.add_events([event("1")])
        store.forget("u")
        assert store.add_events([event("1"), event("4")]) == [True, True]
        person = store.person("u")
        assert [each.key for each in person.events] == ["1", "4"] and person.forgotten
        assert store.forget("nobody") == (0, 0)


class TestItems:
    def test_changes_are_joined(self, opened: Open):
        store = opened()
        first = store.put_item("i", {"title": "x", "available": False})
        other = store.put_item("j", {"brand": "b"})
        last = store.put_item("i", {"available": True})
        assert first.place < other.place < last.place
        assert dict(last.change) == {"title": "x", "available": True}
        found = opened().items_after(0)
        assert [(each.item_id, dict(each.change)) for each in found] == [
            ("j", {"brand": "b"}),
            ("i", {"title": "x", "available": True}),
        ]
        assert [each.item_id for each in store.items_after(other.place)] == ["i"]
        assert not store.items_after(last.place)


class TestSwitch:
    def test_the_first_version_is_kept(self, opened: Open):
        store = opened()
        assert store.begin("v1", ["v1", "v2"]) == "v1"
        assert opened().begin("v2", ["v1", "v2"]) == "v1"
        assert store.begin("v3", ["v3"]) == "v3"  # v1 is not there any more

    def test_all_workers_or_none(self, opened: Open):
        store = opened()
        store.begin("v1", ["v1"])
        store.beat(Worker("one", ["v1"]))
        store.beat(Worker("two", ["v1"]))
        attempt = store.want("v2", 60)
        assert attempt is not None
        assert opened().want("v3", 60) is None  # one at a time
        told = store.beat(Worker("one", ["v1", "v2"]))
        assert (told.active, told.wanted, told.attempt) == ("v1", "v2", attempt)
        assert not store.activate(attempt, 10)
        store.beat(Worker("two", ["v2"]))
        assert not store.activate("another", 10)
        assert store.activate(attempt, 10)
        assert store.look_up("", "v2").active == "v2"
        assert store.beat(Worker("one", ["v2"])).wanted is None
        assert not store.activate(attempt, 10)

    def test_a_worker_that_left_is_not_waited_for(self, opened: Open):
        store = opened()
        store.begin("v1", ["v1"])
        store.beat(Worker("one", ["v2"]))
        store.beat(Worker("two", ["v1"], {"x": "no memory"}))
        assert [(each.name, dict(each.failed)) for each in store.workers(10)] == [
            ("one", {}),
            ("two", {"x": "no memory"}),
        ]
        attempt = store.want("v2", 60)
        assert attempt is not None and not store.activate(attempt, 10)
        store.leave("two")
        assert [each.name for each in store.workers(10)] == ["one"]
        assert store.activate(attempt, 10)

    def test_a_silent_worker_is_not_waited_for(self, opened: Open):
        store = opened()
        store.begin("v1", ["v1"])
        store.beat(Worker("one", ["v1"]))
        attempt = store.want("v2", 60)
        assert attempt is not None
        assert store.workers(0) == [] and store.activate(attempt, 0)

    def test_a_wish_ends(self, opened: Open):
        store = opened()
        store.begin("v1", ["v1"])
        attempt = store.want("v2", 60)
        assert attempt is not None
        store.give_up(attempt)
        assert store.want("v2", 0) is not None  # has ended at once
        assert store.want("v3", 60) is not None
        store.give_up(attempt)  # of an older wish: nothing
        assert store.beat(Worker("one")).wanted == "v3"

    def test_a_wish_lives_as_long_as_it_is_renewed(self, opened: Open):
        store = opened()
        attempt = store.want("v2", 60)
        assert attempt is not None
        assert opened().renew(attempt, 0) and store.beat(Worker("one")).wanted is None
        assert not store.renew(attempt, 60)
        assert store.want("v3", 60) is not None


def test_the_salt_stays(opened: Open):
    assert len(opened().salt) == 16 and opened().salt == opened().salt
