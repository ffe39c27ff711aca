"""What sampled items and gradients of a batch's rows cost and are worth.

Run ``python benchmarks/scale_training.py cost [--json FILE]`` or ``python
benchmarks/scale_training.py worth --data FOLDER [--method sasrec] [--epochs 3] [--json FILE]``.

**Cost.** Histories of uneven activity and popularity are made up for 5,000 of 1,000,000 users,
over 200,000 items. Each way of training takes some batches in a process of its own: what a batch
costs does not depend on how many users there are (no way here gives users a token), so an epoch is
the median batch times the number of batches of 1,000,000 users. That is an extrapolation, and
leaves out what is done once an epoch, the shuffle and the validation. Memory is the most that the
process held, the 5,000 users' data included.

**Worth** (``--data``: Amazon Beauty, imported). The same epochs of the preset ``cpu`` from the same
start by every loss: the best NDCG@10 of validation rows among all items.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import keep

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.splits import Split, leave_one_out
from edgewise.models.registry import find_method
from edgewise.training.trainer import Average, Stage, TrainingData

NUM_USERS, NUM_ITEMS, MADE = 1_000_000, 200_000, 5_000
GPT = {
    "softmax": (),
    "sampled": ("sequence_loss.name=sampled_softmax",),
    "in_batch": ("sequence_loss.name=in_batch_softmax",),
}
SASREC = {
    "softmax": ("loss=softmax",),
    "sampled": ("loss=sampled_softmax", "num_negatives=1000"),
    "in_batch": ("loss=in_batch_softmax",),
}
WAYS = [
    ("softmax", "dense"),
    ("sampled", "dense"),
    ("sampled", "sparse"),
    ("in_batch", "sparse"),
]


class FirstBatches:
    """Training data whose epochs end early and of which nothing is validated.

    Args:
        data: whose batches they are.
        limit: batches of an epoch at most.
    """

    def __init__(self, data: TrainingData, limit: int) -> None:
        self.data, self.limit, self.clocks = data, limit, list[float]()

    @property
    def steps_per_epoch(self) -> int:
        return min(self.limit, self.data.steps_per_epoch)

    def batch(self, step: int, part: slice) -> Any:
        self.clocks.append(time.process_time())
        return self.data.batch(step, part)

    def validate(self, average: Average, metric: str) -> Mapping[str, float]:
        return {}


def made_up(num_users: int, num_items: int) -> Dataset:
    """Log-normal activity, 30 rows a user on average; popularity about as one over the rank."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(2.9, 1.0, num_users), 5, 500).astype(np.int64)
    upto = np.cumsum((np.arange(num_items) + 50.0) ** -0.9)
    items = np.searchsorted(upto / upto[-1], rng.random(int(lengths.sum())))
    users = np.repeat(np.arange(num_users, dtype=np.int32), lengths)
    times = np.arange(len(users), dtype=np.int64)
    ids = (Vocabulary(tuple(map(str, range(n))), k) for n, k in _sizes(num_users, num_items))
    rows = Interactions(users, items.clip(max=num_items - 1).astype(np.int32), timestamp=times)
    return Dataset("made-up", *ids, rows, Catalog.empty(num_items))


def _sizes(num_users: int, num_items: int) -> list[tuple[int, Any]]:
    return [(num_users, "user"), (num_items, "item")]


def settings_of(method: str, way: str, gradients: str) -> list[str]:
    """Of one way of training, as ``--set`` takes them."""
    stage = "training.sequence" if method == "graph-gpt" else "training"
    own = GPT[way] if method == "graph-gpt" else SASREC[way]
    found = [*own, f"{stage}.embedding_gradients={gradients}", f"{stage}.precision=fp32"]
    if method == "graph-gpt":
        found += ["backbone.user_tokens=false", "priors.names=[]"]
    return found


def model_of(method: str, way: str, gradients: str, *more: str) -> Any:
    """A recommender of the preset ``cpu``, or ``tiny`` where a method has no other."""
    return find_method(method).recommender.from_preset(
        "cpu", [*settings_of(method, way, gradients), *more]
    )


def cost(job: tuple[str, str, str, int, int, int]) -> dict[str, float]:
    """Seconds of processor of the median batch, and memory, of one way in this process."""
    method, way, gradients, num_users, num_items, batches = job
    torch.set_num_threads(1)
    split = leave_one_out(made_up(num_users, num_items))
    more = ("backbone.item_init=random",) if method == "graph-gpt" else ("item_init=random",)
    model, found = model_of(method, way, gradients, *more), list[FirstBatches]()
    whole = list[int]()
    stages = type(model).stages

    def first(split: Split) -> Sequence[Stage]:
        (stage,) = stages(model, split)
        whole.append(stage.data.steps_per_epoch)
        found.append(FirstBatches(stage.data, batches))
        return [replace(stage, data=found[0], config=_one_epoch(stage.config))]

    model.stages = first
    model.fit(split, show_progress=False)
    times = np.diff(found[0].clocks)
    seconds = float(np.median(times[1:]))
    epoch = seconds * whole[0] * NUM_USERS / num_users
    return {
        "batch_seconds": seconds,
        "batches": whole[0] * NUM_USERS / num_users,
        "epoch_hours": epoch / 3600,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
        "parameters": float(sum(p.numel() for p in model.network.parameters())),
        "timed_batches": float(len(times) - 1),
    }


def _one_epoch(config: Any) -> Any:
    return config.model_copy(update={"epochs": 1})


def worth(data: Path, method: str, epochs: int) -> Iterator[tuple[str, dict[str, float]]]:
    """The best validation NDCG@10 of every way after the same epochs."""
    torch.set_num_threads(1)
    split = leave_one_out(Dataset.load(data))
    stage = "training.sequence" if method == "graph-gpt" else "training"
    more = [f"{stage}.epochs={epochs}", f"{stage}.patience=0"]
    more.append(f"{stage}.validation_metric=NDCG@10")
    for way, gradients in WAYS:
        model = model_of(method, way, gradients, *more)
        start = time.process_time()
        model.fit(split, show_progress=False)
        (curves,) = model.stage_curves.values()
        each = [found["NDCG@10"] for found in curves.valid]
        yield (
            f"{method}_{way}_{gradients}".replace("-", "_"),
            {
                "ndcg": max(each),
                "last_ndcg": each[-1],
                "epochs": float(len(each)),
                "processor_seconds": time.process_time() - start,
            },
        )


def costs() -> Iterator[tuple[str, dict[str, float]]]:
    """Of every method and way, each in a process of its own."""
    for method in ("sasrec", "graph-gpt"):
        for way, gradients in WAYS:
            batches = 3 if way == "softmax" else 8
            job = (method, way, gradients, MADE, NUM_ITEMS, batches)
            with get_context("spawn").Pool(1) as pool:
                row = pool.apply(cost, (job,))
            yield f"{method}_{way}_{gradients}".replace("-", "_"), row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("cost", "worth"))
    parser.add_argument("--data", type=Path, help="of worth: Amazon Beauty, imported")
    parser.add_argument("--method", default="sasrec", choices=("sasrec", "graph-gpt"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    cost_only = given.part == "cost"
    for name, row in costs() if cost_only else worth(given.data, given.method, given.epochs):
        figures[name] = row
        print(name, *(f"{key} {value:.5g}" for key, value in row.items()), flush=True)
    if given.json:
        keep(given.json, figures)


if __name__ == "__main__":
    main()
