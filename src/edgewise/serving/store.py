"""Where a service keeps what must outlive it: events, stored lists, items, and who is forgotten.

One :class:`Store` is shared by all workers of a service; :func:`open_store` opens one by its
address, SQLite on one machine and Redis for several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgewise.errors import ConfigError


class StoreError(Exception):
    """The store cannot be used now, though it may be in a moment."""


@dataclass(frozen=True)
class StoredEvent:
    """An event of the log; ``place`` counts all events of a store from 1."""

    key: str
    user_id: str
    item_id: str
    kind: str
    timestamp: int
    recommendation_id: str = ""
    place: int = 0


@dataclass(frozen=True)
class StoredList:
    """A list that was worked out before.

    Attributes:
        seen: of :class:`Person` when it was worked out: 0 for a batch job that reads the data set
            alone. The list is stale once the person's is another.
        items: item ids and scores, best first.
    """

    seen: int
    items: Sequence[tuple[str, float]] = field(default_factory=tuple)


@dataclass(frozen=True)
class Person:
    """What a store knows of somebody.

    Attributes:
        seen: how often what is known of them has changed: events so far, those that were
            forgotten included, and one for each time they were forgotten. Never falls.
        forgotten: what a data set says of them must not be used.
        events: in the log, oldest first.
    """

    seen: int = 0
    forgotten: bool = False
    events: Sequence[StoredEvent] = ()


@dataclass(frozen=True)
class Lookup:
    """What one cheap read tells, before every answer.

    Attributes:
        active: the version that answers; None before the first start.
        items: place of the newest change of an item, 0 without any.
        seen, forgotten: of the person.
        list: their list for the version asked about, unless it is stale or missing.
    """

    active: str | None
    items: int
    seen: int
    forgotten: bool
    list: StoredList | None


@dataclass(frozen=True)
class StoredItem:
    """What was changed of an item, all changes taken together; ``place`` of the newest."""

    item_id: str
    change: Mapping[str, Any]
    place: int


@dataclass(frozen=True)
class Worker:
    """A process of the service, as it told last.

    Attributes:
        ready: versions that it can answer by.
        failed: attempts of switches for which it could not load the version, and why.
    """

    name: str
    ready: Sequence[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Switch:
    """Which version answers, and which one every worker is to load; see ``serving/switch.py``.

    Attributes:
        active: the version that answers.
        wanted: the version that is to answer; None where no switch is going on.
        attempt: names the wish, so that an older failure is not taken for its own.
    """

    active: str | None
    wanted: str | None = None
    attempt: str = ""


class Store(Protocol):
    """What every store can do; all of it at once or not at all, and safe for several processes."""

    # Events and people

    def add_events(self, events: Sequence[StoredEvent]) -> list[bool]:
        """Write events to the log, on the disk before it returns; says which keys were new."""
        ...

    def events_of(self, user_ids: Sequence[str]) -> dict[str, list[StoredEvent]]:
        """Their events, oldest first; people without any are left out."""
        ...

    def events_after(self, place: int, limit: int) -> list[StoredEvent]:
        """Events of everybody in the order of the log, to be read on from a place."""
        ...

    def person(self, user_id: str) -> Person:
        """Somebody with their events, all as of one moment."""
        ...

    def forget(self, user_id: str) -> tuple[int, int]:
        """Delete a person's events and lists, returning their numbers, and keep that they went."""
        ...

    # Lists

    def put_lists(self, version: str, lists: Iterable[tuple[str, StoredList]]) -> None:
        """Keep one list a user (by id) for a model version, in place of an older one.

        A list that is stale already is passed over.
        """
        ...

    def get_list(self, version: str, user_id: str) -> StoredList | None:
        """The list of a user, unless it is stale or missing."""
        ...

    def look_up(self, user_id: str, version: str, held: int | None = None) -> Lookup:
        """What an answer to this person by this version needs to know, as of one moment.

        Args:
            held: ``seen`` of a list that the caller has kept; that one is not read again.
        """
        ...

    def delete_lists(self, keep: Sequence[str]) -> int:
        """Delete the lists of all versions but some; returns their number."""
        ...

    # Items

    def put_item(self, item_id: str, change: Mapping[str, Any]) -> StoredItem:
        """Join a change to what was changed of the item before."""
        ...

    def items_after(self, place: int) -> list[StoredItem]:
        """Items that changed after a place, by place."""
        ...

    # Workers and versions

    def beat(self, worker: Worker) -> Switch:
        """Say that a worker lives and what it can answer by; returns what is to be done."""
        ...

    def leave(self, name: str) -> None:
        """A worker ends."""
        ...

    def workers(self, within: float) -> list[Worker]:
        """Those that told within so many seconds."""
        ...

    def begin(self, version: str, known: Sequence[str]) -> str:
        """Make a version the active one, unless a known one is; returns the active one."""
        ...

    def want(self, version: str, seconds: float) -> str | None:
        """Ask all workers to load a version; returns the attempt, None if there is one already.

        The wish ends by itself after so many seconds, if whoever had it does not renew it.
        """
        ...

    def renew(self, attempt: str, seconds: float) -> bool:
        """Let a wish live on for so many seconds; False if it has ended."""
        ...

    def activate(self, attempt: str, within: float) -> bool:
        """Make the wanted version the active one, if all workers that live are ready for it.

        Args:
            attempt: that :meth:`want` gave; False if it has ended.
            within: seconds in which a worker that lives has told.
        """
        ...

    def give_up(self, attempt: str) -> None:
        """Give a wish up; what is active stays."""
        ...

    @property
    def salt(self) -> bytes:
        """A secret of this store, by which logs and tombstones name people."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def open_store(url: str | Path) -> Store:
    """The store at an address: a path or ``sqlite:///PATH``, or ``redis://HOST:PORT/N``.

    Raises:
        ConfigError: no such kind of address.
        DataError: the file is no store of this version.
    """
    from edgewise.serving.sqlite_store import SQLiteStore

    kind, mark, rest = str(url).partition("://")
    if kind in ("redis", "rediss") and mark:
        from edgewise.serving.redis_store import RedisStore

        return RedisStore(str(url))
    if not mark:
        return SQLiteStore(Path(url))
    if kind == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return SQLiteStore(Path(rest[1:]))
    raise ConfigError(
        f"--store {url}: give a path, sqlite:///PATH (sqlite:////PATH for an absolute one) or "
        "redis://HOST:PORT/N"
    )
