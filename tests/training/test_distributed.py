"""Two processes under torchrun train as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.training import distributed_run

from edgewise.config import with_overrides
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.base import TorchRecommender
from edgewise.models.registry import METHODS
from edgewise.runs.spec import DataInfo, RunSpec
from edgewise.runs.train import train

Results = list[dict[str, Any]]
LAUNCH = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(folder, run) -> Results:
    """What each of two processes ended with."""
    command = [sys.executable, *LAUNCH, distributed_run.__file__, str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(Path(folder, f"rank-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def run(folder) -> Path:
    """A small run that has been fitted by one process."""
    shop = make_demo_shop(0, 24, 48)
    shop.save(folder / "shop")
    config = METHODS["lightgcn"].preset_config("tiny")
    config = with_overrides(config, ["training.epochs=2", "training.precision=fp32"])
    spec = RunSpec("lightgcn", config, DataInfo.of(shop, folder / "shop"))
    return train(spec, folder / "run", dataset=shop).folder


def losses(result: dict[str, Any]) -> np.ndarray:
    """Everything that was measured while a network was trained, stage by stage."""
    train = [loss for stage in result["stages"].values() for _, loss in stage["train"]]
    valid = [row for stage in result["stages"].values() for row in stage["valid"]]
    return np.array(train + [value for row in valid for value in row.values()])


def test_both_processes_end_with_the_same_weights(two):
    for name in two[0]:
        assert two[0][name]["weights"] == two[1][name]["weights"], name


@pytest.mark.parametrize("name", ["regression", *distributed_run.METHODS])
def test_losses_and_weights_are_those_of_one_process(two, name):
    """Parts of unequal lengths: batches of 5 and 3 rows, or 9 and 6, over two processes."""
    regression = name == "regression"
    alone = distributed_run.regression() if regression else distributed_run.fitted(name)
    assert losses(two[0][name]) == pytest.approx(losses(alone), rel=1e-5)
    # Adam moves a weight whose gradient is 0 but for rounding by the learning rate all the same.
    assert two[0][name]["weights"] == pytest.approx(alone["weights"], rel=1e-4, abs=1e-3)


def test_every_method_with_a_network_is_among_them():
    trained = {
        name for name, method in METHODS.items() if issubclass(method.recommender, TorchRecommender)
    }
    assert {name.partition(" ")[0] for name in distributed_run.METHODS} == trained


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the names of threads")
def test_no_thread_of_the_group_outlives_it(two, folder):
    """One that is still at work while Python ends aborts the process."""
    for rank in range(len(two)):
        threads = (folder / f"threads-{rank}").read_text().split()
        assert threads and not [name for name in threads if "gloo" in name]


def test_resuming_gives_what_an_uninterrupted_run_gives(two):
    assert two[0]["resumed"] == two[0]["uninterrupted"]


def test_sharded_tables_learn_what_whole_ones_learn(two):
    alone = distributed_run.lookup()
    for name in ("lookup whole", "lookup sharded"):
        assert losses(two[0][name]) == pytest.approx(losses(alone), rel=1e-5)
        assert two[0][name]["weights"] == pytest.approx(alone["weights"], rel=1e-5, abs=1e-5)
    assert two[0]["lookup resumed"] == two[0]["lookup sharded"]


@pytest.mark.parametrize("name", ["model", "best", "optimizer"])
def test_checkpoints_of_sharded_tables_are_those_of_whole_ones(two, folder, name):
    kept = [
        load_file(folder / run / "only" / "checkpoint" / f"{name}.safetensors")
        for run in ("whole", "sharded")
    ]
    assert kept[0].keys() == kept[1].keys()
    for key, whole in kept[0].items():
        assert torch.allclose(whole, kept[1][key], rtol=1e-4, atol=1e-6), key


def test_users_shared_among_processes_are_measured_as_by_one(two, folder, run):
    """All figures and each user's; the first process alone writes."""
    distributed_run.evaluated(run, folder / "alone.json")
    shared, alone = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("evaluated-0", "alone")
    )
    assert shared["users_sha256"] == alone["users_sha256"]
    assert untimed(shared["results"]) == untimed(alone["results"])
    assert not (folder / "evaluated-1.json").exists()


def untimed(values: Any) -> Any:
    """The same without seconds."""
    if not isinstance(values, dict):
        return values
    return {name: untimed(each) for name, each in values.items() if "seconds" not in name}
