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

import numpy as np
import polars as pl
from measuring import Figures, report

NUM_ROWS, NUM_USERS, NUM_ITEMS = 10_000_000, 1_000_000, 68_142
FITTED = ("popularity", "lightgcn", "sasrec")
_WHEN = {"plan": "plan_seconds", "audit:": "audit_seconds"}


def write_csv(path: Path, num_rows: int) -> None:
    """Rows with times and ratings: log-normal activity, popularity about as one over the rank."""
    share = num_rows / NUM_ROWS
    num_users, num_items = max(3, round(share * NUM_USERS)), max(20, round(share * NUM_ITEMS))
    rng = np.random.default_rng(0)
    users = _drawn(rng, rng.lognormal(0, 1, num_users), num_rows - 2 * num_users)
    users = np.concatenate([np.repeat(np.arange(num_users), 2), users])
    items = _drawn(rng, (np.arange(num_items) + 20.0) ** -0.9, num_rows)
    times = np.sort(1_500_000_000 + rng.integers(0, 200_000_000, num_rows))
    order = rng.permutation(num_rows)
    table = pl.DataFrame({"user_id": users[order], "item_id": items, "timestamp": times})
    table.with_columns(
        pl.format("u{}", "user_id").alias("user_id"),
        pl.format("i{}", "item_id").alias("item_id"),
        rating=pl.Series(rng.integers(1, 6, num_rows)),
    ).write_csv(path)


def _drawn(rng: np.random.Generator, weights: np.ndarray, count: int) -> np.ndarray:
    done = np.cumsum(weights / weights.sum())
    return np.searchsorted(done, rng.random(count)).clip(max=len(weights) - 1)


def timed(arguments: Sequence[str], *, training: bool = False) -> dict[str, float]:
    """Run a command in a process whose time and memory are its own.

    Args:
        arguments: of ``edgewise``.
        training: whether to stop it when its audit has been printed, and to tell when that was.
    """
    command = [sys.executable, "-m", "edgewise.cli.main", *arguments]
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
        sys.exit(f"edgewise {' '.join(arguments)} failed:\n{''.join(printed)}")
    return {
        **(told or {"seconds": seconds}),
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def measure(num_rows: int = NUM_ROWS) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        path, data = Path(folder, "log.csv"), str(Path(folder, "data"))
        # Elsewhere, since a process starts with the peak of the one that started it.
        writer = get_context("spawn").Process(target=write_csv, args=(path, num_rows))
        writer.start()
        writer.join()
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
