"""Settings of the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgewise.config import check


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast to learn.

    Attributes:
        epochs: passes at most.
        patience: stop after this many epochs without a better validation loss; 0 = never.
        batch_size: examples in a batch, over all processes.
        gradient_accumulation: batches added up before the weights move.
        learning_rate, weight_decay: of AdamW.
        embedding_rate: learning rate of embedding tables as a multiple of ``learning_rate``; their
            entries are of size 1, those of other weights far smaller.
        schedule: learning rate over the planned epochs, after the warm-up.
        warmup_steps: batches during which the learning rate rises from 0.
        max_grad_norm: gradients are clipped to this norm; 0 = not clipped.
        precision: ``auto`` takes bf16 autocast where the processor or GPU multiplies bf16 natively.
        max_minutes: stop after this much training time, a resumed run's earlier time included;
            0 = no limit.
        checkpoint_minutes: save the state to resume from this often, and after every epoch.
    """

    epochs: int = 10
    patience: int = 5
    batch_size: int = 64
    gradient_accumulation: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    embedding_rate: float = 1.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0
    max_grad_norm: float = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    max_minutes: float = 0.0
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "gradient_accumulation"):
            check(getattr(self, name) >= 1, f"training.{name} must be at least 1")
        for name in ("patience", "warmup_steps", "weight_decay", "max_grad_norm"):
            check(getattr(self, name) >= 0, f"training.{name} must not be negative")
        for name in ("max_minutes", "checkpoint_minutes"):
            check(getattr(self, name) >= 0, f"training.{name} must not be negative")
        check(self.learning_rate > 0, "training.learning_rate must be above 0")
