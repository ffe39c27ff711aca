"""What is needed to go on with an interrupted run, and the best weights so far."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file

from edgewise.errors import ModelFolderError


class BestWeights:
    """A copy of the trainable weights at the lowest validation loss."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._weights: dict[str, torch.Tensor] = {}

    def _trainable(self) -> dict[str, torch.Tensor]:
        return {name: p.detach() for name, p in self._model.named_parameters() if p.requires_grad}

    def keep(self) -> None:
        self._weights = {name: w.cpu().clone() for name, w in self._trainable().items()}

    def put_back(self) -> None:
        """Give the model its best weights again."""
        for name, weight in self._trainable().items():
            if name in self._weights:
                weight.copy_(self._weights[name])

    def save(self, path: Path) -> None:
        save_file(self._weights, path)

    def load(self, path: Path) -> None:
        self._weights = load_file(path)


class Checkpoint:
    """A folder with weights, optimiser state, generator states, best weights and progress.

    A new checkpoint is written beside the last one and then takes its place, so that a run killed
    at any moment leaves a whole checkpoint.
    """

    def __init__(self, folder: Path, accelerator: Accelerator) -> None:
        self._last = folder / "checkpoint"
        self._next = folder / "checkpoint.next"
        self._old = folder / "checkpoint.old"
        self._accelerator = accelerator

    def exists(self) -> bool:
        """Whether there is something to resume from; a swap cut short is completed first."""
        if self._accelerator.is_main_process and not self._last.exists() and self._old.exists():
            os.replace(self._old, self._last)
        self._accelerator.wait_for_everyone()
        return (self._last / "progress.json").exists()

    def save(self, progress: dict[str, Any], best: BestWeights) -> None:
        main = self._accelerator.is_main_process
        if main:
            shutil.rmtree(self._next, ignore_errors=True)
        self._accelerator.wait_for_everyone()
        self._accelerator.save_state(str(self._next), safe_serialization=True)
        self._accelerator.wait_for_everyone()
        if main:
            best.save(self._next / "best.safetensors")
            (self._next / "progress.json").write_text(json.dumps(progress))
            self._swap()
        self._accelerator.wait_for_everyone()

    def _swap(self) -> None:
        shutil.rmtree(self._old, ignore_errors=True)
        if self._last.exists():
            os.replace(self._last, self._old)
        os.replace(self._next, self._last)
        shutil.rmtree(self._old, ignore_errors=True)

    def restore(self, best: BestWeights) -> dict[str, Any]:
        """Load everything back into the accelerator's model and optimiser.

        Raises:
            ModelFolderError: the checkpoint belongs to another model or is damaged.
        """
        try:
            self._accelerator.load_state(str(self._last))
            best.load(self._last / "best.safetensors")
            return json.loads((self._last / "progress.json").read_text())
        except Exception as error:
            raise ModelFolderError(
                f"cannot resume from {self._last}: {error}. Resume with the configuration that "
                "started the run, or start anew without --resume."
            ) from error
