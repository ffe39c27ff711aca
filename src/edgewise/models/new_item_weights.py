"""Where items without train rows stand in a list beside all others.

Behaviour speaks for every other item, so that in a sum of all parts no new one is ever listed. Yet
how often a new item is the next one, and how much its texts tell then, can be fitted: a tenth of
the known items is treated as new, which hides all that was counted of them, and the likelihood of
validation rows says how such items stand to the others. The score of a new item is

    ``b + sum over described priors of v_p log(1 + S_p(i) / e_p)``,

to be compared with log-probabilities among the items with train rows that the user does not have,
which together weigh 1. Nothing is trained for it, and nothing of the language model is read.

It takes a new item to be as likely as others are on average: what is new is neither a hit nor a
failure yet. What is counted later (``priors.relearn``) is added by the weights of known items.

Beyond the papers.

Shapes: n observations, D described priors, M columns, B users, I items, K parts of a score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edgewise.data.dataset import Vocabulary
from edgewise.data.hashing import id_keys, keyed_uniform
from edgewise.data.ragged import Ragged
from edgewise.models.conditional_logit import Mixture, Observations, fit_mixture

if TYPE_CHECKING:
    from edgewise.models.mixing import PriorMixture

DESCRIBED = ("texts", "topics", "attributes")
SHARE = 0.1
_STREAM = 13
_FEWEST_TARGETS = 20
_RIDGE = 0.1


@dataclass(frozen=True, eq=False)
class NewItemWeights:
    """Fitted b and v.

    Attributes:
        names: of the described priors, D.
        mixture: b and v, ``[1 + D, 1]``, with their errors.
    """

    names: tuple[str, ...]
    mixture: Mixture

    @property
    def offset(self) -> float:
        """b."""
        return float(self.mixture.weights[0, 0])

    def weight(self, name: str) -> float:
        """v of a prior; 0 where it is not described."""
        places = {each: place for place, each in enumerate(self.names, start=1)}
        return float(self.mixture.weights[places[name], 0]) if name in places else 0.0

    def told(self) -> str:
        """In words."""
        told = [
            f"{name} {weight:.2f} ± {error:.2f}"
            for name, weight, error in zip(
                ("beside the others", *self.names),
                self.mixture.weights[:, 0],
                self.mixture.errors[:, 0],
                strict=True,
            )
        ]
        return ", ".join(told)

    def to_dict(self) -> dict[str, Any]:
        """As numbers that JSON holds exactly."""
        return {"names": list(self.names), **self.mixture.to_dict()}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any] | None) -> NewItemWeights | None:
        """Of :meth:`to_dict`; None of None."""
        return None if told is None else cls(tuple(told["names"]), Mixture.from_dict(told))


def treated_as_new(items: Vocabulary, counts: np.ndarray, seed: int) -> np.ndarray:
    """A tenth of the items with train rows, ``bool[I]``, by the seed and the ids' spelling."""
    return (keyed_uniform(seed, _STREAM, id_keys(items)) < SHARE) & (counts > 0)


def fit_new_items(
    names: Sequence[str],
    parts: Sequence[Observations],
    columns: Sequence[np.ndarray],
    new: np.ndarray,
    counts: np.ndarray,
) -> NewItemWeights | None:
    """The weights under which the targets are likeliest, known ones as one choice among others.

    Args:
        names: of the features of the observations.
        parts: all observations, some at a time.
        columns: the target of each observation of a part, and then the items of the other columns,
            which are the same for all of them, ``int64[n + M - 1]``.
        new: items that are treated as new, ``bool[I]``.
        counts: train rows of every item, ``int64[I]``.

    Returns:
        None where no prior is described, or where too few targets are treated as new.
    """
    places = [place for place, name in enumerate(names) if name in DESCRIBED]
    if not places:
        return None
    observed = [
        _as_new(part, items[: len(part.gate)], items[len(part.gate) :], new, counts, places)
        for part, items in zip(parts, columns, strict=True)
    ]
    targets = sum(int((part.features[:, 0, 0] != 0).sum()) for part in observed)
    if targets < _FEWEST_TARGETS:
        return None
    start = np.zeros((1 + len(places), 1))
    found = fit_mixture(observed, start, _RIDGE, _RIDGE)
    return NewItemWeights(tuple(names[place] for place in places), found)


def _as_new(
    part: Observations,
    targets: np.ndarray,
    items: np.ndarray,
    new: np.ndarray,
    counts: np.ndarray,
    places: Sequence[int],
) -> Observations:
    """The target, known items as one of score 0, and all that are treated as new."""
    kept = np.flatnonzero(counts[targets] > 0)
    rows, among = torch.from_numpy(kept), torch.from_numpy(np.flatnonzero(new[items]) + 1)
    is_new = torch.from_numpy(new[targets[kept]])
    described = part.features[rows][:, places]
    rivals = described[:, :, among]
    ones = torch.ones(len(kept), 1, len(among))
    known = torch.zeros(len(kept), 1 + len(places), 1)
    first = torch.cat([torch.ones(len(kept), 1), described[:, :, 0]], 1) * is_new[:, None]
    features = torch.cat([first[:, :, None], known, torch.cat([ones, rivals], 1)], 2)
    seen = part.hidden[rows][:, among]
    itself = torch.zeros(len(kept), 1, dtype=torch.bool)
    hidden = torch.cat([itself, ~is_new[:, None], seen], 1)
    return Observations(features, hidden, torch.ones(len(kept), 1))


def place_new(
    mixture: PriorMixture,
    total: torch.Tensor,
    own: torch.Tensor,
    spoken: torch.Tensor,
    histories: Ragged,
) -> None:
    """Score items without train rows beside the others, in place.

    Args:
        mixture: with weights of new items.
        total: ``w_0 log p(i)`` and all priors added up, ``float32[B, I]``, shifted so that items
            with train rows that a user does not have weigh 1 together.
        own: each user's weights, ``float32[B, K]``.
        spoken: what the language model adds to items without train rows.
        histories: of the users.
    """
    weights, untaught = mixture.new_items, mixture.untaught
    assert weights is not None
    columns = torch.from_numpy(untaught).to(total.device)
    found = total[:, columns] - spoken
    total[:, columns] = -torch.inf
    row, item = (
        torch.from_numpy(each.astype(np.int64)).to(total.device)
        for each in (histories.row_of_value, histories.values)
    )
    had = total[row, item]
    total[row, item] = -torch.inf
    others = total.logsumexp(1, keepdim=True).nan_to_num(neginf=0.0)
    total[row, item] = had
    total -= others
    found += weights.offset
    for place, (prior, size) in enumerate(zip(mixture.priors, mixture.sizes, strict=True), start=1):
        if prior.name in weights.names:
            told = torch.from_numpy(prior.scores_of(histories, untaught) / size).log1p_()
            found += (weights.weight(prior.name) - own[:, place, None]) * told.to(total.device)
    total[:, columns] = found
