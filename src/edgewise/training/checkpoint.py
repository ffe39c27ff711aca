"""What is needed to go on with an interrupted run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from edgewise.errors import ModelFolderError
from edgewise.model_folder import describe, read_model
from edgewise.training.best import BestWeights
from edgewise.training.state import (
    load_generators,
    load_optimizer,
    save_generators,
    save_optimizer,
)

KIND = "checkpoint"


class Checkpoint:
    """A folder with weights, optimiser state, generator states, best weights and progress.

    A new checkpoint is written beside the last one and then takes its place, so that a run killed
    at any moment leaves a whole checkpoint. Weights and states are safetensors and JSON with
    checksums; frozen buffers such as the graph's features are not among them.

    Args:
        folder: of the run.
        accelerator: knows the other processes; each keeps its own generator states.
        model: not wrapped.
        optimizer: of the model's trainable parameters, in their order.
    """

    def __init__(
        self,
        folder: Path,
        accelerator: Accelerator,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self._last = folder / "checkpoint"
        self._next = folder / "checkpoint.next"
        self._old = folder / "checkpoint.old"
        self._accelerator = accelerator
        self._model, self._optimizer = model, optimizer
        names = {id(p): name for name, p in model.named_parameters()}
        self._names = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]

    def exists(self) -> bool:
        """Whether there is something to resume from; a swap cut short is undone first."""
        if self._accelerator.is_main_process and not self._last.exists() and self._old.exists():
            self._old.rename(self._last)
        self._accelerator.wait_for_everyone()
        return self._last.exists()

    def clear(self) -> None:
        """Remove what an earlier run left, so that nobody resumes from it by mistake."""
        if self._accelerator.is_main_process:
            for folder in (self._last, self._next, self._old):
                shutil.rmtree(folder, ignore_errors=True)
        self._accelerator.wait_for_everyone()

    def save(self, progress: dict[str, Any], best: BestWeights) -> None:
        """Write everything, whole or not at all.

        Args:
            progress: JSON values to be handed back by :meth:`restore`.
            best: of the model.
        """
        main = self._accelerator.is_main_process
        if main:
            shutil.rmtree(self._next, ignore_errors=True)
            self._next.mkdir(parents=True)
        self._accelerator.wait_for_everyone()
        save_generators(self._next / self._generators())
        self._accelerator.wait_for_everyone()
        if main:
            self._write(progress, best)
            self._swap()
        self._accelerator.wait_for_everyone()

    def restore(self, best: BestWeights) -> dict[str, Any]:
        """Load everything back into the model and the optimiser, and return the progress.

        Raises:
            ModelFolderError: the checkpoint belongs to another model, to another number of
                processes, or is damaged.
        """
        try:
            return self._read(best)
        except (
            ModelFolderError,
            SafetensorError,
            OSError,
            KeyError,
            TypeError,
            ValueError,
            RuntimeError,
        ) as error:
            raise ModelFolderError(
                f"cannot resume from {self._last}: {error} Resume with the configuration that "
                "started the run, or start anew without resuming."
            ) from error

    def _generators(self) -> str:
        return f"generators-{self._accelerator.process_index}.safetensors"

    def _write(self, progress: dict[str, Any], best: BestWeights) -> None:
        save_model(self._model, str(self._next / "model.safetensors"))
        best.save(self._next / "best.safetensors")
        path = self._next / "optimizer.safetensors"
        settings = {
            "progress": progress,
            "num_processes": self._accelerator.num_processes,
            "optimizer": save_optimizer(self._optimizer, self._names, path),
        }
        describe(self._next, KIND, settings)

    def _read(self, best: BestWeights) -> dict[str, Any]:
        settings = read_model(self._last, KIND)
        saved, now = settings["num_processes"], self._accelerator.num_processes
        if saved != now:
            raise ModelFolderError(f"it was written by {saved} processes, and now there are {now}.")
        load_model(self._model, self._last / "model.safetensors")
        path = self._last / "optimizer.safetensors"
        load_optimizer(self._optimizer, self._names, path, settings["optimizer"])
        best.load(self._last / "best.safetensors")
        load_generators(self._last / self._generators())
        return settings["progress"]

    def _swap(self) -> None:
        shutil.rmtree(self._old, ignore_errors=True)
        if self._last.exists():
            self._last.rename(self._old)
        self._next.rename(self._last)
        shutil.rmtree(self._old, ignore_errors=True)
