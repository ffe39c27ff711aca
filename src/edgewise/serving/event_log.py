"""Events: what they tell beside the rows of a data set, and how they are written.

Those of concurrent requests are written together: one flush to the disk for all that wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edgewise.data.dataset import Dataset
from edgewise.data.ragged import Ragged
from edgewise.serving.store import Store, StoredEvent

DISMISS = "dismiss"
_MOST_AT_ONCE = 5_000


def taken(dataset: Dataset, histories: Ragged, user: int) -> set[tuple[str, int]]:
    """What the data set says somebody took, and when; empty where it has no times.

    Args:
        dataset: whose rows stand by user.
        histories: of all its users, by all its rows.
        user: by index, -1 for people who are not in the data.
    """
    rows = dataset.interactions
    if user < 0 or rows.timestamp is None:
        return set()
    part = slice(*histories.offsets[[user, user + 1]])
    ids = dataset.items.ids
    items = (ids[item] for item in rows.item_index[part])
    return set(zip(items, rows.timestamp[part].tolist(), strict=True))


def new_events(
    events: Sequence[StoredEvent], dataset: Dataset, histories: Ragged, user: int
) -> list[StoredEvent]:
    """Somebody's events by time, less those that the data set has been told of since.

    Arguments as for :func:`taken`.
    """
    told: Container[tuple[str, int]] = taken(dataset, histories, user) if events else ()
    ordered = sorted(events, key=lambda event: event.timestamp)
    return [event for event in ordered if (event.item_id, event.timestamp) not in told]


def had_and_dismissed(
    events: Iterable[StoredEvent], find: Callable[[str], int | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Items that join the history and items that are only hidden, ``int32`` each, in their order.

    Args:
        events: of somebody.
        find: the index of an item id; None where there is none, which says nothing.
    """
    had: list[int] = []
    dismissed: list[int] = []
    for event in events:
        item = find(event.item_id)
        if item is not None:
            (dismissed if event.kind == DISMISS else had).append(item)
    return np.array(had, dtype=np.int32), np.array(dismissed, dtype=np.int32)


class EventLog:
    """See the module.

    Args:
        store: where they are written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._waiting: list[tuple[Sequence[StoredEvent], asyncio.Future[list[bool]]]] = []
        self._task: asyncio.Task | None = None

    async def add(self, events: Sequence[StoredEvent]) -> list[bool]:
        """Write events; they are on the disk when it returns. Says which keys were new."""
        future: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())
        return await asyncio.shield(future)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            part, size = [], 0
            while self._waiting and size < _MOST_AT_ONCE:
                part.append(self._waiting.pop(0))
                size += len(part[-1][0])
            rows = [event for events, _ in part for event in events]
            try:
                new = await loop.run_in_executor(self._thread, self._store.add_events, rows)
            except Exception as error:  # nobody may be told that it was written
                for _, future in part:
                    if not future.done():
                        future.set_exception(error)
                continue
            for events, future in part:
                if not future.done():
                    future.set_result(new[: len(events)])
                new = new[len(events) :]

    async def close(self) -> None:
        """Write what waits."""
        if self._task is not None:
            await self._task
        self._thread.shutdown(wait=True)
