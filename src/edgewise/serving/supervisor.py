"""Processes that answer at one address: started, started again when they die, ended together."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import Any

import uvicorn

from edgewise.serving.app import ServeSettings, create_app, worker_name
from edgewise.serving.logs import log_as_json
from edgewise.serving.store import open_store

DRAIN_SECONDS = 30
_CANNOT_START = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
_BACKLOG = 2048

log = logging.getLogger("edgewise.serving")


class _Server(uvicorn.Server):
    """Says when it answers."""

    on_ready: Callable[[], None] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_ready()


def work(
    settings: ServeSettings,
    listener: socket.socket,
    on_ready: Callable[[], None] = lambda: None,
) -> int:
    """Answer until told to end (SIGTERM, SIGINT); requests that were begun are finished.

    Args:
        settings: of the worker.
        listener: a socket that listens.
        on_ready: told when it answers.

    Returns:
        The exit status: 3 where the application could not start.
    """
    log_as_json(settings.log_level)
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=_BACKLOG,
    )
    server = _Server(config)
    server.on_ready = on_ready
    with suppress(SystemExit, KeyboardInterrupt):
        server.run([listener])
    return 0 if server.started else _CANNOT_START


def _process(settings: ServeSettings, listener: socket.socket, ready: Event) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(work(settings, listener, ready.set))


def _end_with_parent() -> None:
    """Nobody starts workers again, and the address stays taken, where the parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


class Supervisor:
    """Keeps so many workers alive as the settings say.

    Args:
        settings: of each worker.
        listener: a socket that listens, and is shared by all.
    """

    def __init__(self, settings: ServeSettings, listener: socket.socket) -> None:
        self.settings = settings
        self.listener = listener
        self._spawn = multiprocessing.get_context("spawn")
        self._workers: list[tuple[BaseProcess, str]] = []
        self._ready = self._spawn.Event()
        self._ending = False
        self._wake, self._waker = os.pipe()

    def run(self) -> int:
        """Start workers, and start those again that die, until told to end.

        Returns:
            The exit status: that of a worker which could not start at first, otherwise 0.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._workers = [self._start() for _ in range(self.settings.workers)]
        status, pause = 0, _FIRST_PAUSE
        while not self._ending:
            wait([self._wake, *(worker.sentinel for worker, _ in self._workers)])
            for place, (worker, name) in enumerate(self._workers):
                if self._ending or worker.is_alive():
                    continue
                worker.join()
                status = worker.exitcode or 0
                if status == _CANNOT_START and not self._ready.is_set():
                    self._ending = True
                    break
                log.warning("a worker died", extra={"worker": worker.pid, "status": status})
                self._left(name)
                pause = _FIRST_PAUSE if status != _CANNOT_START else pause
                time.sleep(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
                self._workers[place] = self._start()
                status = 0
        self._stop()
        return status

    def _start(self) -> tuple[BaseProcess, str]:
        settings = replace(self.settings, name=worker_name())
        process = self._spawn.Process(target=_process, args=(settings, self.listener, self._ready))
        process.start()
        return process, settings.name

    def _left(self, name: str) -> None:
        """Tell the store of a worker that cannot tell itself, so that no switch waits for it."""
        try:
            store = open_store(self.settings.store)
            store.leave(name)
            store.close()
        except Exception:  # it is known to be dead after some seconds of silence
            log.exception("the store could not be told that a worker died")

    def _end(self, number: int, frame: Any) -> None:
        self._ending = True
        os.write(self._waker, b"x")

    def _stop(self) -> None:
        for worker, _ in self._workers:
            if worker.is_alive():
                worker.terminate()
        until = time.monotonic() + DRAIN_SECONDS + 5
        for worker, _ in self._workers:
            worker.join(max(0.1, until - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()
