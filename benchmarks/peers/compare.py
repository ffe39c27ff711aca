"""RecBole beside edgewise: the same rows, sizes and losses; seconds an epoch, memory, figures.

Run ``python benchmarks/peers/compare.py DATA --recbole PYTHON [--models NAME ...] [--json FILE]``,
where DATA is an imported data set and PYTHON the interpreter of an environment that has RecBole;
``make peers DATA=FOLDER`` makes that environment first. Each training runs in a process of its own
on one thread in 32-bit floats, the two packages in turn, and an epoch's seconds are the median of
all: by the clock, and of the processor, which other work does not stretch. Of longer epochs the
first ``--batches`` are timed, and the epoch counts as many times more as it has batches. Some
models are evaluated over the whole catalogue, too, as each package does it: RecBole leaves seen
items in the lists of models that read histories, edgewise never does. The lists of RecBole's models
are then scored by edgewise's own metrics, seen items left out. ``--quick`` takes the built-in shop,
two batches of one epoch.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from edgewise_side import METRICS
from export import ImportedLists, write_atomic
from settings import LEARNING_RATE, PEERS, Peer

from edgewise.data.dataset import Dataset
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.evaluation.evaluate import evaluate_sequential

sys.path.append(str(Path(__file__).parents[1]))
from measuring import keep

K = 10
_SCORE_BATCH = 256
_SIDES = ("ours", "recbole")


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        batches: of an epoch at most.
        epochs: of each training.
        rounds: trainings of each package, in turn.
    """

    batches: int = 30
    epochs: int = 2
    rounds: int = 2


def compare(peer: Peer, data: Path, python: str, effort: Effort, evaluated: bool) -> dict[str, Any]:
    """Train one model in both packages.

    Args:
        peer: the model.
        data: an imported data set.
        python: of RecBole's environment.
        effort: how much is measured.
        evaluated: whether the last round of each is evaluated over the whole catalogue.
    """
    split = leave_one_out(Dataset.load(data))
    told: dict[str, list[dict[str, Any]]] = {side: [] for side in _SIDES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = {
            "ours": told_ours(peer, data, effort),
            "recbole": told_recbole(peer, split, folder),
        }
        for number in range(effort.rounds):
            last = evaluated and number == effort.rounds - 1
            for side in _SIDES:
                job = {**jobs[side], "batches": effort.batches, "epochs": effort.epochs}
                job["longest"] = K + int(split.known_before("test").lengths.max()) if last else 0
                told[side].append(run_side(side, job, folder, python))
        figures = _figures(peer, told)
        if evaluated:
            lists = ImportedLists(**np.load(folder / "lists.npz"))
            report = evaluate_sequential(lists, split, ks=(K,), metrics=METRICS)  # type: ignore
            figures |= {f"recbole_{n}": each.mean for n, each in report.metrics.items()}
    return figures


def told_ours(peer: Peer, data: Path, effort: Effort | None = None) -> dict[str, Any]:
    """The job of ``edgewise_side.py``."""
    training = {
        "batch_size": peer.our_batch_size or peer.batch_size,
        "learning_rate": LEARNING_RATE,
    }
    rest: dict[str, Any] = {"precision": "fp32"}
    if effort is not None:
        rest |= {"epochs": effort.epochs, "patience": 0}
    settings = {**peer.ours, peer.stage: {**training, **rest}}
    return {"name": peer.name, "data": str(data.resolve()), "settings": settings}


def told_recbole(
    peer: Peer, split: Split, folder: Path, scored_at_once: int = _SCORE_BATCH
) -> dict[str, Any]:
    """The job of ``recbole_side.py``, whose files are written."""
    # Scores of one batch, which RecBole counts in rows or, without histories, in pairs.
    scored = scored_at_once * (1 if peer.max_items else split.dataset.num_items + 1)
    settings = {
        **write_atomic(split, folder, peer.max_items, peer.min_items),
        "train_batch_size": peer.batch_size,
        **peer.recbole,
        "eval_batch_size": scored,
        "learning_rate": LEARNING_RATE,
        "eval_args": {"split": None, "group_by": "user", "order": "TO", "mode": "full"},
        "metrics": ["Hit", "NDCG", "MRR"],
        "valid_metric": f"NDCG@{K}",
        "topk": [K],
        "use_gpu": False,
        "state": "ERROR",
        "checkpoint_dir": str(folder / "saved"),
    }
    return {"model": peer.model, "settings": settings}


def run_side(side: str, job: Mapping[str, Any], folder: Path, python: str) -> dict[str, Any]:
    """One training in a process of its own."""
    file = folder / f"{side}.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    script, interpreter = "edgewise_side.py", sys.executable
    if side == "recbole":
        script, interpreter = "recbole_side.py", python
    done = subprocess.run(
        [interpreter, str(Path(__file__).parent / script), str(file), str(folder)],
        cwd=folder,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{script} failed on {job.get('name') or job['model']}:\n{done.stdout[-4000:]}")
    return json.loads((folder / "figures.json").read_text(encoding="utf-8"))


def _figures(peer: Peer, told: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    figures: dict[str, Any] = {"model": peer.model, "batch_size": peer.batch_size}
    figures["our_batch_size"] = peer.our_batch_size or peer.batch_size
    for side, runs in told.items():
        last = runs[-1]
        share = last["batches"] / last["timed_batches"]
        both = [_between(*pair) for run in runs for pair in pairwise(run["clocks"])]
        seconds, processor = ([share * each for each in part] for part in zip(*both, strict=True))
        figures |= {
            f"{side}_batches": last["batches"],
            f"{side}_timed_batches": last["timed_batches"],
            f"{side}_seconds": median(seconds),
            f"{side}_processor_seconds": median(processor),
            f"{side}_processor_epochs": processor,
            f"{side}_bytes": max(run["train_peak_bytes"] for run in runs),
        }
        if "told" in last:
            name = "recbole_told" if side == "recbole" else "ours"
            seconds, processor = _between(*last["evaluation_clocks"])
            figures |= {
                f"{side}_evaluation_seconds": seconds,
                f"{side}_evaluation_processor_seconds": processor,
                f"{side}_evaluation_bytes": last["peak_bytes"],
                **{f"{name}_{metric}": value for metric, value in last["told"].items()},
            }
    seconds = (figures[f"{side}_processor_seconds"] for side in ("recbole", "ours"))
    figures["times"] = operator.truediv(*seconds)
    figures["threads"] = max(run["threads"] for runs in told.values() for run in runs)
    if "versions" in told["recbole"][-1]:
        figures["recbole_versions"] = told["recbole"][-1]["versions"]
    return figures


def _between(start: Sequence[float], end: Sequence[float]) -> list[float]:
    return [after - before for before, after in zip(start, end, strict=True)]


def measure_each(
    names: Sequence[str],
    wanted: Sequence[str],
    file: Path | None,
    measure: Callable[[Peer], Any],
) -> None:
    """Print the figures of models, and keep each model's in a file once it is measured.

    Args:
        names: of the file, in its order; models that are not measured now stay as they were.
        wanted: to be measured.
        file: JSON; None keeps nothing.
        measure: a model's figures.
    """
    found: dict[str, Any] = {}
    if file and file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        found = {name: before[name] for name in names if name in before}
    for peer in PEERS:
        if peer.key in wanted:
            found[peer.key] = measure(peer)
            print(json.dumps({peer.key: found[peer.key]}, indent=1), flush=True)
            if file:
                keep(file, {name: found[name] for name in names if name in found})


def main() -> None:
    names = [peer.key for peer in PEERS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="an imported data set")
    parser.add_argument("--recbole", required=True, help="the interpreter that has RecBole")
    parser.add_argument("--models", nargs="+", choices=names, default=names)
    parser.add_argument("--batches", type=int, default=Effort.batches)
    parser.add_argument("--epochs", type=int, default=Effort.epochs)
    parser.add_argument("--rounds", type=int, default=Effort.rounds)
    parser.add_argument("--quick", action="store_true", help="the built-in shop, two batches")
    parser.add_argument("--json", type=Path, help="write the figures to this file, model by model")
    given = parser.parse_args()
    if given.data is None and not given.quick:
        parser.error("name an imported data set, or --quick")
    python = str(Path(given.recbole).absolute())  # processes run elsewhere
    effort = Effort(given.batches, given.epochs, given.rounds)
    with tempfile.TemporaryDirectory() as folder:
        data: Path = given.data or Path(folder, "shop")
        if given.quick:
            data, effort = Path(folder, "shop"), Effort(2, 1, 1)
            make_demo_shop().save(data)
        measure_each(
            names,
            given.models,
            given.json,
            lambda peer: compare(peer, data, python, effort, peer.evaluated),
        )


if __name__ == "__main__":
    main()
