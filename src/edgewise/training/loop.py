"""The training loop: accelerate underneath, batches numbered so that runs resume exactly."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from edgewise.training.checkpoint import BestWeights, Checkpoint
from edgewise.training.config import TrainingConfig
from edgewise.training.logging import TrainingLog


class TrainingData(Protocol):
    """What a model learns from, batch by numbered batch."""

    @property
    def steps_per_epoch(self) -> int: ...

    def batch(self, step: int, part: slice) -> Any:
        """Batch number ``step`` of the whole run; ``part`` selects this process's rows."""
        ...

    def validation(self) -> Mapping[str, Sequence[Any]]:
        """Fixed validation batches of each task."""
        ...


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint.

    Attributes:
        step: batches seen.
        epochs_without_gain: since the best validation loss.
        best_loss: lowest summed validation loss.
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
        return asdict(self)


def train(
    model: torch.nn.Module,
    data: TrainingData,
    config: TrainingConfig,
    *,
    seed: int,
    folder: Path | None = None,
    resume: bool = False,
    show_progress: bool = True,
) -> Progress:
    """Train a model whose forward returns the mean loss of a batch; leave it with its best weights.

    Args:
        model: called as ``model(batch)``.
        data: numbered batches.
        seed: of dropout.
        folder: for checkpoints and TensorBoard logs; None keeps nothing on disk.
        resume: continue from the folder's checkpoint where there is one.
        show_progress: print a progress bar.

    Returns:
        The learning curves.
    """
    return _Run(model, data, config, seed, folder, show_progress).run(resume)


class _Run:
    def __init__(
        self,
        model: torch.nn.Module,
        data: TrainingData,
        config: TrainingConfig,
        seed: int,
        folder: Path | None,
        show_progress: bool,
    ) -> None:
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        self.accelerator = Accelerator(kwargs_handlers=[unused], cpu=not torch.cuda.is_available())
        torch.manual_seed(seed + self.accelerator.process_index)
        self.data, self.config = data, config
        optimizer = torch.optim.AdamW(
            [p for p in model.parameters() if p.requires_grad],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.bare_model = model
        self.progress = Progress()
        self.best = BestWeights(model)
        self.checkpoint = None if folder is None else Checkpoint(folder, self.accelerator)
        main = self.accelerator.is_main_process
        self.log = TrainingLog(folder if main else None, show_progress and main)
        self.total_steps = config.epochs * data.steps_per_epoch
        device = self.accelerator.device
        dtype_is_bf16 = uses_bf16(config.precision, device)
        self.autocast = lambda: torch.autocast(device.type, torch.bfloat16, enabled=dtype_is_bf16)

    def run(self, resume: bool) -> Progress:
        if resume and self.checkpoint is not None and self.checkpoint.exists():
            self.progress = Progress(**self.checkpoint.restore(self.best))
        self.started = time.monotonic() - self.progress.seconds
        self.saved_at = time.monotonic()
        self.validation = self.data.validation()
        with self.log.open(self.total_steps, self.progress.step):
            while not self._finished():
                self._epoch()
        self.best.put_back()
        return self.progress

    def _finished(self) -> bool:
        done = self.progress.step >= self.total_steps
        stale = 0 < self.config.patience <= self.progress.epochs_without_gain
        return done or stale or self._out_of_time()

    def _out_of_time(self) -> bool:
        if not self.config.max_minutes:
            return False
        late = time.monotonic() - self.started > 60 * self.config.max_minutes
        flag = torch.tensor([float(late)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum").item())  # type: ignore[union-attr]

    def _epoch(self) -> None:
        """Train to the end of the current epoch, then validate."""
        steps = self.data.steps_per_epoch
        end = (self.progress.step // steps + 1) * steps
        self.model.train()
        losses: list[torch.Tensor] = []
        while self.progress.step < end and not (self.progress.step % 20 == 0 and self._out_of_time()):
            losses.append(self._step(self.progress.step))
            self.progress.step += 1
            if self.progress.step % 20 == 0 or self.progress.step == end:
                self._report(losses)
                self._save_if_due()
        self._validate()
        self._save()

    def _step(self, step: int) -> torch.Tensor:
        """One batch forward and backward; the weights move when enough batches are added up."""
        accumulate = self.config.gradient_accumulation
        moves = (step + 1) % accumulate == 0 or step + 1 == self.total_steps
        batch = self.data.batch(step, self._part()).to(self.accelerator.device)
        hold = contextlib.nullcontext() if moves else self.accelerator.no_sync(self.model)
        with hold:
            with self.autocast():
                loss = self.model(batch)
            self.accelerator.backward(loss / accumulate)
        if moves:
            self._move_weights(step)
        return loss.detach()

    def _part(self) -> slice:
        return slice(self.accelerator.process_index, None, self.accelerator.num_processes)

    def _move_weights(self, step: int) -> None:
        if self.config.max_grad_norm:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(step, self.total_steps, self.config)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _report(self, losses: list[torch.Tensor]) -> None:
        if not losses:
            return
        mean = torch.stack(losses).mean()
        mean = float(self.accelerator.reduce(mean, "mean"))  # type: ignore[arg-type]
        losses.clear()
        self.progress.train_loss.append((self.progress.step, mean))
        rate = learning_rate_at(self.progress.step, self.total_steps, self.config)
        self.log.step(self.progress.step, mean, rate)

    def _validate(self) -> None:
        """Average the loss of each task's fixed batches; keep the weights if the sum is lowest."""
        self.bare_model.eval()
        losses = {task: self._mean_loss(batches) for task, batches in self.validation.items()}
        total = sum(losses.values())
        self.progress.valid_loss.append({**losses, "total": total, "step": self.progress.step})
        self.log.validation(self.progress.step, {**losses, "total": total})
        if not losses or total < self.progress.best_loss:
            self.progress.best_loss = total
            self.progress.epochs_without_gain = 0
            self.best.keep()
        else:
            self.progress.epochs_without_gain += 1

    @torch.no_grad()
    def _mean_loss(self, batches: Sequence[Any]) -> float:
        total = 0.0
        for batch in batches:
            with self.autocast():
                total += float(self.bare_model(batch.to(self.accelerator.device))) * len(batch)
        return total / sum(map(len, batches))

    def _save_if_due(self) -> None:
        at_boundary = self.progress.step % self.config.gradient_accumulation == 0
        due = time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes
        if at_boundary and due and self.accelerator.num_processes == 1:
            self._save()

    def _save(self) -> None:
        self.progress.seconds = time.monotonic() - self.started
        if self.checkpoint is not None:
            self.checkpoint.save(self.progress.to_dict(), self.best)
        self.saved_at = time.monotonic()


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
