"""The exponential moving average of a network's weights, which validation and the kept model read.

Averages of the last steps lie in flatter places than the last step does (Polyak and Juditsky 1992;
Izmailov et al., UAI 2018), at no cost but a second copy of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


class WeightAverage:
    """``average <- d average + (1 - d) weights`` after each step of the optimiser.

    Args:
        model: whose trainable weights are averaged; where they are now is the start.
        decay: d in the long run; 0 keeps no average, and the weights themselves are read. The first
            steps forget the random start sooner: step n has ``min(d, (1 + n) / (10 + n))``.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self._model, self._decay = model, decay
        self._average = {name: p.clone() for name, p in self._trainable().items()} if decay else {}

    def _trainable(self) -> dict[str, torch.Tensor]:
        return {name: p.detach() for name, p in self._model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def add(self, step: int) -> None:
        """Take in the weights as they are after a step, counted from 0."""
        if not self._average:
            return
        share = 1 - min(self._decay, (1 + step) / (10 + step))
        weights = self._trainable()
        torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
            list(self._average.values()), [weights[name] for name in self._average], share
        )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the model has the averages as its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        weights = self._trainable()
        for name, average in self._average.items():
            kept = weights[name].clone()
            weights[name].copy_(average)
            average.copy_(kept)

    def save(self, path: Path) -> None:
        """Write the averages as safetensors; nothing where none are kept."""
        if self._average:
            whole = {name: each.cpu().contiguous() for name, each in self._average.items()}
            save_file(whole, path)

    @torch.no_grad()
    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote.

        Raises:
            KeyError: the file lacks a weight.
            OSError: there is no such file: the run was started without an average.
        """
        if not self._average:
            return
        found = load_file(path)
        for name, average in self._average.items():
            average.copy_(found[name])
