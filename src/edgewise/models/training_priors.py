"""Item priors in the loss: the network learns what they leave untold.

While a network trains, ``sum over p of w_p log(1 + S_p(i) / e_p)`` is added to its logits as a
constant (:mod:`edgewise.models.mixing` says what each letter means). What a user took is counted in
the priors, so that each would know its own target. Therefore users are cut into folds, and a user
is told what was counted in the rows of the other folds' users alone. The weights w are those that
fit priors without a language model to validation rows of the users who fit the mixture later on.

Beyond the papers.

Shapes: B targets, I items, U users, P priors, K folds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from edgewise.config import updated
from edgewise.data.hashing import id_keys, keyed_uniform
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.models.item_priors import PriorsConfig, counted_priors
from edgewise.models.mixing import PriorMixture

NUM_FOLDS = 5
_STREAM = 11


@dataclass(frozen=True, eq=False)
class TrainingPriors:
    """Constants of the logits of train targets and of validation rows.

    Attributes:
        whole: counted in all train rows.
        folds: counted without the users of each fold, K of them.
        fold: of each user, ``int64[U]``.
        weights: of the priors, ``float32[P]``.
    """

    whole: PriorMixture
    folds: tuple[PriorMixture, ...]
    fold: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(
        cls, split: Split, histories: Ragged, mixture: PriorMixture, config: PriorsConfig, seed: int
    ) -> TrainingPriors:
        """Count without each fold, and fit the weights.

        Args:
            split: its test part is not read.
            histories: the train rows, as each user's items.
            mixture: counted in all of them.
            config: which priors.
            seed: of the folds, of the start of singular vectors and of who fits the weights.
        """
        alone = replace(mixture, gates=1)
        num_items = len(mixture.item_counts)
        alone.fit(
            split,
            updated(config, {"gate": False, "new_items": False}),
            seed,
            _knows_nothing(num_items),
        )
        assert alone.mixture is not None
        keys = id_keys(split.dataset.users)
        fold = (NUM_FOLDS * keyed_uniform(seed, _STREAM, keys)).astype(np.int64)
        folds = []
        for number in range(NUM_FOLDS):
            others = histories.keep((fold != number)[histories.row_of_value])
            counted = counted_priors(others, num_items, config, seed)
            anew = {prior.name: prior for prior in counted}
            priors = tuple(anew.get(prior.name, prior) for prior in mixture.priors)
            folds.append(replace(mixture, priors=priors))
        weights = alone.mixture.weights[1:, 0].astype(np.float32)
        return cls(mixture, tuple(folds), fold, weights)

    def of_train(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """What users of the data are told of all items, ``float32[B, I]``, by other users.

        Args:
            users: ``int64[B]``.
            histories: what each had before the target.
        """
        total = torch.zeros(len(users), len(self.whole.item_counts))
        own = self.fold[users]
        for number in np.unique(own):
            rows = np.flatnonzero(own == number)
            part = self._told(self.folds[number], histories.take(rows))
            total[torch.from_numpy(rows)] = part
        return total

    def of_valid(self, histories: Ragged) -> torch.Tensor:
        """The same by all train rows, for targets that are none of them."""
        return self._told(self.whole, histories)

    def _told(self, mixture: PriorMixture, histories: Ragged) -> torch.Tensor:
        total = torch.zeros(len(histories), len(mixture.item_counts))
        weights = torch.from_numpy(np.append(np.float32(0), self.weights))
        mixture.sum_up(total, weights.expand(len(histories), -1).contiguous(), histories)
        return total


def _knows_nothing(num_items: int) -> Callable[[np.ndarray, Ragged], torch.Tensor]:
    """A language model for which all items are alike."""

    def likelihoods(users: np.ndarray, histories: Ragged) -> torch.Tensor:
        return torch.full((len(users), num_items), -float(np.log(num_items)))

    return likelihoods
