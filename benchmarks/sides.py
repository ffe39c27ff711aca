"""Two sides of a comparison that take turns, whatever versions their environments have.

A side is a process that makes its model once and then does one task each time it is asked, so that
neither computes while the other is timed. Both sides' processes import this file: it needs nothing
but Python.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_RESULT, _LEAST = "RESULT ", "least "
_ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "TOKENIZERS_PARALLELISM": "false",
}


class Side:
    """The other end of :func:`answer`.

    Args:
        python: the interpreter.
        script: what calls :func:`answer`.
        options: of the script.
        environment: variables beside this process's own and one thread.
        folder: that it works in, where libraries may leave files; this process's own if None.
    """

    def __init__(
        self,
        python: str,
        script: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            [python, str(script), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, **_ONE_THREAD, **(environment or {})},
        )
        self.tasks: Sequence[str] = self._told()

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()

    def run(self, task: str) -> dict[str, float]:
        """How many users, steps or batches were done, and in how many seconds."""
        return self._asked(task)

    def least_seconds(self, task: str) -> float | None:
        """What :func:`answer` was given for that, once; None = nothing."""
        return self._asked(_LEAST + task)["least_seconds"]

    def _asked(self, line: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._told()

    def _told(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if (found := told(line)) is not None:
                return found
        raise SystemExit(f"a side ended with status {self._process.wait()}; its message is above")


def answer(
    tasks: Mapping[str, Callable[[], int]],
    least_seconds: Callable[[Callable[[], object]], float] | None = None,
) -> None:
    """Do the task whose name comes in a line of the standard input, time it, and tell.

    Args:
        tasks: by name; each returns how many users, steps or batches it has done.
        least_seconds: that a task must take; see :meth:`Side.least_seconds`.
    """
    print(_RESULT + json.dumps(sorted(tasks)), flush=True)
    for line in sys.stdin:
        if line.startswith(_LEAST):
            task = tasks[line.removeprefix(_LEAST).strip()]
            least = None if least_seconds is None else least_seconds(task)
            print(_RESULT + json.dumps({"least_seconds": least}), flush=True)
            continue
        start = time.perf_counter(), time.process_time()
        count = tasks[line.strip()]()
        done = {
            "count": count,
            "seconds": time.perf_counter() - start[0],
            "processor_seconds": time.process_time() - start[1],
            "peak_bytes": peak_bytes(),
        }
        print(_RESULT + json.dumps(done), flush=True)


def told(line: str) -> Any:
    """What a side has told in a line; None for what its libraries print."""
    return json.loads(line.removeprefix(_RESULT)) if line.startswith(_RESULT) else None


def peak_bytes() -> int:
    """The most memory that this process has held."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
