"""What grows with the data, and how: commands at 3, 9 and 30 million rows, lists, and an index.

Run ``python benchmarks/scale.py data|lists|index [--scales 1 3 10] [--json FILE]``. Scale 10 is
30,000,000 rows of 1,000,000 users and 200,000 items (``made_up.py``); it takes 3 GB on the disk.

- ``data``: import, look at, split, append to it and audit it all. From the smallest and the largest
  scale follows what a billion rows would take: seconds of processor and bytes of memory grow along
  the line through both. ``growth`` is the exponent of the seconds between the two, 1 being linear.
- ``lists``: 20 items for some of the users out of the whole catalogue, by ``batch`` and
  ``recommend``, from what each method learned from all of them; of popularity for everybody.
  ``--place FOLDER`` keeps data and runs there, and uses those that it has.
- ``index``: the ten nearest of generated vectors, exactly by blocks and by faiss (HNSW).

A file that is there is added to, so that scales may be measured one by one. Each command runs in a
process of its own. Seconds of processor are not stretched by other work.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from large import made_elsewhere, timed, timed_command
from made_up import Sizes
from measuring import Figures, keep

SCALES = (1.0, 3.0, 10.0)
BILLION, MACHINE = 1_000_000_000, 64 * 2**30  # rows; memory of a machine
USERS_ASKED, K = 10_000, 20
METHODS = {
    "popularity": (),
    "item-knn": ("--set", "neighbors=100"),
    "graph-filter": ("--set", "neighbors=200"),
    "graph-filter-svd": ("--preset", "svd"),
    "transitions": ("--set", "neighbors=200"),
}
Tell = Callable[[str, dict[str, float]], None]
VECTOR_SIZE, CLUSTERS, QUERIES, NEAREST = 32, 2000, 500, 10


def data(scales: list[float], place: Path, tell: Tell) -> None:
    """Every command at every scale."""
    log, more, folder = place / "log.csv", place / "more.csv", str(place / "data")
    edgewise = [sys.executable, "-m", "edgewise.cli.main"]
    own = [sys.executable, __file__, "split", folder, "--kind"]
    steps = {
        "import": [*edgewise, "data", "import", str(log), "--out", folder, "--force"],
        "info": [*edgewise, "data", "info", folder],
        "split_leave_one_out": [*own, "leave-one-out"],
        "split_ratio": [*own, "ratio"],
        "split_time": [*own, "time"],
        "audit_fast": [*edgewise, "audit", "--data", folder, "--fast"],
        "append": [*edgewise, "data", "append", folder, str(more)],
        "audit": [*edgewise, "audit", "--data", folder],
    }
    for scale in scales:
        sizes = Sizes.of_scale(scale)
        made_elsewhere(log, sizes)
        # A tenth as many rows again, of old users and some new ones, at other times.
        new = Sizes(sizes.rows // 10, sizes.users // 9, sizes.items)
        made_elsewhere(more, new, seed=1)
        for name, step in steps.items():
            values = {"rows": sizes.rows, "users": sizes.users, "items": sizes.items}
            tell(f"{name}_{scale:g}", values | timed_command(step))


def with_growth(figures: Figures) -> Figures:
    """The figures, and what follows from those of several scales."""
    found = dict[str, list[dict[str, float]]]()
    for name, values in figures.items():
        what, _, scale = name.rpartition("_")
        if scale.replace(".", "").isdigit() and "users" in values:
            found.setdefault(what, []).append(values)
    several = {what: sorted(v, key=lambda each: each["users"]) for what, v in found.items()}
    grown = {what: (v[0], v[-1]) for what, v in several.items() if len(v) > 1}
    return figures | {
        what: billion(*pair) if "rows" in pair[0] else a_user(*pair) for what, pair in grown.items()
    }


def a_user(small: dict[str, float], large: dict[str, float]) -> dict[str, float]:
    """What one user more, with his rows, adds to the memory of an opened run and of all lists."""
    users = large["users"] - small["users"]
    return {
        "open_bytes_a_user": (large["open_peak_bytes"] - small["open_peak_bytes"]) / users,
        "bytes_a_user": (large["peak_bytes"] - small["peak_bytes"]) / users,
    }


def billion(small: dict[str, float], large: dict[str, float]) -> dict[str, float]:
    """A billion rows of a step, on the line through the smallest and the largest scale."""

    def line(key: str) -> float:
        slope = (large[key] - small[key]) / (large["rows"] - small["rows"])
        return large[key] + slope * (BILLION - large["rows"])

    seconds = large["processor_seconds"] / small["processor_seconds"]
    memory = line("peak_bytes")
    return {
        "rows": BILLION,
        "growth": math.log(seconds) / math.log(large["rows"] / small["rows"]),
        "seconds_a_million_rows": large["processor_seconds"] / large["rows"] * 1e6,
        "bytes_a_row": (large["peak_bytes"] - small["peak_bytes"])
        / (large["rows"] - small["rows"]),
        "billion_hours": line("processor_seconds") / 3600,
        "billion_bytes": memory,
        "billion_machines": math.ceil(memory / MACHINE),
    }


def split(folder: str, kind: str) -> None:
    """Read a data set and split it; of each part, users and items are worked out."""
    from edgewise.data.dataset import Dataset
    from edgewise.data.splits import split_by_name

    found = split_by_name(Dataset.load(folder), kind)
    for part in (found.train, found.valid, found.test):
        print(f"{len(part):,} rows, {len(np.unique(part.item_index)):,} items")


def lists(scales: list[float], methods: list[str], place: Path, tell: Tell) -> None:
    """Lists for some users at every scale, and for everybody of popularity."""
    for scale in scales:
        sizes, log, folder = Sizes.of_scale(scale), place / "log.csv", place / f"data-{scale:g}"
        if not folder.exists():
            made_elsewhere(log, sizes)
            timed(["data", "import", str(log), "--out", str(folder)])
            log.unlink()
        some, one = place / "some.txt", place / "one.txt"
        step = max(1, sizes.users // USERS_ASKED)
        some.write_text("".join(f"u{user}\n" for user in range(0, sizes.users, step)))
        one.write_text("u0\n")
        for method in methods:
            run = place / f"{method}-{scale:g}"
            name, settings = method.removesuffix("-svd"), METHODS[method]
            if not (run / "model").exists():
                timed(["fit", name, "--data", str(folder), "--out", str(run), *settings, "--force"])
            everybody = not settings
            count = sizes.users if everybody else len(range(0, sizes.users, step))
            batch = ["batch", str(run), "-k", str(K), "--force", "--out", str(place / "lists")]
            recommend = ["recommend", str(run), "-k", str(K), "--out", str(place / "all.parquet")]
            opened = timed([*batch, "--users", str(one)])
            for what, command in (
                ("batch", [*batch, *([] if everybody else ["--users", str(some)])]),
                ("recommend", [*recommend, *(["--all"] if everybody else ["--users-file", some])]),
            ):
                values = timed(list(map(str, command)))
                asked = "all" if everybody else "some"
                tell(f"{method}_{what}_{asked}_{scale:g}", _speed(values, opened, count, sizes))


def _speed(
    values: dict[str, float], opened: dict[str, float], count: int, sizes: Sizes
) -> dict[str, float]:
    """Figures of a command beside those of the opened run, which one user's list costs."""
    busy = values["processor_seconds"] - opened["processor_seconds"]
    # Less than opening the run varies by is no measurement.
    known = busy > 0.1 * opened["processor_seconds"]
    return {
        "users": sizes.users,
        "items": sizes.items,
        "lists": count,
        "seconds": values["seconds"],
        **({"users_per_processor_second": count / busy} if known else {}),
        "peak_bytes": values["peak_bytes"],
        "open_seconds": opened["processor_seconds"],
        "open_peak_bytes": opened["peak_bytes"],
        "added_bytes": values["peak_bytes"] - opened["peak_bytes"],
    }


def index(num_items: int, tell: Tell) -> None:
    """Nearest vectors in a generated catalogue: clusters of items, queries near some of them."""
    import faiss

    from edgewise.data.ranking import best_of_products
    from edgewise.serving.embeddings import recall_of

    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLUSTERS, VECTOR_SIZE), dtype=np.float32)

    def near(count: int) -> np.ndarray:
        found = centres[rng.integers(0, CLUSTERS, count)]
        found += 0.5 * rng.standard_normal(found.shape, dtype=np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    items, queries = near(num_items), near(QUERIES)
    before, begun = _peak(), time.process_time()
    exact, _ = best_of_products(queries, items, NEAREST)
    spent, added = time.process_time() - begun, _peak() - before
    common: dict[str, float] = {
        "items": num_items,
        "numbers": VECTOR_SIZE,
        "queries": QUERIES,
    }
    found = {"milliseconds": 1000 * spent / QUERIES, "recall": 1.0, "added_bytes": added}
    tell("exact", common | found)
    begun = time.process_time()
    graph = faiss.IndexHNSWFlat(VECTOR_SIZE, 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 100
    graph.add(items)
    built = time.process_time() - begun
    for looked_at in (64, 128, 256):
        graph.hnsw.efSearch = looked_at
        begun = time.process_time()
        found = graph.search(queries, NEAREST)[1]
        spent = time.process_time() - begun
        values = {"milliseconds": 1000 * spent / QUERIES, "recall": recall_of(found, exact)}
        tell(f"hnsw_{looked_at}", common | values | {"build_seconds": built})


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def told(name: str, values: dict[str, float], file: Path | None) -> None:
    """Print figures, and add them to those of the file."""
    print(name, json.dumps({k: float(f"{v:.4g}") for k, v in values.items()}), flush=True)
    if file:
        old = json.loads(file.read_text()) if file.exists() else {}
        kept = {n: v for n, v in old.items() if n not in ("machine", "versions")}
        keep(file, with_growth(kept | {name: values}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("data", "lists", "index", "split"))
    parser.add_argument("folder", nargs="?", default="", help="of a data set, for split")
    parser.add_argument("--kind", default="leave-one-out", help="of the split")
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES)
    parser.add_argument("--items", type=int, default=1_000_000, help="of the index")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--place", type=Path, help="a folder that is kept, of lists")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    if given.what == "split":
        split(given.folder, given.kind)
        return
    tell = partial(told, file=given.json)
    with tempfile.TemporaryDirectory() as place:
        if given.what == "index":
            index(given.items, tell)
        elif given.what == "lists":
            lists(sorted(given.scales), given.methods, given.place or Path(place), tell)
        else:
            data(sorted(given.scales), Path(place), tell)


if __name__ == "__main__":
    main()
