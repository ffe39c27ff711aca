"""Where a service keeps what must outlive it: events, stored lists, items, and who is forgotten.

One :class:`Store` is shared by all workers of a service; :func:`open_store` opens one by its
address, SQLite on one machine and Redis for several.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


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
        seen: events that its user had in the store by then; it is stale once there are more.
        items: item ids and scores, best first.
    """

    seen: int
    items: Sequence[tuple[str, float]] = field(default_factory=tuple)


class Store(Protocol):
    """What every store can do; all of it at once or not at all, and safe for several processes."""

    def add_events(self, events: Sequence[StoredEvent]) -> int:
        """Write events to the log; returns how many were new, the others' keys are known."""
        ...

    def events_of(self, user_ids: Sequence[str]) -> dict[str, list[StoredEvent]]:
        """Their events, oldest first; people without any are left out."""
        ...

    def put_lists(self, version: str, lists: Iterable[tuple[str, StoredList]]) -> None:
        """Keep one list a user (by id) for a model version, in place of an older one."""
        ...

    def get_list(self, version: str, user_id: str) -> StoredList | None:
        """The list of a user, unless it is stale or missing."""
        ...

    def forget(self, user_id: str) -> tuple[int, int]:
        """Delete a person's events and lists, returning their numbers, and keep that they went."""
        ...


def open_store(url: str) -> Store:
    """The store at an address: a path or ``sqlite:///PATH``, or ``redis://HOST:PORT/N``."""
    raise NotImplementedError
