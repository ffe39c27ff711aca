"""The store of one machine: the contract, its file, and what survives kill -9."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("orjson")

from tests.serving.store_contract import *  # noqa: F403
from tests.serving.store_contract import Open, event

from edgewise.errors import ConfigError, DataError
from edgewise.serving.store import Store, open_store


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    stores: list[Store] = []

    def open_once_more() -> Store:
        stores.append(open_store(f"sqlite:///{tmp_path / 'store.db'}"))
        return stores[-1]

    yield open_once_more
    for store in stores:
        store.close()


_WRITER = """
import sys
from edgewise.serving.store import StoredEvent, open_store
store = open_store(sys.argv[1])
for n in range(100_000):
    store.add_events([StoredEvent(f"{n}", "u", "i", "click", 1)])
    print(n, flush=True)
"""


def test_acknowledged_events_survive_kill_9(tmp_path):
    path = tmp_path / "store.db"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, path], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(50):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    told = 50 + len(writer.stdout.read().splitlines())
    writer.wait()
    found = open_store(path).person("u")
    assert told <= found.seen == len(found.events) <= told + 1


_CLOSER = """
import sys, threading, time
from edgewise.serving.store import StoredEvent, open_store

def work():
    for n in range(30):
        store.add_events([StoredEvent(f"{n}", "u", "i", "click", 1)])
        store.person("u")

store = open_store(sys.argv[1])
for _ in range(20):
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        store.close()
        time.sleep(0.0005)
"""


def test_it_may_be_closed_while_threads_are_at_work(tmp_path):
    path = tmp_path / "store.db"
    done = subprocess.run([sys.executable, "-c", _CLOSER, path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert open_store(path).person("u").seen == 30


def test_people_are_not_named_outside_of_the_log(tmp_path):
    store = open_store(tmp_path / "store.db")
    store.put_lists("v1", [("secret-name", StoredList(0, []))])  # noqa: F405
    store.add_events([event("1", user="secret-name")])
    store.forget("secret-name")
    store.close()
    for file in tmp_path.iterdir():
        assert b"secret-name" not in file.read_bytes()


def test_a_store_is_readable_by_its_owner_alone(tmp_path):
    open_store(tmp_path / "store.db").close()
    assert (tmp_path / "store.db").stat().st_mode & 0o777 == 0o600


def test_events_wait_for_the_disk_and_lists_do_not(tmp_path, opened: Open):
    store = opened()
    db = store._db  # type: ignore[attr-defined]
    store.add_events([event("1")])
    assert db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    store.put_lists("v", [])
    assert db.execute("PRAGMA synchronous").fetchone()[0] == 1  # NORMAL


@pytest.mark.parametrize("url", ["ftp://x", "sqlite://x", "sqlite:///"])
def test_addresses_that_are_none(url):
    with pytest.raises(ConfigError, match="sqlite:///PATH"):
        open_store(url)


def test_files_that_are_none(tmp_path):
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(DataError, match="cannot be used as a store"):
        open_store(tmp_path / "text")
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(DataError, match="a store of version 99"):
        open_store(tmp_path / "newer.db")


def test_a_place_that_cannot_be_written(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(OSError):
        open_store(tmp_path / "folder" / "store.db")
