"""One command of a cell, run as a process of its own whose words go into a log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from edgewise.errors import EdgewiseError
from edgewise.experiments.commands import spelled

EDGEWISE = (sys.executable, "-m", "edgewise.cli.main")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
_PATIENCE = 30
_SHOWN = 300


class StepError(EdgewiseError):
    """A command of a cell failed; the message is its last line of error and names the log."""


class StoppedError(EdgewiseError):
    """Somebody asked all cells to stop."""


class Commands:
    """Runs ``edgewise`` commands in processes of one thread each, until told to stop.

    Args:
        program: what the words of a command are given to.
    """

    def __init__(self, program: Sequence[str] = EDGEWISE) -> None:
        self._program = program
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def run(self, words: Sequence[str], log: Path) -> None:
        """Run one command to its end.

        Raises:
            StepError: it failed.
            StoppedError: :meth:`stop` was called.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        mark = log.with_suffix(".pid")
        _refuse_second(mark)
        with log.open("ab") as file:
            file.write(f"$ {spelled(words)}\n".encode())
            file.flush()
            process = self._started(words, file)
            mark.write_text(str(process.pid), encoding="utf-8")
            code = self._wait(process)
        mark.unlink(missing_ok=True)
        if self._stopping.is_set():
            raise StoppedError("stopped")
        if code:
            raise StepError(f"{_last_words(log) or f'exit code {code}'} (see {log})")

    def stop(self) -> None:
        """End what is running as Ctrl-C would, so that it can be resumed; start nothing more."""
        self._stopping.set()
        with self._lock:
            for process in self._running:
                # SIGINT is ignored by whatever a script starts in the background.
                process.send_signal(signal.SIGTERM)

    def _started(self, words: Sequence[str], log: object) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopping.is_set():
                raise StoppedError("stopped")
            process = subprocess.Popen(
                [*self._program, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,  # type: ignore[arg-type]
                stderr=subprocess.STDOUT,
                env=os.environ | dict.fromkeys(_THREADS, "1"),
                # Ctrl-C reaches it through stop(), once, and not twice through the terminal.
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        try:
            while process.poll() is None:
                try:
                    return process.wait(timeout=_PATIENCE if self._stopping.is_set() else 1)
                except subprocess.TimeoutExpired:
                    if self._stopping.is_set():
                        process.kill()
            return process.returncode
        finally:
            with self._lock:
                self._running.discard(process)


def _refuse_second(mark: Path) -> None:
    """Leave a cell alone on which a process of an earlier call, killed since, still works."""
    try:
        number = int(mark.read_text(encoding="utf-8"))
        words = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if b"edgewise" in words:
        raise StepError(
            f"process {number} of an earlier call still works on it: wait for it, or end it with "
            f"'kill -TERM {number}', which leaves a run that can be resumed, and try again"
        )


def _last_words(log: Path) -> str:
    """The last error that a command printed, or its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").split("\n")]
    said = [line for line in lines if line and not line.startswith("$ ")]
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return (errors or said or [""])[-1][:_SHOWN]
