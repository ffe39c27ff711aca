"""Events of concurrent requests, written together: one flush to the disk for all that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from edgewise.serving.store import Store, StoredEvent

_MOST_AT_ONCE = 5_000


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
