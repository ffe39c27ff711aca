"""Fit the demo shop with one process and with two, and set their learning curves side by side.

Without dropout both see the same batches and take the same steps, so that the curves differ by
rounding and by what training makes of it. Figures go to ``results/two_processes.json``, the picture
to ``docs/images/two-processes.png``.

    python benchmarks/two_processes.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from edgewise.files import replacing, write_text
from edgewise.training.curves import read_curves

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
LAUNCHERS = {
    "one": MODULE,
    "two": ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *MODULE),
}


def main() -> None:
    shop = PLACE / "shop"
    run(*MODULE, "data", "demo", "--out", shop, "--force")
    before = sources()
    for name, launcher in LAUNCHERS.items():
        fit(launcher, shop, PLACE / name)
    if sources() != before:
        sys.exit("the package was changed between the two runs: repeat them")
    result = measured()
    write_text(RESULT, json.dumps(result, indent=2) + "\n")
    draw(result)


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
