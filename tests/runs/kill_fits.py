"""Kill a training at random times and go on with it, until it ends: is it the model of one go?

    python tests/runs/kill_fits.py FOLDER --kills 20

One process loads the libraries and forks a child for each ``fit`` or ``fit --resume``, so that a
kill costs as much time as the training itself. Prints what came of it as JSON; exits with 1 if the
models differ or something was left lying about.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from edgewise.data.dataset import Dataset
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.registry import find_method
from edgewise.runs.run import FINISHED, is_run, read_info
from edgewise.runs.spec import DataInfo, RunSpec, resolve_config
from edgewise.runs.train import train

SETTINGS = ["training.epochs=3", "training.checkpoint_minutes=0"]
SEED = 0


def fit(method: str, data: Path, folder: Path) -> None:
    """What ``edgewise fit [--resume]`` does, in this process."""
    dataset = Dataset.load(data)
    config = resolve_config(find_method(method), "tiny", assignments=SETTINGS)
    spec = RunSpec(method, config, DataInfo.of(dataset, data))
    goes_on = is_run(folder)
    if goes_on and read_info(folder).status == FINISHED:
        return
    train(spec, folder, dataset=dataset, resume=goes_on)


def forked(method: str, data: Path, folder: Path, seconds: float | None = None) -> bool:
    """Fit in a child, killed after some seconds; whether it came to its end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            fit(method, data, folder)
            status = 0
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"fit failed with exit code {os.WEXITSTATUS(status)}")
    return not os.WIFSIGNALED(status)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--method", default="sasrec")
    given = parser.parse_args()
    import torch._dynamo

    with suppress(ImportError):
        import torch.utils.tensorboard  # noqa: F401  and every run its log

    _ = find_method(given.method).recommender
    sys.modules[train.__module__].draw_curves = lambda *_: None  # a second of matplotlib a run
    child = os.fork()
    if child == 0:  # threads of a table library must not be there when others are forked
        make_demo_shop(3, num_users=60, num_items=96).save(given.folder / "shop")
        os._exit(0)
    os.waitpid(child, 0)
    shop, whole = given.folder / "shop", given.folder / "whole"
    started = time.monotonic()
    forked(given.method, shop, whole)
    took = time.monotonic() - started
    draws, kills, number, equal, left = random.Random(SEED), 0, 0, True, []
    while kills < given.kills:
        folder = given.folder / "killed" / f"run-{number}"
        # Some kills come early, some in training, some in the last writes.
        while not forked(given.method, shop, folder, draws.uniform(0, took)):
            kills += 1
        number += 1
        equal &= contents(folder / "model") == contents(whole / "model")
        # A run that was killed when it had ended is written no more: its lock files, which nobody
        # holds, wait for the next writer.
        hidden = (given.folder / "killed").rglob(".*")
        left += [str(path) for path in hidden if path.suffix != ".lock"]
    found = {"kills": kills, "runs": number, "seconds": round(time.monotonic() - started, 1)}
    print(json.dumps({**found, "equal": equal, "left_overs": left}))
    sys.exit(0 if equal and not left else 1)


if __name__ == "__main__":
    main()
