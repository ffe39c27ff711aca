"""Progress bar and TensorBoard curves of a training run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


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
