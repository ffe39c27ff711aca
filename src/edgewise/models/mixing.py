"""Item priors mixed with a language model's likelihood, by weights that validation rows fit.

The score of an item i for a history is

    ``w_0 log p(i) + sum over p of w_p log(1 + S_p(i) / e_p)``

with p of the language model and the priors S_p of :mod:`edgewise.models.item_priors`. e_p is the
usual size of a score, the geometric mean of those above 0, so that an item of which a prior knows
nothing gets 0 from it. What the language model says of items without train rows is the noise of
embeddings that nobody taught: it counts as the same for all of them, their mean.

Each weight is a sum over gates, numbers that are known before the target: 1, the length of the
history, how often its newest item was taken, how sure the language model is. All are fitted at once
by the likelihood (:mod:`edgewise.models.conditional_logit`), in seconds and without training
anything anew.

Beyond the papers. Log-linear mixtures of language models and counts: Klakow, ICSLP 1998.

Shapes: B users asked about, I items, P priors, K = P + 1 parts of a score, G gates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from safetensors.numpy import load_file, save_file

from edgewise.data.hashing import id_keys, keyed_uniform
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.models.conditional_logit import Mixture, Observations, fit_mixture
from edgewise.models.item_priors import (
    REASONS,
    ItemPrior,
    PriorsConfig,
    build_priors,
    counted_priors,
)
from edgewise.models.new_item_weights import (
    NewItemWeights,
    fit_new_items,
    place_new,
    treated_as_new,
)
from edgewise.models.prior_features import PriorFeatures, entropies, normalise
from edgewise.recommender import ScoreShare

GATES = ("always", "history", "newest", "surprise")
LANGUAGE_MODEL = "language model"
_MODEL_REASONS = (
    "the language model expects it after this history",
    "the language model expects other things after this history",
)
# By how much a gate grows, and when.
_STEPS = {
    "history": (1 / 3, "history x2"),
    "newest": (1 / 4, "newest x2"),
    "surprise": (2.0, "unsure"),
}
_MIDDLE = (
    " for 8 items of history, the newest taken 15 times, and a half sure language model. What is "
    "added: history x2, for each doubling of the history; newest x2, for each doubling of how "
    "often its newest item was taken; unsure, where the language model knows nothing instead of all"
)

_NUMBERS_AT_FIT, _NUMBERS_AT_ONCE = 300_000_000, 40_000_000
_LEAST_USERS = 500
RIDGE, GATE_RIDGE = 1.0, 10.0
_FILE = "priors.safetensors"
_NAMED_ITEMS = 3


@dataclass(eq=False)
class PriorMixture:
    """Priors of a data set, and the weights by which they are mixed with a language model.

    Attributes:
        priors: P of them.
        sizes: e_p, ``float32[P]``.
        item_counts: train rows of every item, ``int64[I]``.
        gates: how many of :data:`GATES` are used.
        mixture: fitted weights, rows are the language model and then priors; None before.
        users: whose validation rows fitted the weights, ``int64``, rising.
        spoken: names of the language models, which are several where lists are scored
            (:mod:`edgewise.models.list_mixing`).
        untaught: items without train rows, ``int64``.
        new_items: how these are scored; None: as others, without counts.
    """

    priors: tuple[ItemPrior, ...]
    sizes: np.ndarray
    item_counts: np.ndarray
    gates: int = 1
    mixture: Mixture | None = None
    users: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    spoken: tuple[str, ...] = (LANGUAGE_MODEL,)
    new_items: NewItemWeights | None = None
    _told: Ragged | None = None
    _features: PriorFeatures | None = None

    def __post_init__(self) -> None:
        self.untaught = np.flatnonzero(self.item_counts == 0)

    @classmethod
    def of(
        cls, split: Split, histories: Ragged, config: PriorsConfig, seed: int
    ) -> PriorMixture | None:
        """Count the train rows and read the catalogue; None where no prior is asked for or known.

        Args:
            split: train rows and catalogue alone are read.
            histories: the train rows, as each user's items.
            config: which priors.
            seed: of the start of singular vectors.
        """
        found = build_priors(split, config, seed)
        if not found:
            return None
        counts = np.bincount(histories.values, minlength=split.dataset.num_items)
        some = histories.take(np.flatnonzero(histories.lengths)[:: max(1, len(histories) // 500)])
        sizes = np.array([_usual_size(prior.scores(some)) for prior in found], dtype=np.float32)
        gates = len(GATES) if config.gate else 1
        return cls(found, sizes, counts, gates, _told=histories)

    def twin(self, spoken: tuple[str, ...], mixture: Mixture | None = None) -> PriorMixture:
        """The same priors with weights of their own, for another task.

        Raises:
            ValueError: the weights are those of other parts.
        """
        found = replace(self, spoken=spoken, mixture=mixture)
        shape = (len(found.names), self.gates)
        if mixture is not None and mixture.weights.shape != shape:
            raise ValueError(f"weights of shape {shape} are wanted, not {mixture.weights.shape}")
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parts of a score, the language model's first."""
        return (*self.spoken, *(prior.name for prior in self.priors))

    def prepare(self, histories: Ragged, config: PriorsConfig, seed: int) -> None:
        """Count anew what users took, where that is set; weights and the catalogue's priors stay.

        Args:
            histories: of all users, oldest items first.
            config, seed: as for :meth:`of`.
        """
        if not config.relearn or histories is self._told:
            return
        counted = counted_priors(histories, len(self.item_counts), config, seed)
        anew = {prior.name: prior for prior in counted}
        self.priors = tuple(anew.get(prior.name, prior) for prior in self.priors)
        self.item_counts = np.bincount(histories.values, minlength=len(self.item_counts))
        self._told = histories

    # Mixing

    def features(self, histories: Ragged) -> Iterator[torch.Tensor]:
        """``log(1 + S_p / e_p)`` of one prior after the other, ``float32[B, I]``."""
        for prior, size in zip(self.priors, self.sizes, strict=True):
            scores = prior.scores(histories)
            dense = scores.toarray() if sp.issparse(scores) else scores
            shape = (len(histories), dense.shape[1])
            yield torch.from_numpy(dense / size).log1p_().expand(shape)

    def features_at(
        self, histories: Ragged, row: np.ndarray, item: np.ndarray
    ) -> Iterator[torch.Tensor]:
        """:meth:`features` at some places, ``float32[n]`` of each prior; both ``int64[n]``."""
        for prior, size in zip(self.priors, self.sizes, strict=True):
            scores = prior.scores(histories)
            found = scores[0, item] if scores.shape[0] == 1 else scores[row, item]
            dense = found.toarray() if sp.issparse(found) else np.asarray(found)
            yield torch.from_numpy(dense.ravel().astype(np.float32) / size).log1p_()

    def gate(
        self,
        histories: Ragged,
        likelihood: torch.Tensor,
        choices: np.ndarray | None = None,
    ) -> torch.Tensor:
        """Numbers that are known before the target, about between -1 and 1, ``float32[B, G]``.

        Args:
            histories: none empty.
            likelihood: the language model's log-likelihoods of all items, up to a constant of
                each row, ``float32[B, I]``.
            choices: how many of them are items; I where it is None.
        """
        lengths = np.log2(np.maximum(histories.lengths, 1)) / 3 - 1
        newest = histories.values[histories.offsets[1:] - 1]
        counts = np.log2(1 + self.item_counts[newest]) / 4 - 1
        known = np.stack([np.ones(len(lengths)), lengths, counts], 1).astype(np.float32)
        found = torch.from_numpy(known[:, : self.gates]).to(likelihood.device)
        if self.gates <= known.shape[1]:
            return found
        surprise = entropies(likelihood)
        most: Any = np.log(np.maximum(likelihood.shape[1] if choices is None else choices, 2))
        if choices is not None:
            most = torch.from_numpy(most).to(surprise)
        scaled = 2 * surprise / most - 1
        return torch.cat([found, scaled[:, None]], 1)

    def neutral(self, likelihood: torch.Tensor) -> torch.Tensor:
        """The language model's log-likelihoods, equal for all items that it never saw.

        Args:
            likelihood: of all items, ``float32[B, I]``; stays as it is.
        """
        return likelihood if len(self.untaught) < 2 else self._level(likelihood.clone())

    def _level(self, scores: torch.Tensor) -> torch.Tensor:
        """The same in place."""
        if len(self.untaught) > 1:
            columns = torch.from_numpy(self.untaught).to(scores.device)
            scores[:, columns] = scores[:, columns].mean(1, keepdim=True)
        return scores

    def mixed(self, likelihood: torch.Tensor, histories: Ragged) -> torch.Tensor:
        """Log-probabilities under the mixture, ``float32[B, I]``, a new tensor.

        Args:
            likelihood: the language model's log-likelihoods of all items, ``float32[B, I]``.
            histories: of the same users, none empty.
        """
        return normalise(self.mix(likelihood.clone(), histories))

    def mix(self, scores: torch.Tensor, histories: Ragged) -> torch.Tensor:
        """Scores under the mixture, up to a constant of each row, ``float32[B, I]``.

        Args:
            scores: the language model's log-likelihoods of all items, likewise; contiguous,
                overwritten and returned.
            histories: of the same users, none empty.
        """
        own = self.user_weights(histories, scores).cpu()
        found = self._level(scores).cpu()
        places_new = self.new_items is not None and len(self.untaught) > 0
        spoken = found[:, self.untaught] * own[:, :1] if places_new else None
        self.sum_up(found, own, histories)
        if spoken is not None:
            place_new(self, found, own, spoken, histories)
        return scores if found is scores else scores.copy_(found)

    def sum_up(self, scores: torch.Tensor, weights: torch.Tensor, histories: Ragged) -> None:
        """Scores times their weight and all priors times theirs, in place.

        Args:
            scores: ``float32[B, I]``, contiguous, on the CPU.
            weights: of each user's score and priors, ``float32[B, 1 + P]``, likewise.
            histories: of the users.
        """
        if self._features is None or self._features.priors != self.priors:
            self._features = PriorFeatures(self.priors, self.sizes)
        self._features.mix(scores, weights, histories)

    def user_weights(
        self, histories: Ragged, likelihood: torch.Tensor, choices: np.ndarray | None = None
    ) -> torch.Tensor:
        """Each user's weights, ``float32[B, K]``; arguments as for :meth:`gate`."""
        assert self.mixture is not None, "the weights are not fitted yet"
        table = torch.from_numpy(self.mixture.weights).float().to(likelihood.device)
        return self.gate(histories, likelihood, choices) @ table.T

    def fit(
        self,
        split: Split,
        config: PriorsConfig,
        seed: int,
        likelihoods: Callable[[np.ndarray, Ragged], torch.Tensor],
    ) -> None:
        """Fit the weights on the validation rows of some users.

        Args:
            split: whose validation rows; train histories stand before them.
            config: how many users.
            seed: of their draw.
            likelihoods: the language model's log-likelihoods of all items for users after
                histories, ``float32[B, I]``.
        """
        rows = self.rows(split, config, seed)
        parts = [self.observed(*each, likelihoods, seed) for each in rows]
        self.solve(parts)
        if config.new_items:
            new = treated_as_new(split.dataset.items, self.item_counts, seed)
            drawn = self._drawn(seed)
            columns = [np.concatenate([target, drawn]) for _, target, _ in rows]
            new &= np.isin(np.arange(len(new)), drawn)
            self.new_items = fit_new_items(self.names, parts, columns, new, self.item_counts)

    def solve(self, parts: Iterable[Observations]) -> None:
        """Take the weights under which the targets are likeliest."""
        alone = np.zeros((len(self.names), self.gates))
        alone[0, 0] = 1.0
        self.mixture = fit_mixture(list(parts), alone, RIDGE, GATE_RIDGE)

    def rows(
        self, split: Split, config: PriorsConfig, seed: int
    ) -> list[tuple[np.ndarray, np.ndarray, Ragged]]:
        """What weights are fitted on, some at a time; arguments as for :meth:`fit`.

        Returns:
            Users ``int64[n]``, their validation items ``int64[n]`` and train histories.
        """
        known = split.known_before("valid")
        users = mixing_users(split, known, config.users, seed)
        rows = np.flatnonzero(np.isin(split.valid.user_index, users))
        numbers = (1 + len(self.priors)) * len(self.item_counts)
        most = max(_LEAST_USERS, _NUMBERS_AT_FIT // numbers)
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:most])
        self.users = np.unique(split.valid.user_index[rows]).astype(np.int64)
        size = max(1, _NUMBERS_AT_ONCE // numbers)
        user, target = (
            each[rows].astype(np.int64) for each in (split.valid.user_index, split.valid.item_index)
        )
        parts = [slice(start, start + size) for start in range(0, len(rows), size)]
        return [(user[part], target[part], known.take(user[part])) for part in parts]

    def observed(
        self,
        user: np.ndarray,
        target: np.ndarray,
        histories: Ragged,
        likelihoods: Callable[[np.ndarray, Ragged], torch.Tensor],
        seed: int,
    ) -> Observations:
        """Targets among all items, or among some drawn evenly where the catalogue is large."""
        likelihood = likelihoods(user, histories).float().cpu()
        num_items = likelihood.shape[1]
        columns = torch.from_numpy(self._drawn(seed))
        place = torch.from_numpy(target)[:, None]
        gate = self.gate(histories, likelihood)
        likelihood = self.neutral(likelihood)
        features = torch.stack(
            [
                torch.cat([each.gather(1, place), each[:, columns]], 1)
                for each in (likelihood, *self.features(histories))
            ],
            1,
        )
        hidden = torch.zeros(len(user), num_items, dtype=torch.bool)
        hidden[
            torch.from_numpy(histories.row_of_value), torch.from_numpy(histories.values).long()
        ] = True
        hidden[torch.arange(len(user)), place[:, 0]] = True
        first = torch.zeros(len(user), 1, dtype=torch.bool)
        return Observations(features, torch.cat([first, hidden[:, columns]], 1), gate)

    def _drawn(self, seed: int) -> np.ndarray:
        """Rivals of targets while weights are fitted, rising, ``int64``."""
        num_items = len(self.item_counts)
        most = _NUMBERS_AT_FIT // (_LEAST_USERS * len(self.names))
        if num_items <= most:
            return np.arange(num_items)
        return np.sort(np.random.default_rng(seed).permutation(num_items)[:most])

    # Telling

    def learned_rows(self) -> tuple[tuple[str, str], ...]:
        """The fitted weights in words: each part's at the gates' middle, then what changes it.

        Gates change little by little, so that their weights are told in steps that people know.
        """
        assert self.mixture is not None, "the weights are not fitted yet"
        about = f"± standard error{_MIDDLE if self.gates > 1 else ''}"
        rows = [("weight", about)]
        for name, weights, errors in zip(
            self.names, self.mixture.weights, self.mixture.errors, strict=True
        ):
            told = [f"{weights[0]:.2f} ± {errors[0]:.2f}"]
            for gate, value in zip(GATES[1 : self.gates], weights[1:], strict=True):
                step, words = _STEPS[gate]
                told.append(f"{words} {round(step * value, 2) + 0.0:+.2f}")  # never -0.00
            rows.append((name, ", ".join(told)))
        if self.new_items is not None:
            rows.append(("new items", self.new_items.told()))
        return tuple(rows)

    def why(
        self, history: np.ndarray, items: np.ndarray, likelihood: torch.Tensor
    ) -> list[tuple[ScoreShare, ...]]:
        """Which parts of the mixture lift each item, strongest first.

        Args:
            history: of one user, oldest first, not empty.
            items: by index, ``int64[n]``.
            likelihood: the language model's log-likelihoods after it, ``float32[1, I]``.
        """
        one = Ragged.of_rows([history])
        weights = self.user_weights(one, likelihood)[0].tolist()
        likelihood = self.neutral(likelihood.cpu())
        place = torch.from_numpy(np.asarray(items, dtype=np.int64))
        each = [likelihood, *self.features(one)]
        above = np.array([(part[0, place] - part[0].double().mean()).numpy() for part in each])
        return [
            self._shares(history, int(item), self._weights_of(int(item), weights), column)
            for item, column in zip(items, above.T, strict=True)
        ]

    def _weights_of(self, item: int, weights: list[float]) -> list[float]:
        """A user's weights, where the item is new those of new items."""
        if self.new_items is None or item not in self.untaught:
            return weights
        own = zip(self.names, weights, strict=True)
        return [
            self.new_items.weight(name) if name in (LANGUAGE_MODEL, *self.new_items.names) else each
            for name, each in own
        ]

    def _shares(
        self, history: np.ndarray, item: int, weights: list[float], above: np.ndarray
    ) -> tuple[ScoreShare, ...]:
        """Of one item, from how far each part's number lies above its mean, ``float64[K]``."""
        lifts = np.array(weights) * above
        total = np.abs(lifts).sum() or 1.0
        reasons = (_MODEL_REASONS, *(REASONS[prior.name] for prior in self.priors))
        found = []
        for n, (name, (high, low)) in enumerate(zip(self.names, reasons, strict=True)):
            items = _strongest(self.priors[n - 1], history, item) if n and above[n] > 0 else ()
            words = high if above[n] > 0 else low
            found.append(ScoreShare(name, float(lifts[n]), float(lifts[n] / total), words, items))
        return tuple(sorted(found, key=lambda part: -abs(part.share)))

    # Keeping

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the priors beside a model; returns what :meth:`load` is to be told."""
        assert self.mixture is not None
        arrays: dict[str, np.ndarray] = {
            "sizes": self.sizes,
            "item_counts": self.item_counts.astype(np.int64),
            "users": np.asarray(self.users, dtype=np.int64),
            "weights": self.mixture.weights,
            "errors": self.mixture.errors,
        }
        told = []
        for prior in self.priors:
            shapes = {}
            for side in ("left", "right"):
                value = getattr(prior, side)
                if value is None:
                    continue
                if sp.issparse(value):
                    value = sp.csr_array(value)
                    shapes[side] = [int(size) for size in value.shape]  # type: ignore[union-attr]
                    for part in ("data", "indices", "indptr"):
                        arrays[f"{prior.name}/{side}/{part}"] = getattr(value, part)
                else:
                    arrays[f"{prior.name}/{side}"] = np.asarray(value)
            told.append(
                {
                    "name": prior.name,
                    "recency": prior.recency,
                    "newest": prior.newest,
                    "averaged": prior.averaged,
                    "sparse": shapes,
                }
            )
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(whole, folder / _FILE)
        fitted = {"loss": self.mixture.loss, "observations": self.mixture.num_observations}
        new = None if self.new_items is None else self.new_items.to_dict()
        return {"priors": told, "gates": self.gates, "new_items": new, **fitted}

    @classmethod
    def load(cls, folder: Path, told: Mapping[str, Any], histories: Ragged) -> PriorMixture:
        """Read what :meth:`save` wrote, of the histories that stand beside it."""
        arrays = load_file(folder / _FILE)
        priors = []
        for each in told["priors"]:
            name, sides = each["name"], {}
            for side in ("left", "right"):
                if side in each["sparse"]:
                    keys = [f"{name}/{side}/{part}" for part in ("data", "indices", "indptr")]
                    parts = tuple(arrays[key] for key in keys)
                    sides[side] = sp.csr_array(parts, shape=tuple(each["sparse"][side]))
                else:
                    sides[side] = arrays.get(f"{name}/{side}")
            read = (float(each["recency"]), int(each["newest"]), bool(each["averaged"]))
            priors.append(ItemPrior(name, sides["left"], sides["right"], *read))
        fitted = float(told["loss"]), int(told["observations"])
        mixture = Mixture(arrays["weights"], arrays["errors"], *fitted)
        sizes, counts, users = arrays["sizes"], arrays["item_counts"], arrays["users"]
        gates = int(told["gates"])
        new = NewItemWeights.from_dict(told.get("new_items"))
        more = {"new_items": new, "_told": histories}
        return cls(tuple(priors), sizes, counts, gates, mixture, users, **more)


def mixing_users(split: Split, known: Ragged, most: int, seed: int) -> np.ndarray:
    """Half of the users who have validation rows and a history, ``most`` at most, rising.

    Who is drawn depends on the seed and the spelling of the user's id alone.
    """
    users = np.unique(split.valid.user_index).astype(np.int64)
    users = users[known.lengths[users] > 0]
    draw = keyed_uniform(seed, id_keys(split.dataset.users)[users])
    chosen = users[np.argsort(draw, kind="stable")[: min(most, (len(users) + 1) // 2)]]
    return np.sort(chosen)


def _strongest(prior: ItemPrior, history: np.ndarray, item: int) -> tuple[tuple[int, float], ...]:
    """The items of a history that say most in a prior's score, each once, with their shares."""
    own, place = np.unique(history, return_inverse=True)
    said = np.bincount(place, prior.speaking(history, item), len(own))
    order = np.argsort(-said, kind="stable")[:_NAMED_ITEMS]
    return tuple((int(own[n]), float(said[n] / said.sum())) for n in order if said[n] > 0)


def _usual_size(scores: Any) -> float:
    """The geometric mean of scores above 0; 1 where there is none."""
    values = scores.data if sp.issparse(scores) else scores
    above = values[values > 0]
    return float(np.exp(np.log(above).mean())) if len(above) else 1.0


def told_before(
    mixture: PriorMixture | None, lacking: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Rows of a plan: the priors, and those that the data set does not tell."""
    if mixture is None and not lacking:
        return ()
    found = ", ".join(mixture.names[1:]) if mixture is not None else "none"
    without = f"; not told by the data: {', '.join(lacking)}" if lacking else ""
    return (("priors", found + without),)
