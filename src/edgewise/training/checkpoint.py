"""What is needed to go on with an interrupted run, the best weights so far among it.

Weights, states of the optimiser and of random generators are plain tensors and JSON: nothing is
pickled.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model

from edgewise.errors import ModelFolderError
from edgewise.files import describe, read_model
from edgewise.training.curves import Curves
from edgewise.training.sharding import ShardedTables
from edgewise.training.weight_average import WeightAverage

if TYPE_CHECKING:
    from accelerate import Accelerator

_log = logging.getLogger("edgewise")


def save_network(network: torch.nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors, equal weights as equal bytes.

    ``load_model`` of safetensors reads them. It writes the names of weights that share memory, such
    as tied embeddings, in an order that changes from call to call; here they are sorted.
    """
    save_model(network, str(path))
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        if shared := header.get("__metadata__"):
            header["__metadata__"] = dict(sorted(shared.items()))
            text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
            assert len(text) <= size, "the same names in another order"
            file.seek(8)
            file.write(text.ljust(size))


class BestWeights:
    """A copy of the trainable weights at the best validation.

    Args:
        model: whose weights they are.
        tables: of the model, where they are spread over processes: each copies its own rows.
    """

    def __init__(self, model: torch.nn.Module, tables: ShardedTables | None = None) -> None:
        self._model, self._tables = model, tables
        self._weights: dict[str, torch.Tensor] = {}

    def _trainable(self) -> dict[str, torch.Tensor]:
        shares = {} if self._tables is None else self._tables.shares
        weights = {n: p for n, p in self._model.named_parameters() if p.requires_grad}
        return {name: p.detach() for name, p in {**weights, **shares}.items()}

    def keep(self) -> None:
        """Copy the weights as they are now."""
        self._weights = {
            name: weight.to("cpu", copy=True) for name, weight in self._trainable().items()
        }

    def put_back(self) -> None:
        """Give the model its best weights again; before the first :meth:`keep`, do nothing."""
        for name, weight in self._trainable().items():
            if name in self._weights:
                weight.copy_(self._weights[name])

    def whole(self) -> dict[str, torch.Tensor]:
        """The copy, whole tables in it, for ``safetensors``; all processes have to ask for it."""
        return _each(self._weights, self._tables, "whole_of")

    def load(self, path: Path) -> None:
        """Read a copy that was written as safetensors."""
        self._weights = _each(load_file(path), self._tables, "rows_of")


def _each(
    tensors: Mapping[str, torch.Tensor],
    tables: ShardedTables | None,
    what: Literal["whole_of", "rows_of"],
) -> dict[str, torch.Tensor]:
    """Tensors named ``parameter`` or ``parameter/field``, those of tables put together or cut."""
    if tables is None:
        return dict(tensors)
    change = getattr(tables, what)
    return {key: change(key.partition("/")[0], tensors[key]) for key in sorted(tensors)}


def optimizer_state(
    optimizer: torch.optim.Optimizer, names: Sequence[str], tables: ShardedTables | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimiser's state as plain tensors and numbers; all processes have to ask for it.

    Args:
        optimizer: whose state it is.
        names: of the parameters, in the order in which the optimiser was given them.
        tables: that are spread over processes, whose state is put together.

    Returns:
        Tensors named ``parameter/field``, and everything else as JSON values: single numbers
        (steps) and hyper-parameters.
    """
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, dict[str, float]] = {}
    for index, fields in state["state"].items():
        name = names[int(index)]
        for field, value in fields.items():
            if isinstance(value, torch.Tensor) and value.dim():
                tensors[f"{name}/{field}"] = value.contiguous()
            else:
                numbers.setdefault(name, {})[field] = float(value)
    groups = [
        {**group, "params": [names[index] for index in group["params"]]}
        for group in state["param_groups"]
    ]
    return _each(tensors, tables, "whole_of"), {"numbers": numbers, "groups": groups}


def load_optimizer(
    optimizer: torch.optim.Optimizer,
    names: Sequence[str],
    path: Path,
    rest: Mapping[str, Any],
    tables: ShardedTables | None = None,
) -> None:
    """Give an optimiser of the same parameters what :func:`optimizer_state` returned.

    Raises:
        KeyError: the file knows a parameter that is not among ``names``.
    """
    place = {name: index for index, name in enumerate(names)}
    state: defaultdict[int, dict[str, torch.Tensor]] = defaultdict(dict)
    for key, tensor in _each(load_file(path), tables, "rows_of").items():
        name, _, field = key.rpartition("/")
        state[place[name]][field] = tensor
    for name, fields in rest["numbers"].items():
        state[place[name]] |= {field: torch.tensor(value) for field, value in fields.items()}
    groups = [_as_given(group, place) for group in rest["groups"]]
    optimizer.load_state_dict({"state": dict(state), "param_groups": groups})


def _as_given(group: Mapping[str, Any], place: Mapping[str, int]) -> dict[str, Any]:
    # JSON knows no tuples, and AdamW's betas are one.
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in group.items()}
    return values | {"params": [place[name] for name in group["params"]]}


def save_generators(path: Path) -> None:
    """Write the states of torch's generators, from which dropout draws."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    save_file(states, path)


def load_generators(path: Path) -> None:
    """Put torch's generators where they stood."""
    states = load_file(path)
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


KIND = "checkpoint"


class Checkpoint:
    """A folder with weights, optimiser state, generator states, best weights and progress.

    A new checkpoint is written beside the last one and then takes its place, so that a run killed
    at any moment leaves a whole checkpoint. Weights and states are safetensors and JSON with
    checksums; frozen buffers such as the graph's features are not among them.

    Args:
        folder: of the run.
        accelerator: knows the other processes; each keeps its own generator states.
        model: not wrapped.
        optimizer: of the model's trainable parameters, in their order.
        average: of the model's weights.
        tables: of the model, where they are spread over processes; files hold them whole.
    """

    def __init__(
        self,
        folder: Path,
        accelerator: Accelerator,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage,
        tables: ShardedTables | None = None,
    ) -> None:
        self._last = folder / "checkpoint"
        self._next = folder / "checkpoint.next"
        self._old = folder / "checkpoint.old"
        self._accelerator = accelerator
        self._model, self._optimizer, self._average = model, optimizer, average
        self._tables = tables
        shares = {} if tables is None else tables.shares
        names = {id(p): name for name, p in [*model.named_parameters(), *shares.items()]}
        self._names = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]

    def exists(self) -> bool:
        """Whether there is something to resume from; what a kill left is put back or removed."""
        if self._accelerator.is_main_process:
            if not self._last.exists() and self._old.exists():
                self._old.rename(self._last)
                _log.warning("%s: recovered from a kill while it was being replaced", self._last)
            for folder in (self._next, self._old):
                shutil.rmtree(folder, ignore_errors=True)
        self._accelerator.wait_for_everyone()
        return self._last.exists()

    def clear(self) -> None:
        """Remove what an earlier run left, so that nobody resumes from it by mistake."""
        if self._accelerator.is_main_process:
            for folder in (self._last, self._next, self._old):
                shutil.rmtree(folder, ignore_errors=True)
        self._accelerator.wait_for_everyone()

    def save(self, curves: Curves, best: BestWeights) -> None:
        """Write everything, whole or not at all.

        Args:
            curves: where the training stands, handed back by :meth:`restore`.
            best: of the model.
        """
        main = self._accelerator.is_main_process
        if main:
            shutil.rmtree(self._next, ignore_errors=True)
            self._next.mkdir(parents=True)
        self._accelerator.wait_for_everyone()
        save_generators(self._next / self._generators())
        self._accelerator.wait_for_everyone()
        with contextlib.nullcontext() if self._tables is None else self._tables.whole():
            state, weights = self._optimizer_state(), best.whole()
            if main:
                self._write(curves, weights, *state)
                self._swap()
        self._accelerator.wait_for_everyone()

    def _optimizer_state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return optimizer_state(self._optimizer, self._names, self._tables)

    def restore(self, best: BestWeights, total_steps: int) -> Curves:
        """Load everything back into the model and the optimiser, and return where it stood.

        Args:
            best: of the model.
            total_steps: of the training.

        Raises:
            ModelFolderError: the checkpoint belongs to another model, to another number of
                processes, or is damaged.
        """
        try:
            return self._read(best, total_steps)
        except (
            ModelFolderError,
            SafetensorError,
            OSError,
            KeyError,
            TypeError,
            ValueError,
            RuntimeError,
        ) as error:
            raise ModelFolderError(
                f"cannot resume from {self._last}: {error} Resume with the configuration that "
                "started the run, or start anew without resuming."
            ) from error

    def _generators(self) -> str:
        return f"generators-{self._accelerator.process_index}.safetensors"

    def _write(
        self,
        curves: Curves,
        best: dict[str, torch.Tensor],
        tensors: dict[str, torch.Tensor],
        rest: dict[str, Any],
    ) -> None:
        save_network(self._model, self._next / "model.safetensors")
        save_file(best, self._next / "best.safetensors")
        self._average.save(self._next / "average.safetensors")
        save_file(tensors, self._next / "optimizer.safetensors")
        settings = {
            "progress": curves.to_dict(),
            "num_processes": self._accelerator.num_processes,
            "optimizer": rest,
        }
        describe(self._next, KIND, settings)

    def _read(self, best: BestWeights, total_steps: int) -> Curves:
        settings = read_model(self._last, KIND)
        saved, now = settings["num_processes"], self._accelerator.num_processes
        if saved != now:
            raise ModelFolderError(f"it was written by {saved} processes, and now there are {now}.")
        curves = Curves.from_dict(settings["progress"])
        if type(curves.step) is not int or not 0 <= curves.step <= total_steps:
            raise ModelFolderError(
                f"progress.step = {curves.step}: a whole number from 0 to {total_steps} is wanted."
            )
        with contextlib.nullcontext() if self._tables is None else self._tables.whole():
            load_model(self._model, self._last / "model.safetensors")
        path, rest = self._last / "optimizer.safetensors", settings["optimizer"]
        load_optimizer(self._optimizer, self._names, path, rest, self._tables)
        best.load(self._last / "best.safetensors")
        self._average.load(self._last / "average.safetensors")
        load_generators(self._last / self._generators())
        return curves

    def _swap(self) -> None:
        shutil.rmtree(self._old, ignore_errors=True)
        if self._last.exists():
            self._last.rename(self._old)
        self._next.rename(self._last)
        shutil.rmtree(self._old, ignore_errors=True)
