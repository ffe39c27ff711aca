"""How fast to learn at each step, and in which precision to compute."""

from __future__ import annotations

import math
from typing import Any

import torch

from edgewise.training.config import TrainingConfig


def learning_rate_at(step: int, total_steps: int, config: TrainingConfig) -> float:
    """Linear warm-up, then constant or half a cosine down to zero."""
    rate = config.learning_rate
    if step < config.warmup_steps:
        return rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return rate
    done = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether to autocast to bf16: as asked, or where the hardware multiplies it natively."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(map(_cpu_has, ("avx512_bf16", "amx_bf16")))


def _cpu_has(flag: str) -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", dict)
    return bool(capabilities().get(flag, False))


def parameter_groups(model: torch.nn.Module, embedding_rate: float) -> list[dict[str, Any]]:
    """Trainable parameters, embeddings apart from the rest.

    Args:
        model: its method ``embedding_parameters``, if it has one, names its embeddings.
        embedding_rate: the learning rate of embeddings, as a multiple of the others'.
    """
    embeddings = {id(p) for p in getattr(model, "embedding_parameters", list)()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = (
        {"params": [p for p in trainable if id(p) not in embeddings], "rate_factor": 1.0},
        {"params": [p for p in trainable if id(p) in embeddings], "rate_factor": embedding_rate},
    )
    return [group for group in groups if group["params"]]
