"""RecBole's half of the comparison, run by :mod:`compare` in RecBole's own environment.

``python recbole_side.py JOB OUT`` reads a job (JSON), times epochs of training and, where it is
asked for lists, one evaluation over the whole catalogue, and writes ``OUT/figures.json`` and
``OUT/lists.npz``; it answers :mod:`evaluation` where the job says ``turns``. It imports nothing of
edgewise.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import recbole
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

sys.path.append(str(Path(__file__).parents[1]))
from sides import answer, peak_bytes


class FirstBatches:
    """A loader of training batches that ends early.

    Args:
        loader: RecBole's.
        limit: batches at most.
    """

    def __init__(self, loader: Any, limit: int) -> None:
        self.loader, self.limit = loader, limit

    def __len__(self) -> int:
        return min(self.limit, len(self.loader))

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self.loader), self.limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


def measure(job: dict[str, Any], out: Path) -> dict[str, Any]:
    config = Config(model=job["model"], dataset="peer", config_dict=job["settings"])
    init_seed(config["seed"], True)
    train, _, test = data_preparation(config, create_dataset(config))
    network = get_model(config["model"])(config, train.dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, network)
    batches = FirstBatches(train, job["batches"])
    starts = [clocks()]
    for epoch in range(job["epochs"]):
        if hasattr(network, "e_step"):
            network.e_step()  # NCL's clustering
        trainer._train_epoch(batches, epoch, show_progress=False)
        starts.append(clocks())
    figures = {
        "batches": len(train),
        "timed_batches": len(batches),
        "clocks": starts,
        "train_peak_bytes": peak_bytes(),
        "versions": {
            "python": platform.python_version(),
            "recbole": recbole.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "threads": torch.get_num_threads(),
    }

    def evaluate() -> dict[str, Any]:
        return trainer.evaluate(test, load_best_model=False, show_progress=False)

    if job.get("turns"):
        answer({"evaluate": lambda: evaluate() and test.sample_size})
    if job["longest"]:
        before = clocks()
        told = evaluate()
        figures["evaluation_clocks"] = [before, clocks()]
        figures["peak_bytes"] = peak_bytes()
        figures["told"] = {name: float(value) for name, value in told.items()}
        users, items, scores = lists(trainer, test, job["longest"])
        np.savez(out / "lists.npz", users=users, items=items, scores=scores)
    return figures


def clocks() -> tuple[float, float]:
    """Seconds of the clock, and of the processor, which other work does not stretch."""
    return time.perf_counter(), time.process_time()


@torch.no_grad()
def lists(trainer: Any, test: Any, longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best items of every test user in the ids of the files: users, items and scores."""
    dataset, found = test.dataset, []
    for batch in test:
        users, scores, _, _ = trainer._full_sort_batch_eval(batch)
        best = scores.topk(min(longest, scores.shape[1] - 1))
        found.append((users["user_id"].numpy(), best.indices.numpy(), best.values.numpy()))
    users, items, scores = (np.concatenate(part) for part in zip(*found, strict=True))
    # RecBole's number 0 is its padding, which never has a finite score.
    tokens = np.array([-1, *map(int, dataset.field2id_token["item_id"][1:])])
    names = dataset.id2token("user_id", users).astype(np.int64)
    return names, tokens[items], scores


if __name__ == "__main__":
    job_file, folder = map(Path, sys.argv[1:])
    del sys.argv[1:]  # which RecBole would read as settings
    result = measure(json.loads(job_file.read_text(encoding="utf-8")), folder)
    (folder / "figures.json").write_text(json.dumps(result), encoding="utf-8")
