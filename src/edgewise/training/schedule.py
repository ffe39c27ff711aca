"""How fast to learn at each step, and in which precision to compute."""

from __future__ import annotations

import math

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
