"""What processes under ``torchrun`` tell each other about the batch that they share.

A batch of B rows is parted among P processes so that process p has the rows p, p + P, ... What
other processes make of their rows is needed where the rows of a batch are told from each other.

Alone, everything here is what it would be without other processes.

Shapes: B rows of a batch, b of them this process's.
"""

from __future__ import annotations

import atexit
import gc
import os
from typing import Any, TypeVar

import torch
from torch import distributed as dist

if dist.is_available() and "RANK" in os.environ:
    # Loaded after the processes have met, its functions would keep their group for good.
    import torch.distributed.nn.functional

Answer = TypeVar("Answer")


def num_processes() -> int:
    """P."""
    return dist.get_world_size() if _together() else 1


def process_index() -> int:
    """p."""
    return dist.get_rank() if _together() else 0


def join() -> None:
    """Meet the other processes that ``torchrun`` has started, where training has not done it."""
    if not _together():
        dist.init_process_group("gloo")


@atexit.register
def leave() -> None:
    """End the threads of the group, which must not outlive Python; what is running is awaited."""
    if _together():
        gc.collect()
        dist.destroy_process_group()


def answers_of_all(mine: Answer) -> list[Answer]:
    """What every process found, by its number."""
    found: list[Any] = [None] * num_processes()
    dist.all_gather_object(found, mine)
    return found


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def rows_of_all(mine: torch.Tensor, num_rows: int) -> torch.Tensor:
    """What all processes make of their rows of a batch, in the batch's order, with gradients.

    The losses of all processes may depend on each row: its gradient is the sum of theirs.

    Args:
        mine: of this process's rows, ``float[b, ...]``.
        num_rows: of the whole batch, B, at least P.

    Returns:
        ``float[B, ...]``.
    """
    found = _RowsOfAll.apply(mine, num_rows)
    assert isinstance(found, torch.Tensor)
    return found


class _RowsOfAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mine: torch.Tensor, num_rows: int) -> torch.Tensor:
        count = num_processes()
        most = -(-num_rows // count)
        filled = mine.new_zeros(most, *mine.shape[1:])
        filled[: len(mine)] = mine
        parts = [torch.empty_like(filled) for _ in range(count)]
        dist.all_gather(parts, filled)
        return torch.stack(parts, dim=1).flatten(0, 1)[:num_rows]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = grads[0].contiguous()
        dist.all_reduce(total)
        return total[process_index() :: num_processes()], None


def union_of_all(mine: torch.Tensor) -> torch.Tensor:
    """The distinct numbers ``int64[n]`` that any process has, ascending."""
    mine = mine.unique()
    if num_processes() == 1:
        return mine
    sizes = [mine.new_zeros(()) for _ in range(num_processes())]
    dist.all_gather(sizes, torch.tensor(len(mine), device=mine.device))
    filled = mine.new_full((int(max(sizes)),), -1)
    filled[: len(mine)] = mine
    parts = [torch.empty_like(filled) for _ in sizes]
    dist.all_gather(parts, filled)
    return torch.cat([part[: int(size)] for part, size in zip(parts, sizes, strict=True)]).unique()
