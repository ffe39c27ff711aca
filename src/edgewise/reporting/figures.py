"""Pictures of a run, ready to stand inside a page."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

from edgewise.graph.plots import map_2d
from edgewise.graph.propagation import initial_features
from edgewise.reporting.examples import shelves
from edgewise.runs.run import Run
from edgewise.training.curves import curves_png, read_curves

_MOST_GROUPS = 10
_MOST_NODES = 1500


def learning_curves(run: Run) -> dict[str, str]:
    """The curves on light and on dark ground, as addresses for ``<img>``."""
    curves = read_curves(run.folder)
    return {theme: data_address(curves_png(curves, theme)) for theme in ("light", "dark")}


def vector_maps(run: Run) -> dict[str, str]:
    """Users and items before and after as addresses for ``<img>``, if their vectors are known.

    Before are random vectors, after is what :data:`_VECTORS` gives. Colours are shelves; a user has
    the colour of the shelf he took most from. The pictures stay in the run folder, too, under
    ``maps/``.
    """
    if run.info.method_name not in _VECTORS:
        return {}
    after, num_users = _VECTORS[run.info.method_name](run.model), run.dataset.num_users
    seed = run.config.seed
    before = initial_features(len(after), after.shape[1], 1.0, seed)
    groups, names = _groups(run)
    found = {}
    for kind, nodes in {"users": range(num_users), "items": range(num_users, len(after))}.items():
        chosen = np.sort(np.random.default_rng(seed).permutation(nodes)[:_MOST_NODES])
        panels = {f"{kind}, before": before[chosen], f"{kind}, after": after[chosen]}
        path = run.folder / "maps" / f"{kind}.png"
        map_2d(panels, groups[chosen], path, group_names=names)
        found[kind] = data_address(path.read_bytes())
    return found


def _propagated(model: Any) -> np.ndarray:
    """What whole words carry (ELMRec's Eq. 7, or spectral features), ``float32[N, D]``."""
    return model.knowledge.features


def _learned(model: Any) -> np.ndarray:
    """The embeddings of the tokens of users and items, ``float32[N, D]``."""
    table = model.model.gpt.get_input_embeddings().weight
    return table[model.tokens.num_text :].detach().float().cpu().numpy()


_VECTORS: dict[str, Callable[[Any], np.ndarray]] = {"elmrec": _propagated, "graph-gpt": _learned}


def data_address(png: bytes) -> str:
    """A picture as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _groups(run: Run) -> tuple[np.ndarray, list[str]]:
    """A shelf number for every user and item (-1: none of the largest), and the shelves' names."""
    of_items = shelves(run.dataset)
    counts = {name: of_items.count(name) for name in set(of_items) if name}
    names = sorted(sorted(counts), key=lambda name: -counts[name])[:_MOST_GROUPS]
    numbers = {name: number for number, name in enumerate(names)}
    items = np.array([numbers.get(name, -1) for name in of_items])
    return np.concatenate([_favourites(run, items, len(names)), items]), names


def _favourites(run: Run, items: np.ndarray, num_groups: int) -> np.ndarray:
    """The shelf that each user took most from in the train rows, -1 without any."""
    train = run.split.train
    shelf = items[train.item_index]
    taken = np.zeros((run.dataset.num_users, max(num_groups, 1)), dtype=np.int64)
    np.add.at(taken, (train.user_index[shelf >= 0], shelf[shelf >= 0]), 1)
    return np.where(taken.any(axis=1), taken.argmax(axis=1), -1)
