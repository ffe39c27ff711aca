"""The one training loop: accelerate underneath, batches numbered so that runs resume exactly.

A training run is one or several :class:`Stage` of the same network, each from the best weights of
the one before. A stage's data give batches by number and say how well the network does on
validation rows; the setting ``validation_metric`` names what of it chooses the epoch.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from edgewise.config import check, nearest
from edgewise.errors import ConfigError, TrainingError
from edgewise.training.checkpoint import BestWeights, Checkpoint
from edgewise.training.config import TrainingConfig
from edgewise.training.curves import Curves
from edgewise.training.log import TrainingLog, trackers
from edgewise.training.memory import keep_freed_memory
from edgewise.training.rows import RowAdamW, clip_norm
from edgewise.training.sharding import ShardedTables
from edgewise.training.weight_average import WeightAverage

if TYPE_CHECKING:
    from accelerate import Accelerator

# Rounding has to be paid for, and a choice near 1 might differ from one run to the next.
_CLEARLY = 1.25


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
    """Whether to autocast to bf16: as asked, or where the hardware multiplies it faster.

    A processor with instructions for it may still be slower by them than in fp32: those are timed.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(map(_cpu_has, ("avx512_bf16", "amx_bf16"))) and bf16_speed() > _CLEARLY


@cache
def bf16_speed() -> float:
    """How many times as fast as fp32 this processor multiplies bf16; measured once a process."""
    # Of a generator of its own: draws of the first training in a process are those of all others.
    own = torch.Generator().manual_seed(0)
    states, weight = (torch.randn(rows, 512, generator=own) for rows in (512, 1024))
    seconds: list[list[float]] = [[], []]
    for _ in range(6):
        for taken, dtype in zip(seconds, (torch.float32, torch.bfloat16), strict=True):
            first, second = states.to(dtype), weight.to(dtype)
            start = time.perf_counter()
            torch.mm(first, second.T)
            taken.append(time.perf_counter() - start)
    return min(seconds[0]) / min(seconds[1])


def _cpu_has(flag: str) -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", dict)
    return bool(capabilities().get(flag, False))


def parameter_groups(
    model: torch.nn.Module, embedding_lr_multiplier: float
) -> list[dict[str, Any]]:
    """Trainable parameters, embeddings apart from the rest.

    Args:
        model: its method ``embedding_parameters``, if it has one, names its embeddings.
        embedding_lr_multiplier: the learning rate of embeddings, as a multiple of the others'.
    """
    embeddings = {id(p) for p in getattr(model, "embedding_parameters", list)()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = (
        {"params": [p for p in trainable if id(p) not in embeddings], "rate_factor": 1.0},
        {
            "params": [p for p in trainable if id(p) in embeddings],
            "rate_factor": embedding_lr_multiplier,
        },
    )
    return [group for group in groups if group["params"]]


_REPORT_EVERY = 20

Measure = Callable[[Any], torch.Tensor]
"""The mean of something over the rows of a batch."""


class Average(Protocol):
    """Means over validation batches; the trainer's, which knows the other processes."""

    def __call__(self, batches: Sequence[Any], measure: Measure | None = None) -> float:
        """The mean of a measure over all rows; of the network's loss where none is given."""
        ...


class TrainingData(Protocol):
    """What a network learns from, batch by numbered batch."""

    @property
    def steps_per_epoch(self) -> int: ...

    def batch(self, step: int, part: slice) -> Any:
        """Batch number ``step`` of the whole run; ``part`` selects this process's rows.

        A process whose part would be empty gets all rows instead. ``batch.weight`` counts the terms
        of which ``model(batch)`` is the mean, ``len(batch)`` where it has none.
        """
        ...

    def validate(self, average: Average, metric: str) -> Mapping[str, float]:
        """How well the network does on validation rows, in evaluation mode and without gradients.

        Args:
            average: means over batches.
            metric: the one that chooses the epoch; others may be left out where they cost time.

        Returns:
            ``loss``, losses by task whose sum becomes ``loss``, or metrics of ranking such as
            ``NDCG@10``. Empty without validation rows: the last epoch is then kept.
        """
        ...


@dataclass(frozen=True)
class Stage:
    """One stretch of training with settings and data of its own.

    Attributes:
        name: of its folder and curves.
        data: what is learned from.
        config: how long and how fast.
        on_epoch_start: told the number of each epoch before its first batch; must depend on nothing
            else, so that a resumed run does the same.
        on_end: called with the best weights in place, also where a resumed run had finished it.
    """

    name: str
    data: TrainingData
    config: TrainingConfig
    on_epoch_start: Callable[[int], None] | None = None
    on_end: Callable[[], None] | None = None


def train(
    model: torch.nn.Module,
    stages: Sequence[Stage],
    *,
    seed: int,
    folder: Path | None = None,
    resume: bool = False,
    show_progress: bool = True,
) -> dict[str, Curves]:
    """Train a network stage by stage; leave it with the best weights of the last one.

    Under ``torchrun`` every process trains on its part of the same batches, and the gradient is
    that of the whole batch whatever the parts' lengths; only dropout draws differ from those of a
    single process.

    Args:
        model: ``model(batch)`` is the mean loss of a batch.
        stages: in order.
        seed: of dropout, anew in each stage.
        folder: for checkpoints and trackers, one folder a stage; None keeps nothing on disk.
        resume: continue from the folder's checkpoints where there are some; otherwise older ones
            are removed. A finished stage puts its best weights back and trains no more.
        show_progress: print a progress bar.

    Returns:
        The learning curves of each stage.
    """
    if not any(stage.config.shard_embeddings for stage in stages):  # they are to save memory
        keep_freed_memory()
    if folder is not None and not resume:
        # All at once: a later stage must not resume from what an older run has left there.
        _clear(folder)
    curves: dict[str, Curves] = {}
    for stage in stages:
        place = None if folder is None else folder / stage.name
        curves[stage.name] = Trainer(model, stage, seed, place, show_progress).run(resume)
        if stage.on_end is not None:
            stage.on_end()
    return curves


def _clear(folder: Path) -> None:
    """Remove the checkpoints of all stages."""
    if os.environ.get("RANK", "0") == "0":
        for checkpoint in folder.glob("*/checkpoint*"):
            shutil.rmtree(checkpoint, ignore_errors=True)


class Trainer:
    """One stage of a training run; see :func:`train`."""

    def __init__(
        self,
        model: torch.nn.Module,
        stage: Stage,
        seed: int,
        folder: Path | None,
        show_progress: bool,
    ) -> None:
        config = stage.config
        self.accelerator = _accelerator(config, folder)
        torch.manual_seed(seed + self.accelerator.process_index)
        self.stage, self.data, self.config = stage, stage.data, config
        self.sparse = bool(getattr(model, "sparse_gradients", False))
        if self.sparse and config.shard_embeddings:
            raise ConfigError(
                "training.shard_embeddings spreads tables whose gradients are whole, and those of "
                "this model are sparse; set training.embedding_gradients=dense"
            )
        if config.ema_decay and config.shard_embeddings:
            raise ConfigError(
                "training.ema_decay averages whole tables, and training.shard_embeddings spreads "
                "them; set one of the two to 0 or false"
            )
        groups = parameter_groups(model, config.embedding_lr_multiplier)
        shard = config.shard_embeddings
        self.tables = ShardedTables.of(model.to(self.accelerator.device)) if shard else None
        if self.tables is not None:
            groups = self.tables.in_groups(groups)
        optimizer = (RowAdamW if self.sparse else torch.optim.AdamW)(
            groups,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        with warnings.catch_warnings():
            # torch 2.13 renames an option of _accelerator() that 2.11 knows by the old name only.
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            # Of a network that is nothing but spread tables there is no gradient left to average.
            has_more = any(p.requires_grad for p in model.parameters())
            self.model = self.accelerator.prepare(model) if has_more else model
            self.optimizer = self.accelerator.prepare(optimizer)
        self.bare_model = model
        # Each process built its own graph features; those of the first one count.
        from accelerate.utils import broadcast

        broadcast(list(model.buffers()))
        self.curves = Curves(metric=config.validation_metric)
        self.best = BestWeights(model, self.tables)
        self.average = WeightAverage(model, config.ema_decay)
        self.checkpoint = (
            None
            if folder is None
            else Checkpoint(folder, self.accelerator, model, optimizer, self.average, self.tables)
        )
        main = self.accelerator.is_main_process
        self.log = TrainingLog(self.accelerator, stage.name, show_progress and main)
        self.total_steps = config.epochs * self.data.steps_per_epoch
        device = self.accelerator.device
        dtype_is_bf16 = uses_bf16(config.precision, device)
        if config.precision == "auto":
            self.log.precision(dtype_is_bf16)
        self.autocast = lambda: torch.autocast(device.type, torch.bfloat16, enabled=dtype_is_bf16)

    def run(self, resume: bool) -> Curves:
        """Train, or go on training, until the last epoch, patience or time ends it."""
        self._start(resume)
        self.started = time.monotonic() - self.curves.seconds
        self.saved_at = time.monotonic()
        with self.log.open(self.total_steps, self.curves.step):
            while not self._finished():
                self._epoch()
        self.best.put_back()
        if self.tables is not None:
            self.tables.put_back()
        return self.curves

    def _start(self, resume: bool) -> None:
        if self.checkpoint is None:
            return
        if not resume:
            self.checkpoint.clear()
        elif self.checkpoint.exists():
            self.curves = self.checkpoint.restore(self.best, self.total_steps)

    def _finished(self) -> bool:
        done = self.curves.step >= self.total_steps
        stale = 0 < self.config.patience <= self.curves.epochs_without_gain
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
        end = (self.curves.step // steps + 1) * steps
        if self.stage.on_epoch_start is not None:
            with self._whole_tables():
                self.stage.on_epoch_start(self.curves.step // steps)
        self.model.train()
        losses: list[torch.Tensor] = []
        while self.curves.step < end and not (self._may_pause() and self._out_of_time()):
            losses.append(self._step(self.curves.step))
            self.curves.step += 1
            # Never at the end: a run resumed from there would miss that epoch's validation.
            if self.curves.step < end and self.curves.step % steps % _REPORT_EVERY == 0:
                self._report(losses)
                self._save_if_due()
        self._report(losses)
        with self._whole_tables(), self.average.in_place():
            self._validate()
        self._save()

    def _whole_tables(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext() if self.tables is None else self.tables.whole()

    def _may_pause(self) -> bool:
        """Whether nothing is half done: no gradient added up, no loss unreported."""
        place = self.curves.step % self.data.steps_per_epoch
        return place % (_REPORT_EVERY * self.config.gradient_accumulation) == 0

    def _step(self, step: int) -> torch.Tensor:
        """One batch forward and backward; the weights move when enough batches are added up."""
        share, moves = self._accumulation(step)
        batch = self.data.batch(step, self._part()).to(self.accelerator.device)
        hold = contextlib.nullcontext() if moves else self.accelerator.no_sync(self.model)
        gathered = contextlib.nullcontext() if self.tables is None else self.tables.gathered()
        with hold:
            with gathered, self.autocast():
                loss = self.model(batch)
            loss = self._weighed(loss, batch)
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

    def _weighed(self, loss: torch.Tensor, batch: Any) -> torch.Tensor:
        """A loss whose mean over processes is the mean over all terms of the batch."""
        num_processes = self.accelerator.num_processes
        if num_processes == 1:
            return loss
        weight = getattr(batch, "weight", len(batch))
        (total,) = self._summed([weight])
        return loss * (weight * num_processes / total)

    def _summed(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes."""
        mine = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        total = self.accelerator.reduce(mine, "sum")
        assert isinstance(total, torch.Tensor)
        return total.tolist()

    def _move_weights(self, step: int) -> None:
        if self.config.max_grad_norm and self.tables is not None:
            self.tables.clip(self.bare_model, self.config.max_grad_norm)
        elif self.config.max_grad_norm and self.sparse:
            clip_norm(self.model.parameters(), self.config.max_grad_norm)
        elif self.config.max_grad_norm:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        for group in self.optimizer.param_groups:
            rate = learning_rate_at(step, self.total_steps, self.config)
            group["lr"] = rate * group["rate_factor"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.add(step // self.config.gradient_accumulation)

    def _report(self, losses: list[torch.Tensor]) -> None:
        if not losses:
            return
        mean = float(torch.stack(losses).mean())
        losses.clear()
        mean = self._summed([mean])[0] / self.accelerator.num_processes
        if not math.isfinite(mean):
            raise TrainingError(
                f"the training loss is {mean} at step {self.curves.step}: lower "
                f"learning_rate ({self.config.learning_rate:g}), or set precision=fp32. "
                "--resume goes back to the last checkpoint."
            )
        self.curves.train_loss.append((self.curves.step, mean))
        rate = learning_rate_at(self.curves.step, self.total_steps, self.config)
        self.log.step(self.curves.step, mean, rate)

    def _validate(self) -> None:
        """Measure validation rows; keep the weights if the chosen metric is the best so far.

        Without validation rows the last weights are kept.
        """
        self.bare_model.eval()
        metric = self.config.validation_metric
        with torch.no_grad():
            found = dict(self.data.validate(self._average, metric))
        if not found:
            self.best.keep()
            return
        if not any("@" in name for name in found):
            found.setdefault("loss", sum(found.values()))
        check(
            metric in found,
            f"training.validation_metric = {metric!r} is not measured by the stage "
            f"{self.stage.name}.{nearest(metric, found)}",
        )
        self.log.validation(self.curves.step, found)
        if broken := [name for name, value in found.items() if not math.isfinite(value)]:
            raise TrainingError(
                f"validation {broken[0]} is {found[broken[0]]} at step {self.curves.step}: lower "
                f"learning_rate ({self.config.learning_rate:g}), or set precision=fp32. "
                "--resume goes back to the last checkpoint."
            )
        self._keep_if_better(found)

    def _keep_if_better(self, found: dict[str, float]) -> None:
        value = found[self.curves.metric]
        better = self.curves.is_better(value)
        self.curves.valid.append({**found, "step": self.curves.step})
        if better:
            self.curves.best, self.curves.epochs_without_gain = value, 0
            self.best.keep()
        else:
            self.curves.epochs_without_gain += 1

    def _average(self, batches: Sequence[Any], measure: Measure | None = None) -> float:
        """The mean over all rows; each process takes its share of the batches."""
        total, num_rows = 0.0, 0
        for batch in batches[self._part()]:
            with self.autocast():
                value = (measure or self.bare_model)(batch.to(self.accelerator.device))
            total += float(value) * len(batch)
            num_rows += len(batch)
        total, all_rows = self._summed([total, num_rows])
        return total / all_rows

    def _save_if_due(self) -> None:
        due = time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes
        if due and self._may_pause() and self.accelerator.num_processes == 1:
            self._save()

    def _save(self) -> None:
        self.curves.seconds = time.monotonic() - self.started
        if self.checkpoint is not None:
            self.checkpoint.save(self.curves, self.best)
        self.saved_at = time.monotonic()


def _accelerator(config: TrainingConfig, folder: Path | None) -> Accelerator:
    # Tasks take turns, so no batch uses every parameter; frozen graph features are buffers as
    # large as the model, too much to be sent around in every step.
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration

    distributed = DistributedDataParallelKwargs(
        find_unused_parameters=True, broadcast_buffers=False
    )
    return Accelerator(
        kwargs_handlers=[distributed],
        cpu=not torch.cuda.is_available(),
        log_with=list(trackers(config, folder)) or None,
        project_config=None if folder is None else ProjectConfiguration(str(folder)),
    )
