"""All priors' logarithms for many users at once, weighed and summed where they are still in cache.

``sum over p of w_p log(1 + S_p / e_p)`` of :mod:`edgewise.models.mixing` is three kinds of work:

- priors that read no history are one row of numbers: their logarithms are kept, and all of them
  are one product of matrices;
- priors of vectors are a product, a maximum and a logarithm of every item, a stretch of the
  catalogue at a time; a row of ones beside the vectors adds the 1;
- priors of neighbours say something of a few items: these alone are added.

Shapes: B users asked about, I items, P priors, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch

from edgewise.data.ragged import Ragged
from edgewise.models.item_priors import ItemPrior

# Of a stretch of the catalogue for all rows, and of some rows: what fits a core's own cache.
_ITEMS_AT_ONCE, _NUMBERS_AT_ONCE = 1024, 131_072
# Stands for minus infinity, which is not a number once it is multiplied by the likelihood 0.
_LOWEST = -1e4


class PriorFeatures:
    """Weighed sums of the logarithms of priors.

    Args:
        priors: P of them.
        sizes: their usual sizes e_p, ``float32[P]``.
    """

    def __init__(self, priors: Sequence[ItemPrior], sizes: np.ndarray) -> None:
        self.priors = tuple(priors)
        self._constant, rows = list[int](), list[np.ndarray]()
        self._sparse, self._dense = list[tuple[int, float]](), list[tuple[int, torch.Tensor]]()
        for place, (prior, size) in enumerate(zip(priors, sizes, strict=True)):
            if prior.left.shape[0] == 1:
                self._constant.append(place + 1)
                rows.append(np.log1p(np.asarray(prior.left[0]) / size))
            elif prior.right is None:
                self._sparse.append((place, float(size)))
            else:
                ones = np.ones((1, prior.right.shape[1]), np.float32)
                right = np.concatenate([prior.right / size, ones]).astype(np.float32)
                self._dense.append((place, torch.from_numpy(right)))
        self._rows = torch.from_numpy(np.stack(rows).astype(np.float32)) if rows else None

    def mix(self, scores: torch.Tensor, weights: torch.Tensor, histories: Ragged) -> None:
        """Multiply scores by their weight and add ``w_p log(1 + S_p / e_p)`` of all priors.

        Args:
            scores: overwritten, ``float32[B, I]``, contiguous, on the CPU.
            weights: of each user's score and priors, ``float32[B, 1 + P]``, likewise.
            histories: of the users.
        """
        asked = [
            (self._vectors(place, histories), right, weights[:, place + 1 : place + 2])
            for place, right in self._dense
        ]
        num_items = scores.shape[1]
        room = torch.empty(len(scores) * min(_ITEMS_AT_ONCE, num_items))
        for start in range(0, num_items, _ITEMS_AT_ONCE):
            stretch = slice(start, start + _ITEMS_AT_ONCE)
            part = scores[:, stretch].mul_(weights[:, :1])
            if self._rows is not None:
                part.addmm_(weights[:, self._constant], self._rows[:, stretch])
            found = room[: part.numel()].view(part.shape)
            for vectors, right, weight in asked:
                torch.mm(vectors, right[:, stretch], out=found)
                part.addcmul_(found.clamp_min_(1).log_(), weight)
        for place, size in self._sparse:
            self._add_neighbours(scores, weights[:, place + 1], place, size, histories)

    def _vectors(self, place: int, histories: Ragged) -> torch.Tensor:
        """Of users, and a 1, ``float32[B, D + 1]``."""
        prior = self.priors[place]
        found = torch.from_numpy(prior.asked(histories) @ prior.left)
        return torch.cat([found, torch.ones(len(found), 1)], 1)

    def _add_neighbours(
        self,
        scores: torch.Tensor,
        weight: torch.Tensor,
        place: int,
        size: float,
        histories: Ragged,
    ) -> None:
        prior = self.priors[place]
        found = sp.csr_array(prior.asked(histories) @ prior.left)
        lengths = np.diff(found.indptr)
        at = np.repeat(np.arange(len(scores)) * scores.shape[1], lengths)
        at += found.indices
        values = torch.from_numpy(found.data).div_(size).log1p_()
        values *= torch.from_numpy(np.repeat(weight.numpy(), lengths))
        scores.view(-1).scatter_add_(0, torch.from_numpy(at), values)


def entropies(scores: torch.Tensor) -> torch.Tensor:
    """Of the softmax of each row, ``float32[B]``.

    Args:
        scores: log-likelihoods up to a constant of each row, ``float32[B, I]``.
    """
    found = scores.new_zeros(len(scores))
    for part in _some_rows(scores) if scores.shape[1] else ():
        lower = scores[part] - scores[part].amax(1, keepdim=True)
        shares = lower.exp()
        total = shares.sum(1)
        found[part] = total.log() - lower.clamp_min_(_LOWEST).mul_(shares).sum(1) / total
    return found


def normalise(scores: torch.Tensor) -> torch.Tensor:
    """Turn scores ``float32[B, I]`` into log-probabilities, in place; they are returned."""
    for part in _some_rows(scores):
        rows = scores[part]
        rows -= rows.logsumexp(1, keepdim=True)
    return scores


def log_normalisers(scores: torch.Tensor) -> torch.Tensor:
    """What :func:`normalise` subtracts from each row, ``float32[B]``."""
    return torch.cat([scores[part].logsumexp(1) for part in _some_rows(scores)])


def _some_rows(scores: torch.Tensor) -> list[slice]:
    num_rows, num_items = scores.shape
    step = max(1, _NUMBERS_AT_ONCE // max(1, num_items))
    if scores.device.type != "cpu":
        step = max(1, num_rows)
    return [slice(start, start + step) for start in range(0, num_rows, step)]
