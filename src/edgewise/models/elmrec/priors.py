"""Item priors in ELMRec's ranking tasks; what they are: :mod:`edgewise.models.item_priors`.

**Sequential.** Every item gets the score of the mixture (:mod:`edgewise.models.mixing`), whose
language model is the item head,

    ``s_i = w_0 log softmax(head)_i + sum over p of w_p log(1 + S_p(i) / e_p)``,

the node n of the catalogue's prefix tree the prior ``b(n) = log sum over its leaves of exp(s_i)``
(:mod:`edgewise.decoding.item_prior`), and a step to its child c the probability

    ``p(c | n) = exp(v l(c) + b(c)) / sum over children c' of exp(v l(c') + b(c'))``

with the decoder's logits l. So priors guide the beam from the first token on, and what is searched
is what candidates score. Weights are fitted in two steps, both on the validation rows of the
mixture's users. First ``w`` by the likelihood of items, without the spelling: that is a concave
problem over whole items. Then v, of the strength that training gave the spelling times 0, 1/4, 1/2,
1 or 2, by the exact likelihood of the targets in the tree. Without an item head the first step has
the priors alone (a head that finds all items alike), and the second decides how much of the T5 is
added to them.

**Direct.** A candidate's log-likelihood is mixed with priors by weights of their own
(:mod:`edgewise.models.list_mixing`), fitted among 99 negatives drawn for the same rows as training
draws them. Scores are then log-probabilities among the candidates.

Beyond the papers.

Shapes: B users, I items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.models.elmrec.config import ELMRecConfig
from edgewise.models.elmrec.data import draw_candidates
from edgewise.models.item_priors import PriorsConfig
from edgewise.models.list_mixing import fit_lists
from edgewise.models.mixing import PriorMixture
from edgewise.recommender import Task

SPELLINGS = (0.0, 0.25, 0.5, 1.0, 2.0)
_NEGATIVES = 99
_STREAM = 7
_NUMBERS_AT_ONCE = 5_000_000
# Of an item that is hidden while weights are fitted.
_NEVER = -1e4


@dataclass(eq=False)
class TaskPriors:
    """The same priors in each ranking task, with weights of their own.

    Attributes:
        mixtures: of the tasks that were trained.
        spelling: what the strength of the spelled logits is multiplied by, v over that strength.
    """

    mixtures: dict[Task, PriorMixture]
    spelling: float = 1.0

    @classmethod
    def of(
        cls, split: Split, histories: Ragged, config: ELMRecConfig, tasks: tuple[Task, ...]
    ) -> TaskPriors | None:
        """Priors of train rows and the catalogue; None where none is asked for, known or used."""
        used: list[Task] = [task for task in tasks if task != "explanation"]
        first = PriorMixture.of(split, histories, config.priors, config.seed) if used else None
        if first is None:
            return None
        return cls({task: first.twin() if n else first for n, task in enumerate(used)})

    @property
    def first(self) -> PriorMixture:
        """Any of the mixtures; all have the same priors."""
        return next(iter(self.mixtures.values()))

    def prepare(self, histories: Ragged, config: PriorsConfig, seed: int) -> None:
        """See :meth:`~edgewise.models.mixing.PriorMixture.prepare`."""
        first = self.first
        first.prepare(histories, config, seed)
        for mixture in self.mixtures.values():
            mixture.priors, mixture.item_counts = first.priors, first.item_counts

    def rows_at_once(self) -> int:
        """Prompts whose scores of all items are held at a time."""
        return max(1, _NUMBERS_AT_ONCE // len(self.first.item_counts))

    def item_scores(self, head: torch.Tensor | None, histories: Ragged) -> torch.Tensor:
        """``s`` of all items after histories, ``float32[B, I]``.

        Args:
            head: scores of all items by the item head, ``float[B, I]``, or None.
            histories: none empty.
        """
        found = head_likelihood(head, len(histories), len(self.first.item_counts))
        return self.mixtures["sequential"].mixed(found, histories)

    # Fitting

    def fit_spelling(
        self,
        split: Split,
        config: ELMRecConfig,
        likelihoods: Callable[[np.ndarray, Ragged, np.ndarray], Sequence[np.ndarray]],
    ) -> None:
        """Choose ``spelling`` of :data:`SPELLINGS` by the likelihood of targets in the tree.

        Args:
            split: as for :meth:`~edgewise.models.mixing.PriorMixture.fit`.
            config: of the model.
            likelihoods: of users, histories and targets ``int64[B]``: the targets' log-likelihoods
                in the tree, ``float32[B]`` for each of :data:`SPELLINGS`.
        """
        total = np.zeros(len(SPELLINGS))
        for user, target, known in self.first.rows(split, config.priors, config.seed):
            found = likelihoods(user, known, target)
            total += [float(each.sum(dtype=np.float64)) for each in found]
        # 1 comes first: it stays where nothing tells the others apart.
        order = sorted(range(len(SPELLINGS)), key=lambda n: abs(SPELLINGS[n] - 1))
        self.spelling = SPELLINGS[max(order, key=lambda n: total[n])]

    def fit_direct(
        self,
        split: Split,
        config: ELMRecConfig,
        likelihoods: Callable[[np.ndarray, Ragged, Ragged], np.ndarray],
    ) -> None:
        """Weights of the direct task; ``likelihoods`` of lists, without priors."""
        rng = np.random.default_rng((config.seed, _STREAM))
        num_items = split.dataset.num_items

        def candidates(target: np.ndarray, histories: Ragged) -> Ragged:
            rows = zip(target, histories.rows(), strict=True)
            drawn = [draw_candidates(t, seen, _NEGATIVES, num_items, rng) for t, seen in rows]
            return Ragged.of_rows(drawn)

        mixture = self.mixtures["direct"]
        fit_lists(mixture, split, config.priors, config.seed, candidates, likelihoods)

    # Telling and keeping

    def learned_rows(self) -> tuple[tuple[str, str], ...]:
        """The fitted weights of each task in words."""
        rows = []
        for task, mixture in self.mixtures.items():
            prefix = f"{task}: " if len(self.mixtures) > 1 else ""
            rows += [(prefix + name, told) for name, told in mixture.learned_rows()]
            if task == "sequential":
                rows.append((prefix + "spelling", f"{self.spelling:g} of its trained strength"))
        return tuple(rows)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the priors beside a model; returns what :meth:`load` is to be told."""
        weights = {task: mixture.weights_told() for task, mixture in self.mixtures.items()}
        return {**self.first.save(folder), "tasks": weights, "spelling": self.spelling}

    @classmethod
    def load(cls, folder: Path, told: Mapping[str, Any], histories: Ragged) -> TaskPriors:
        """Read what :meth:`save` wrote, of the histories that stand beside it."""
        first = PriorMixture.load(folder, told, histories)
        mixtures = {task: first.twin(weights) for task, weights in told["tasks"].items()}
        return cls(mixtures, float(told["spelling"]))


def head_likelihood(head: torch.Tensor | None, num_users: int, num_items: int) -> torch.Tensor:
    """Log-likelihoods by an item head's scores; without a head all items are alike, ``[B, I]``."""
    if head is None:
        return torch.full((num_users, num_items), -float(np.log(num_items)))
    return head.float().log_softmax(1)


def without_others(scores: torch.Tensor, histories: Ragged, targets: np.ndarray) -> torch.Tensor:
    """Scores ``[B, I]`` with all items of a history but its target set far below all others."""
    row, item = histories.row_of_value, histories.values.astype(np.int64)
    other = item != targets[row]
    found = scores.clone()
    found[torch.from_numpy(row[other]), torch.from_numpy(item[other])] = _NEVER
    return found
