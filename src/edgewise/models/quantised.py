"""The layers of a language model with matrices of 8-bit integers, for answering on a CPU.

Matrices are rounded once, with one scale a row, and what they are multiplied with is rounded anew
for every product (dynamic quantisation). Attention, norms, embeddings and the scores of items stay
as they are. Of a T5's output layer the sum over the vocabulary is rounded alone: a word's own logit
is a product of floats. The network that is trained and saved is not touched.
"""

from __future__ import annotations

import warnings
from copy import copy
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5DenseActDense
from transformers.pytorch_utils import Conv1D

from edgewise.config import check
from edgewise.decoding.t5_tree import WORDS_AT_ONCE
from edgewise.errors import ConfigError
from edgewise.models.lora import LowRankLinear

M = TypeVar("M", bound=nn.Module)
_KINDS = (Conv1D, nn.Linear, LowRankLinear)
_MADE: WeakKeyDictionary[nn.Module, tuple[tuple[int, ...], nn.Module]] = WeakKeyDictionary()


def with_integers(network: M) -> M:
    """:func:`quantised`, made once and kept as long as the network and its weights stay.

    Raises:
        ConfigError: the network is not on a CPU, or see :func:`quantised`.
    """
    weights = list(network.parameters())
    on_cpu = all(weight.device.type == "cpu" for weight in weights)
    check(on_cpu, "decoding.weights=int8 is for answering on a CPU: set it to fp32")
    versions = tuple(weight._version for weight in weights)
    if network not in _MADE or _MADE[network][0] != versions:
        _MADE[network] = versions, quantised(network)
    return _MADE[network][1]  # type: ignore[return-value]


class OutputLayer(nn.Module):
    """An output layer ``[V, D]``: of floats, and in parts of consecutive words of integers."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.weight = head.weight
        self.parts = nn.ModuleList(_of_integers(part) for part in head.weight.split(WORDS_AT_ONCE))


def quantised(network: M) -> M:
    """A network that shares all but the matrices of the layers with a trained one.

    Raises:
        ConfigError: this torch, or this processor, multiplies no 8-bit integers.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, which is going to move the same elsewhere
            return _changed(network)
    except (AttributeError, ImportError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(
            f"decoding.weights=int8: this machine's torch {torch.__version__} cannot do it "
            f"({error}); set decoding.weights=fp32"
        ) from error


def _changed(module: Any) -> Any:
    """A shallow copy whose matrices, however deep inside, are replaced."""
    if isinstance(module, _KINDS):
        return _of_integers(*_matrix(module))
    if not any(isinstance(each, _KINDS) for each in module.modules()):
        return module
    found, whole = copy(module), dict(module._modules)
    parts = dict[str, Any]()
    if isinstance(module, T5ForConditionalGeneration):
        parts["lm_head"] = OutputLayer(whole.pop("lm_head"))
    elif isinstance(module, T5DenseActDense) and isinstance(module.act, nn.ReLU):
        parts["wi"] = _of_integers(whole.pop("wi").weight, relu=True)
        parts["act"] = nn.Identity()
        del whole["act"]
    found._modules = {name: _changed(each) for name, each in whole.items()} | parts
    return found


def _matrix(module: nn.Module) -> tuple[Tensor, Tensor | None]:
    """The matrix of a layer, ``[out, in]``, low-rank updates included, and its bias."""
    if isinstance(module, LowRankLinear):
        linear = module.linear
        return linear.weight + module.scale * module.up @ module.down, linear.bias
    assert isinstance(module, nn.Linear | Conv1D)
    weight = module.weight if isinstance(module, nn.Linear) else module.weight.T
    return weight, module.bias


def _of_integers(weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> nn.Module:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    linear.weight = nn.Parameter(weight.detach().contiguous().float(), False)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().float(), False)
    library: Any = torch.ao  # pyright: ignore[reportAttributeAccessIssue]
    linear.qconfig = library.quantization.per_channel_dynamic_qconfig
    if relu:
        both = library.nn.intrinsic.LinearReLU(linear, nn.ReLU())
        both.qconfig = linear.qconfig
        return library.nn.intrinsic.quantized.dynamic.LinearReLU.from_float(both)
    return library.nn.quantized.dynamic.Linear.from_float(linear)
