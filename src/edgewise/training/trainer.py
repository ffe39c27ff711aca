"""How fast to learn at each step, and in which precision to compute.

The training loop: accelerate underneath, batches numbered so that runs resume exactly.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast

from edgewise.errors import TrainingError
from edgewise.training.checkpoint import BestWeights, Checkpoint
from edgewise.training.config import TrainingConfig
from edgewise.training.curves import Curves, TrainingLog


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


_REPORT_EVERY = 20


class TrainingData(Protocol):
    """What a model learns from, batch by numbered batch."""

    @property
    def steps_per_epoch(self) -> int: ...

    def batch(self, step: int, part: slice) -> Any:
        """Batch number ``step`` of the whole run; ``part`` selects this process's rows.

        A process whose part would be empty gets all rows instead. ``len(batch)`` counts the rows.
        """
        ...

    def validation(self) -> Mapping[Any, Sequence[Any]]:
        """Fixed validation batches of each task, by its name."""
        ...


def train(
    model: torch.nn.Module,
    data: TrainingData,
    config: TrainingConfig,
    *,
    seed: int,
    folder: Path | None = None,
    resume: bool = False,
    show_progress: bool = True,
) -> Curves:
    """Train a model whose forward returns the mean loss of a batch; leave it with its best weights.

    Under ``torchrun`` every process trains on its part of the same batches, and the gradient is
    that of the whole batch whatever the parts' lengths; only dropout draws differ from those of a
    single process.

    Args:
        model: called as ``model(batch)``.
        data: numbered batches.
        seed: of dropout.
        folder: for checkpoints and TensorBoard logs; None keeps nothing on disk.
        resume: continue from the folder's checkpoint where there is one; otherwise an older
            checkpoint there is removed.
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
        self.accelerator = _accelerator()
        torch.manual_seed(seed + self.accelerator.process_index)
        self.data, self.config = data, config
        optimizer = torch.optim.AdamW(
            parameter_groups(model, config.embedding_rate),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        with warnings.catch_warnings():
            # torch 2.13 renames an option of _accelerator() that 2.11 knows by the old name only.
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.bare_model = model
        # Each process built its own graph features; those of the first one count.
        broadcast(list(model.buffers()))
        self.progress = Curves()
        self.best = BestWeights(model)
        self.checkpoint = (
            None if folder is None else Checkpoint(folder, self.accelerator, model, optimizer)
        )
        main = self.accelerator.is_main_process
        self.log = TrainingLog(folder if main else None, show_progress and main)
        self.total_steps = config.epochs * data.steps_per_epoch
        device = self.accelerator.device
        dtype_is_bf16 = uses_bf16(config.precision, device)
        self.autocast = lambda: torch.autocast(device.type, torch.bfloat16, enabled=dtype_is_bf16)

    def run(self, resume: bool) -> Curves:
        self._start(resume)
        self.started = time.monotonic() - self.progress.seconds
        self.saved_at = time.monotonic()
        self.validation = self.data.validation()
        with self.log.open(self.total_steps, self.progress.step):
            while not self._finished():
                self._epoch()
        self.best.put_back()
        return self.progress

    def _start(self, resume: bool) -> None:
        if self.checkpoint is None:
            return
        if not resume:
            self.checkpoint.clear()
        elif self.checkpoint.exists():
            self.progress = Curves.from_dict(self.checkpoint.restore(self.best))

    def _finished(self) -> bool:
        done = self.progress.step >= self.total_steps
        stale = 0 < self.config.patience <= self.progress.epochs_without_gain
        return done or stale or self._out_of_time()

    def _out_of_time(self) -> bool:
        if not self.config.max_minutes:
            return False
        late = time.monotonic() - self.started > 60 * self.config.max_minutes
        # Clocks differ between processes, and all of them must stop at the same step.
        return bool(self._summed([late])[0])

    def _epoch(self) -> None:
        """Train to the end of the current epoch, then validate."""
        steps = self.data.steps_per_epoch
        end = (self.progress.step // steps + 1) * steps
        self.model.train()
        losses: list[torch.Tensor] = []
        while self.progress.step < end and not (self._may_pause() and self._out_of_time()):
            losses.append(self._step(self.progress.step))
            self.progress.step += 1
            # Never at the end: a run resumed from there would miss that epoch's validation.
            if self.progress.step < end and self.progress.step % steps % _REPORT_EVERY == 0:
                self._report(losses)
                self._save_if_due()
        self._report(losses)
        self._validate()
        self._save()

    def _may_pause(self) -> bool:
        """Whether nothing is half done: no gradient added up, no loss unreported."""
        place = self.progress.step % self.data.steps_per_epoch
        return place % (_REPORT_EVERY * self.config.gradient_accumulation) == 0

    def _step(self, step: int) -> torch.Tensor:
        """One batch forward and backward; the weights move when enough batches are added up."""
        share, moves = self._accumulation(step)
        batch = self.data.batch(step, self._part()).to(self.accelerator.device)
        hold = contextlib.nullcontext() if moves else self.accelerator.no_sync(self.model)
        with hold:
            with self.autocast():
                loss = self.model(batch)
            loss = self._weighed(loss, len(batch))
            self.accelerator.backward(loss * share)
        if moves:
            self._move_weights(step)
        return loss.detach()

    def _accumulation(self, step: int) -> tuple[float, bool]:
        """A batch's share in its group, and whether it closes it; an epoch's last may be short."""
        size, steps = self.config.gradient_accumulation, self.data.steps_per_epoch
        place = step % steps
        size_here = min(size, steps - place // size * size)
        return 1 / size_here, place % size == size_here - 1

    def _part(self) -> slice:
        return slice(self.accelerator.process_index, None, self.accelerator.num_processes)

    def _weighed(self, loss: torch.Tensor, num_rows: int) -> torch.Tensor:
        """A loss whose mean over processes is the mean over all rows of the batch."""
        num_processes = self.accelerator.num_processes
        if num_processes == 1:
            return loss
        (total,) = self._summed([num_rows])
        return loss * (num_rows * num_processes / total)

    def _summed(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes."""
        mine = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        total = self.accelerator.reduce(mine, "sum")
        assert isinstance(total, torch.Tensor)
        return total.tolist()

    def _move_weights(self, step: int) -> None:
        if self.config.max_grad_norm:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        for group in self.optimizer.param_groups:
            rate = learning_rate_at(step, self.total_steps, self.config)
            group["lr"] = rate * group["rate_factor"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _report(self, losses: list[torch.Tensor]) -> None:
        if not losses:
            return
        mean = float(torch.stack(losses).mean())
        losses.clear()
        mean = self._summed([mean])[0] / self.accelerator.num_processes
        if not math.isfinite(mean):
            raise TrainingError(
                f"the training loss is {mean} at step {self.progress.step}: lower "
                f"learning_rate ({self.config.learning_rate:g}), or set precision=fp32. "
                "--resume goes back to the last checkpoint."
            )
        self.progress.train_loss.append((self.progress.step, mean))
        rate = learning_rate_at(self.progress.step, self.total_steps, self.config)
        self.log.step(self.progress.step, mean, rate)

    def _validate(self) -> None:
        """Average the loss of each task's fixed batches; keep the weights if the sum is lowest.

        Without validation rows the last weights are kept.
        """
        self.bare_model.eval()
        losses = {task: self._mean_loss(batches) for task, batches in self.validation.items()}
        if not losses:
            self.best.keep()
            return
        total = sum(losses.values())
        self.progress.valid_loss.append({**losses, "total": total, "step": self.progress.step})
        self.log.validation(self.progress.step, {**losses, "total": total})
        if total < self.progress.best_loss:
            self.progress.best_loss = total
            self.progress.epochs_without_gain = 0
            self.best.keep()
        else:
            self.progress.epochs_without_gain += 1

    @torch.no_grad()
    def _mean_loss(self, batches: Sequence[Any]) -> float:
        """The mean over all rows; each process takes its share of the batches."""
        total, num_rows = 0.0, 0
        for batch in batches[self._part()]:
            with self.autocast():
                loss = self.bare_model(batch.to(self.accelerator.device))
            total += float(loss) * len(batch)
            num_rows += len(batch)
        total, all_rows = self._summed([total, num_rows])
        return total / all_rows

    def _save_if_due(self) -> None:
        due = time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes
        if due and self._may_pause() and self.accelerator.num_processes == 1:
            self._save()

    def _save(self) -> None:
        self.progress.seconds = time.monotonic() - self.started
        if self.checkpoint is not None:
            self.checkpoint.save(self.progress.to_dict(), self.best)
        self.saved_at = time.monotonic()


def _accelerator() -> Accelerator:
    # Tasks take turns, so no batch uses every parameter; frozen graph features are buffers as
    # large as the model, too much to be sent around in every step.
    distributed = DistributedDataParallelKwargs(
        find_unused_parameters=True, broadcast_buffers=False
    )
    return Accelerator(kwargs_handlers=[distributed], cpu=not torch.cuda.is_available())
