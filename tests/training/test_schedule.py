"""Learning rates by hand, and when bf16 is taken."""

from __future__ import annotations

import pytest
import torch

from edgewise.training import trainer
from edgewise.training.config import TrainingConfig
from edgewise.training.trainer import bf16_speed, learning_rate_at, uses_bf16


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
    ("capabilities", "speed", "wanted"),
    [
        ({"avx512_bf16": True}, 2.0, True),
        ({"amx_bf16": True}, 4.0, True),
        ({"avx512_bf16": True}, 0.6, False),
        ({"avx512_f": True}, 2.0, False),
    ],
)
def test_auto_asks_the_processor_and_its_speed(monkeypatch, capabilities, speed, wanted):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(trainer, "bf16_speed", lambda: speed)
    assert uses_bf16("auto", torch.device("cpu")) is wanted


def test_the_speed_of_bf16_is_measured():
    before = torch.get_rng_state()
    assert 0 < bf16_speed.__wrapped__() < 100
    assert torch.equal(torch.get_rng_state(), before)


def test_auto_asks_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert uses_bf16("auto", torch.device("cuda")) is False
