"""Losses over the items of the catalogue, by the names under which papers report them.

====================  =========================================================================
``softmax``           cross-entropy over all items: :func:`item_cross_entropy`
``sampled_softmax``   cross-entropy over the target and sampled items, corrected for how often
                      each is sampled (logQ): :func:`sampled_cross_entropy`
``in_batch_softmax``  the same among the targets of the batch (Yi et al., RecSys 2019)
``bce``               binary cross-entropy of the target and sampled items, as SASRec is published
``gbce``              the same, calibrated for how few items are sampled (gSASRec)
``bpr``               the target before a sampled item (Rendle et al. 2009)
``top1``              the same, with a penalty on large scores (Hidasi et al. 2016)
====================  =========================================================================

:class:`ItemLoss` is any of them by its name, with the items that it needs sampled.

The full softmax is most of the work of a training step: for every position a row as long as the
catalogue is made, exponentiated, and gone through again for its gradient. Done a few rows at a
time, with the gradient taken while the rows are still in the processor's cache, it needs no memory
that grows with the number of positions, and less than half the time.

Shapes: B rows, S positions of each, N positions, M sampled items, D hidden, I items.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from edgewise.config import check

LossName = Literal["softmax", "sampled_softmax", "in_batch_softmax", "bce", "gbce", "bpr", "top1"]
LOSSES: tuple[LossName, ...] = get_args(LossName)
# Whose sampled items are shared by a batch, drawn by how often they are taken.
SHARED_SAMPLE = frozenset({"sampled_softmax", "top1"})
# Whose sampled items are of each position, drawn among those that its user has not taken.
OWN_SAMPLE = frozenset({"bce", "bpr"})

# Above so many items losses sample them, and gradients are sparse, where nothing else is said.
MANY_ITEMS = 50_000

# About what a processor's caches hold, the large one and the small one; what keeps a GPU busy.
_NUMBERS_AT_ONCE = 2_000_000
_SAMPLED = 500_000
_NUMBERS_AT_ONCE_ON_GPU = 64_000_000


def item_cross_entropy(
    hidden: torch.Tensor,
    items: torch.Tensor,
    targets: torch.Tensor,
    label_smoothing: float = 0.0,
    bonus: torch.Tensor | None = None,
) -> torch.Tensor:
    """The mean of ``cross_entropy(hidden @ items.T + bonus, targets)``.

    Args:
        hidden: ``float[N, D]``.
        items: embeddings, ``float[I, D]``.
        targets: item indices, ``int64[N]``.
        label_smoothing: share of each target that all items are given alike.
        bonus: constants that are added to the logits, ``float32[N, I]``; None adds nothing.
    """
    dtype = _autocast_dtype(hidden)
    wanted = torch.is_grad_enabled() and (hidden.requires_grad or items.requires_grad)
    with torch.autocast(hidden.device.type, enabled=False):
        rest = dtype, wanted, label_smoothing, bonus
        return _Chunked.apply(hidden, items, targets, *rest)  # pyright: ignore[reportReturnType]


def _autocast_dtype(hidden: torch.Tensor) -> torch.dtype:
    """What matrices are multiplied in."""
    if torch.is_autocast_enabled(hidden.device.type):
        return torch.get_autocast_dtype(hidden.device.type)
    return hidden.dtype


def _rows_at_once(rows: torch.Tensor, num_items: int, on_cpu: int = _NUMBERS_AT_ONCE) -> int:
    """How many rows of logits are made at a time."""
    numbers = on_cpu if rows.device.type == "cpu" else _NUMBERS_AT_ONCE_ON_GPU
    return max(1, numbers // max(num_items, 1))


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        items: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype,
        wanted: bool,
        label_smoothing: float,
        bonus: torch.Tensor | None,
    ) -> torch.Tensor:
        rows, table = hidden.to(dtype), items.to(dtype)
        hidden_grad = torch.empty_like(rows) if wanted else None
        table_grad = torch.zeros_like(items) if wanted else None
        total = hidden.new_zeros((), dtype=torch.float32)
        step = _rows_at_once(rows, len(items))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            logits = (rows[part] @ table.T).float()
            if bonus is not None:
                logits += bonus[part]
            total += _take_softmax(logits, targets[part], label_smoothing).sum()
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
        return hidden_grad, table_grad * scale, None, None, None, None, None


def _take_softmax(
    logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Turn logits into the gradient of each row's loss, in place; the losses are returned."""
    rows = torch.arange(len(logits), device=logits.device)
    highest = logits.amax(1, keepdim=True)
    logits -= highest
    chosen = logits[rows, targets]
    if label_smoothing:
        chosen = (1 - label_smoothing) * chosen + label_smoothing * logits.mean(1)
    logits.exp_()
    total = logits.sum(1, keepdim=True)
    logits /= total
    if label_smoothing:
        logits -= label_smoothing / logits.shape[1]
    logits[rows, targets] -= 1 - label_smoothing
    return total[:, 0].log() - chosen


def sampled_cross_entropy(
    hidden: torch.Tensor,
    items: torch.Tensor,
    targets: torch.Tensor,
    negatives: torch.Tensor,
    log_q: torch.Tensor,
    first: int = 0,
    sparse: bool = False,
) -> torch.Tensor:
    """The mean cross-entropy of each target among itself and sampled items shared by all positions.

    ``log Q`` of an item, the logarithm of how often it is sampled, is taken off its logit (Bengio
    and Senecal 2008), so that frequent items are not pushed down for being sampled more often. A
    sampled item that is the target of a position does not count against it.

    Args:
        hidden: ``float[N, D]``.
        items: embeddings, ``float[I, D]``.
        targets: ``int64[N]``.
        negatives: ``int64[M]``.
        log_q: of every item, ``float[I]``.
        first: the row of ``items`` in which item 0 stands.
        sparse: see :func:`rows_of`.
    """
    dtype = _autocast_dtype(hidden)
    taken = (rows_of(items, first + each, sparse) for each in (targets, negatives))
    chosen = (*taken, log_q[targets], log_q[negatives])
    same = targets, negatives
    with torch.autocast(hidden.device.type, enabled=False):
        return _Sampled.apply(hidden, *chosen, *same, dtype)  # pyright: ignore[reportReturnType]


class _Sampled(torch.autograd.Function):
    """The loss and its gradients of some rows at a time, while they are in the cache."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        positive: torch.Tensor,
        negative: torch.Tensor,
        positive_log_q: torch.Tensor,
        negative_log_q: torch.Tensor,
        targets: torch.Tensor,
        negatives: torch.Tensor,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        rows, own, others = hidden.to(dtype), positive.to(dtype), negative.to(dtype)
        grads = torch.empty_like(rows), torch.empty_like(own), torch.zeros_like(negative)
        total = hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, len(rows), step := _rows_at_once(rows, len(others), _SAMPLED)):
            part = slice(start, start + step)
            first = (rows[part] * own[part]).sum(1).float() - positive_log_q[part]
            logits = (rows[part] @ others.T).float().sub_(negative_log_q)
            logits.masked_fill_(targets[part, None] == negatives, -torch.inf)
            highest = torch.maximum(logits.amax(1), first)
            first -= highest
            shares = logits.sub_(highest[:, None]).exp_()
            likely = first.exp()
            sums = shares.sum(1) + likely
            total += (sums.log() - first).sum()
            slope = shares.div_(sums[:, None]).to(dtype)
            first_slope = (likely / sums - 1).to(dtype)[:, None]
            grads[0][part] = slope @ others + first_slope * own[part]
            grads[1][part] = first_slope * rows[part]
            grads[2].add_(slope.T @ rows[part])
        ctx.save_for_backward(*grads)
        ctx.dtypes = hidden.dtype, positive.dtype, negative.dtype
        return total / max(len(rows), 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        saved = ctx.saved_tensors
        scale = grads[0] / max(len(saved[0]), 1)
        found = [
            grad.to(dtype) * scale.to(dtype) for grad, dtype in zip(saved, ctx.dtypes, strict=True)
        ]
        return *found, None, None, None, None, None


def rows_of(items: torch.Tensor, index: torch.Tensor, sparse: bool) -> torch.Tensor:
    """Rows of a table, ``float[..., D]``; with ``sparse`` its gradient holds these rows alone.

    A table that is worked out of others needs a dense gradient.
    """
    return F.embedding(index, items, sparse=sparse and items.is_leaf)


def has_sparse_gradients(asked: str, loss: str, num_items: int) -> bool:
    """Whether tables of items get gradients of the rows of a batch alone.

    Args:
        asked: ``training.embedding_gradients``.
        loss: ``softmax`` reads all rows.
        num_items: I.

    Raises:
        ConfigError: they were asked for, of a loss that reads all rows.
    """
    check(
        asked != "sparse" or loss != "softmax",
        "training.embedding_gradients=sparse needs a loss of sampled items, and softmax reads all "
        "of them: set it to auto or dense, or the loss to sampled_softmax or in_batch_softmax",
    )
    return asked == "sparse" or (asked == "auto" and loss != "softmax" and num_items > MANY_ITEMS)


def told_gradients(network: nn.Module) -> tuple[tuple[str, str], ...]:
    """A row of the plan where a network's tables have sparse gradients."""
    if not getattr(network, "sparse_gradients", False):
        return ()
    words = "sparse gradients, moved row by row (training.embedding_gradients)"
    return (("embeddings", words),)


class ItemSampler:
    """Draws items by how often they are taken, see :func:`sampling_shares`.

    Args:
        counts: ``[I]``.
    """

    def __init__(self, counts: np.ndarray) -> None:
        self._upto = sampling_shares(counts).cumsum()
        self._upto /= self._upto[-1]

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Items with repetition, ``int64[count]``."""
        return self._upto.searchsorted(rng.random(count), side="right")


def sampling_shares(counts: np.ndarray) -> np.ndarray:
    """The probabilities of items that are sampled by how often they are taken, ``float64[I]``.

    Every item is counted once more, so that none is never sampled.
    """
    return (counts + 1) / (counts + 1).sum()


def binary_cross_entropy(
    hidden: torch.Tensor,
    items: torch.Tensor,
    targets: torch.Tensor,
    negatives: torch.Tensor,
    sparse: bool = False,
) -> torch.Tensor:
    """The mean over positions of ``-log s(target) - sum of log(1 - s(negative))``, s the sigmoid.

    Args:
        hidden: ``float[N, D]``.
        items: embeddings, ``float[I, D]``.
        targets: ``int64[N]``.
        negatives: of each position, ``int64[N, M]``.
        sparse: see :func:`rows_of`.
    """
    positive = (hidden * rows_of(items, targets, sparse)).sum(-1)
    others = torch.einsum("nd,nmd->nm", hidden, rows_of(items, negatives, sparse))
    return -(F.logsigmoid(positive) + F.logsigmoid(-others).sum(-1)).mean()


def bpr(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """The mean of ``-log s(positive - negative)`` (Rendle et al. 2009), both ``float[N]``."""
    return -F.logsigmoid(positive - negative).mean()


def calibrated_cross_entropy(
    hidden: torch.Tensor,
    items: torch.Tensor,
    targets: torch.Tensor,
    negatives: torch.Tensor,
    calibration: float,
    sparse: bool = False,
) -> torch.Tensor:
    """gBCE (Petrov and Macdonald, RecSys 2023, eqs. 11 and 14): bce without its overconfidence.

    The mean over positions of ``-(beta log s(target) + sum of log(1 - s(negative))) / (M + 1)``.
    With ``alpha = M / (I - 1)``, the share of the other items that is sampled, ``beta = alpha (t
    (1 - 1 / alpha) + 1 / alpha)`` falls from 1, plain bce, at t = 0, to alpha at t = 1, where s is
    the probability that the target comes next.

    Args:
        hidden: ``float[N, D]``.
        items: embeddings, ``float[I, D]``.
        targets: ``int64[N]``.
        negatives: of each position, drawn evenly among the other items, ``int64[N, M]``.
        calibration: t, from 0 to 1.
        sparse: see :func:`rows_of`.
    """
    num_negatives = negatives.shape[1]
    alpha = num_negatives / max(len(items) - 1, 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    positive = (hidden * rows_of(items, targets, sparse)).sum(-1)
    others = torch.einsum("nd,nmd->nm", hidden, rows_of(items, negatives, sparse))
    each = beta * F.logsigmoid(positive) + F.logsigmoid(-others).sum(-1)
    return -each.mean() / (num_negatives + 1)


def top1(positive: torch.Tensor, negative: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """The mean of ``s(negative - positive) + s(negative^2)`` (Hidasi et al., ICLR 2016, eq. 6).

    Args:
        positive: scores of the targets, ``float[N, 1]``.
        negative: scores of sampled items, ``float[N, M]``.
        counted: false where a sampled item is the target, ``bool[N, M]``.
    """
    each = torch.sigmoid(negative - positive) + torch.sigmoid(negative.square())
    return ((each * counted).sum(1) / counted.sum(1).clamp(min=1)).mean()


class ItemLoss(nn.Module):
    """A loss of :data:`LOSSES` by its name.

    Args:
        name: which.
        counts: how often each item is taken, for sampling by it, ``[I]``.
        num_negatives: sampled items, M: of a batch or of every position.
        calibration: t of ``gbce``.
        label_smoothing: of ``softmax``, while training.
        sparse: whether the gradient of the table holds rows of a batch alone.

    Raises:
        ConfigError: another loss is to be smoothed.
    """

    log_q: torch.Tensor

    def __init__(
        self,
        name: LossName,
        counts: np.ndarray,
        num_negatives: int,
        calibration: float = 0.0,
        label_smoothing: float = 0.0,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        check(
            not label_smoothing or name == "softmax",
            f"label_smoothing = {label_smoothing} smooths loss = softmax alone, not {name}: set "
            "label_smoothing=0, or loss=softmax",
        )
        self.name, self.num_negatives, self.calibration = name, num_negatives, calibration
        self.sparse = sparse
        self.label_smoothing = label_smoothing
        expected = num_negatives * sampling_shares(counts)
        self.register_buffer("log_q", torch.from_numpy(np.log(expected)).float(), persistent=False)

    def forward(
        self,
        hidden: torch.Tensor,
        items: torch.Tensor,
        targets: torch.Tensor,
        negatives: Any,
        first: int = 0,
    ) -> torch.Tensor:
        """The mean loss of positions.

        Args:
            hidden: ``float[N, D]``.
            items: embeddings, ``float[I, D]``.
            targets: ``int64[N]``.
            negatives: ``int64[M]`` of :data:`SHARED_SAMPLE`, ``int64[N, M]`` of
                :data:`OWN_SAMPLE`; others read none: ``gbce`` draws on the device, and
                ``in_batch_softmax`` takes the targets.
            first: the row of ``items`` in which item 0 stands; of the losses of softmax.
        """
        if self.name == "softmax":
            smoothing = self.label_smoothing if self.training else 0.0
            return item_cross_entropy(hidden, items[first:], targets, smoothing)
        sparse = self.sparse
        if self.name == "gbce":
            drawn = others_than(targets, len(items), self.num_negatives)
            sample = targets, drawn, self.calibration, sparse
            return calibrated_cross_entropy(hidden, items, *sample)
        if self.name == "in_batch_softmax":
            negatives = targets
        negatives = torch.as_tensor(negatives, device=items.device)
        if self.name in ("sampled_softmax", "in_batch_softmax"):
            sample = targets, negatives, self.log_q
            return sampled_cross_entropy(hidden, items, *sample, first, sparse)
        if self.name == "bce":
            return binary_cross_entropy(hidden, items, targets, negatives, sparse)
        own, others = rows_of(items, targets, sparse), rows_of(items, negatives, sparse)
        positive = (hidden * own).sum(-1, keepdim=True)
        if self.name == "bpr":
            return bpr(positive, torch.einsum("nd,nmd->nm", hidden, others))
        return top1(positive, hidden @ others.T, targets[:, None] != negatives)


def others_than(targets: torch.Tensor, num_items: int, count: int) -> torch.Tensor:
    """Items drawn evenly among all but each target, where the targets are, ``int64[N, count]``."""
    size = (len(targets), count)
    drawn = torch.randint(max(num_items - 1, 1), size, device=targets.device)
    return drawn + (drawn >= targets[:, None])
