"""Workers: functions in processes of their own, one thread each, whose words go into a log.

A worker is asked to end when the command ends, and ends at once when the command is killed: a
training can be resumed from wherever it ends, so that no worker goes on beside the next call's. A
log belongs to one worker at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from edgewise.errors import EdgewiseError
from edgewise.locks import locked

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
_PATIENCE = 30
_SHOWN = 300
_STOPPED = 130
_PR_SET_PDEATHSIG = 1


class StepError(EdgewiseError):
    """A step of a cell failed; the message is what went wrong and names the log."""


class StoppedError(EdgewiseError):
    """Somebody asked all cells to stop."""


class Workers:
    """Runs functions in processes of one thread each, until told to stop."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._running: set[Any] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def run(self, function: Callable[..., None], *args: Any, command: str, log: Path) -> None:
        """Run one function to its end.

        Args:
            function: with its arguments, of a module that a new process can import.
            command: what does the same from a command line; the log's first line.
            log: what is printed goes to its end.

        Raises:
            StepError: it failed, or another process still writes the log.
            StoppedError: :meth:`stop` was called.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        reader, writer = self._context.Pipe(duplex=False)
        process = self._started(writer, command, log, function, args)
        writer.close()
        self._wait(process)
        if self._stopping.is_set():
            raise StoppedError("stopped")
        if process.exitcode:
            said = _said(reader) or f"exit code {process.exitcode}"
            raise StepError(f"{said[:_SHOWN]} (see {log})")

    def stop(self) -> None:
        """End what is running in a state that can be resumed; start nothing more."""
        self._stopping.set()
        with self._lock:
            for process in self._running:
                process.terminate()

    def _started(self, writer: Connection, *args: Any) -> Any:
        with self._lock:
            if self._stopping.is_set():
                raise StoppedError("stopped")
            process = self._context.Process(target=_work, args=(writer, *args))
            with _environment(dict.fromkeys(_THREADS, "1")):
                process.start()
            self._running.add(process)
            return process

    def _wait(self, process: Any) -> None:
        while not wait([process.sentinel], timeout=1):
            if self._stopping.is_set() and not wait([process.sentinel], timeout=_PATIENCE):
                process.kill()
        process.join()
        with self._lock:
            self._running.discard(process)


def _said(reader: Connection) -> str:
    """Why a worker ended; empty if it had no time to say so."""
    with contextlib.suppress(EOFError):
        return reader.recv()
    return ""


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """What a new process inherits: libraries read it before any line of ours."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _work(
    writer: Connection,
    command: str,
    log: Path,
    function: Callable[..., None],
    args: tuple[Any, ...],
) -> None:
    """A worker, from its first line to its exit code."""
    signal.signal(signal.SIGTERM, _interrupted)
    # Ctrl-C in a terminal reaches all its processes; the command itself asks workers to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    try:
        with _printing_into(log):
            print(f"$ {command}", flush=True)
            function(*args)
    except KeyboardInterrupt:
        sys.exit(_STOPPED)
    except (EdgewiseError, OSError) as error:
        print(f"error: {error}", flush=True)
        writer.send(str(error))
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        writer.send(f"{type(error).__name__}: {error}")
        sys.exit(1)


def _interrupted(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """From now on this worker dies with its command, however that dies."""
    if sys.platform == "linux":
        # The kernel's signal reaches a worker that is deep in a library, too.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(_STOPPED)


@contextlib.contextmanager
def _printing_into(log: Path) -> Iterator[None]:
    """Everything that is printed from now on goes to the end of the log.

    Raises:
        LockedError: a worker of another call writes it.
    """
    with locked(log):
        with log.open("ab") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
        yield
