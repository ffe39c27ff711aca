"""Our half of the comparison, run by :mod:`compare` in a process of its own.

``python edgewise_side.py JOB OUT`` writes ``OUT/figures.json``, as ``recbole_side.py`` does, and
answers :mod:`evaluation` where the job says ``turns``. Where it says ``trained``, it trains as long
as :mod:`accuracy` wants and writes ``OUT/lists.npz``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgewise.config import updated
from edgewise.data.dataset import Dataset
from edgewise.data.splits import Split, leave_one_out
from edgewise.evaluation.evaluate import evaluate_sequential
from edgewise.evaluation.report import RankingReport
from edgewise.models.registry import find_method
from edgewise.training.trainer import Average, Stage, TrainingData

sys.path.append(str(Path(__file__).parents[1]))
from sides import answer, peak_bytes

METRICS = ("HitRate", "NDCG", "MRR")


class FirstBatches:
    """Training data whose epochs end early and of which nothing is validated.

    Args:
        data: whose batches they are.
        limit: batches of an epoch at most.
    """

    def __init__(self, data: TrainingData, limit: int) -> None:
        self.data, self.limit = data, limit

    @property
    def steps_per_epoch(self) -> int:
        return min(self.limit, self.data.steps_per_epoch)

    def batch(self, step: int, part: slice) -> Any:
        epoch, place = divmod(step, self.steps_per_epoch)
        return self.data.batch(epoch * self.data.steps_per_epoch + place, part)

    def validate(self, average: Average, metric: str) -> Mapping[str, float]:
        return {}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    split = leave_one_out(Dataset.load(job["data"]))
    starts, lengths = list[tuple[float, float]](), dict[str, int]()
    method: Any = find_method(job["name"]).recommender

    class Timed(method):
        def stages(self, split: Split) -> Sequence[Stage]:
            stage, *_ = super().stages(split)  # of S3-Rec its pre-training
            data = FirstBatches(stage.data, job["batches"])
            lengths["batches"] = stage.data.steps_per_epoch
            lengths["timed_batches"] = data.steps_per_epoch

            def begin(epoch: int) -> None:
                starts.append(clocks())
                if stage.on_epoch_start is not None:
                    stage.on_epoch_start(epoch)

            return [replace(stage, data=data, on_epoch_start=begin)]

        def trained(self, split: Split) -> None:
            starts.append(clocks())
            super().trained(split)

    model = Timed(updated(Timed.Config(), job["settings"]))
    model.fit(split)
    figures = {
        **lengths,
        "clocks": starts,
        "train_peak_bytes": peak_bytes(),
        "threads": torch.get_num_threads(),
    }

    def evaluate() -> RankingReport:
        return evaluate_sequential(model, split, ks=(10,), metrics=METRICS)

    if job.get("turns"):
        answer({"evaluate": lambda: evaluate().num_users})
    if job["longest"]:
        before = clocks()
        report = evaluate()
        figures["evaluation_clocks"] = [before, clocks()]
        figures["peak_bytes"] = peak_bytes()
        figures["told"] = {name: each.mean for name, each in report.metrics.items()}
    return figures


def learn(job: dict[str, Any], out: Path) -> dict[str, Any]:
    """Train until validation improves no more, and recommend."""
    split = leave_one_out(Dataset.load(job["data"]))
    method: Any = find_method(job["name"]).recommender
    start = clocks()
    model = method(updated(method.Config(), job["settings"])).fit(split)
    seconds = clocks()[1] - start[1]
    asked = np.unique(split.test.user_index)
    known = split.known_before(job["known_before"])
    found = model.recommend(asked, job["longest"], histories=known)
    items = np.full((len(asked), job["longest"]), -1)
    scores = np.full(items.shape, -np.inf)
    place = np.searchsorted(asked, found.user_index), found.rank - 1
    items[place], scores[place] = found.item_index, found.score
    np.savez(out / "lists.npz", users=asked, items=items, scores=scores)
    curves = model.stage_curves["training"]
    values = [each["NDCG@10"] for each in curves.valid]
    best = 1 + values.index(max(values))
    return {"processor_seconds": seconds, "epochs": len(values), "best_epoch": best}


def clocks() -> tuple[float, float]:
    """Seconds of the clock, and of the processor, which other work does not stretch."""
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    job_file, folder = map(Path, sys.argv[1:])
    job = json.loads(job_file.read_text(encoding="utf-8"))
    result = learn(job, folder) if job.get("trained") else measure(job)
    (folder / "figures.json").write_text(json.dumps(result), encoding="utf-8")
