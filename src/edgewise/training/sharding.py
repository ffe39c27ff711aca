"""Embedding tables whose rows are spread over processes.

Of every table a process keeps consecutive rows, with their gradients, their best weights so far and
the optimiser's moments. For a step the table is gathered; its gradient is added up over processes
and scattered to those who keep the rows, so that the whole of either is there for a moment only
(stage 3 of ZeRO: Rajbhandari et al., SC 2020, arXiv 1910.02054). Networks need not know of it:
outside :meth:`ShardedTables.gathered` and :meth:`ShardedTables.whole` they have no tables.

Shapes: R rows of a table, P processes, ``m = ceil(R / P)`` rows of each, D numbers of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed as dist
from torch import nn

from edgewise.training.processes import num_processes, process_index

Place = tuple[nn.Module, str]
"""A module, and the name of a parameter of its own."""
_LAYERS = ("torch.", "transformers.")
# By their names since torch 2.13, and before.
_gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
_scatter = getattr(dist, "reduce_scatter_single", dist.reduce_scatter_tensor)


class Table:
    """A parameter ``float[R, D]`` of which this process keeps ``m`` rows.

    Args:
        weight: whole; empty from now on.
        places: all modules that have it.

    Attributes:
        share: the rows that are kept; zeros behind the last one.
    """

    def __init__(self, weight: nn.Parameter, places: Sequence[Place]) -> None:
        self.weight, self.places, self.shape = weight, places, weight.shape
        dist.broadcast(weight.data, 0)
        self.share = nn.Parameter(self.rows_of(weight.data))
        self.take_away()

    def rows_of(self, whole: torch.Tensor) -> torch.Tensor:
        """This process's rows of a tensor ``[R, D]``, ``[m, D]``."""
        most = -(-self.shape[0] // num_processes())
        mine = whole[process_index() * most : (process_index() + 1) * most]
        found = whole.new_zeros(most, *self.shape[1:])
        found[: len(mine)] = mine
        return found

    def whole_of(self, rows: torch.Tensor) -> torch.Tensor:
        """All processes' rows, ``[m, D] -> [R, D]``."""
        rows = rows.detach().to(self.share.device).contiguous()
        found = rows.new_empty(len(rows) * num_processes(), *rows.shape[1:])
        _gather(found, rows)
        return found[: self.shape[0]]

    def take_away(self) -> None:
        """Leave the modules without it."""
        self.weight.data = self.weight.data.new_empty(0)
        for module, name in self.places:
            module._parameters[name] = None

    def put_back(self) -> None:
        """Give the modules the whole parameter again."""
        whole = self.whole_of(self.share)
        # Files hold no padding, so the weight must be all of its storage.
        self.weight.data = whole.clone() if self.shape[0] % num_processes() else whole
        for module, name in self.places:
            module._parameters[name] = self.weight


class ShardedTables:
    """The tables of a network, spread over the processes.

    Tables are weights of ``nn.Embedding`` and two-dimensional parameters of modules that are no
    layers of a library, wherever they are shared with other layers.

    Args:
        network: on its device; those of the first process count.
    """

    def __init__(self, network: nn.Module) -> None:
        places: dict[int, list[Place]] = {}
        for module in network.modules():
            for name, weight in module._parameters.items():
                if weight is not None:
                    places.setdefault(id(weight), []).append((module, name))
        found = {
            name: weight
            for name, weight in network.named_parameters()
            if _is_table(weight, places[id(weight)])
        }
        self.by_name = {name: Table(weight, places[id(weight)]) for name, weight in found.items()}

    @classmethod
    def of(cls, network: nn.Module) -> ShardedTables | None:
        """The tables of a network; None where there are no other processes, or no tables."""
        found = cls(network) if num_processes() > 1 else None
        return found if found is not None and found.by_name else None

    def rows_of(self, name: str, whole: torch.Tensor) -> torch.Tensor:
        """What this process keeps of a tensor that belongs to a parameter; all where it is none."""
        return self.by_name[name].rows_of(whole) if name in self.by_name else whole

    def whole_of(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        """The reverse, which all processes have to ask for."""
        return self.by_name[name].whole_of(rows) if name in self.by_name else rows

    @property
    def shares(self) -> dict[str, nn.Parameter]:
        """This process's rows of each table."""
        return {name: table.share for name, table in self.by_name.items()}

    def in_groups(self, groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """An optimiser's groups with shares in the places of tables."""
        share = {id(table.weight): table.share for table in self.by_name.values()}
        return [
            {**group, "params": [share.get(id(weight), weight) for weight in group["params"]]}
            for group in groups
        ]

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """The network has whole tables, whose gradients reach those who keep the rows."""
        for table in self.by_name.values():
            whole = _Gathered.apply(table.share, table)
            for module, name in table.places:
                module.__dict__[name] = whole
        try:
            yield
        finally:
            for module, name in self._places():
                del module.__dict__[name]

    @contextmanager
    def whole(self) -> Iterator[None]:
        """The network has its tables as parameters; what is written to them is kept."""
        self.put_back()
        try:
            yield
        finally:
            for table in self.by_name.values():
                table.share.data = table.rows_of(table.weight.data)
                table.take_away()

    def put_back(self) -> None:
        """Give the network its tables again, for good."""
        for table in self.by_name.values():
            table.put_back()

    def clip(self, network: nn.Module, max_norm: float) -> None:
        """Scale all gradients down to a norm, as ``clip_grad_norm_`` does with whole tables."""
        own, others = list(self.shares.values()), list(network.parameters())
        squared, rest = (_norm_of(weights).to(own[0].device).square() for weights in (own, others))
        dist.all_reduce(squared)
        nn.utils.clip_grads_with_norm_([*own, *others], max_norm, (squared + rest).sqrt())

    def _places(self) -> Iterator[Place]:
        for table in self.by_name.values():
            yield from table.places


def _is_table(weight: nn.Parameter, places: Sequence[Place]) -> bool:
    owners = [module for module, _ in places]
    is_one = any(isinstance(module, nn.Embedding) for module in owners) or not any(
        type(module).__module__.startswith(_LAYERS) for module in owners
    )
    return weight.requires_grad and weight.dim() == 2 and is_one


def _norm_of(weights: Sequence[nn.Parameter]) -> torch.Tensor:
    return nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])


class _Gathered(torch.autograd.Function):
    """``[m, D] -> [R, D]``; the gradient is the mean over processes, each one's rows of it."""

    @staticmethod
    def forward(ctx: Any, share: torch.Tensor, table: Table) -> torch.Tensor:
        ctx.table = table
        return table.whole_of(share)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        table, count = ctx.table, num_processes()
        rows, whole = torch.empty_like(table.share), grads[0].contiguous()
        if behind := len(rows) * count - len(whole):
            whole = torch.cat([whole, whole.new_zeros(behind, *whole.shape[1:])])
        _scatter(rows, whole)
        return rows.div_(count), None
