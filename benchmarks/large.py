"""What a data set of ten million rows costs: looked at, audited, and until a training begins.

Run ``python benchmarks/large.py [--rows N] [--json FILE]``. A made-up data set of 1,000,000 users
and 68,142 items of uneven activity and popularity is imported into a temporary folder (about 500 MB
in all). Each command runs in a process of its own: how long it took, its seconds of processor
(which other work on the machine does not stretch), the most memory it held, and of ``fit``, which
is stopped when it begins to train, how long until the plan and until the audit were printed. Fewer
rows shrink users and items alike.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

from made_up import Sizes, write_log
from measuring import Figures, report

NUM_ROWS, ITEMS_A_ROW = 10_000_000, 0.0068142
FITTED = ("popularity", "lightgcn", "sasrec")
_WHEN = {"plan": "plan_seconds", "audit:": "audit_seconds"}


def made_elsewhere(path: Path, sizes: Sizes, seed: int = 0) -> None:
    """Write a log in another process: one starts with the peak of the one that started it."""
    writer = get_context("spawn").Process(target=write_log, args=(path, sizes, seed))
    writer.start()
    writer.join()
    if writer.exitcode:
        sys.exit(f"{path} could not be written")


def timed(arguments: Sequence[str], *, training: bool = False) -> dict[str, float]:
    """Run a command in a process whose time and memory are its own.

    Args:
        arguments: of ``edgewise``.
        training: whether to stop it when its audit has been printed, and to tell when that was.
    """
    return timed_command([sys.executable, "-m", "edgewise.cli.main", *arguments], training=training)


def timed_command(command: Sequence[str], *, training: bool = False) -> dict[str, float]:
    """The same of any command."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    printed, told = list[str](), dict[str, float]()
    for line in process.stdout:
        printed.append(line)
        for word, name in _WHEN.items() if training else ():
            if line.startswith(word):
                told.setdefault(name, time.perf_counter() - start)
        if training and len(told) == len(_WHEN):
            process.terminate()
            break
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.stdout.close()
    finished = status == 0 or (training and len(told) == len(_WHEN))
    if not finished:
        sys.exit(f"{' '.join(command[1:])} failed:\n{''.join(printed)}")
    return {
        **(told or {"seconds": seconds}),
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def measure(num_rows: int = NUM_ROWS) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        path, data = Path(folder, "log.csv"), str(Path(folder, "data"))
        made_elsewhere(path, Sizes(num_rows, num_rows // 10, round(num_rows * ITEMS_A_ROW)))
        figures = {"import": timed(["data", "import", str(path), "--out", data])}
        path.unlink()
        figures["info"] = timed(["data", "info", data])
        figures["audit_fast"] = timed(["audit", "--data", data, "--fast"])
        figures["audit"] = timed(["audit", "--data", data])
        for method in FITTED:
            command = ["fit", method, "--data", data, "--out", str(Path(folder, method))]
            figures[f"fit_{method}"] = timed(command, training=True)
    return {name: {"rows": num_rows, **values} for name, values in figures.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--rows", type=int, default=NUM_ROWS, help="of the made-up data set")
    given, sys.argv[1:] = parser.parse_known_args()
    report(lambda: measure(given.rows), __doc__)
