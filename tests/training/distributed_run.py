"""Train in as many processes as ``torchrun`` starts, and write curves and weights.

Usage: ``torchrun --nproc_per_node 2 distributed_run.py FOLDER``
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.elmrec.recommender import ELMRec
from edgewise.training.config import TrainingConfig
from edgewise.training.curves import Curves

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.training.conftest import Data, Regression, train_one

CONFIG = TrainingConfig(
    epochs=3, patience=0, learning_rate=0.01, precision="fp32", gradient_accumulation=2
)


def regression(rank: int = 0) -> dict[str, Any]:
    """Every process starts elsewhere; the first one's start must win."""
    model = Regression(dropout=0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += rank
    return _result(model, train_one(model, Data(), CONFIG, seed=0, show_progress=False))


def resumed(folder: Path) -> dict[str, Any]:
    """Stop in the second epoch, with dropout, and go on."""
    with contextlib.suppress(KeyboardInterrupt):
        train_one(Regression(), Data(stop_before=10), CONFIG, seed=0, folder=folder)
    model = Regression()
    return _result(model, train_one(model, Data(), CONFIG, seed=0, folder=folder, resume=True))


def uninterrupted() -> dict[str, Any]:
    model = Regression()
    return _result(model, train_one(model, Data(), CONFIG, seed=0, show_progress=False))


def elmrec() -> dict[str, Any]:
    """The tiny model without dropout on a small shop, whose batches do not divide evenly."""
    changes = (
        "training.epochs=2",
        "training.precision=fp32",
        "backbone.dropout=0.0",
        "prompts.item_dropout=0.0",
        "training.batch_size=9",
    )
    small = ("prompts.num_negatives=5", "prompts.tasks=direct,sequential", "graph.num_folds=2")
    model = ELMRec.from_preset("tiny", [*changes, *small])
    model.fit(leave_one_out(make_demo_shop(0, 24, 48)))
    return _result(model.network, model.stage_curves["training"])


def _result(model: nn.Module, progress: Curves) -> dict[str, Any]:
    sums = {name: p.detach().double().sum().item() for name, p in model.named_parameters()}
    return {"train": progress.train_loss, "valid": progress.valid, "weights": sums}


def main(folder: Path) -> None:
    rank = int(os.environ["RANK"])
    results = {
        "regression": regression(rank),
        "resumed": resumed(folder),
        "uninterrupted": uninterrupted(),
        "elmrec": elmrec(),
    }
    (folder / f"rank-{rank}.json").write_text(json.dumps(results))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
