"""Workers: functions in processes of their own, one thread each, whose words go into a log.

A worker is asked to end when the command ends, and ends by itself when the command is killed, as
Ctrl-C would end it: a training can be resumed. A log belongs to one worker at a time.
"""

from __future__ import annotations

import contextlib
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

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
_PATIENCE = 30
_SHOWN = 300
_STOPPED = 130


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
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _print_into(log)
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
    """Ends a worker whose command was killed, in order if it can be."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_PATIENCE)
    os._exit(_STOPPED)


def _print_into(log: Path) -> None:
    """Everything that is printed from now on goes to the end of the log.

    Raises:
        StepError: another worker, of a command that was killed or goes on beside, writes it.
    """
    file = log.open("ab")
    try:
        import fcntl

        # Held until this process ends, however it ends.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except BlockingIOError:
        raise StepError(
            "another call of 'edgewise reproduce' still works on it: wait for it, or end it, which "
            "leaves a run that can be resumed, and try again"
        ) from None
    for number in (1, 2):
        os.dup2(file.fileno(), number)
