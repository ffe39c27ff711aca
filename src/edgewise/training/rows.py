"""Gradients that hold the rows of a batch alone, and the optimiser of such tables.

Of a table of a million items a batch reads a few thousand rows. A dense gradient fills, clips and
moves all of them in every step; a sparse one holds those that were read. They are moved by Adam
whose second moment is one number a row, the mean of its squares, as of the row-wise optimisers of
large recommenders (Mudigere et al., ISCA 2022): with U and I rows of D numbers the state takes half
of Adam's memory. A row's moments and its bias correction stand still while it is not read (lazy
Adam), and weight decay moves the rows of the batch.

Shapes: N rows of a table, n of a batch, D hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class RowAdamW(torch.optim.AdamW):
    """AdamW that moves sparse gradients row by row, dense ones as ever."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move the weights once."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None and table.grad.is_sparse:
                    self._move_rows(table, group)
                    table.grad = None
        return super().step(closure)

    def _move_rows(self, table: torch.Tensor, group: dict[str, Any]) -> None:
        gradient = table.grad.coalesce()  # pyright: ignore[reportOptionalMemberAccess]
        rows, slope = gradient.indices()[0], gradient.values()
        state = self.state[table]
        if not state:
            state["step"] = torch.zeros((), device=table.device)
            state["exp_avg"] = torch.zeros_like(table)
            state["exp_avg_sq"], state["row_step"] = table.new_zeros(2, len(table)).clone()
        state["step"] += 1
        state["row_step"][rows] += 1
        first, second = group["betas"]
        count = state["row_step"][rows]
        mean = state["exp_avg"][rows].lerp_(slope, 1 - first)
        square = state["exp_avg_sq"][rows].lerp_(slope.square().mean(1), 1 - second)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
        size = (square / (1 - second**count)).sqrt_().add_(group["eps"]).mul_(1 - first**count)
        moved = mean.div_(size[:, None]).add_(table[rows], alpha=group["weight_decay"])
        table.index_add_(0, rows, moved, alpha=-float(group["lr"]))


def clip_norm(parameters: Iterable[torch.Tensor], most: float) -> None:
    """Scale all gradients, some of them sparse, down to a common norm of at most ``most``."""
    found = [p for p in parameters if p.grad is not None]
    for each in found:
        if each.grad.is_sparse:  # pyright: ignore[reportOptionalMemberAccess]
            each.grad = each.grad.coalesce()  # pyright: ignore[reportOptionalMemberAccess]
    gradients: list[torch.Tensor] = [p.grad for p in found]  # type: ignore[misc]
    values = [each.values() if each.is_sparse else each for each in gradients]
    norm = torch.stack([each.norm() for each in values]).norm()
    scale = (most / (norm + 1e-6)).clamp(max=1)
    for each in values:
        each.mul_(scale)
