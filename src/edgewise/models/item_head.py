"""Cross-entropy over all items without a table of all logits.

The full softmax is most of the work of a training step: for every position a row as long as the
catalogue is made, exponentiated, and gone through again for its gradient. Done a few rows at a
time, with the gradient taken while the rows are still in the processor's cache, it needs no memory
that grows with the number of positions, and less than half the time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

# About what a processor's cache holds; elsewhere, what keeps a GPU busy.
_NUMBERS_AT_ONCE = {"cpu": 2_000_000}
_NUMBERS_AT_ONCE_ON_GPU = 64_000_000


def item_cross_entropy(
    hidden: torch.Tensor, items: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """The mean of ``cross_entropy(hidden @ items.T, targets)``.

    Args:
        hidden: ``float[N, D]``.
        items: embeddings, ``float[I, D]``.
        targets: item indices, ``int64[N]``.
    """
    dtype = hidden.dtype
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
    wanted = torch.is_grad_enabled() and (hidden.requires_grad or items.requires_grad)
    with torch.autocast(hidden.device.type, enabled=False):
        return _Chunked.apply(hidden, items, targets, dtype, wanted)  # pyright: ignore[reportReturnType]


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        items: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype,
        wanted: bool,
    ) -> torch.Tensor:
        rows, table = hidden.to(dtype), items.to(dtype)
        hidden_grad = torch.empty_like(rows) if wanted else None
        table_grad = torch.zeros_like(items) if wanted else None
        total = hidden.new_zeros((), dtype=torch.float32)
        numbers = _NUMBERS_AT_ONCE.get(rows.device.type, _NUMBERS_AT_ONCE_ON_GPU)
        step = max(1, numbers // max(len(items), 1))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            logits = (rows[part] @ table.T).float()
            total += _take_softmax(logits, targets[part]).sum()
            if hidden_grad is not None and table_grad is not None:
                slope = logits.to(dtype)
                torch.mm(slope, table, out=hidden_grad[part])
                table_grad += slope.T @ rows[part]
        if hidden_grad is not None and table_grad is not None:
            ctx.save_for_backward(hidden_grad, table_grad)
        ctx.count, ctx.dtype = len(rows), hidden.dtype
        return total / max(len(rows), 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        hidden_grad, table_grad = ctx.saved_tensors
        scale = grads[0] / max(ctx.count, 1)
        hidden_grad = hidden_grad.to(ctx.dtype) * scale.to(ctx.dtype)
        return hidden_grad, table_grad * scale, None, None, None


def _take_softmax(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Turn logits into the gradient of each row's loss, in place; the losses are returned."""
    rows = torch.arange(len(logits), device=logits.device)
    highest = logits.amax(1, keepdim=True)
    logits -= highest
    chosen = logits[rows, targets]
    logits.exp_()
    total = logits.sum(1, keepdim=True)
    logits /= total
    logits[rows, targets] -= 1
    return total[:, 0].log() - chosen
