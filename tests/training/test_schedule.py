"""Learning rates by hand, and when bf16 is taken."""

from __future__ import annotations

import pytest
import torch

from edgewise.training.config import TrainingConfig
from edgewise.training.trainer import learning_rate_at, uses_bf16


def test_warm_up_then_constant():
    config = TrainingConfig(learning_rate=0.4, warmup_steps=4)
    rates = [learning_rate_at(step, 100, config) for step in (0, 1, 3, 4, 99)]
    assert rates == pytest.approx([0.1, 0.2, 0.4, 0.4, 0.4])


def test_half_a_cosine_after_the_warm_up():
    config = TrainingConfig(learning_rate=0.4, warmup_steps=20, schedule="cosine")
    rates = [learning_rate_at(step, 100, config) for step in (9, 20, 60, 100, 140)]
    assert rates == pytest.approx([0.2, 0.4, 0.2, 0.0, 0.0], abs=1e-12)


def test_a_warm_up_longer_than_the_run_does_not_divide_by_zero():
    config = TrainingConfig(learning_rate=0.4, warmup_steps=10, schedule="cosine")
    assert learning_rate_at(9, 5, config) == pytest.approx(0.4)


def test_bf16_as_asked():
    cpu = torch.device("cpu")
    assert uses_bf16("bf16", cpu) and not uses_bf16("fp32", cpu)


@pytest.mark.parametrize(
    ("capabilities", "wanted"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx512_f": True}, False)],
)
def test_auto_asks_the_processor(monkeypatch, capabilities, wanted):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert uses_bf16("auto", torch.device("cpu")) is wanted


def test_auto_asks_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert uses_bf16("auto", torch.device("cuda")) is False
