"""One process beside two: learning curves, and what each costs.

Without dropout both see the same batches and take the same steps, so that the curves differ by
rounding and by what training makes of it. Figures go to ``results/two_processes.json``, the picture
to ``docs/images/two-processes.png``.

    python benchmarks/two_processes.py            curves of the demo shop, and the rest
    python benchmarks/two_processes.py --speed    the rest alone: seconds by one process with one
                                                  thread and with two, and by two with one each
                                                  (or by some of these --ways); memory of a table
                                                  that is whole or spread

Seconds of the clock say something on a machine that has nothing else to do; those of the processor,
of the first process, say what each has to do wherever they are taken, but for two threads: where
other work takes the cores, they count their waiting for each other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

from edgewise.config import with_overrides
from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.files import replacing, versions, write_text
from edgewise.models.registry import find_method
from edgewise.runs.provenance import describe_machine
from edgewise.training.config import TrainingConfig
from edgewise.training.curves import read_curves
from edgewise.training.trainer import Average, Stage, train

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "two_processes.json"
PICTURE = ROOT / "docs" / "images" / "two-processes.png"
PLACE = Path("runs", "two-processes")
SETTINGS = (
    "backbone.dropout=0.0",
    "prompts.item_dropout=0.0",
    "training.epochs=3",
    "training.precision=fp32",
)
MODULE = ("-m", "edgewise.cli.main")
TOGETHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
LAUNCHERS = {"one": MODULE, "two": (*TOGETHER, *MODULE)}

SHOP = {"seed": 0, "num_users": 1500, "num_items": 800}
FP32 = ("training.precision=fp32",)
FITS = {
    "sasrec": ("sasrec", "cpu", (*FP32, "training.epochs=1")),
    "lightgcn": ("lightgcn", "cpu", (*FP32, "training.epochs=1")),
    "elmrec": (
        "elmrec",
        "tiny",
        (*FP32, "training.epochs=1", "training.batch_size=256", "prompts.tasks=sequential"),
    ),
}
"""Method, preset and changes."""
WAYS: dict[str, tuple[tuple[str, ...], int]] = {
    "one_process_one_thread": ((), 1),
    "one_process_two_threads": ((), 2),
    "two_processes_one_thread": (TOGETHER, 1),
}
"""What starts Python, and the threads of each process."""
TABLE_ROWS, TABLE_WIDTH, TABLE_STEPS = 300_000, 64, 10


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--rounds", type=int, default=3, help="of --speed; 0 = memory alone")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="of --speed")
    parser.add_argument("--child", choices=["fits", "whole", "sharded"])
    asked = parser.parse_args()
    if asked.child:
        return child(asked.child)
    result = json.loads(RESULT.read_text("utf-8")) if asked.speed else curves_of_both()
    if asked.rounds:
        result |= {"speed_machine": describe_machine(), "speed_versions": versions()}
        result |= {"speed_rounds": asked.rounds} | speeds(asked.rounds, asked.ways)
    result |= memory()
    write_text(RESULT, json.dumps(result, indent=2) + "\n")


def curves_of_both() -> dict[str, Any]:
    """Fit the demo shop twice, and draw both."""
    shop = PLACE / "shop"
    run(*MODULE, "data", "demo", "--out", shop, "--force")
    before = sources()
    for name, launcher in LAUNCHERS.items():
        fit(launcher, shop, PLACE / name)
    if sources() != before:
        sys.exit("the package was changed between the two runs: repeat them")
    result = measured()
    draw(result)
    return result


def speeds(num_rounds: int, ways: Sequence[str]) -> dict[str, dict[str, float]]:
    """The median seconds of training of every method, the ways in turns, and their ratios.

    Args:
        num_rounds: how often each way is taken.
        ways: of :data:`WAYS`, two processes among them.
    """
    rounds = [{way: told("fits", *WAYS[way]) for way in ways} for _ in range(num_rounds)]
    found = {f"speed_{name}": dict[str, float]() for name in FITS}
    for name, kind in product(FITS, ("seconds", "processor_seconds")):
        times = {way: median([each[way][f"{name}_{kind}"] for each in rounds]) for way in ways}
        two = times["two_processes_one_thread"]
        found[f"speed_{name}"] |= {
            **{f"{way}_{kind}": each for way, each in times.items()},
            **{f"{kind}_to_{way}": each / two for way, each in times.items()},
        }
    return found


def memory() -> dict[str, dict[str, float]]:
    """What training a large table adds to the most memory of a process, whole and spread."""
    ways = {"one_process_whole": ((), 1), "whole": (TOGETHER, 1), "sharded": (TOGETHER, 1)}
    found = {
        f"memory_{way}": told("sharded" if way == "sharded" else "whole", *how)
        for way, how in ways.items()
    }
    table: dict[str, float] = {"rows": TABLE_ROWS, "bytes": TABLE_ROWS * TABLE_WIDTH * 4}
    return {"memory_table": table, **found}


def told(what: str, launcher: tuple[str, ...], threads: int) -> dict[str, float]:
    """What a process of its own, or the first of two, says of itself."""
    command = [sys.executable, *launcher, __file__, "--child", what]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    print(what, *launcher[-1:], threads, found, flush=True)
    return found


def child(what: str) -> None:
    """Say seconds or memory as a line of JSON."""
    found = fit_all() if what == "fits" else train_table(shard=what == "sharded")
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(found))


def fit_all() -> dict[str, float]:
    """Seconds of training of every method, by the clock and of this process's processor."""
    split, found = leave_one_out(make_demo_shop(**SHOP)), {}
    for name, (method, preset, changes) in FITS.items():
        config = with_overrides(find_method(method).preset_config(preset), changes)
        begun = time.process_time()
        model = find_method(method).recommender(config).fit(split)
        found[f"{name}_processor_seconds"] = time.process_time() - begun
        found[f"{name}_seconds"] = sum(stage.seconds for stage in model.stage_curves.values())
    return found


@dataclass(frozen=True)
class Rows:
    """Rows of a table that are to be like each other, ``int64[B]`` each."""

    first: torch.Tensor
    second: torch.Tensor

    def __len__(self) -> int:
        return len(self.first)

    def to(self, device: torch.device) -> Rows:
        return Rows(self.first.to(device), self.second.to(device))


class TableNetwork(nn.Module):
    """A table of embeddings and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(TABLE_ROWS, TABLE_WIDTH)

    def forward(self, rows: Rows) -> torch.Tensor:
        return -(self.table(rows.first) * self.table(rows.second)).sum(1).sigmoid().mean()


class RandomRows:
    """One epoch of random rows, validated so that best weights are kept."""

    steps_per_epoch = TABLE_STEPS

    def batch(self, step: int, part: slice) -> Rows:
        generator = torch.Generator().manual_seed(step)
        drawn = torch.randint(TABLE_ROWS, (2, 1024), generator=generator)
        return Rows(*drawn[:, part])

    def validate(self, average: Average, metric: str) -> dict[str, float]:
        return {"loss": average([self.batch(TABLE_STEPS, slice(None))])}


def train_table(shard: bool) -> dict[str, float]:
    """What the process has at most beyond what it had before, and seconds of training."""
    config = TrainingConfig(epochs=1, precision="fp32", shard_embeddings=shard)
    before, network = most_memory(), TableNetwork()
    curves = train(network, [Stage("only", RandomRows(), config)], seed=0, show_progress=False)
    return {"added_bytes": most_memory() - before, "seconds": curves["only"].seconds}


def most_memory() -> int:
    """Of this process so far, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024)


def sources() -> dict[Path, str]:
    """The package as it stands, by file."""
    return {path: path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py")}


def fit(launcher: tuple[str, ...], shop: Path, out: Path) -> None:
    changes = [part for setting in SETTINGS for part in ("--set", setting)]
    folders = ("--data", shop, "--out", out)
    run(*launcher, "fit", "elmrec", *folders, "--preset", "tiny", *changes, "--force", "--quiet")


def run(*arguments: object) -> None:
    """Run Python as from the project's root, one thread a process, and stop where it fails."""
    print("python", *arguments, flush=True)
    command = [sys.executable, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if code := subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        sys.exit(code)


def measured() -> dict[str, Any]:
    """What was run, and both runs' curves and seconds."""
    about = json.loads((ROOT / PLACE / "one" / "run.json").read_text(encoding="utf-8"))
    wanted = ("seed", "data", "split", "versions", "machine", "config")
    return {
        "kind": "edgewise two processes",
        **{name: about[name] for name in wanted},
        "runs": {name: curves(ROOT / PLACE / name) for name in LAUNCHERS},
    }


def curves(run: Path) -> dict[str, Any]:
    """Seconds and losses of a run's one stage."""
    (stage,) = read_curves(run).values()
    losses = {"train_loss": stage.train_loss, "valid": stage.valid}
    return {"seconds": stage.seconds, **losses}


def draw(result: dict[str, Any]) -> None:
    """Training and validation loss, the second run's as dots on the first one's line."""
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    forms = {"one": {"color": "#8c959f", "linewidth": 3}, "two": {"color": "#0969da", "ls": "--"}}
    for name, run in result["runs"].items():
        label = f"{name} process{'es' if name == 'two' else ''}"
        left.plot(*zip(*run["train_loss"], strict=True), label=label, **forms[name])
        losses = [(row["step"], row["loss"]) for row in run["valid"]]
        right.plot(*zip(*losses, strict=True), label=label, marker="o", **forms[name])
    for panel, title in ((left, "training loss"), (right, "validation loss, all tasks")):
        panel.set_title(title)
        panel.set_xlabel("batches")
        panel.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False)
    with replacing(PICTURE) as partial:
        figure.savefig(partial, format="png", dpi=150)


if __name__ == "__main__":
    main()
