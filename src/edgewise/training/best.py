"""The weights of the best epoch so far."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


class BestWeights:
    """A copy of the trainable weights at the lowest validation loss."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._weights: dict[str, torch.Tensor] = {}

    def _trainable(self) -> dict[str, torch.Tensor]:
        return {name: p.detach() for name, p in self._model.named_parameters() if p.requires_grad}

    def keep(self) -> None:
        """Copy the weights as they are now."""
        self._weights = {
            name: weight.to("cpu", copy=True) for name, weight in self._trainable().items()
        }

    def put_back(self) -> None:
        """Give the model its best weights again; before the first :meth:`keep`, do nothing."""
        for name, weight in self._trainable().items():
            if name in self._weights:
                weight.copy_(self._weights[name])

    def save(self, path: Path) -> None:
        """Write the copy as safetensors."""
        save_file(self._weights, path)

    def load(self, path: Path) -> None:
        """Read a copy written by :meth:`save`."""
        self._weights = load_file(path)
