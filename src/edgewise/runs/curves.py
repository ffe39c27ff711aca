"""Learning curves as a picture."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.training.loop import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK = {"light": ("#1f2328", "#d0d7de"), "dark": ("#e6edf3", "#3d444d")}
_COLOURS = {"direct": "#2f81f7", "sequential": "#d9730d", "explanation": "#2da44e"}


def read_curves(folder: Path) -> Progress:
    """What :mod:`edgewise.runs.fitting` wrote into ``curves.json``."""
    return Progress(**json.loads((folder / "curves.json").read_text(encoding="utf-8")))


def draw_curves(curves: Progress, path: Path) -> None:
    """Write the picture as PNG, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(curves_png(curves))
    partial.replace(path)


def curves_png(curves: Progress, theme: str = "light") -> bytes:
    """Training loss, and validation loss of each task with the epoch that was kept."""
    figure = _figure(curves, theme)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=150, transparent=theme == "dark")
    return buffer.getvalue()


def _figure(curves: Progress, theme: str) -> Figure:
    from matplotlib.figure import Figure

    ink, faint = _INK[theme]
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    if curves.train_loss:
        left.plot(*zip(*curves.train_loss, strict=True), color=ink, linewidth=1)
    left.set_title("training, all tasks", color=ink)
    steps = [row["step"] for row in curves.valid_loss]
    for task, colour in _COLOURS.items():
        losses = [row[task] for row in curves.valid_loss if task in row]
        if losses:
            right.plot(steps, losses, color=colour, label=task, marker="o", markersize=2.5)
    if steps:
        best = min(curves.valid_loss, key=lambda row: row["total"])["step"]
        right.axvline(best, color=faint, zorder=0, label="kept")
        right.legend(frameon=False, labelcolor=ink)
    right.set_title("validation", color=ink)
    for panel in (left, right):
        panel.set_xlabel("batches", color=ink)
        panel.set_ylabel("loss", color=ink)
        panel.tick_params(colors=ink)
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(faint)
        panel.patch.set_alpha(0)
    return figure
