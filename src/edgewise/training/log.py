"""What a training shows while it runs: a bar or lines, and the trackers that were asked for."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edgewise.config import check
from edgewise.training.config import TrainingConfig

if TYPE_CHECKING:
    from accelerate import Accelerator


def check_trackers(config: TrainingConfig) -> None:
    """Refuse a tracker that is not there.

    Raises:
        ConfigError: one that was asked for is not installed.
    """
    for name in config.log_with:
        installed = importlib.util.find_spec(name) is not None
        check(installed, f"training.log_with names {name}: install it, 'pip install {name}'")


def trackers(config: TrainingConfig, folder: Path | None) -> Iterator[str]:
    """Those asked for that are installed, and TensorBoard in any case where there is a folder.

    Raises:
        ConfigError: one that was asked for is not installed.
    """
    check_trackers(config)
    for name in config.log_with:
        if name != "tensorboard":
            yield name
    if folder is not None and importlib.util.find_spec("tensorboard"):
        yield "tensorboard"


class TrainingLog:
    """Shows a bar, or a line an epoch where the output is no terminal, and feeds the trackers."""

    def __init__(self, accelerator: Accelerator, stage: str, show: bool) -> None:
        self._accelerator, self._stage, self._show = accelerator, stage, show
        self._loss = float("nan")

    @contextmanager
    def open(self, total_steps: int, done: int) -> Iterator[None]:
        if self._accelerator.log_with:
            kwargs = {"tensorboard": {"purge_step": done + 1}}
            self._accelerator.init_trackers("edgewise", init_kwargs=kwargs)
        console = Console(stderr=True)
        columns = (
            TextColumn(self._stage, markup=False),
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
            # Not end_training(), which would end the other processes' group with this stage.
            for tracker in self._accelerator.trackers:
                tracker.finish()

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        self._loss = loss
        speed = self._bar.tasks[0].speed
        rate = f"{speed:.1f} batches/s" if speed else ""
        self._bar.update(self._task, completed=step, loss=loss, rate=rate)
        self._accelerator.log({"train/loss": loss, "train/learning_rate": learning_rate}, step)

    def precision(self, is_bf16: bool) -> None:
        if self._show:
            line = f"{self._stage}: trains in {'bf16' if is_bf16 else 'fp32'}"
            print(f"{line} (training.precision=auto)", file=sys.stderr, flush=True)

    def validation(self, step: int, found: Mapping[str, float]) -> None:
        self._accelerator.log({f"valid/{name}": value for name, value in found.items()}, step)
        if self._show:
            parts = "  ".join(f"{name} {value:.4f}" for name, value in found.items())
            line = f"{self._stage}, step {step}: train loss {self._loss:.3f}, validation {parts}"
            print(line, file=sys.stderr, flush=True)
