"""The layers of a GPT-2 with matrices of 8-bit integers, for answering on a CPU.

Matrices are rounded once, one scale a matrix, and what they are multiplied with is rounded anew for
every product (dynamic quantisation). Attention, norms, embeddings and the scores of items stay as
they are. The network that is trained and saved is not touched.
"""

from __future__ import annotations

import warnings
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from edgewise.errors import ConfigError
from edgewise.models.saved_networks import is_conv1d

if TYPE_CHECKING:
    from transformers import GPT2Model


def quantised(gpt: GPT2Model) -> GPT2Model:
    """A network that shares all but the matrices of the layers with a trained one.

    Raises:
        ConfigError: this torch, or this processor, multiplies no 8-bit integers.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, which is going to move the same elsewhere
            return _changed(gpt, _as_integers)
    except (AttributeError, ImportError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(
            f"decoding.weights=int8: this machine's torch {torch.__version__} cannot do it "
            f"({error}); set decoding.weights=fp32"
        ) from error


def _changed(module: Any, change: Any) -> Any:
    """A shallow copy whose matrices, however deep inside, are replaced."""
    found = change(module)
    if found is not None:
        return found
    if not any(map(is_conv1d, module.modules())):
        return module
    found = copy(module)
    found._modules = {name: _changed(each, change) for name, each in module._modules.items()}
    return found


def _as_integers(module: Any) -> nn.Module | None:
    if not is_conv1d(module):
        return None
    linear = nn.Linear(module.nx, module.nf)
    linear.weight = nn.Parameter(module.weight.detach().T.contiguous().float(), False)
    linear.bias = nn.Parameter(module.bias.detach().float(), False)
    (done,) = torch.ao.quantization.quantize_dynamic(  # pyright: ignore[reportAttributeAccessIssue]
        nn.Sequential(linear), {nn.Linear}, dtype=torch.qint8
    )
    return done
