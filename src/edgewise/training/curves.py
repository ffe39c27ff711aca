"""Learning curves as numbers, as a file, and as a picture, one row of panels a stage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field

from edgewise.errors import ModelFolderError
from edgewise.files import replacing, write_text
from edgewise.parsing import Shape, check_shape, read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass
class Curves:
    """The learning curves of one stage, and where it stands; saved with every checkpoint.

    Attributes:
        step: batches seen.
        epochs_without_gain: since the best validation.
        best: the best value of ``metric`` on validation rows, None before the first validation.
        seconds: training time.
        train_loss: (step, mean loss since the last entry).
        valid: one dictionary of metrics an epoch, with ``step``.
        metric: which of them chooses the epoch; ``loss`` is best where it is lowest, any other
            where it is highest.
    """

    step: int = 0
    epochs_without_gain: int = 0
    best: float | None = None
    seconds: float = 0.0
    train_loss: list[tuple[int, float]] = field(default_factory=list)
    valid: list[dict[str, float]] = field(default_factory=list)
    metric: str = "loss"

    def is_better(self, value: float) -> bool:
        """Whether a value of the metric beats the best so far."""
        if self.best is None:
            return True
        return value < self.best if self.metric == "loss" else value > self.best

    @property
    def best_epoch(self) -> dict[str, float] | None:
        """What was measured of the epoch whose weights were kept; None without validation."""
        best = min if self.metric == "loss" else max
        return best(self.valid, key=lambda row: row[self.metric], default=None)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        curve = [(step, loss) for step, loss in values["train_loss"]]
        return cls(**{**values, "train_loss": curve})


Stages = Mapping[str, Curves]
"""Curves by the names of stages, in order; empty where nothing is trained step by step."""

_FILE = "curves.json"
_AGAIN = "fit the run again"


class _Stage(Shape):
    """A stage in ``curves.json``."""

    step: int
    epochs_without_gain: int
    best: float | None
    seconds: float
    train_loss: list[Annotated[list[float], Field(min_length=2, max_length=2)]]
    valid: list[dict[str, float]]
    metric: str


_INK = {"light": ("#1f2328", "#d0d7de"), "dark": ("#e6edf3", "#3d444d")}
_COLOURS = {"direct": "#2f81f7", "sequential": "#d9730d", "explanation": "#2da44e"}
_MORE_COLOURS = ("#8250df", "#bf3989", "#0a7ea4", "#9a6700")


def write_curves(folder: Path, stages: Stages) -> None:
    """Write ``curves.json``: every stage's curves by its name."""
    values = {name: curves.to_dict() for name, curves in stages.items()}
    write_text(folder / _FILE, json.dumps(values, indent=2) + "\n")


def read_curves(folder: Path) -> Stages:
    """What :func:`write_curves` wrote.

    Raises:
        ModelFolderError: the file is missing or damaged.
    """
    path = folder / _FILE
    values = read_json(path, ModelFolderError, _AGAIN)
    for name, curves in values.items():
        check_shape(curves, _Stage, f"{path}: {name}", ModelFolderError, _AGAIN)
        for row in curves["valid"]:
            for wanted in ("step", curves["metric"]):
                if wanted not in row:
                    raise ModelFolderError(f"{path}: {name}.valid lacks {wanted}; {_AGAIN}")
    return {name: Curves.from_dict(curves) for name, curves in values.items()}


def learning(folder: Path) -> dict[str, dict[str, Any]]:
    """What became of each stage: epochs made, the last train loss, validation losses."""
    return {stage: _outcome(curves) for stage, curves in read_curves(folder).items()}


def _outcome(curves: Curves) -> dict[str, Any]:
    return {
        "epochs": len(curves.valid),
        "train_loss": curves.train_loss[-1][1] if curves.train_loss else None,
        "validation_metric": curves.metric,
        "valid": curves.valid[-1][curves.metric] if curves.valid else None,
        "best_valid": curves.best,
    }


def draw_curves(stages: Stages, path: Path) -> None:
    """Write the picture as PNG, whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(curves_png(stages))


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
        _draw_training(left, curves, stage, theme)
        _draw_validation(right, curves, stage, theme)
    return figure


def _draw_training(panel: Axes, curves: Curves, what: str, theme: str) -> None:
    if curves.train_loss:
        panel.plot(*zip(*curves.train_loss, strict=True), color=_INK[theme][0], linewidth=1)
    _style(panel, f"training, {what}", theme)


def _draw_validation(panel: Axes, curves: Curves, stage: str, theme: str) -> None:
    ink, faint = _INK[theme]
    for task, colour in _coloured(curves):
        points = [(row["step"], row[task]) for row in curves.valid if task in row]
        panel.plot(*zip(*points, strict=True), color=colour, label=task, marker="o", markersize=2.5)
    if (best := curves.best_epoch) is not None:
        panel.axvline(best["step"], color=faint, zorder=0, label="kept")
        panel.legend(frameon=False, labelcolor=ink)
    _style(panel, f"validation, {stage}", theme)


def _coloured(curves: Curves) -> Iterator[tuple[str, str]]:
    """What was measured on validation rows, each with its colour."""
    measured = dict.fromkeys(name for row in curves.valid for name in row if name != "step")
    # The sum of several tasks' losses would flatten their own curves.
    named = [name for name in measured if name != "loss" or len(measured) == 1]
    others = [task for task in named if task not in _COLOURS]
    for task in named:
        more = _MORE_COLOURS[others.index(task) % len(_MORE_COLOURS)] if task in others else ""
        yield task, _COLOURS.get(task, more)


def _style(panel: Axes, title: str, theme: str) -> None:
    ink, faint = _INK[theme]
    panel.set_title(title, color=ink)
    panel.set_xlabel("batches", color=ink)
    panel.tick_params(colors=ink)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(faint)
    panel.patch.set_alpha(0)
