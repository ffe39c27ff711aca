"""Layers of networks in plain numpy, from the weights of the torch layer that is to be checked."""

from __future__ import annotations

from math import erf

import numpy as np


def array(tensor):
    return tensor.detach().numpy().astype(np.float64)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2


def linear(x, layer):
    return x @ array(layer.weight).T + (0 if layer.bias is None else array(layer.bias))


def normed(x, layer):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.eps)
    return x * array(layer.weight) + array(layer.bias)


def attention(x, block, *, causal):
    """Softmax attention of an ``AttentionBlock``, one position and one head at a time, ``[S, D]``.

    Args:
        x: its input, ``[S, D]``.
        block: whose weights.
        causal: a position looks at itself and earlier ones only.
    """
    query, key, value = np.split(linear(x, block.query_key_value), 3, axis=1)
    attended = np.zeros_like(x)
    for head in np.split(np.arange(x.shape[1]), block.heads):
        for t in range(len(x)):
            seen = slice(0, t + 1) if causal else slice(None)
            weight = np.exp(key[seen, head] @ query[t, head] / np.sqrt(len(head)))
            attended[t, head] = weight / weight.sum() @ value[seen, head]
    return linear(attended, block.out)
