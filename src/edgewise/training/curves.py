"""Where a training run stands.

Progress bar and TensorBoard curves of a training run.

Learning curves as figures and as a picture, one row of panels a stage of training.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edgewise.files import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass
class Curves:
    """Where a run stands; saved with every checkpoint.

    Attributes:
        step: batches seen.
        epochs_without_gain: since the best validation loss.
        best_loss: lowest summed validation loss, infinite before the first validation.
        seconds: training time.
        train_loss: (step, mean loss since the last entry).
        valid_loss: one dictionary of losses by task an epoch, with ``total`` and ``step``.
    """

    step: int = 0
    epochs_without_gain: int = 0
    best_loss: float = math.inf
    seconds: float = 0.0
    train_loss: list[tuple[int, float]] = field(default_factory=list)
    valid_loss: list[dict[str, float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; a best loss that does not exist yet is None."""
        best = self.best_loss if math.isfinite(self.best_loss) else None
        return asdict(self) | {"best_loss": best}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        best = values["best_loss"]
        curve = [(step, loss) for step, loss in values["train_loss"]]
        best = math.inf if best is None else best
        return cls(**{**values, "best_loss": best, "train_loss": curve})


class TrainingLog:
    """Shows and records losses.

    Args:
        folder: TensorBoard files go to ``folder/tensorboard`` if tensorboard is installed; None
            records nothing.
        show: print a progress bar, or a line an epoch where the output is no terminal.
    """

    def __init__(self, folder: Path | None, show: bool) -> None:
        self._folder, self._show = folder, show
        self._writer: Any = None
        self._bar: Progress | None = None
        self._loss = float("nan")

    @contextmanager
    def open(self, total_steps: int, done: int) -> Iterator[None]:
        if self._folder is not None and importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder / "tensorboard"), purge_step=done + 1)
        console = Console(stderr=True)
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        visible = self._show and console.is_terminal
        self._bar = Progress(*columns, console=console, disable=not visible)
        self._task = self._bar.add_task("", total=total_steps, completed=done, loss=0.0, rate="")
        try:
            with self._bar:
                yield
        finally:
            if self._writer is not None:
                self._writer.close()

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        self._loss = loss
        if self._bar is not None:
            speed = self._bar.tasks[0].speed
            rate = f"{speed:.1f} batches/s" if speed else ""
            self._bar.update(self._task, completed=step, loss=loss, rate=rate)
        if self._writer is not None:
            self._writer.add_scalar("train/loss", loss, step)
            self._writer.add_scalar("train/learning_rate", learning_rate, step)

    def validation(self, step: int, losses: Mapping[str, float]) -> None:
        if self._writer is not None:
            for name, loss in losses.items():
                self._writer.add_scalar(f"valid/{name}", loss, step)
        if self._show:
            parts = "  ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
            print(
                f"step {step}: train loss {self._loss:.3f}, validation {parts}",
                file=sys.stderr,
                flush=True,
            )


Stages = Mapping[str, Curves]
"""Curves by stage, in order; a method of one stage has one without a name."""

_FILE = "curves.json"
_INK = {"light": ("#1f2328", "#d0d7de"), "dark": ("#e6edf3", "#3d444d")}
_COLOURS = {"direct": "#2f81f7", "sequential": "#d9730d", "explanation": "#2da44e"}
_MORE_COLOURS = ("#8250df", "#bf3989", "#0a7ea4", "#9a6700")
_NO_TASK = ("step", "total")


def write_curves(folder: Path, stages: Stages) -> None:
    """Write ``curves.json``: the last stage's curves, and all by name where there are several."""
    values: dict[str, Any] = list(stages.values())[-1].to_dict()
    if list(stages) != [""]:
        values["stages"] = {name: curves.to_dict() for name, curves in stages.items()}
    write_text(folder / _FILE, json.dumps(values, indent=2) + "\n")


def read_curves(folder: Path) -> Stages:
    """What :func:`write_curves` wrote."""
    values = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    stages = values.pop("stages", None) or {"": values}
    return {name: Curves.from_dict(curves) for name, curves in stages.items()}


def learning(folder: Path) -> dict[str, dict[str, Any]]:
    """What became of each stage: epochs made, the last train loss, validation losses."""
    return {stage or "training": _outcome(curves) for stage, curves in read_curves(folder).items()}


def _outcome(curves: Curves) -> dict[str, Any]:
    valid = [entry["total"] for entry in curves.valid_loss]
    return {
        "epochs": len(valid),
        "train_loss": curves.train_loss[-1][1] if curves.train_loss else None,
        "valid_loss": valid[-1] if valid else None,
        "best_valid_loss": min(valid, default=None),
    }


def draw_curves(stages: Stages, path: Path) -> None:
    """Write the picture as PNG, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(curves_png(stages))
    partial.replace(path)


def curves_png(stages: Stages, theme: str = "light") -> bytes:
    """Training loss, and validation loss of each task with the epoch that was kept."""
    buffer = BytesIO()
    figure = _figure(stages, theme)
    figure.savefig(buffer, format="png", dpi=150, transparent=theme == "dark")
    return buffer.getvalue()


def _figure(stages: Stages, theme: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.2 * len(stages)), layout="constrained")
    rows = figure.subplots(len(stages), 2, squeeze=False)
    for (left, right), (stage, curves) in zip(rows, stages.items(), strict=True):
        _draw_training(left, curves, stage or "all tasks", theme)
        _draw_validation(right, curves, stage, theme)
    return figure


def _draw_training(panel: Axes, curves: Curves, what: str, theme: str) -> None:
    if curves.train_loss:
        panel.plot(*zip(*curves.train_loss, strict=True), color=_INK[theme][0], linewidth=1)
    _style(panel, f"training, {what}", theme)


def _draw_validation(panel: Axes, curves: Curves, stage: str, theme: str) -> None:
    ink, faint = _INK[theme]
    for task, colour in _coloured(curves):
        points = [(row["step"], row[task]) for row in curves.valid_loss if task in row]
        panel.plot(*zip(*points, strict=True), color=colour, label=task, marker="o", markersize=2.5)
    if curves.valid_loss:
        best = min(curves.valid_loss, key=lambda row: row["total"])["step"]
        panel.axvline(best, color=faint, zorder=0, label="kept")
        panel.legend(frameon=False, labelcolor=ink)
    _style(panel, f"validation, {stage}" if stage else "validation", theme)


def _coloured(curves: Curves) -> Iterator[tuple[str, str]]:
    """The tasks that were validated, each with its colour."""
    named = dict.fromkeys(task for row in curves.valid_loss for task in row if task not in _NO_TASK)
    others = [task for task in named if task not in _COLOURS]
    for task in named:
        more = _MORE_COLOURS[others.index(task) % len(_MORE_COLOURS)] if task in others else ""
        yield task, _COLOURS.get(task, more)


def _style(panel: Axes, title: str, theme: str) -> None:
    ink, faint = _INK[theme]
    panel.set_title(title, color=ink)
    panel.set_xlabel("batches", color=ink)
    panel.set_ylabel("loss", color=ink)
    panel.tick_params(colors=ink)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(faint)
    panel.patch.set_alpha(0)
