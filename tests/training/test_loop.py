"""The loop: early stopping, accumulation, schedule, precision, and runs cut short."""

from __future__ import annotations

import pytest
import torch
from tests.training.conftest import (
    Data,
    Regression,
    changed,
    equal_weights,
    make_rows,
    train_one,
    weights,
)

from edgewise.errors import ConfigError, ModelFolderError, TrainingError
from edgewise.training.config import TrainingConfig


def run(model, config, data=None, **kwargs):
    return train_one(model, data or Data(), config, seed=0, show_progress=False, **kwargs)


def test_it_learns(config):
    progress = run(Regression(), changed(config, epochs=40))
    assert progress.valid[-1]["loss"] < 0.2 * progress.valid[0]["loss"]
    assert progress.step == 40 * 7
    assert progress.best == min(entry["loss"] for entry in progress.valid)


def test_one_step_is_adamw_on_the_batch(config):
    model, twin = Regression(dropout=0), Regression(dropout=0)
    run(model, changed(config, epochs=1), Data(steps_per_epoch=1))
    optimizer = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.01)
    twin(make_rows(0, 3)).backward()
    torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
    optimizer.step()
    assert equal_weights(model, twin)


def test_validation_is_the_mean_over_rows_summed_over_tasks(config):
    model = Regression(dropout=0)
    progress = run(model, changed(config, epochs=1))
    first = (6 * model(make_rows(100, 6)) + 2 * model(make_rows(101, 2))) / 8
    second = model(make_rows(102, 4))
    (entry,) = progress.valid
    assert entry["first"] == pytest.approx(first.item(), rel=1e-5)
    assert entry["loss"] == pytest.approx((first + second).item(), rel=1e-5)
    assert entry["step"] == 7


def test_a_loss_that_is_no_number_ends_the_run_and_says_what_to_do(config):
    class Wild(Regression):
        def forward(self, rows):
            return super().forward(rows) * float("inf")

    model, wild = Wild(), changed(config, epochs=30, patience=0, max_grad_norm=0)
    with pytest.raises(TrainingError, match=r"training loss is .* lower learning_rate"):
        run(model, wild)


def test_the_best_epoch_is_kept_and_patience_ends_the_run(config):
    """A learning rate that blows up: the first epochs are the best ones."""
    model = Regression(dropout=0)
    wild = changed(config, epochs=30, patience=3, learning_rate=0.3, max_grad_norm=0)
    progress = run(model, wild)
    losses = [entry["loss"] for entry in progress.valid]
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 3 < 30
    kept = sum(
        sum(model(b).item() * len(b) for b in batches) / sum(map(len, batches))
        for batches in Data().held_out().values()
    )
    assert kept == pytest.approx(losses[best], rel=1e-5)


def test_accumulated_batches_are_one_large_batch(config):
    class Doubled(Data):
        def batch(self, step, part):
            return make_rows(step // 2, 4)

    model, twin = Regression(dropout=0), Regression(dropout=0)
    run(model, changed(config, epochs=2, gradient_accumulation=2), Doubled(steps_per_epoch=6))

    class Single(Data):
        def batch(self, step, part):
            return make_rows(step, 4)

    run(twin, changed(config, epochs=2), Single(steps_per_epoch=3))
    for one, other in zip(weights(model).values(), weights(twin).values(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_short_last_group_counts_in_full(config):
    """Seven batches in groups of four: the last group is the mean of three."""

    class Same(Data):
        def batch(self, step, part):
            return make_rows(0, 4)

    model, twin = Regression(dropout=0), Regression(dropout=0)
    run(model, changed(config, epochs=1, gradient_accumulation=4), Same(steps_per_epoch=7))
    run(twin, changed(config, epochs=1), Same(steps_per_epoch=2))
    for one, other in zip(weights(model).values(), weights(twin).values(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_the_reported_loss_is_the_mean_since_the_last_report(config):
    progress = run(Regression(dropout=0), changed(config, epochs=1, learning_rate=1e-12))
    model = Regression(dropout=0)
    losses = [model(Data().batch(step, slice(None))).item() for step in range(7)]
    ((step, mean),) = progress.train_loss
    assert step == 7 and mean == pytest.approx(sum(losses) / 7, rel=1e-4)


def test_bf16_computes_differently_and_learns_all_the_same(config):
    full, half = Regression(dropout=0), Regression(dropout=0)
    exact = run(full, changed(config, epochs=10))
    rough = run(half, changed(config, epochs=10, precision="bf16"))
    assert not equal_weights(full, half)
    assert all(p.dtype == torch.float32 for p in half.parameters())
    assert rough.valid[-1]["loss"] < 0.8 * exact.valid[0]["loss"]


def test_a_time_limit_ends_the_run_after_validating(config):
    progress = run(Regression(), changed(config, epochs=1000, max_minutes=1e-9))
    assert progress.step == 0 and progress.valid == []
    progress = run(Regression(), changed(config, epochs=100_000, max_minutes=0.3 / 60))
    assert 0 < progress.step < 700_000
    assert progress.valid[-1]["step"] == progress.step


def test_equal_seeds_equal_weights(config):
    first, second, other = (Regression() for _ in range(3))
    run(first, config)
    run(second, config)
    train_one(other, Data(), config, seed=1, show_progress=False)
    assert equal_weights(first, second) and not equal_weights(first, other)


@pytest.mark.parametrize(("accumulation", "ema_decay"), [(1, 0.0), (3, 0.0), (1, 0.9), (3, 0.9)])
@pytest.mark.parametrize("stop_before", [10, 16, 27])
def test_a_resumed_run_ends_as_one_that_never_stopped(
    config, tmp_path, stop_before, accumulation, ema_decay
):
    changes = {"gradient_accumulation": accumulation, "ema_decay": ema_decay}
    config = changed(config, schedule="cosine", **changes)
    whole, stopped, resumed = (Regression() for _ in range(3))
    expected = run(whole, config)
    with pytest.raises(KeyboardInterrupt):
        run(stopped, config, Data(stop_before=stop_before), folder=tmp_path)
    torch.manual_seed(12345)
    found = run(resumed, config, folder=tmp_path, resume=True)
    assert equal_weights(resumed, whole) and not equal_weights(stopped, whole)
    assert found.train_loss == expected.train_loss
    assert found.valid == expected.valid


def test_the_average_of_weights_is_validated_and_kept(config):
    """Without dropout: the plain run's weights after each step, averaged by hand."""
    averaged, steps = Regression(dropout=0), []

    class Watched(Regression):
        def forward(self, rows):
            if self.training:
                steps.append(weights(self))
            return super().forward(rows)

    plain = Watched(dropout=0)
    run(plain, changed(config, epochs=2))
    after = [*steps[1:], weights(plain)]  # the last epoch is the best one here
    expected = steps[0]
    for step, now in enumerate(after):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = {name: decay * expected[name] + (1 - decay) * now[name] for name in now}
    curves = run(averaged, changed(config, epochs=2, ema_decay=0.5))
    for name, weight in weights(averaged).items():
        assert torch.allclose(weight, expected[name], atol=1e-6), name
    first = (6 * averaged(make_rows(100, 6)) + 2 * averaged(make_rows(101, 2))) / 8
    assert curves.valid[-1]["first"] == pytest.approx(first.item(), rel=1e-5)


def test_a_run_without_an_average_is_not_resumed_with_one(config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Regression(), config, Data(stop_before=10), folder=tmp_path)
    with pytest.raises(ModelFolderError, match="Resume with the configuration that started"):
        run(Regression(), changed(config, ema_decay=0.9), folder=tmp_path, resume=True)


def test_a_run_resumes_from_the_middle_of_an_epoch(config, tmp_path):
    config = changed(config, epochs=1, checkpoint_minutes=0)
    whole, stopped, resumed = (Regression() for _ in range(3))
    expected = run(whole, config, Data(70))
    with pytest.raises(KeyboardInterrupt):
        run(stopped, config, Data(70, stop_before=47), folder=tmp_path)
    seen = []

    class Watched(Data):
        def batch(self, step, part):
            seen.append(step)
            return super().batch(step, part)

    found = run(resumed, config, Watched(70), folder=tmp_path, resume=True)
    assert seen == list(range(40, 70))
    assert equal_weights(resumed, whole)
    assert found.train_loss == expected.train_loss


def test_resuming_a_finished_run_gives_its_weights(config, tmp_path):
    model, again = Regression(), Regression()
    run(model, config, folder=tmp_path)
    run(again, config, folder=tmp_path, resume=True)
    assert equal_weights(model, again)


def test_a_new_run_forgets_the_old_checkpoint(config, tmp_path):
    run(Regression(), config, folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(Regression(), config, Data(stop_before=2), folder=tmp_path)
    seen = []

    class Watched(Data):
        def batch(self, step, part):
            seen.append(step)
            return super().batch(step, part)

    run(Regression(), config, Watched(), folder=tmp_path, resume=True)
    assert seen[0] == 0, "the old run's checkpoint must not be resumed from"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "training.epochs = 0: must be at least 1"),
        ({"learning_rate": 0.0}, "training.learning_rate = 0.0: must be above 0"),
        ({"patience": -1}, "training.patience = -1: must be at least 0"),
        ({"checkpoint_minutes": -1.0}, "training.checkpoint_minutes = -1.0: must be at least 0"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**values)
