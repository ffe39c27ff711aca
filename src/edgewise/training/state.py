"""State of an optimiser and of random generators as plain tensors and JSON: nothing is pickled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


def save_optimizer(
    optimizer: torch.optim.Optimizer, names: Sequence[str], path: Path
) -> dict[str, Any]:
    """Write the tensors of an optimiser's state, named ``parameter/field``.

    Args:
        optimizer: whose state is kept.
        names: of the parameters, in the order in which the optimiser was given them.
        path: of the safetensors file.

    Returns:
        Everything else, as JSON values: single numbers (steps) and hyper-parameters.
    """
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, dict[str, float]] = {}
    for index, fields in state["state"].items():
        name = names[int(index)]
        for field, value in fields.items():
            if isinstance(value, torch.Tensor) and value.dim():
                tensors[f"{name}/{field}"] = value.contiguous()
            else:
                numbers.setdefault(name, {})[field] = float(value)
    save_file(tensors, path)
    groups = [
        {**group, "params": [names[index] for index in group["params"]]}
        for group in state["param_groups"]
    ]
    return {"numbers": numbers, "groups": groups}


def load_optimizer(
    optimizer: torch.optim.Optimizer,
    names: Sequence[str],
    path: Path,
    rest: Mapping[str, Any],
) -> None:
    """Give an optimiser of the same parameters what :func:`save_optimizer` wrote and returned.

    Raises:
        KeyError: the file knows a parameter that is not among ``names``.
    """
    place = {name: index for index, name in enumerate(names)}
    state: defaultdict[int, dict[str, torch.Tensor]] = defaultdict(dict)
    for key, tensor in load_file(path).items():
        name, _, field = key.rpartition("/")
        state[place[name]][field] = tensor
    for name, fields in rest["numbers"].items():
        state[place[name]] |= {field: torch.tensor(value) for field, value in fields.items()}
    groups = [_as_given(group, place) for group in rest["groups"]]
    optimizer.load_state_dict({"state": dict(state), "param_groups": groups})


def _as_given(group: Mapping[str, Any], place: Mapping[str, int]) -> dict[str, Any]:
    # JSON knows no tuples, and AdamW's betas are one.
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in group.items()}
    return values | {"params": [place[name] for name in group["params"]]}


def save_generators(path: Path) -> None:
    """Write the states of torch's generators, from which dropout draws."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    save_file(states, path)


def load_generators(path: Path) -> None:
    """Put torch's generators where they stood."""
    states = load_file(path)
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
