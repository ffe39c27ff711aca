"""The store of several hosts: the contract on a real Redis, and what it survives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("redis")

import redis
from tests.serving.redis_server import SAFE, RedisServer
from tests.serving.store_contract import *  # noqa: F403
from tests.serving.store_contract import LIST, Open, event

from edgewise.errors import ConfigError, DataError
from edgewise.serving.redis_store import RedisStore, warnings_of
from edgewise.serving.store import Store, StoredList, StoreError, open_store


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    found = RedisServer(folder, ("--appendonly", "no"))  # nothing waits for the disk
    yield found
    found.kill()


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """Running and empty."""
    with redis.Redis(port=shared_server.port) as connection:
        connection.flushall()
    return shared_server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """To be killed."""
    found = RedisServer(tmp_path)
    yield found
    found.kill()


@pytest.fixture
def opened(server: RedisServer) -> Iterator[Open]:
    stores: list[Store] = []

    def open_once_more() -> Store:
        stores.append(open_store(server.url))
        return stores[-1]

    yield open_once_more
    for store in stores:
        store.close()


def test_acknowledged_events_survive_kill_9_of_redis(own_server: RedisServer):
    store = open_store(own_server.url)
    told: list[str] = []
    failed = threading.Event()

    def write() -> None:
        for n in range(100_000):
            try:
                store.add_events([event(f"{n}")])
            except StoreError:
                failed.set()
                return
            told.append(f"{n}")

    writer = threading.Thread(target=write)
    writer.start()
    while len(told) < 50:
        pass
    own_server.kill()
    writer.join()
    assert failed.is_set()
    own_server.start()
    found = [each.key for each in store.person("u").events]  # the same store connects again
    assert found[: len(told)] == told and len(told) <= len(found) <= len(told) + 1
    assert store.add_events([event(told[-1])]) == [False]
    assert open_store(own_server.url).salt == store.salt


def test_a_redis_that_starts_anew_is_not_noticed(own_server: RedisServer):
    store = open_store(own_server.url)
    store.put_lists("v1", [("u", LIST)])
    own_server.kill()
    own_server.start()
    assert store.get_list("v1", "u") is not None


def test_an_absent_redis_is_told_as_such(own_server: RedisServer):
    store = open_store(own_server.url)
    own_server.kill()
    with pytest.raises(StoreError, match=rf"redis://127.0.0.1:{own_server.port}/0: .*refused"):
        store.look_up("u", "v1")
    with pytest.raises(ConfigError, match="start Redis there"):
        open_store(own_server.url)


def test_passwords_are_not_shown():
    with pytest.raises(ConfigError) as error:
        open_store("redis://me:secret@127.0.0.1:1/0?client_name=x")
    assert "secret" not in str(error.value) and "redis://127.0.0.1:1/0:" in str(error.value)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:port/0", "redis://127.0.0.1:99999999/0"])
def test_addresses_that_are_none(url):
    with pytest.raises(ConfigError, match="--store redis://"):
        open_store(url)


def test_a_store_of_another_version(server: RedisServer):
    with redis.Redis(port=server.port) as connection:
        connection.set("edgewise:store", 99)
    with pytest.raises(DataError, match="a store of version 99"):
        open_store(server.url)


def test_one_lookup_is_one_round_trip(server: RedisServer, opened: Open):
    store = opened()
    store.put_lists("v1", [("u", LIST)])
    store.look_up("u", "v1")  # connects, and loads the script

    def reads() -> int:
        with redis.Redis(port=server.port) as connection:
            return connection.info("stats")["total_reads_processed"]  # type: ignore[index]

    before = reads()
    counting = reads() - before  # by the question itself
    before = reads()
    for _ in range(10):
        store.look_up("u", "v1")
    assert reads() - before - counting == 10


def test_lists_end_and_nothing_else_does(server: RedisServer, opened: Open):
    store = opened()
    store.put_lists("v1", [("u", LIST)])
    store.add_events([event("1", user="w")])
    store.put_item("i", {"title": "x"})
    store.beat(Worker("one"))  # noqa: F405
    store.forget("x")
    with redis.Redis(port=server.port, decode_responses=True) as connection:
        ending = {key for key in connection.scan_iter() if connection.ttl(key) > 0}  # type: ignore[union-attr]
    assert len(ending) == 1 and ending.pop().startswith("edgewise:list:v1:")


def test_versions_whose_names_are_patterns(opened: Open):
    store = opened()
    for version in ("v*", "v1", "v[1]", "v\\1"):
        store.put_lists(version, [("u", LIST)])
    assert store.delete_lists(["v1"]) == 3
    assert store.get_list("v1", "u") is not None


def test_more_lists_than_go_at_once(opened: Open):
    store = opened()
    store.put_lists("v1", ((f"u{n}", StoredList(0, [(str(n), 1.0)])) for n in range(1001)))
    for n in (0, 500, 1000):
        found = store.get_list("v1", f"u{n}")
        assert found is not None and list(found.items) == [[str(n), 1.0]]
    assert store.delete_lists([]) == 1001


def test_the_log_is_read_over_the_gap_of_who_was_forgotten(opened: Open):
    store = opened()
    store.add_events([event(f"u{n}") for n in range(2500)])
    store.add_events([event("last", user="w")])
    store.forget("u")
    assert [(each.key, each.place) for each in store.events_after(0, 10)] == [("last", 2501)]


def test_more_items_than_are_read_at_once(opened: Open):
    store = opened()
    for n in range(1200):
        store.put_item(f"i{n}", {"categories": []})
    found = store.items_after(100)
    assert [each.place for each in found] == list(range(101, 1201))
    assert dict(found[0].change) == {"categories": []}


def test_people_are_not_named_outside_of_the_log(server: RedisServer, opened: Open):
    store = opened()
    store.put_lists("v1", [("secret-name", StoredList(0, []))])
    store.add_events([event("1", user="secret-name")])
    store.forget("secret-name")
    with redis.Redis(port=server.port, decode_responses=True) as connection:
        for key in connection.scan_iter():  # type: ignore[union-attr]
            assert "secret-name" not in key
            kind = connection.type(key)
            held = {
                "string": lambda key: connection.getrange(key, 20, -1) if "list" in key else "",
                "hash": connection.hgetall,
                "list": lambda key: connection.lrange(key, 0, -1),
                "set": connection.smembers,
                "zset": lambda key: connection.zrange(key, 0, -1),
            }[kind](key)  # type: ignore[index]
            assert "secret-name" not in str(held)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}, []),
        ({"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "volatile-lru"}, []),
        ({"appendonly": "no", "appendfsync": "always"}, ["appendonly yes"]),
        ({"appendonly": "yes", "appendfsync": "no"}, ["appendfsync always"]),
        (
            {"appendonly": "no", "appendfsync": "no", "maxmemory-policy": "allkeys-lru"},
            ["appendonly yes", "noeviction"],
        ),
    ],
)
def test_what_a_redis_puts_at_risk_is_said(settings, told):
    found = warnings_of(settings)
    assert len(found) == len(told)
    assert all(word in warning for word, warning in zip(told, found, strict=True))


def test_the_log_has_the_warning(tmp_path, caplog):
    server = RedisServer(tmp_path, ("--appendonly", "no", "--rename-command", "KEYS", ""))
    try:
        with caplog.at_level(logging.INFO, "edgewise.serving"):
            RedisStore(server.url).close()
        assert "appendonly yes" in caplog.text
    finally:
        server.kill()


def test_a_redis_that_does_not_tell_its_settings_is_used(tmp_path, caplog):
    server = RedisServer(tmp_path, (*SAFE, "--rename-command", "CONFIG", ""))
    try:
        with caplog.at_level(logging.INFO, "edgewise.serving"):
            store = RedisStore(server.url)
        assert "CONFIG GET is not allowed" in caplog.text
        assert store.add_events([event("1")]) == [True]
        store.close()
    finally:
        server.kill()
