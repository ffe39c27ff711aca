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
added to them. Where ids are one token (``prompts.ids``) nothing is spelled: s is the score, of all
items at once.

**Direct.** A candidate's log-likelihood, and what the item head says of it where the sequential
task was trained as well, are mixed with priors by weights of their own
(:mod:`edgewise.models.list_mixing`), fitted among 99 negatives drawn for the same rows as training
draws them. Scores are then log-probabilities among the candidates.

Beyond the papers.

Shapes: B users, I items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.decoding.exact_scores import score_candidates
from edgewise.models.conditional_logit import Mixture
from edgewise.models.elmrec.config import ELMRecConfig
from edgewise.models.elmrec.data import draw_candidates
from edgewise.models.item_priors import PriorsConfig
from edgewise.models.list_mixing import fit_lists
from edgewise.models.mixing import LANGUAGE_MODEL, PriorMixture
from edgewise.models.new_item_weights import NewItemWeights
from edgewise.recommender import Task

if TYPE_CHECKING:
    from edgewise.models.elmrec.recommender import ELMRec

ITEM_HEAD = "item head"
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
        spelling: what the strength of the spelled logits is multiplied by, v over that strength;
            None where items are not spelled.
    """

    mixtures: dict[Task, PriorMixture]
    spelling: float | None = 1.0

    @classmethod
    def of(
        cls, split: Split, histories: Ragged, config: ELMRecConfig, tasks: tuple[Task, ...]
    ) -> TaskPriors | None:
        """Priors of train rows and the catalogue; None where none is asked for, known or used."""
        used: list[Task] = [task for task in tasks if task != "explanation"]
        first = PriorMixture.of(split, histories, config.priors, config.seed) if used else None
        if first is None:
            return None
        heads = (ITEM_HEAD,) if config.prompts.item_head and "sequential" in used else ()
        spoken: dict[Task, tuple[str, ...]] = {"direct": (LANGUAGE_MODEL, *heads)}
        alone = (LANGUAGE_MODEL,)
        spelling = 1.0 if config.prompts.ids == "spelled" else None
        return cls({task: first.twin(spoken.get(task, alone)) for task in used}, spelling)

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

    def fit(self, model: ELMRec, split: Split) -> None:
        """Fit the weights of each task on the validation rows of some users.

        Args:
            model: trained.
            split: as for :meth:`~edgewise.models.mixing.PriorMixture.fit`.
        """
        config = model.config
        if "sequential" in self.mixtures:
            mixture = self.mixtures["sequential"]
            mixture.fit(split, config.priors, config.seed, model.head_likelihoods)
            if self.spelling is not None:
                self._fit_spelling(model, split)
        if "direct" in self.mixtures:
            rng = np.random.default_rng((config.seed, _STREAM))
            draw = partial(_candidates, num_items=split.dataset.num_items, rng=rng)
            rows = split, config.priors, config.seed
            fit_lists(self.mixtures["direct"], *rows, draw, model.spoken)

    def _fit_spelling(self, model: ELMRec, split: Split) -> None:
        """Choose ``spelling`` of :data:`SPELLINGS` by the likelihood of targets in the tree."""
        config, total = model.config, np.zeros(len(SPELLINGS))
        mixture = self.mixtures["sequential"]
        for user, target, known in mixture.rows(split, config.priors, config.seed):
            total += target_likelihoods(model, user, known, target).sum(1, dtype=np.float64)
        # 1 comes first: it stays where nothing tells the others apart.
        order = sorted(range(len(SPELLINGS)), key=lambda n: abs(SPELLINGS[n] - 1))
        self.spelling = SPELLINGS[max(order, key=lambda n: total[n])]

    # Telling and keeping

    def learned_rows(self) -> tuple[tuple[str, str], ...]:
        """The fitted weights of each task in words."""
        rows = []
        for task, mixture in self.mixtures.items():
            prefix = f"{task}: " if len(self.mixtures) > 1 else ""
            rows += [(prefix + name, told) for name, told in mixture.learned_rows()]
            if task == "sequential" and self.spelling is not None:
                rows.append((prefix + "spelling", f"{self.spelling:g} of its trained strength"))
        return tuple(rows)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the priors beside a model; returns what :meth:`load` is to be told."""
        weights = {}
        for task, each in self.mixtures.items():
            assert each.mixture is not None
            new = None if each.new_items is None else each.new_items.to_dict()
            weights[task] = {"spoken": each.spoken, **each.mixture.to_dict(), "new_items": new}
        return {**self.first.save(folder), "tasks": weights, "spelling": self.spelling}

    @classmethod
    def load(cls, folder: Path, told: Mapping[str, Any], histories: Ragged) -> TaskPriors:
        """Read what :meth:`save` wrote, of the histories that stand beside it."""
        first = PriorMixture.load(folder, told, histories)
        mixtures: dict[Task, PriorMixture] = {
            task: first.twin(tuple(each["spoken"]), Mixture.from_dict(each))
            for task, each in told["tasks"].items()
        }
        for task, each in told["tasks"].items():
            mixtures[task].new_items = NewItemWeights.from_dict(each.get("new_items"))
        spelling = told["spelling"]
        return cls(mixtures, None if spelling is None else float(spelling))


def target_likelihoods(
    model: ELMRec, users: np.ndarray, histories: Ragged, targets: np.ndarray
) -> np.ndarray:
    """Log-likelihoods of targets in the tree for each of :data:`SPELLINGS`, ``float32[n, B]``.

    Only the steps on a target's path are decoded; other items of the history cannot come.

    Args:
        model: whose priors have their weights but for the spelling's.
        users: ``int64[B]``.
        histories: of the users.
        targets: ``int64[B]``.
    """
    network, found = model.answering, [list[np.ndarray]() for _ in SPELLINGS]
    strength = network.spelling_strength("sequential")
    for part in model.read_histories(users, histories):
        rows = np.array(part.rows)
        pointed = model.item_scores(part, histories)
        assert pointed is not None
        pointed = _without_others(pointed, histories.take(rows), targets[rows])
        for share, scores in zip(SPELLINGS, found, strict=True):
            scores += score_candidates(
                network.t5,
                part.states,
                part.mask,
                model.table.spellings,
                list(targets[rows, None]),
                decoder_shift=part.shift,
                pointed_items=pointed,
                strength=share * strength,
                prompts_at_once=64,
            )
    return np.array([np.concatenate(scores) for scores in found])


def _candidates(
    targets: np.ndarray, histories: Ragged, num_items: int, rng: np.random.Generator
) -> Ragged:
    """Each target among negatives that are not in its history."""
    rows = zip(targets, histories.rows(), strict=True)
    return Ragged.of_rows(
        [draw_candidates(item, seen, _NEGATIVES, num_items, rng) for item, seen in rows]
    )


def head_likelihood(head: torch.Tensor | None, num_users: int, num_items: int) -> torch.Tensor:
    """Log-likelihoods by an item head's scores; without a head all items are alike, ``[B, I]``."""
    if head is None:
        return torch.full((num_users, num_items), -float(np.log(num_items)))
    return head.float().log_softmax(1)


def _without_others(scores: torch.Tensor, histories: Ragged, targets: np.ndarray) -> torch.Tensor:
    """Scores ``[B, I]`` with all items of a history but its target set far below all others."""
    row, item = histories.row_of_value, histories.values.astype(np.int64)
    other = item != targets[row]
    found = scores.clone()
    found[torch.from_numpy(row[other]), torch.from_numpy(item[other])] = _NEVER
    return found
