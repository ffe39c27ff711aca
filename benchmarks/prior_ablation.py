"""What each item prior is worth, alone and removed, without training a language model again.

Run ``python benchmarks/prior_ablation.py RUN... [--users N] [--fitted-on N] [--json FILE]`` on runs
of the graph-attentive GPT-2 with priors, such as those that ``edgewise reproduce priors`` leaves.
Of each, the weights are fitted anew on the same validation rows for every variant, which is then
measured on test rows of a sample of users, by full ranking and among 99 negatives. Runs of one data
set are its seeds. ``two models`` is the likelihood of a run and of the next seed's, averaged: an
upper bound of what another training adds. ``weights`` are those that the runs themselves carry.

All variants are sums of the same features, which are worked out once for some users at a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import keep

from edgewise.config import updated
from edgewise.data.negatives import uniform_candidates
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.evaluation.evaluate import choose_users
from edgewise.models.conditional_logit import Mixture, Observations, fit_mixture
from edgewise.models.graph_gpt.recommender import GraphGPT
from edgewise.models.item_priors import USUAL, PriorsConfig
from edgewise.models.mixing import GATE_RIDGE, LANGUAGE_MODEL, RIDGE, PriorMixture
from edgewise.runs.run import Run, open_run
from edgewise.runs.train import handed_over

EXTRA = ("two_hops", "attributes")
_AT_ONCE = 200


class Remembered:
    """The language model's likelihoods, each worked out once.

    Args:
        models: whose likelihoods are averaged.
        num_items: of the catalogue.
    """

    def __init__(self, models: Sequence[GraphGPT], num_items: int) -> None:
        # Bound now: one of the models may be given this in place of its own.
        self.ask = [model.language_scores for model in models]
        self.num_items, self.rows = num_items, dict[tuple[int, int], torch.Tensor]()

    def __call__(
        self, users: np.ndarray, histories: Ragged
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        keys = [*zip(users.tolist(), histories.lengths.tolist(), strict=True)]
        new = np.array([n for n, key in enumerate(keys) if key not in self.rows], dtype=np.int64)
        if len(new):
            total = torch.zeros(len(new), self.num_items)
            for ask in self.ask:
                for rows, likelihood in ask(users[new], histories.take(new)):
                    total[torch.from_numpy(rows)] += likelihood.log_softmax(1).cpu() / len(self.ask)
            self.rows |= {keys[n]: row for n, row in zip(new, total, strict=True)}
        for start in range(0, len(keys), 400):
            part = np.arange(start, min(start + 400, len(keys)))
            yield part, torch.stack([self.rows[keys[n]] for n in part])

    def all_at_once(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """``float32[B, I]``."""
        return torch.cat([rows for _, rows in self(users, histories)])


@dataclass(frozen=True)
class Variant:
    """Some parts of a score.

    Attributes:
        parts: their names.
        gate: whether weights depend on the history.
        mixture: which priors are read: those of the setting, or others.
        speaks: which language model.
        like: whose weights are taken; its own are fitted where it is empty.
    """

    parts: tuple[str, ...]
    gate: bool = True
    mixture: str = "usual"
    speaks: str = "own"
    like: str = ""


def variants(known: Sequence[str], several: bool) -> dict[str, Variant]:
    """All of them by name.

    Args:
        known: priors of the run.
        several: whether there is another run of the same data.
    """
    names = tuple(name for name in USUAL if name in known)
    every = (LANGUAGE_MODEL, *names)
    found = {LANGUAGE_MODEL: Variant((LANGUAGE_MODEL,)), "all": Variant(every)}
    for name in names:
        found[f"without {name}"] = Variant(tuple(part for part in every if part != name))
    found[f"without {LANGUAGE_MODEL}"] = Variant(names)
    for name in names:
        found[f"{name} alone"] = Variant((LANGUAGE_MODEL, name))
    found |= {f"and {name}": Variant((*every, name)) for name in EXTRA if name in known}
    found["without gate"] = Variant(every, gate=False)
    found["300 neighbours"] = Variant(every, mixture="wide")
    found["relearned"] = Variant(every, mixture="relearned", like="all")
    if several:
        found["two models"] = Variant(every, speaks="both")
    return found


def fitted(
    variant: Variant, names: Sequence[str], parts: Sequence[Observations]
) -> tuple[Mixture, list[int]]:
    """The weights of a variant, and the places of its parts among the names."""
    places = [names.index(part) for part in variant.parts]
    gates = parts[0].gate.shape[1] if variant.gate else 1
    start = np.zeros((len(places), gates))
    if variant.parts[0] == LANGUAGE_MODEL:
        start[0, 0] = 1
    if variant.parts == (LANGUAGE_MODEL,):
        return Mixture(start, start, 0.0, 0), places
    some = Some(parts, places, gates)
    return fit_mixture(some, start, RIDGE, GATE_RIDGE), places


class Some(Sequence[Observations]):
    """Observations of some features and gates, which are copied a part at a time."""

    def __init__(self, parts: Sequence[Observations], places: list[int], gates: int) -> None:
        self.parts, self.places, self.gates = parts, places, gates

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: Any) -> Any:
        one = self.parts[number]
        return Observations(one.features[:, self.places], one.hidden, one.gate[:, : self.gates])


def observed(
    mixture: PriorMixture, split: Split, config: PriorsConfig, seed: int, ask: Remembered
) -> list[Observations]:
    """What weights are fitted on, with all features."""
    rows = mixture.rows(split, config, seed)
    return [mixture.observed(*part, ask.all_at_once, seed) for part in rows]


def measured(
    split: Split,
    users: int,
    mixtures: dict[str, PriorMixture],
    asks: dict[str, Remembered],
    found: dict[str, tuple[Variant, Mixture, list[int]]],
) -> dict[str, dict[str, float]]:
    """Figures of all variants on test rows."""
    who = choose_users(split.test, None, users, 0, np.empty(0, np.int64))
    rows = np.flatnonzero(np.isin(split.test.user_index, who))
    asked, target = (
        each[rows].astype(np.int64) for each in (split.test.user_index, split.test.item_index)
    )
    known = split.known_before("test").take(asked)
    lists = uniform_candidates(split, "test", 99, 0).take(rows).lists
    total: dict[str, list[np.ndarray]] = {name: [] for name in found}
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        place = np.arange(start, min(start + _AT_ONCE, len(rows)))
        histories = known.take(place)
        spoken = {name: ask.all_at_once(asked[part], histories) for name, ask in asks.items()}
        features = {name: [*mixture.features(histories)] for name, mixture in mixtures.items()}
        for name, (variant, fit, places) in found.items():
            mixture, likelihood = mixtures[variant.mixture], spoken[variant.speaks]
            each = [mixture.neutral(likelihood), *features[variant.mixture]]
            table = torch.from_numpy(fit.weights).float()
            own = mixture.gate(histories, likelihood)[:, : table.shape[1]] @ table.T
            scores = torch.zeros_like(likelihood)
            for column, at in enumerate(places):
                scores.addcmul_(each[at], own[:, column, None])
            total[name].append(_gains(scores, target[part], histories, lists.take(place)))
    names = ("full_HitRate@10", "full_NDCG@10", "among_99_HitRate@10", "among_99_NDCG@10")
    return {
        name: dict(zip(names, np.concatenate(gains, 1).mean(1).tolist(), strict=True))
        for name, gains in total.items()
    }


def _gains(
    scores: torch.Tensor, target: np.ndarray, histories: Ragged, lists: Ragged
) -> np.ndarray:
    """Hit and gain of each user in both tasks, ``float64[4, B]``; ties count against the target."""
    own = scores[torch.arange(len(target)), torch.from_numpy(target)][:, None]
    above = scores >= own
    among = torch.zeros_like(above)
    among[torch.from_numpy(lists.row_of_value), torch.from_numpy(lists.values).long()] = True
    hidden = torch.zeros_like(above)
    hidden[torch.from_numpy(histories.row_of_value), torch.from_numpy(histories.values).long()] = (
        True
    )
    seen = hidden[torch.arange(len(target)), torch.from_numpy(target)].numpy()
    found = []
    for rank, lost in (((above & ~hidden).sum(1), seen), ((above & among).sum(1), False)):
        place = rank.numpy()
        hit = (place <= 10) & ~np.asarray(lost)
        found += [hit.astype(float), np.where(hit, 1 / np.log2(1 + np.maximum(place, 1)), 0.0)]
    return np.stack(found)


def of_run(run: Run, others: Sequence[Run], users: int, fitted_on: int) -> dict[str, Any]:
    """The figures of every variant of one run by their names."""
    model = _model(run)
    seed, num_items, split = model.config.seed, run.dataset.num_items, handed_over(run.split)
    histories = model.data.histories
    config = updated(model.config.priors, {"names": [*USUAL, *EXTRA], "users": fitted_on})
    usual = PriorMixture.of(split, histories, config, seed)
    assert usual is not None
    wide = updated(config, {"names": USUAL, "neighbours": 300})
    anew = updated(config, {"relearn": True})
    mixtures = {"usual": usual, "relearned": replace(usual)}
    mixtures["wide"] = _built(split, histories, wide, seed)
    mixtures["relearned"].prepare(run.split.known_before("test"), anew, seed)
    asks = {"own": Remembered([model], num_items)}
    if others:
        asks["both"] = Remembered([model, _model(others[0])], num_items)
    made: tuple[tuple[str, str] | None, list[Observations]] = None, []
    found: dict[str, tuple[Variant, Mixture, list[int]]] = {}
    for name, variant in variants(usual.names[1:], bool(others)).items():
        key = variant.mixture, variant.speaks
        names = mixtures[variant.mixture].names
        if variant.like:
            found[name] = (variant, *found[variant.like][1:])
            continue
        if made[0] != key:  # those of one mixture follow each other
            made = None, []
            rest = split, config, seed, asks[variant.speaks]
            made = key, observed(mixtures[variant.mixture], *rest)
        found[name] = (variant, *fitted(variant, names, made[1]))
    return measured(run.split, users, mixtures, asks, found)


def _built(split: Split, histories: Ragged, config: PriorsConfig, seed: int) -> PriorMixture:
    mixture = PriorMixture.of(split, histories, config, seed)
    assert mixture is not None
    return mixture


def _model(run: Run) -> GraphGPT:
    assert isinstance(run.model, GraphGPT)
    return run.model


def _mixture(run: Run) -> tuple[tuple[str, ...], Mixture]:
    """Names of parts, and their weights."""
    mixture = _model(run).mixture
    assert mixture is not None and mixture.mixture is not None
    return mixture.names, mixture.mixture


def spread(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over seeds, and standard deviations of NDCG@10."""
    told: dict[str, float] = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    for task in ("full", "among_99"):
        each = [row[f"{task}_NDCG@10"] for row in rows]
        told[f"{task}_NDCG@10_deviation"] = float(np.std(each, ddof=1)) if len(each) > 1 else 0.0
    return {**told, "seeds": len(rows)}


def carried_weights(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Of each part in the middle of all gates: mean and deviation over seeds, standard error."""
    mixtures = [_mixture(run) for run in runs]
    told = {}
    for place, name in enumerate(mixtures[0][0]):
        each = np.array([found.weights[place, 0] for _, found in mixtures])
        errors = np.array([found.errors[place, 0] for _, found in mixtures])
        told[name] = {
            "mean": float(each.mean()),
            "deviation": float(each.std(ddof=1)) if len(each) > 1 else 0.0,
            "standard_error": float(errors.mean()),
            "lowest": float(each.min()),
            "highest": float(each.max()),
        }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--users", type=int, default=3000, help="measured of each run; 3000")
    parser.add_argument("--fitted-on", type=int, default=1500, help="users; 1500")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    by_data: dict[str, list[Run]] = {}
    for folder in given.runs:
        run = open_run(folder)
        by_data.setdefault(run.dataset.name, []).append(run)
    figures: dict[str, Any] = {"users": given.users, "fitted_on": given.fitted_on}
    for data, runs in by_data.items():
        found: dict[str, list[dict[str, float]]] = {}
        for number, run in enumerate(runs):
            others = [*runs[number + 1 :], *runs[:number]]
            for name, told in of_run(run, others, given.users, given.fitted_on).items():
                found.setdefault(name, []).append(told)
                words = " ".join(f"{each} {value:.4f}" for each, value in told.items())
                print(f"{data}, seed {run.model.config.seed}, {name}: {words}", flush=True)
            figures[data] = {
                "variants": {name: spread(rows) for name, rows in found.items()},
                "weights": carried_weights(runs),
            }
            if given.json:
                keep(given.json, figures)


if __name__ == "__main__":
    main()
