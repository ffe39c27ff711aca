"""implicit and RecTools beside edgewise: methods without gradients, learned and asked.

Run ``python benchmarks/peers/libraries.py DATA --python PYTHON [--json FILE]``, where DATA is an
imported data set and PYTHON the interpreter of an environment that has both packages; ``make
peers`` makes it first. Each side runs on one thread in a process of its own, the two in turn:
learning from the train rows, then ten unseen items for each user. Both packages' lists are scored
by edgewise's metrics on the validation rows. EASE takes the cube of the catalogue, and is compared
on its most popular items. ``--quick`` takes the built-in shop.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from export import ImportedLists

from edgewise.data.dataset import Dataset
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.evaluation.evaluate import evaluate_sequential
from edgewise.models.registry import find_method

sys.path.append(str(Path(__file__).parents[1]))
from measuring import keep

K = 10
_METRICS = ("HitRate", "NDCG", "MRR")


@dataclass(frozen=True)
class Pair:
    """A method that edgewise and another package have.

    Attributes:
        name: of the method in edgewise.
        ours: its settings.
        theirs: the package, and what it is told.
        most_items: of the catalogue, the most popular; None for all.
    """

    name: str
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]
    most_items: int | None = None


def _knn(weighting: str, model: str) -> Pair:
    ours = {"weighting": weighting, "neighbors": 1000, "shrink": 0.0}
    return Pair("item-knn", ours, {"library": "implicit", "model": model, "neighbors": 1000})


PAIRS = {
    "cosine": _knn("binary", "CosineRecommender"),
    "tfidf": _knn("tfidf", "TFIDFRecommender"),
    "bm25": _knn("bm25", "BM25Recommender"),
    "ease": Pair("ease", {"l2": 200.0}, {"library": "rectools", "l2": 200.0}, 2000),
}


def compare(pair: Pair, data: Path, python: str, rounds: int) -> dict[str, Any]:
    """Learn and ask in both packages.

    Args:
        pair: the method.
        data: an imported data set.
        python: of the other package's environment.
        rounds: of each package, in turn; the median is told.
    """
    here = Path(__file__)
    with tempfile.TemporaryDirectory() as name:
        folder, found = Path(name), dict[str, Any]()
        split = _split(data, pair.most_items)
        known = split.known_before("valid")
        np.savez(folder / "pairs.npz", users=known.row_of_value, items=known.values)
        ours = {"name": pair.name, "data": str(data.resolve()), "most_items": pair.most_items}
        sides = {
            "ours": ([sys.executable, str(here)], {**ours, "settings": pair.ours}),
            "theirs": ([python, str(here.with_name("library_side.py"))], {**pair.theirs, "k": K}),
        }
        times: dict[str, list[list[list[float]]]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side, (command, job) in sides.items():
                told = _run(command, job, folder)
                times[side].append(told["clocks"])
                lists = ImportedLists(**np.load(folder / "lists.npz"))
                users = np.unique(split.valid.user_index)
                users = users[known.lengths[users] > 0]
                report = evaluate_sequential(
                    lists,  # type: ignore[arg-type]
                    split,
                    "valid",
                    ks=(K,),
                    metrics=_METRICS,
                    users=users,
                )
                found |= {f"{side}_{n}": each.mean for n, each in report.metrics.items()}
        for side, each in times.items():
            for number, step in enumerate(("fit", "recommend")):
                seconds = [np.subtract(run[number + 1], run[number]) for run in each]
                found[f"{side}_{step}_seconds"] = median(float(clock) for clock, _ in seconds)
                found[f"{side}_{step}_processor_seconds"] = median(float(p) for _, p in seconds)
    found |= {"library": pair.theirs["library"], "version": told["version"]}
    return found | {
        "users": int((known.lengths > 0).sum()),
        "items": split.dataset.num_items,
        "rounds": rounds,
    }


def _run(command: list[str], job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    file = folder / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [*command, str(file), str(folder)],
        env={**os.environ, **one},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{command[-1]} failed on {job}:\n{done.stdout[-4000:]}")
    return json.loads((folder / "figures.json").read_text(encoding="utf-8"))


def _split(data: Path, most_items: int | None) -> Split:
    dataset = Dataset.load(data)
    if most_items is None:
        return leave_one_out(dataset)
    rows = dataset.interactions
    counts = np.bincount(rows.item_index, minlength=dataset.num_items)
    kept = np.isin(rows.item_index, np.argsort(-counts, kind="stable")[:most_items])
    users, items = rows.user_index[kept], rows.item_index[kept]
    columns = {"user_id": users.astype(str), "item_id": items.astype(str)}
    return leave_one_out(Dataset.from_frame({**columns, "timestamp": np.arange(len(users))}))


def measure_ours(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Our half of the comparison, in a process of its own."""
    split = _split(Path(job["data"]), job["most_items"])
    known = split.known_before("valid")
    model = find_method(job["name"]).recommender(**job["settings"])
    asked = np.flatnonzero(known.lengths)
    clocks = [(time.perf_counter(), time.process_time())]
    model.fit(split)
    clocks.append((time.perf_counter(), time.process_time()))
    lists = model.recommend(asked, K)
    clocks.append((time.perf_counter(), time.process_time()))
    items, scores = np.full((len(asked), K), -1), np.full((len(asked), K), -np.inf)
    place = np.searchsorted(asked, lists.user_index), lists.rank - 1
    items[place], scores[place] = lists.item_index, lists.score
    np.savez(folder / "lists.npz", users=asked, items=items, scores=scores)
    return {"clocks": clocks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="an imported data set")
    parser.add_argument("--python", required=True, help="the interpreter that has both packages")
    parser.add_argument("--methods", nargs="+", choices=PAIRS, default=[*PAIRS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the built-in shop, one round")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    if given.data is None and not given.quick:
        parser.error("name an imported data set, or --quick")
    python = str(Path(given.python).absolute())
    with tempfile.TemporaryDirectory() as folder:
        data: Path = given.data or Path(folder, "shop")
        if given.quick:
            data = Path(folder, "shop")
            make_demo_shop().save(data)
        figures: dict[str, Any] = {}
        if given.json and given.json.exists():
            before = json.loads(given.json.read_text(encoding="utf-8"))
            figures = {name: before[name] for name in PAIRS if name in before}
        for name in given.methods:
            figures[name] = compare(PAIRS[name], data, python, 1 if given.quick else given.rounds)
            print(json.dumps({name: figures[name]}, indent=1), flush=True)
            if given.json:
                keep(given.json, {n: figures[n] for n in PAIRS if n in figures})


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1].endswith(".json"):
        job_file, place = map(Path, sys.argv[1:])
        result = measure_ours(json.loads(job_file.read_text(encoding="utf-8")), place)
        (place / "figures.json").write_text(json.dumps(result), encoding="utf-8")
    else:
        main()
