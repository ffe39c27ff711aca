"""Where a training run stands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass
class Progress:
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
