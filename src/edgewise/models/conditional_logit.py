"""The weights of a log-linear mixture, by the likelihood of items that people took.

Item i of an observation has K features f_i, the observation itself G numbers g that are known
before its target t, the gate, whose first is 1. Its items have the scores and the likelihood

    ``s_i = sum over k, q of W_kq f_ik g_q``,  ``p_i = exp(s_i) / sum over j of exp(s_j)``.

That is the conditional logit of McFadden (1974). Its log-likelihood is concave in W, so that a few
steps of Newton's method find the one best W, with no rate and no order of examples to choose, and
the curvature there says how well each weight is known. A ridge holds gates near 0 and weights near
where they start.

Shapes: n observations, K features, G gates, M items of an observation, the target first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

_MOST_STEPS = 30
_ENOUGH = 1e-7
_HALVINGS = 20


@dataclass(frozen=True, eq=False)
class Observations:
    """Some items that were taken, each among others.

    Attributes:
        features: of every item, the target first, ``float32[n, K, M]``.
        hidden: items that do not count, never the target, ``bool[n, M]``.
        gate: ``float32[n, G]``, the first column 1.
    """

    features: torch.Tensor
    hidden: torch.Tensor
    gate: torch.Tensor


@dataclass(frozen=True, eq=False)
class Mixture:
    """Fitted weights.

    Attributes:
        weights: W, ``float64[K, G]``.
        errors: standard errors of the weights, ``float64[K, G]``.
        loss: mean of ``-log p_t``, in nats.
        num_observations: n.
    """

    weights: np.ndarray
    errors: np.ndarray
    loss: float
    num_observations: int

    def to_dict(self) -> dict[str, Any]:
        """As numbers that JSON holds exactly."""
        arrays = {"weights": self.weights.tolist(), "errors": self.errors.tolist()}
        return {**arrays, "loss": self.loss, "observations": self.num_observations}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Mixture:
        """Of :meth:`to_dict`."""
        weights, errors = (np.array(told[name], np.float64) for name in ("weights", "errors"))
        return cls(weights, errors, float(told["loss"]), int(told["observations"]))


def fit_mixture(
    parts: Sequence[Observations], start: np.ndarray, ridge: float, gate_ridge: float
) -> Mixture:
    """The weights under which the targets are likeliest.

    Args:
        parts: all observations, a bounded number at a time.
        start: W to begin with, and that the ridge holds to, ``[K, G]``.
        ridge: half of it times the squared distance of ungated weights from their start is added
            to the sum of the losses.
        gate_ridge: the same for weights that a gate multiplies.
    """
    count = sum(len(part.gate) for part in parts)
    centre = torch.from_numpy(start.astype(np.float64)).flatten()
    hold = torch.full(start.shape, gate_ridge, dtype=torch.float64)
    hold[:, 0] = ridge
    hold = hold.flatten()

    def penalty(at: torch.Tensor) -> torch.Tensor:
        return (hold * (at - centre).square()).sum() / 2

    weights = centre.clone()
    loss, slope, curve = _moments(parts, weights, start.shape)
    total = loss + penalty(weights)
    for _ in range(_MOST_STEPS):
        held = curve + torch.diag(hold), slope + hold * (weights - centre)
        step = torch.linalg.solve(*held)
        found = _shortened(penalty, parts, weights, step, total, start.shape)
        if found is None:
            break
        weights, loss, slope, curve, lower = found
        gained, total = total - lower, lower
        if gained < _ENOUGH * max(count, 1):
            break
    spread = torch.linalg.inv(curve + torch.diag(hold)).diagonal().clamp_min(0).sqrt()
    shape = start.shape
    return Mixture(
        weights.reshape(shape).numpy(),
        spread.reshape(shape).numpy(),
        float(loss) / max(count, 1),
        count,
    )


def _shortened(
    penalty: Callable[[torch.Tensor], torch.Tensor],
    parts: Sequence[Observations],
    weights: torch.Tensor,
    step: torch.Tensor,
    total: torch.Tensor,
    shape: tuple[int, ...],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor] | None:
    """The end of a step, halved until it lowers the loss; None where none does."""
    for _ in range(_HALVINGS):
        at = weights - step
        loss, slope, curve = _moments(parts, at, shape)
        if (lower := loss + penalty(at)) <= total:
            return at, loss, slope, curve, lower
        step = step / 2
    return None


def _moments(
    parts: Sequence[Observations], weights: torch.Tensor, shape: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The sum of losses, its gradient ``[KG]`` and its Hessian ``[KG, KG]``, ``float64``."""
    num_features, num_gates = shape
    table = weights.reshape(shape).float()
    loss = torch.zeros((), dtype=torch.float64)
    slope = torch.zeros(shape, dtype=torch.float64)
    curve = torch.zeros(num_features, num_gates, num_features, num_gates, dtype=torch.float64)
    for part in parts:
        own = part.gate @ table.T  # [n, K]
        scores = torch.bmm(own[:, None], part.features)[:, 0]
        scores.masked_fill_(part.hidden, -torch.inf)
        likely = scores.log_softmax(1)
        loss -= likely[:, 0].double().sum()
        shares = likely.exp_()
        weighted = part.features * shares[:, None]
        mean = weighted.sum(2)
        square = torch.bmm(weighted, part.features.transpose(1, 2))
        square -= mean[:, :, None] * mean[:, None]
        missed = (mean - part.features[:, :, 0]).double()
        gate = part.gate.double()
        slope += missed.T @ gate
        curve += torch.einsum("nkl,nq,nr->kqlr", square.double(), gate, gate)
    size = num_features * num_gates
    return loss, slope.flatten(), curve.reshape(size, size)
