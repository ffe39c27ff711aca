"""Products with a stock model's weight matrices, on the fastest kernel at hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_ONEDNN_LINEAR = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.enabled else None
)


def project(linear: Any, states: Tensor) -> Tensor:
    """``linear(states)``, on a CPU in single precision by oneDNN.

    PyTorch hands these products to MKL, which uses half-width vectors on processors of other makers
    than its own; oneDNN, part of PyTorch too, was measured twice as fast on one of those.
    """
    plain = type(linear) is torch.nn.Linear and linear.weight.dtype == torch.float32
    if plain and _ONEDNN_LINEAR and states.device.type == "cpu" and states.dtype == torch.float32:
        return _ONEDNN_LINEAR(states, linear.weight, linear.bias, "none", [], "")
    return linear(states)


def feed_forward(layer: Any, hidden: Tensor) -> Tensor:
    """The library's feed-forward layer, plain (T5) or gated (T5 1.1)."""
    dense = layer.DenseReluDense
    normed = layer.layer_norm(hidden)
    if hasattr(dense, "wi_0"):
        inner = dense.act(project(dense.wi_0, normed)) * project(dense.wi_1, normed)
    else:
        inner = dense.act(project(dense.wi, normed))
    # The library keeps this one matrix in single precision in half-precision models.
    return project(dense.wo, inner.to(dense.wo.weight.dtype))
