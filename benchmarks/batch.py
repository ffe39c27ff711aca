"""What a batch costs: users a second, memory at ten times the users, and a killed Ray worker.

Run ``python benchmarks/batch.py [--users N] [--json FILE]``. Two made-up data sets of 5,000 items,
one of N users and one of ten times as many with about ten rows each, are written into a temporary
folder; popularity and item-knn are fitted on both, SASRec (preset tiny, one epoch) on the smaller.
Each command runs in a process of its own. ``open`` is the same command for one user, whose memory
is that of the opened run: the rest is what a batch adds. The last batch runs on two Ray workers, of
which one is killed by SIGKILL when the first shards stand; its rows must be those of the first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from large import timed
from measuring import Figures, report

NUM_USERS, NUM_ITEMS, ROWS_A_USER, K = 20_000, 5_000, 10, 100
_SHARD = 1_000
_TINY = ("--preset", "tiny", "--set", "training.epochs=1")


def write_data(folder: Path, num_users: int) -> None:
    """A data set whose items have a popularity of about one over the rank."""
    from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary

    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(num_users, dtype=np.int32), ROWS_A_USER)
    weights = (np.arange(NUM_ITEMS) + 20.0) ** -0.9
    done = np.cumsum(weights / weights.sum())
    items = np.searchsorted(done, rng.random(len(users))).clip(max=NUM_ITEMS - 1)
    times = np.tile(1_500_000_000 + 86_400 * np.arange(ROWS_A_USER), num_users)
    Dataset(
        f"made-up-{num_users}",
        Vocabulary(tuple(f"user-{n:08}" for n in range(num_users)), "user"),
        Vocabulary(tuple(f"item-{n:06}" for n in range(NUM_ITEMS)), "item"),
        Interactions(users, items.astype(np.int32), times.astype(np.int64)),
        Catalog.empty(NUM_ITEMS),
    ).save(folder)


def batch(run: Path, out: Path, num_users: int) -> dict[str, float]:
    """A batch of everybody beside one of a single user."""
    one = run.parent / "one.txt"
    one.write_text("user-00000000\n")
    command = ["batch", str(run), "-k", str(K), "--users-per-shard", str(_SHARD), "--out"]
    opened = timed([*command, f"{out}-one", "--users", str(one)])
    everybody = timed([*command, str(out)])
    counts = json.loads((out / "manifest.json").read_text())["counts"]
    assert counts["users"] == num_users and counts["rows"] == num_users * K - missing(out)
    wall, processor = (everybody[n] - opened[n] for n in ("seconds", "processor_seconds"))
    return {
        "users": num_users,
        "rows": counts["rows"],
        "seconds": everybody["seconds"],
        "open_seconds": opened["seconds"],
        "users_per_second": num_users / wall,
        "users_per_processor_second": num_users / processor,
        "peak_bytes": everybody["peak_bytes"],
        "open_peak_bytes": opened["peak_bytes"],
        "added_bytes": everybody["peak_bytes"] - opened["peak_bytes"],
    }


def missing(out: Path) -> int:
    """Places that short lists leave empty."""
    from edgewise import read_batch

    lengths = read_batch(out).lists().group_by("user_id").len().collect()["len"]
    return int((K - lengths).sum())


def killed_worker(run: Path, out: Path, num_users: int) -> dict[str, float]:
    """The same batch on two Ray workers, one of which is killed."""
    import psutil

    from edgewise import read_batch

    command = [sys.executable, "-m", "edgewise.cli.main", "batch", str(run), "-k", str(K)]
    command += ["--users-per-shard", str(_SHARD), "--out", f"{out}-ray"]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "--engine", "ray", "--workers", "2"])
    killed = 0
    while process.poll() is None:
        standing = len(list(Path(f"{out}-ray").glob("part-*.parquet")))
        if not killed and standing >= 2:
            for child in psutil.Process(process.pid).children(recursive=True):
                if "_Actor" in " ".join(child.cmdline()):
                    child.kill()
                    killed = standing
                    break
        time.sleep(0.02)
    assert process.returncode == 0 and killed, "no worker was killed"
    ours, theirs = read_batch(out), read_batch(f"{out}-ray")
    assert [s.sha256 for s in ours.shards.values()] == [
        theirs.shards[n].sha256 for n in ours.shards
    ], "every shard is the same file"
    return {
        "users": num_users,
        "seconds": time.perf_counter() - start,
        "shards": ours.num_shards,
        "shards_when_a_worker_was_killed": killed,
        "rows_lost_or_doubled": abs(theirs.counts["rows"] - ours.counts["rows"]),
    }


def measure(num_users: int = NUM_USERS) -> Figures:
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for size in (num_users, 10 * num_users):
            data = place / f"data-{size}"
            # Elsewhere, since a process starts with the peak of the one that started it.
            writer = get_context("spawn").Process(target=write_data, args=(data, size))
            writer.start()
            writer.join()
            methods = {"popularity": (), "item-knn": ()}
            if size == num_users:
                methods["sasrec"] = _TINY
            for method, more in methods.items():
                run = place / f"{method}-{size}"
                timed(["fit", method, "--data", str(data), "--out", str(run), *more])
                out = place / f"lists-{method}-{size}"
                figures[f"{method}_{size}"] = batch(run, out, size)
        if find_spec("ray") and find_spec("psutil"):
            run, out = (place / f"{what}item-knn-{num_users}" for what in ("", "lists-"))
            figures["two_ray_workers_one_killed"] = killed_worker(run, out, num_users)
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--users", type=int, default=NUM_USERS, help="of the smaller data set")
    given, sys.argv[1:] = parser.parse_known_args()
    report(lambda: measure(given.users), __doc__)
