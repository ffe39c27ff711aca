"""What importing a table of ten million rows costs, in seconds and memory.

Run ``python benchmarks/importing.py [--json FILE]``. A made-up csv is written to a temporary folder
(about 300 MB, the data set about 150 MB) and imported by a process of its own, as it is and as the
5-core, whose rounds need every row at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from measuring import report

NUM_ROWS, NUM_USERS, NUM_ITEMS = 10_000_000, 1_000_000, 200_000
OPTIONS = {"as_it_is": [], "five_core": ["--k-core", "5"]}


def write_csv(path: Path) -> None:
    """Interactions of users and items of uneven activity, in the order of their times."""
    rng = np.random.default_rng(0)
    users = (NUM_USERS * rng.random(NUM_ROWS) ** 2).astype(np.int64)
    items = (NUM_ITEMS * rng.random(NUM_ROWS) ** 2).astype(np.int64)
    table = pl.DataFrame({"user_id": users, "item_id": items})
    table.with_columns(
        pl.format("u{}", "user_id").alias("user_id"),
        pl.format("i{}", "item_id").alias("item_id"),
        rating=pl.Series(rng.integers(1, 6, NUM_ROWS)),
        timestamp=pl.Series(1_600_000_000 + np.arange(NUM_ROWS)),
    ).write_csv(path)


def import_csv(path: Path, out: Path, options: list[str]) -> dict[str, float]:
    """Import by the command, in a process whose memory is its own."""
    command = [sys.executable, "-m", "edgewise.cli.main", "data", "import", str(path)]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--out", str(out), *options], stdout=subprocess.DEVNULL, text=True
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"the import failed: {' '.join(options) or 'without options'}")
    counts = json.loads((out / "dataset.json").read_text(encoding="utf-8"))["counts"]
    return {
        "rows": NUM_ROWS,
        "kept_rows": counts["interactions"],
        "users": counts["users"],
        "items": counts["items"],
        "seconds": seconds,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def measure() -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        write_csv(path)
        return {
            name: import_csv(path, Path(folder, name), options) for name, options in OPTIONS.items()
        }


if __name__ == "__main__":
    report(measure, __doc__)
