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
from tests.training import distributed_run

LAUNCH = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[dict[str, Any]]:
    """What each of two processes ended with."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, *LAUNCH, distributed_run.__file__, str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(Path(folder, f"rank-{rank}.json").read_text()) for rank in (0, 1)]


def curves(result: dict[str, Any]) -> np.ndarray:
    train = [loss for _, loss in result["train"]]
    return np.array(train + [value for entry in result["valid"] for value in entry.values()])


def test_both_processes_end_with_the_same_weights(two):
    for name in ("regression", "elmrec", "resumed", "uninterrupted"):
        assert two[0][name] == two[1][name]


@pytest.mark.parametrize("name", ["regression", "elmrec"])
def test_losses_are_those_of_one_process(two, name):
    """Parts of unequal lengths: batches of 5 and 3 rows, or 9 and 6, over two processes."""
    alone = getattr(distributed_run, name)()
    tolerance = 1e-6 if name == "regression" else 2e-3
    assert curves(two[0][name]) == pytest.approx(curves(alone), rel=tolerance)
    assert len(curves(alone)) >= 6


def test_resuming_gives_what_an_uninterrupted_run_gives(two):
    assert two[0]["resumed"] == two[0]["uninterrupted"]
