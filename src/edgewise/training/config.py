"""Settings of the training loop."""

from __future__ import annotations

from typing import ClassVar, Literal

from edgewise.config import Settings, setting


class TrainingConfig(Settings):
    """How long and how fast to learn."""

    SECTION = "training"
    RENAMED: ClassVar = {"embedding_rate": "embedding_lr_multiplier"}

    epochs: int = setting(10, "Passes at most.", ge=1)
    patience: int = setting(
        5,
        "Stop after this many epochs without a better validation metric; 0 = never.",
        ge=0,
    )
    validation_metric: str = setting(
        "loss",
        "What chooses the epoch on validation rows: loss (the lowest), or a metric of ranking such "
        "as NDCG@10 (the highest) where the method measures it.",
    )
    batch_size: int = setting(64, "Examples in a batch, over all processes.", ge=1)
    gradient_accumulation: int = setting(1, "Batches added up before the weights move.", ge=1)
    learning_rate: float = setting(1e-3, "Of AdamW.", gt=0, le=10)
    weight_decay: float = setting(0.01, "Of AdamW.", ge=0, le=100)
    embedding_lr_multiplier: float = setting(
        1.0,
        "Learning rate of embedding tables as a multiple of learning_rate; their entries are of "
        "size 1, those of other weights far smaller.",
        ge=0,
        le=1000,
    )
    shard_embeddings: bool = setting(
        False,
        "Under torchrun, spread the rows of embedding tables over the processes, with their "
        "gradients and what the optimiser keeps of them.",
    )
    embedding_gradients: Literal["auto", "dense", "sparse"] = setting(
        "auto",
        "sparse: of tables of items, where the loss samples them, only a batch's rows get "
        "gradients, and are moved by Adam with one second moment a row. auto: sparse above 50,000 "
        "items.",
    )
    schedule: Literal["constant", "cosine"] = setting(
        "constant", "Learning rate over the planned epochs, after the warm-up."
    )
    warmup_steps: int = setting(
        0, "Batches during which the learning rate rises from 0.", ge=0, le=1_000_000_000
    )
    max_grad_norm: float = setting(
        1.0, "Gradients are clipped to this norm; 0 = not.", ge=0, le=1e6
    )
    ema_decay: float = setting(
        0.0,
        "Validate and keep an exponential moving average of the weights, of which each step keeps "
        "this share, such as 0.99; 0 = the weights themselves.",
        ge=0,
        lt=1,
    )
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto",
        "auto takes bf16 autocast where the hardware multiplies bf16 natively; on a processor only "
        "where a product in bf16 is clearly faster.",
    )
    max_minutes: float = setting(
        0.0,
        "Stop after this much training time, a resumed run's earlier time included; 0 = no limit.",
        ge=0,
        le=1e6,
    )
    checkpoint_minutes: float = setting(
        10.0, "Save the state to resume from this often, and after every epoch.", ge=0, le=1e6
    )
    log_with: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = setting(
        (), "Trackers that record the curves, through accelerate."
    )
