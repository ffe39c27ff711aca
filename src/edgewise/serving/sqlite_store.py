"""The store of one machine: an SQLite file that all workers read and write.

Write-ahead logging lets readers go on while somebody writes. Events, forgetting, items and switches
are written with ``synchronous=FULL``: they are on the disk before anybody is told so, and survive
both kill -9 and a loss of power, as far as the disk keeps what it has confirmed. Lists, which can
be worked out again, are written with ``synchronous=NORMAL``: after a loss of power some may be
missing. People are named by a keyed hash in all tables but the log of events.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgewise.errors import ConfigError, DataError
from edgewise.serving.store import (
    Lookup,
    Person,
    StoredEvent,
    StoredItem,
    StoredList,
    Switch,
    Worker,
)

try:
    import orjson
except ModuleNotFoundError:
    raise ConfigError("a store needs more packages: pip install 'edgewise[serve]'") from None

_VERSION = 1
_BUSY_SECONDS = 20
_ASKED_AT_ONCE = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    place INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL,
    item_id TEXT NOT NULL, kind TEXT NOT NULL, timestamp INTEGER NOT NULL,
    recommendation_id TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_user ON events (user_id, place);
CREATE TABLE IF NOT EXISTS people (
    who BLOB PRIMARY KEY, seen INTEGER NOT NULL, forgotten INTEGER NOT NULL DEFAULT 0)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lists (
    who BLOB NOT NULL, version TEXT NOT NULL, seen INTEGER NOT NULL, items BLOB NOT NULL,
    UNIQUE (who, version));
CREATE TABLE IF NOT EXISTS items (
    item_id TEXT PRIMARY KEY, change TEXT NOT NULL, place INTEGER NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS workers (
    name TEXT PRIMARY KEY, told REAL NOT NULL, ready TEXT NOT NULL, failed TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""
_EVENT = "key, user_id, item_id, kind, timestamp, recommendation_id, place"
_LOOK_UP = """
SELECT (SELECT value FROM state WHERE name = 'active'),
       (SELECT value FROM state WHERE name = 'items'), people.seen, people.forgotten,
       lists.seen, CASE WHEN lists.seen IS NOT ?3 THEN lists.items END
FROM (SELECT 1) LEFT JOIN people ON people.who = ?1
LEFT JOIN lists ON lists.who = ?1 AND lists.version = ?2
    AND lists.seen = coalesce(people.seen, 0)
"""
_PUT_LIST = """
INSERT INTO lists (who, version, seen, items) SELECT ?1, ?2, ?3, ?4
WHERE ?3 = coalesce((SELECT seen FROM people WHERE who = ?1), 0)
ON CONFLICT (who, version) DO UPDATE SET seen = excluded.seen, items = excluded.items
"""
_CHANGED = """
INSERT INTO people (who, seen, forgotten) VALUES (?1, ?2, ?3)
ON CONFLICT (who) DO UPDATE SET seen = seen + ?2, forgotten = max(forgotten, ?3)
"""
_SET = "INSERT INTO state VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class SQLiteStore:
    """See :class:`edgewise.serving.store.Store`; each thread has a connection of its own.

    Args:
        path: of the file, made where there is none, readable by its owner alone.

    Raises:
        DataError: it is no store, or one of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not path.exists():  # people's events are nobody else's to read
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._create()
            self.salt = self._state("salt")
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{path}: cannot be used as a store ({error}); name another file"
            ) from None

    def _create(self) -> None:
        with self._writing() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise DataError(
                    f"{self.path}: a store of version {version}, this edgewise reads {_VERSION}"
                )
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_VERSION}")
            db.execute("INSERT OR IGNORE INTO state VALUES ('salt', ?)", (os.urandom(16),))

    # Events and people

    def add_events(self, events: Sequence[StoredEvent]) -> list[bool]:
        new: list[bool] = []
        changes: dict[str, int] = {}
        with self._writing() as db:
            for event in events:
                done = db.execute(
                    f"INSERT OR IGNORE INTO events ({_EVENT}) VALUES (?, ?, ?, ?, ?, ?, NULL)",
                    (
                        *(event.key, event.user_id, event.item_id, event.kind),
                        *(event.timestamp, event.recommendation_id),
                    ),
                )
                new.append(done.rowcount == 1)
                if new[-1]:
                    changes[event.user_id] = changes.get(event.user_id, 0) + 1
            db.executemany(_CHANGED, [(self._who(user), n, 0) for user, n in changes.items()])
        return new

    def events_of(self, user_ids: Sequence[str]) -> dict[str, list[StoredEvent]]:
        found: dict[str, list[StoredEvent]] = {}
        for start in range(0, len(user_ids), _ASKED_AT_ONCE):
            part = list(user_ids[start : start + _ASKED_AT_ONCE])
            marks = ", ".join("?" * len(part))
            rows = self._db.execute(
                f"SELECT {_EVENT} FROM events WHERE user_id IN ({marks}) ORDER BY place", part
            )
            for row in rows:
                found.setdefault(row[1], []).append(StoredEvent(*row))
        return found

    def events_after(self, place: int, limit: int) -> list[StoredEvent]:
        asked = f"SELECT {_EVENT} FROM events WHERE place > ? ORDER BY place LIMIT ?"
        return [StoredEvent(*row) for row in self._db.execute(asked, (place, limit))]

    def person(self, user_id: str) -> Person:
        with self._reading() as db:
            asked = "SELECT seen, forgotten FROM people WHERE who = ?"
            row = db.execute(asked, (self._who(user_id),)).fetchone()
            if row is None:
                return Person()
            events = self.events_of([user_id]).get(user_id, [])
        return Person(row[0], bool(row[1]), events)

    def forget(self, user_id: str) -> tuple[int, int]:
        who = self._who(user_id)
        with self._writing() as db:
            events = db.execute("DELETE FROM events WHERE user_id = ?", (user_id,)).rowcount
            lists = db.execute("DELETE FROM lists WHERE who = ?", (who,)).rowcount
            db.execute(_CHANGED, (who, 1, 1))
        # What was deleted stays readable in the log file until it is taken over and cut.
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return events, lists

    # Lists

    def put_lists(self, version: str, lists: Iterable[tuple[str, StoredList]]) -> None:
        rows = [
            (self._who(user), version, each.seen, orjson.dumps(each.items)) for user, each in lists
        ]
        with self._writing(durable=False) as db:
            db.executemany(_PUT_LIST, rows)

    def get_list(self, version: str, user_id: str) -> StoredList | None:
        return self.look_up(user_id, version).list

    def look_up(self, user_id: str, version: str, held: int | None = None) -> Lookup:
        active, items, seen, forgotten, list_seen, text = self._db.execute(
            _LOOK_UP, (self._who(user_id), version, held)
        ).fetchone()
        found = None if text is None else StoredList(list_seen, orjson.loads(text))
        return Lookup(active, items or 0, seen or 0, bool(forgotten), found)

    def delete_lists(self, keep: Sequence[str]) -> int:
        marks = ", ".join("?" * len(keep))
        asked = (
            f"DELETE FROM lists WHERE rowid IN (SELECT rowid FROM lists "
            f"WHERE version NOT IN ({marks}) LIMIT {_ASKED_AT_ONCE})"
        )
        deleted = 0
        while True:  # a few at a time: others want to write
            with self._writing(durable=False) as db:
                count = db.execute(asked, tuple(keep)).rowcount
            deleted += count
            if count < _ASKED_AT_ONCE:
                return deleted

    # Items

    def put_item(self, item_id: str, change: Mapping[str, Any]) -> StoredItem:
        with self._writing() as db:
            row = db.execute("SELECT change FROM items WHERE item_id = ?", (item_id,)).fetchone()
            joined = {**(json.loads(row[0]) if row else {}), **change}
            place = (self._state("items") or 0) + 1
            db.execute(_SET, ("items", place))
            db.execute(
                "INSERT INTO items VALUES (?, ?, ?) ON CONFLICT (item_id) DO UPDATE SET "
                "change = excluded.change, place = excluded.place",
                (item_id, json.dumps(joined), place),
            )
        return StoredItem(item_id, joined, place)

    def items_after(self, place: int) -> list[StoredItem]:
        asked = "SELECT item_id, change, place FROM items WHERE place > ? ORDER BY place"
        rows = self._db.execute(asked, (place,))
        return [StoredItem(item, json.loads(change), at) for item, change, at in rows]

    # Workers and versions

    def beat(self, worker: Worker) -> Switch:
        row = (worker.name, time.time(), json.dumps([*worker.ready]), json.dumps({**worker.failed}))
        with self._writing(durable=False) as db:
            db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?)", row)
            return self._switch()

    def leave(self, name: str) -> None:
        with self._writing(durable=False) as db:
            db.execute("DELETE FROM workers WHERE name = ?", (name,))

    def workers(self, within: float) -> list[Worker]:
        rows = self._db.execute(
            "SELECT name, ready, failed FROM workers WHERE told >= ? ORDER BY name",
            (time.time() - within,),
        )
        return [Worker(name, json.loads(ready), json.loads(bad)) for name, ready, bad in rows]

    def begin(self, version: str, known: Sequence[str]) -> str:
        with self._writing() as db:
            active = self._state("active")
            if active in known:
                return active
            db.execute(_SET, ("active", version))
            return version

    def want(self, version: str, seconds: float) -> str | None:
        with self._writing() as db:
            if self._switch().wanted is not None:
                return None
            attempt = os.urandom(8).hex()
            db.execute(_SET, ("wanted", json.dumps([version, attempt, time.time() + seconds])))
            return attempt

    def renew(self, attempt: str, seconds: float) -> bool:
        with self._writing(durable=False) as db:
            switch = self._switch()
            if switch.wanted is None or switch.attempt != attempt:
                return False
            db.execute(
                _SET, ("wanted", json.dumps([switch.wanted, attempt, time.time() + seconds]))
            )
            return True

    def activate(self, attempt: str, within: float) -> bool:
        with self._writing() as db:
            switch = self._switch()
            if switch.wanted is None or switch.attempt != attempt:
                return False
            if any(switch.wanted not in worker.ready for worker in self.workers(within)):
                return False
            db.execute(_SET, ("active", switch.wanted))
            db.execute("DELETE FROM state WHERE name = 'wanted'")
            return True

    def give_up(self, attempt: str) -> None:
        with self._writing() as db:
            if self._switch().attempt == attempt:
                db.execute("DELETE FROM state WHERE name = 'wanted'")

    def close(self) -> None:
        # A connection that is closed while its thread is in SQLite crashes the process; one that
        # nobody refers to any more closes itself, which a thread's own call puts off to its end.
        self._local = threading.local()

    # The file

    def _who(self, user_id: str) -> bytes:
        return hashlib.blake2b(user_id.encode(), key=self.salt, digest_size=16).digest()

    def _state(self, name: str) -> Any:
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _switch(self) -> Switch:
        told = self._state("wanted")
        version, attempt, until = json.loads(told) if told else (None, "", 0)
        if time.time() >= until:
            return Switch(self._state("active"))
        return Switch(self._state("active"), version, attempt)

    @property
    def _db(self) -> sqlite3.Connection:
        db = getattr(self._local, "db", None)
        if db is None:
            db = sqlite3.connect(
                self.path, _BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            _to_wal(db)
            db.execute("PRAGMA secure_delete = ON").fetchall()
            self._local.db = db
        return db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Several reads as of one moment."""
        db = self._db
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("COMMIT")

    @contextmanager
    def _writing(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All at once or not at all; on the disk at the end, if it is to be durable."""
        db = self._db
        db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


def _to_wal(db: sqlite3.Connection) -> None:
    """Change to the write-ahead log, where SQLite itself does not wait for other connections."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
