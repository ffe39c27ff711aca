"""Item priors mixed with a language model's likelihood among the items of a list.

A model that reads its candidates knows a likelihood of each of them, up to a constant of the list,
and of no other item. The mixture of :mod:`edgewise.models.mixing` then has each list in place of
the catalogue: its score is normalised among the list's items, and its weights are fitted among
candidates that are drawn as those that will be asked about.

Shapes: B lists, C longest list, I items, L language models, P priors.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import numpy as np
import torch

from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.models.conditional_logit import Observations
from edgewise.models.item_priors import PriorsConfig
from edgewise.models.mixing import PriorMixture

_NUMBERS_AT_ONCE = 20_000_000


def mixed_lists(
    mixture: PriorMixture, likelihood: np.ndarray, histories: Ragged, lists: Ragged
) -> np.ndarray:
    """Log-probabilities among the items of each user's list, ``float32[total]``.

    Args:
        mixture: fitted.
        likelihood: log-likelihoods of each item of the lists, up to a constant of each list, as
            each of the mixture's language models has them, ``float32[L, total]``.
        histories: of the users, none empty.
        lists: items, one row a user.
    """
    mixed = np.empty(len(lists.values), np.float32)
    size = max(1, _NUMBERS_AT_ONCE // len(mixture.item_counts))
    for start in range(0, len(lists), size):
        stop = min(start + size, len(lists))
        inside = slice(lists.offsets[start], lists.offsets[stop])
        rows = np.arange(start, stop)
        mixed[inside] = _mixed(
            mixture, likelihood[:, inside], histories.take(rows), lists.take(rows)
        )
    return mixed


def _mixed(
    mixture: PriorMixture, likelihood: np.ndarray, histories: Ragged, lists: Ragged
) -> np.ndarray:
    row, item = lists.row_of_value, lists.values.astype(np.int64)
    place = lists.place_of_value
    grids = [_grid(each, lists).log_softmax(1) for each in likelihood]
    own = mixture.user_weights(histories, grids[0], lists.lengths)[row]
    spoken = (_neutral(mixture, grid, lists)[row, place] for grid in grids)
    total = torch.zeros(len(row))
    for part, feature in enumerate(chain(spoken, mixture.features_at(histories, row, item))):
        total += own[:, part] * feature
    return _grid(total.numpy(), lists).log_softmax(1)[row, place].numpy()


def fit_lists(
    mixture: PriorMixture,
    split: Split,
    config: PriorsConfig,
    seed: int,
    candidates: Callable[[np.ndarray, Ragged], Ragged],
    likelihoods: Callable[[np.ndarray, Ragged, Ragged], np.ndarray],
) -> None:
    """Fit the weights on validation rows, each target among some candidates.

    Args:
        mixture: whose weights are replaced.
        split, config, seed: as for :meth:`~edgewise.models.mixing.PriorMixture.fit`, and the same
            rows.
        candidates: a list for each target ``int64[B]`` and history, the target among them.
        likelihoods: as :func:`mixed_lists` takes them, for users, histories and lists.
    """
    parts = []
    for user, target, histories in mixture.rows(split, config, seed):
        lists = candidates(target, histories)
        likelihood = likelihoods(user, histories, lists)
        parts.append(_observed(mixture, target, likelihood, histories, lists))
    mixture.solve(parts)


def _observed(
    mixture: PriorMixture,
    target: np.ndarray,
    likelihood: np.ndarray,
    histories: Ragged,
    lists: Ragged,
) -> Observations:
    """Each target before the other items of its list."""
    row, item = lists.row_of_value, lists.values.astype(np.int64)
    grids = [_grid(each, lists).log_softmax(1) for each in likelihood]
    gate = mixture.gate(histories, grids[0], lists.lengths)
    absent = grids[0] == -torch.inf
    spoken = [_neutral(mixture, grid, lists) for grid in grids]
    told = [_grid(each.numpy(), lists) for each in mixture.features_at(histories, row, item)]
    features = torch.stack([*spoken, *told], 1).masked_fill(absent[:, None], 0.0)
    number, place = torch.arange(len(target)), lists.place_of_value[item == target[row]]
    order = torch.arange(absent.shape[1]).repeat(len(target), 1)
    order[:, 0] = torch.from_numpy(place)
    order[number, place] = 0
    columns = order[:, None].expand(features.shape)
    return Observations(features.gather(2, columns), absent.gather(1, order), gate)


def _neutral(mixture: PriorMixture, grid: torch.Tensor, lists: Ragged) -> torch.Tensor:
    """Log-likelihoods, equal for all items of a list that the language model never saw."""
    untaught = np.isin(lists.values, mixture.untaught)
    row, place = lists.row_of_value[untaught], lists.place_of_value[untaught]
    values = grid[row, place].numpy()
    counts = np.maximum(np.bincount(row, minlength=len(lists)), 1)
    mean = (np.bincount(row, values, len(lists)) / counts)[row]
    found = grid.clone()
    found[row, place] = torch.from_numpy(mean.astype(np.float32))
    return found


def _grid(values: np.ndarray, lists: Ragged) -> torch.Tensor:
    """One row a list, minus infinity behind its end, ``float32[B, C]``."""
    grid = np.full((len(lists), int(lists.lengths.max())), -np.inf, np.float32)
    grid[lists.row_of_value, lists.place_of_value] = values
    return torch.from_numpy(grid)
