"""RecBole's half of the comparison, run by :mod:`compare` in RecBole's own environment.

``python recbole_side.py JOB OUT`` reads a job (JSON), times epochs of training and, where it is
asked for lists, one evaluation over the whole catalogue, and writes ``OUT/figures.json`` and
``OUT/lists.npz``; it answers :mod:`evaluation` where the job says ``turns``, and
trains until validation improves no more where it says ``trained``, for :mod:`accuracy`. It imports
nothing of edgewise.
"""

from __future__ import annotations

import copy
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
    config, (train, _, test) = prepared(job["model"], job["settings"])
    network, trainer = made(config, train)
    batches = FirstBatches(train, job["batches"])
    starts = [clocks()]
    for epoch in range(job["epochs"]):
        train_epoch(network, trainer, batches, epoch)
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


def prepared(model: str, settings: dict[str, Any]) -> tuple[Any, Any]:
    """Its configuration, and train, validation and test rows."""
    config = Config(model=model, dataset="peer", config_dict=settings)
    init_seed(config["seed"], True)
    return config, data_preparation(config, create_dataset(config))


def made(config: Any, train: Any) -> tuple[Any, Any]:
    """The network and its trainer."""
    network = get_model(config["model"])(config, train.dataset).to(config["device"])
    return network, get_trainer(config["MODEL_TYPE"], config["model"])(config, network)


def train_epoch(network: Any, trainer: Any, batches: Any, epoch: int) -> None:
    if hasattr(network, "e_step"):
        network.e_step()  # NCL's clustering
    trainer._train_epoch(batches, epoch, show_progress=False)


def learn(job: dict[str, Any], out: Path) -> dict[str, Any]:
    """Train until validation improves no more, and recommend."""
    config, (train, valid, test) = prepared(job["model"], job["settings"])
    network, trainer = made(config, train)
    start = time.process_time()
    if config["train_stage"] == "pretrain":
        for epoch in range(job["pretraining"]):
            train_epoch(network, trainer, train, epoch)
        network.train_stage, network.loss_fct = "finetune", torch.nn.CrossEntropyLoss()
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, network)
    scores, best = list[float](), {}
    for epoch in range(job["epochs"]):
        train_epoch(network, trainer, train, epoch)
        score, _ = trainer._valid_epoch(valid)
        if score > max(scores, default=-1.0):
            best = copy.deepcopy(network.state_dict())
        scores.append(score)
        waited = len(scores) - 1 - scores.index(max(scores))
        if waited >= job["patience"] or time.process_time() - start > job["seconds"]:
            break
    seconds = time.process_time() - start
    network.load_state_dict(best)
    network.restore_user_e = None  # what graph models keep of the last epoch
    network.eval()
    users, items, found = lists(trainer, test, job["longest"])
    np.savez(out / "lists.npz", users=users, items=items, scores=found)
    best_epoch = 1 + scores.index(max(scores))
    return {"processor_seconds": seconds, "epochs": len(scores), "best_epoch": best_epoch}


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
    job = json.loads(job_file.read_text(encoding="utf-8"))
    result = (learn if job.get("trained") else measure)(job, folder)
    (folder / "figures.json").write_text(json.dumps(result), encoding="utf-8")
