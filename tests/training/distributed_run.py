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
from unittest import mock

import torch
from torch import nn

from edgewise.cli.main import app
from edgewise.config import updated, with_overrides
from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.registry import find_method
from edgewise.recommender import TASKS
from edgewise.training import processes
from edgewise.training.config import TrainingConfig
from edgewise.training.curves import Curves

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.training.conftest import Data, Regression, Rows, train_one

CONFIG = TrainingConfig(
    epochs=3, patience=0, learning_rate=0.01, precision="fp32", gradient_accumulation=2
)


def regression(rank: int = 0) -> dict[str, Any]:
    """Every process starts elsewhere; the first one's start must win."""
    model = Regression(dropout=0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += rank
    return _result(model, {"only": train_one(model, Data(), CONFIG, seed=0)})


class Lookup(Regression):
    """The same and a table, whose 5 rows do not divide evenly, tied to a layer."""

    def __init__(self) -> None:
        super().__init__(dropout=0)
        self.table, self.out = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.out.weight = self.table.weight

    def forward(self, rows: Rows) -> torch.Tensor:
        read, wanted = (rows.inputs[:, :2].abs() * 10).long().remainder(5).unbind(1)
        logits = self.out(self.table(read) + rows.inputs)
        return super().forward(rows) + nn.functional.cross_entropy(logits, wanted)


def lookup(folder: Path | None = None, *, shard: bool = False, stop: bool = False) -> Any:
    """Train it; where it is to stop, in the second epoch, and go on."""
    config = updated(CONFIG, {"shard_embeddings": shard, "embedding_lr_multiplier": 3.0})
    if stop:
        with contextlib.suppress(KeyboardInterrupt):
            train_one(Lookup(), Data(stop_before=10), config, folder=folder)
    model = Lookup()
    return _result(model, {"only": train_one(model, Data(), config, folder=folder, resume=stop)})


def resumed(folder: Path) -> dict[str, Any]:
    """Stop in the second epoch, with dropout, and go on."""
    with contextlib.suppress(KeyboardInterrupt):
        train_one(Regression(), Data(stop_before=10), CONFIG, seed=0, folder=folder)
    model = Regression()
    curves = train_one(model, Data(), CONFIG, seed=0, folder=folder, resume=True)
    return _result(model, {"only": curves})


def uninterrupted() -> dict[str, Any]:
    model = Regression()
    return _result(model, {"only": train_one(model, Data(), CONFIG, seed=0)})


_T5 = (
    "backbone.dropout=0.0",
    "prompts.num_negatives=5",
    "prompts.tasks=direct,sequential",
    "training.batch_size=21",
)
_PLAIN = (
    *_T5,
    "prompts.candidate_head=false",
    "prompts.item_head=false",
    "prompts.direct_likelihood=vocabulary",
    "whole_words.decoder_alpha=0.0",
    "graph.num_folds=0",
)
_SHARDED = "training.shard_embeddings=true"
_INCREMENTAL = tuple(f"whole_words.{task}=incremental" for task in TASKS)
METHODS: dict[str, tuple[str, ...]] = {
    "elmrec": (*_T5, "prompts.item_dropout=0.0", "graph.num_folds=2"),
    "elmrec paper": (*_PLAIN, "graph.features=trained"),
    "elmrec p5": (*_PLAIN, *_INCREMENTAL, "prompts.num_prompt_embeddings=0"),
    "elmrec pod": (*_PLAIN, *_INCREMENTAL),
    "rsl": _T5,
    "graph-gpt": (
        "backbone.dropout=0.0",
        "stages=content,events,predictive,sequence",
        "lambda_v=100.0",
        "attention.gates=true",
        "training.content.batch_size=65",
    ),
    "tiger": ("dropout=0.0",),
    "lightgcn": ("hide_targets=true",),
    "lightgcn softmax": ("loss=sampled_softmax", "num_negatives=7", "hide_targets=true", "l2=0.1"),
    "ncl": ("warmup_epochs=1",),
    "ncl sampled": ("warmup_epochs=1", "num_contrasted=5"),
    "xsimgcl": (),
    "simplex": ("hide_target=true",),
    "simplex shared": ("shared_negatives=true", "num_negatives=7", "l2=0.1"),
    "multi-vae": ("dropout=0.0",),
    "md-cvae": ("dropout=0.0", "num_sampled_items=11"),
    "sasrec": ("dropout=0.0",),
    "esasrec": ("dropout=0.0",),
    "bert4rec": ("dropout=0.0",),
    "gru4rec": ("dropout=0.0",),
    "caser": ("dropout=0.0",),
    "hgn": ("dropout=0.0",),
    "fdsa": ("dropout=0.0",),
    "s3rec": ("dropout=0.0",),
    "sasrec bce": ("dropout=0.0", "loss=bce", "num_negatives=2"),
    "caser bpr": ("dropout=0.0", "loss=bpr", "num_negatives=2"),
    "gru4rec top1": ("dropout=0.0", "loss=top1", "num_negatives=7"),
    "unisrec": ("dropout=0.0", "adaptor_dropout=0.0"),
    # Tables in rows over the processes.
    "elmrec sharded": (*_T5, "prompts.item_dropout=0.0", "graph.num_folds=2", _SHARDED),
    "graph-gpt sharded": (
        "backbone.dropout=0.0",
        "stages=sequence",
        "training.sequence.shard_embeddings=true",
    ),
    "tiger sharded": ("dropout=0.0", _SHARDED),
    "lightgcn sharded": ("hide_targets=true", _SHARDED),
    "ncl sharded": ("warmup_epochs=1", _SHARDED),
    "simplex sharded": (_SHARDED,),
    "multi-vae sharded": ("dropout=0.0", _SHARDED),
    "sasrec sharded": ("dropout=0.0", _SHARDED),
    "caser sharded": ("dropout=0.0", _SHARDED),
}
"""Every method that learns by steps, and what it takes to do so without dropout."""


def fitted(name: str) -> dict[str, Any]:
    """A method after one epoch of each stage on a small shop; batches do not divide evenly."""
    method = find_method(name.partition(" ")[0])
    stages = {"epochs": 1, "batch_size": 9, "precision": "fp32", "learning_rate": 1e-3}
    config = method.preset_config("tiny")
    config = config.model_validate(_shortened(config.model_dump(), stages))
    config = with_overrides(config, METHODS[name])
    model: Any = method.recommender(config)
    with mock.patch("torch.randn_like", torch.zeros_like):  # UniSRec's noise, like dropout
        model.fit(leave_one_out(make_demo_shop(0, 24, 48)))
    return _result(model.network, model.stage_curves)


def _shortened(values: dict[str, Any], stage: dict[str, Any]) -> dict[str, Any]:
    """The settings with those of every stage changed."""
    if "checkpoint_minutes" in values:
        return {**values, **stage}
    return {
        name: _shortened(value, stage) if isinstance(value, dict) else value
        for name, value in values.items()
    }


def _result(model: nn.Module, stages: dict[str, Curves]) -> dict[str, Any]:
    sums = {name: p.detach().double().sum().item() for name, p in model.named_parameters()}
    curves = {
        name: {"train": found.train_loss, "valid": found.valid} for name, found in stages.items()
    }
    return {"stages": curves, "weights": sums}


def evaluated(run: Path, file: Path) -> None:
    """Measure a run as the command does, five users at a time."""
    with mock.patch("edgewise.runs.predict.USERS_AT_ONCE", 5):
        app(["evaluate", str(run), "--json", str(file)], standalone_mode=False)


def main(folder: Path) -> None:
    rank = int(os.environ["RANK"])
    evaluated(folder / "run", folder / f"evaluated-{rank}.json")
    results = {
        "regression": regression(rank),
        "resumed": resumed(folder),
        "uninterrupted": uninterrupted(),
        "lookup whole": lookup(folder / "whole"),
        "lookup sharded": lookup(folder / "sharded", shard=True),
        "lookup resumed": lookup(folder / "stopped", shard=True, stop=True),
        **{name: fitted(name) for name in METHODS},
    }
    (folder / f"rank-{rank}.json").write_text(json.dumps(results))
    processes.leave()
    threads = "".join(file.read_text() for file in Path("/proc/self/task").glob("*/comm"))
    (folder / f"threads-{rank}").write_text(threads)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
