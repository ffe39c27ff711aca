"""Another version for all workers at one moment, or for none.

Two phases through the store: a wish tells every worker to load the version beside the one that
answers; when all that live have told that they are ready, the store's active version is set in one
transaction that checks it once more. Workers read the active version with every request, so after
that moment none answers by the old one. If a worker fails, or is not ready in time, the wish is
given up and everything stays. A worker that was silent for so long that it counted as dead finds
itself without the active version, and refuses until it has loaded it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from edgewise.display import one_line
from edgewise.errors import EdgewiseError
from edgewise.serving.shop import Shop
from edgewise.serving.store import Switch, Worker

SILENT_SECONDS = 10.0
LOAD_SECONDS = 300.0
GROW_SECONDS = 60.0
_BEAT_SECONDS, _LOOK_SECONDS = 0.5, 0.1

log = logging.getLogger("edgewise.serving")


class SwitchError(EdgewiseError):
    """A version cannot be made the active one; the old one answers on."""


class Switcher(threading.Thread):
    """Tells the store that this worker lives, and loads the versions that are wanted.

    Args:
        shop: whose versions they are.
        name: of the worker, unlike that of any other.
    """

    def __init__(self, shop: Shop, name: str) -> None:
        super().__init__(name="switcher", daemon=True)
        self.shop = shop
        self.worker = name
        self.wanted: str | None = None
        self._failed: dict[str, str] = {}
        self._grow_next = 0.0
        self._stop_now = threading.Event()
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._load: Future[None] | None = None
        self.beat()  # from now on no switch happens without this worker

    def catch_up(self) -> None:
        """Load what became active while this worker was starting, before it answers."""
        active = self.shop.store.look_up("", "").active
        if active is not None:
            self.shop.load(active)

    def run(self) -> None:
        while not self._stop_now.wait(_BEAT_SECONDS):
            try:
                self.beat()
            except Exception:  # the store may be locked for a while
                log.exception("the store could not be told that this worker lives")

    def beat(self) -> None:
        """Tell what is loaded, and do what is wanted."""
        told = Worker(self.worker, list(self.shop.loaded), dict(self._failed))
        switch = self.shop.store.beat(told)
        self.wanted = switch.wanted
        if self._load is not None and not self._load.done():
            return
        if switch.active is not None and switch.active not in self.shop.loaded:
            self._load = self._loader.submit(self._try, Switch(switch.active, switch.active))
        elif (
            switch.wanted is not None
            and switch.wanted not in self.shop.loaded
            and switch.attempt not in self._failed
        ):
            self._load = self._loader.submit(self._try, switch)
        elif switch.wanted is None:
            self._failed.clear()
            self.shop.unload(switch.active)
            if self.shop.has_grown and time.monotonic() >= self._grow_next:
                self._grow_next = time.monotonic() + GROW_SECONDS
                self._load = self._loader.submit(self._grow)

    def _grow(self) -> None:
        try:
            self.shop.grow()
        except Exception:  # the model goes on without them
            log.exception("the model could not be told of new items")

    def _try(self, switch: Switch) -> None:
        assert switch.wanted is not None
        try:
            self.shop.load(switch.wanted)
        except Exception as error:
            known = isinstance(error, EdgewiseError)
            self._failed[switch.attempt] = one_line(str(error) if known else repr(error))
            log.warning(
                "a version could not be loaded",
                extra={"version": switch.wanted, "error": self._failed[switch.attempt]},
            )

    def stop(self) -> None:
        """Say that this worker ends."""
        self._stop_now.set()
        self.join(_BEAT_SECONDS * 4)
        self._loader.shutdown(wait=False, cancel_futures=True)
        self.shop.store.leave(self.worker)


async def activate(shop: Shop, version: str, seconds: float = LOAD_SECONDS) -> None:
    """Make a version the active one in all workers; whoever asks afterwards is answered by it.

    Raises:
        UnknownIdError: there is no such version.
        SwitchError: it could not be loaded, or another switch is going on.
    """
    store = shop.store
    if (await asyncio.to_thread(store.look_up, "", version)).active == version:
        return
    versions = await asyncio.to_thread(shop.versions)
    if version not in versions:
        raise shop.unknown(version, versions)
    attempt = await asyncio.to_thread(store.want, version, SILENT_SECONDS)
    if attempt is None:
        raise SwitchError("another switch is going on: try again when it has ended")
    before = shop.active.version
    try:
        await _ready(shop, version, attempt, time.monotonic() + seconds)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(store.give_up, attempt))
        raise
    await asyncio.to_thread(shop.delete_old_lists, [version, before])


async def _ready(shop: Shop, version: str, attempt: str, until: float) -> None:
    while time.monotonic() < until and await asyncio.to_thread(
        shop.store.renew, attempt, SILENT_SECONDS
    ):
        workers = await asyncio.to_thread(shop.store.workers, SILENT_SECONDS)
        for worker in workers:
            if attempt in worker.failed:
                raise SwitchError(
                    f"{version} could not be loaded ({worker.failed[attempt]}); "
                    f"{shop.active.version} answers on"
                )
        ready = workers and all(version in worker.ready for worker in workers)
        if ready and await asyncio.to_thread(shop.store.activate, attempt, SILENT_SECONDS):
            return
        await asyncio.sleep(_LOOK_SECONDS)
    raise SwitchError(f"{version} was not ready in time; {shop.active.version} answers on")
