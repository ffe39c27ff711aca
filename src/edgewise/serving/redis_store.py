"""The store of several hosts: one Redis that all workers of all hosts read and write.

Every operation is one Lua script, which Redis runs alone: all of it at once or not at all, in one
round trip. Times are Redis's own, so that the hosts' clocks need not agree.

What Redis must be configured with, so that an event that was acknowledged is never lost:
``appendonly yes``, and ``appendfsync always`` to survive a loss of power as the SQLite store does.
With ``appendfsync everysec`` events survive the end of the Redis process, but a loss of power may
cost those of the last second or two. ``maxmemory-policy`` must be ``noeviction`` or one of the
``volatile-`` policies: lists alone have an end (30 days), so that they alone may be driven out. The
log says so at the start where Redis is configured otherwise. A replica that takes over may lack
what its master acknowledged last.

People are named by a keyed hash everywhere but in the log of events. What was forgotten stays in
Redis's append-only file until Redis writes that anew: by itself as it grows, or by
``BGREWRITEAOF``. Redis Cluster is not supported.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from edgewise.errors import ConfigError, DataError
from edgewise.serving.redis_scripts import PREFIX, SCRIPTS
from edgewise.serving.store import (
    Lookup,
    Person,
    StoredEvent,
    StoredItem,
    StoredList,
    StoreError,
    Switch,
    Worker,
)

try:
    import orjson
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ModuleNotFoundError:
    raise ConfigError("a Redis store needs more packages: pip install 'edgewise[serve]'") from None

T = TypeVar("T")
_VERSION = 1
_LIST_SECONDS = 30 * 86_400
_CONNECT_SECONDS, _ANSWER_SECONDS = 2.0, 2.0
_LISTS_AT_ONCE, _PEOPLE_AT_ONCE, _ITEMS_AT_ONCE, _EVENTS_AT_ONCE = 200, 500, 1_000, 1_000
_LISTS_SCANNED = 1_000
_STAMP = 20

log = logging.getLogger("edgewise.serving")


class RedisStore:
    """See :class:`edgewise.serving.store.Store`; used by several threads at once.

    Each method raises :class:`~edgewise.serving.store.StoreError` while Redis cannot be used.

    Args:
        url: ``redis://[[NAME]:PASSWORD@]HOST[:PORT][/N]``, or ``rediss://`` for TLS.

    Raises:
        ConfigError: the address is none, or nobody answers there.
        DataError: it holds a store of another version.
    """

    def __init__(self, url: str) -> None:
        self.name = _without_secrets(url)
        try:
            self._redis = redis.Redis.from_url(
                url,
                socket_connect_timeout=_CONNECT_SECONDS,
                socket_timeout=_ANSWER_SECONDS,
                retry=Retry(NoBackoff(), 0),  # see _ask
            )
        except ValueError as error:
            raise ConfigError(f"--store {self.name}: {error}; give redis://HOST:PORT/N") from None
        self._scripts = {name: self._redis.register_script(text) for name, text in SCRIPTS.items()}
        try:
            version, self.salt = self._ask("open", _VERSION, os.urandom(16))
        except StoreError as error:
            raise ConfigError(
                f"--store {error}: start Redis there, or check host, port and password"
            ) from None
        if int(version) != _VERSION:
            raise DataError(
                f"{self.name}: a store of version {int(version)}, this edgewise reads {_VERSION}"
            )
        self._warn()

    def __repr__(self) -> str:
        return f"RedisStore({self.name!r})"

    # Events and people

    def add_events(self, events: Sequence[StoredEvent]) -> list[bool]:
        told: list[Any] = []
        for event in events:
            row = [event.key, event.user_id, event.item_id, event.kind, event.timestamp]
            text = orjson.dumps([*row, event.recommendation_id])
            told += (event.key, self._who(event.user_id), text)
        return [bool(new) for new in self._ask("add_events", *told)]

    def events_of(self, user_ids: Sequence[str]) -> dict[str, list[StoredEvent]]:
        found: dict[str, list[StoredEvent]] = {}
        for part in _parts(dict.fromkeys(user_ids), _PEOPLE_AT_ONCE):
            rows = self._ask("events_of", *map(self._who, part))
            for user, events in zip(part, rows, strict=True):
                if events:
                    found[user] = _events(events)
        return found

    def events_after(self, place: int, limit: int) -> list[StoredEvent]:
        found: list[StoredEvent] = []
        while len(found) < limit:
            last, rows = self._ask("events_after", place, place + _EVENTS_AT_ONCE)
            found += _events(rows)
            place += _EVENTS_AT_ONCE
            if place >= last:
                break
        return found[:limit]

    def person(self, user_id: str) -> Person:
        seen, forgotten, events = self._ask("person", self._who(user_id))
        return Person(int(seen), bool(forgotten), _events(events))

    def forget(self, user_id: str) -> tuple[int, int]:
        events, lists = self._ask("forget", self._who(user_id))
        return events, lists

    # Lists

    def put_lists(self, version: str, lists: Iterable[tuple[str, StoredList]]) -> None:
        """See the contract; some hundred lists at once, each of which is there whole or not."""
        for part in _parts(lists, _LISTS_AT_ONCE):
            told: list[Any] = []
            for user, each in part:
                text = b"%020d" % each.seen + orjson.dumps(each.items)
                told += (self._who(user), each.seen, text)
            self._ask("put_lists", version, _LIST_SECONDS, *told)

    def get_list(self, version: str, user_id: str) -> StoredList | None:
        return self.look_up(user_id, version).list

    def look_up(self, user_id: str, version: str, held: int | None = None) -> Lookup:
        active, items, seen, forgotten, text = self._ask(
            "look_up", self._who(user_id), version, "" if held is None else held
        )
        found = None if text is None else StoredList(seen, orjson.loads(text[_STAMP:]))
        return Lookup(_text(active), int(items), seen, bool(forgotten), found)

    def delete_lists(self, keep: Sequence[str]) -> int:
        """See the contract; a thousand lists at a time, beside which others go on."""
        deleted = 0
        with _clear(self.name):
            names: Any = self._redis.smembers(f"{PREFIX}versions")
            for version in {name.decode() for name in names}.difference(keep):
                self._redis.srem(f"{PREFIX}versions", version)
                found = self._redis.scan_iter(f"{PREFIX}list:{_escaped(version)}:*", _LISTS_SCANNED)
                for part in _parts(found, _LISTS_SCANNED):
                    deleted += int(self._redis.unlink(*part))  # type: ignore[arg-type]
        return deleted

    # Items

    def put_item(self, item_id: str, change: Mapping[str, Any]) -> StoredItem:
        told = [part for name, value in change.items() for part in (name, orjson.dumps(value))]
        place, fields = self._ask("put_item", item_id, *told)
        return StoredItem(item_id, _change(fields), place)

    def items_after(self, place: int) -> list[StoredItem]:
        found: dict[str, StoredItem] = {}
        while rows := self._ask("items_after", place, _ITEMS_AT_ONCE):
            for item, at, fields in rows:
                place = int(at)
                found[item.decode()] = StoredItem(item.decode(), _change(fields), place)
        return sorted(found.values(), key=lambda each: each.place)

    # Workers and versions

    def beat(self, worker: Worker) -> Switch:
        told = orjson.dumps({"ready": list(worker.ready), "failed": dict(worker.failed)})
        active, wanted, attempt = self._ask("beat", worker.name, told)
        return Switch(_text(active), _text(wanted), attempt.decode())

    def leave(self, name: str) -> None:
        with suppress(StoreError):  # who cannot say so is silent, which is soon taken for it
            self._ask("leave", name)

    def workers(self, within: float) -> list[Worker]:
        rows = self._ask("workers", _microseconds(within))
        return [Worker(name.decode(), **orjson.loads(told)) for name, told in sorted(rows)]

    def begin(self, version: str, known: Sequence[str]) -> str:
        return self._ask("begin", version, *known).decode()

    def want(self, version: str, seconds: float) -> str | None:
        attempt = os.urandom(8).hex()
        done = self._ask("want", version, attempt, _microseconds(seconds))
        return attempt if done else None

    def renew(self, attempt: str, seconds: float) -> bool:
        return bool(self._ask("renew", attempt, _microseconds(seconds)))

    def activate(self, attempt: str, within: float) -> bool:
        # Asked once more after it was done, it would say that it was not.
        return bool(self._ask("activate", attempt, _microseconds(within), again=False))

    def give_up(self, attempt: str) -> None:
        self._ask("give_up", attempt)

    def close(self) -> None:
        self._redis.close()

    # Redis

    def _ask(self, script: str, *told: Any, again: bool = True) -> Any:
        """Run a script; once more where the connection broke, as Redis may have started anew.

        All scripts but ``activate`` may run twice.
        """
        run = self._scripts[script]
        with _clear(self.name):
            try:
                return run(keys=[PREFIX], args=told)
            except redis.ConnectionError:
                if not again:
                    raise
                return run(keys=[PREFIX], args=told)

    def _who(self, user_id: str) -> str:
        return hashlib.blake2b(user_id.encode(), key=self.salt, digest_size=16).hexdigest()

    def _warn(self) -> None:
        """Say what may be lost as Redis is configured."""
        try:
            names = ("appendonly", "appendfsync", "maxmemory-policy")
            told = {name: self._redis.config_get(name).get(name) for name in names}  # type: ignore[union-attr]
        except redis.RedisError:
            log.info(
                "whether Redis keeps what it acknowledges is not known: CONFIG GET is not allowed",
                extra={"store": self.name},
            )
            return
        for warning in warnings_of(told):
            log.warning(warning, extra={"store": self.name})


def warnings_of(settings: Mapping[str, str | None]) -> list[str]:
    """What Redis's settings put at risk, in words.

    Args:
        settings: ``appendonly``, ``appendfsync`` and ``maxmemory-policy``.
    """
    found: list[str] = []
    if settings.get("appendonly") != "yes":
        found.append(
            "events may be lost when Redis ends: set 'appendonly yes' and 'appendfsync always'"
        )
    elif settings.get("appendfsync") == "no":
        found.append(
            "events of many seconds may be lost with the power: set 'appendfsync always', or "
            "'everysec' to lose those of a second"
        )
    if (settings.get("maxmemory-policy") or "").startswith("allkeys-"):
        found.append(
            "events may be driven out of memory by others: set 'maxmemory-policy noeviction', or "
            "'volatile-lru', by which stored lists alone go"
        )
    return found


class _clear:  # noqa: N801 - reads as a statement, and costs less than a generator
    """Redis's failures as the store's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, redis.RedisError | OSError):
            raise StoreError(f"{self.name}: {error}") from None


def _events(rows: Sequence[Any]) -> list[StoredEvent]:
    return [StoredEvent(*orjson.loads(text), place=int(place)) for place, text in rows]


def _change(fields: Sequence[bytes]) -> dict[str, Any]:
    """Of a hash as a script answers it: names and values in turn."""
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return {name.decode(): orjson.loads(value) for name, value in pairs}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _microseconds(seconds: float) -> int:
    return round(1_000_000 * seconds)


def _parts(values: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part


def _escaped(version: str) -> str:
    """As SCAN's pattern for itself."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in version)


def _without_secrets(url: str) -> str:
    """An address to be shown: without name and password, and without options."""
    kind, _, rest = url.partition("://")
    return f"{kind}://{rest.partition('?')[0].rpartition('@')[2]}"
