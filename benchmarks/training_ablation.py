"""What settings of training are worth, beside mixing priors in afterwards.

Run ``python benchmarks/training_ablation.py DATA [--epochs 3] [--users N] [--json FILE]`` on an
imported data set. The graph-attentive GPT-2 (preset cpu) is trained anew with each of
:data:`VARIANTS`; all figures are of the same validation users, none of whom fitted a weight:

* ``alone``: the language model, or with ``residual`` the sum that was trained, without new weights;
* ``mixed``: with priors, by weights fitted afterwards, as ``edgewise fit`` leaves it;
* ``gain``: of NDCG@10 over ``base``, user by user, with its standard error.

``two_models`` is the likelihood of ``base`` and of the same with another seed, averaged: an upper
bound of what one more training adds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import keep
from prior_ablation import Remembered

from edgewise.data.dataset import Dataset
from edgewise.data.splits import Split, leave_one_out
from edgewise.evaluation.evaluate import evaluate_sequential
from edgewise.models.conditional_logit import Mixture
from edgewise.models.graph_gpt.recommender import GraphGPT
from edgewise.models.mixing import PriorMixture
from edgewise.models.training_priors import TrainingPriors
from edgewise.runs.train import handed_over

VARIANTS: dict[str, tuple[str, ...]] = {
    "base": (),
    "residual": ("sequence.residual=true",),
    "texts_start": ("backbone.item_init=texts",),
    "ema": ("training.sequence.ema_decay=0.99",),
    "label_smoothing": ("sequence.label_smoothing=0.1",),
    "another_seed": ("seed=1",),
}
_METRIC = "NDCG@10"


def trained(split: Split, settings: tuple[str, ...], epochs: int) -> tuple[GraphGPT, float]:
    """The model and the processor's seconds."""
    every = [*settings, f"training.sequence.epochs={epochs}"]
    model, start = GraphGPT.from_preset("cpu", every), time.process_time()
    model.fit(handed_over(split))
    return model, time.process_time() - start


def weights_alone(model: GraphGPT, split: Split) -> Mixture:
    """Those of the sum that was trained: the language model's is 1, and there are no gates."""
    assert isinstance(model.mixture, PriorMixture) and model.mixture.mixture is not None
    weights = np.zeros_like(model.mixture.mixture.weights)
    weights[0, 0] = 1
    if model.config.sequence.residual:
        rest = model.mixture, model.config.priors, model.config.seed
        told = TrainingPriors.of(handed_over(split), model.data.histories, *rest)
        weights[1:, 0] = told.weights
    return Mixture(weights, weights, 0.0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--users", type=int, default=8000, help="measured at most; 8000")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    split = leave_one_out(Dataset.load(given.data))
    figures: dict[str, Any] = {"epochs": given.epochs}
    models: dict[str, GraphGPT] = {}
    base: np.ndarray | None = None
    users: np.ndarray | None = None

    def measured(model: GraphGPT) -> tuple[dict[str, float], np.ndarray]:
        found = evaluate_sequential(
            model, split, "valid", ks=(10,), metrics=("HitRate", "NDCG"), users=users
        )
        each = found.per_user[_METRIC].to_numpy()
        names = ("HitRate@10", _METRIC)
        return {name: found.metrics[name].mean for name in names}, each

    def tell(name: str, told: dict[str, float], each: np.ndarray) -> None:
        nonlocal base
        base = each if base is None else base
        gain = each - base
        told |= {"gain": float(gain.mean()), "gain_error": float(gain.std() / len(gain) ** 0.5)}
        figures[name] = told
        words = " ".join(f"{key} {value:.4f}" for key, value in told.items())
        print(f"{name}: {words}", flush=True)
        if given.json:
            keep(given.json, figures)

    for name, settings in VARIANTS.items():
        model, seconds = trained(split, settings, given.epochs)
        models[name] = model
        if users is None:
            users = _measured_users(split, models["base"], given.users)
            figures["users"] = len(users)
        told = {"training_cpu_seconds": seconds, **_alone(model, split, measured)}
        mixed, each = measured(model)
        tell(name, told | {f"mixed_{key}": value for key, value in mixed.items()}, each)
    pair = [models[name] for name in ("base", "another_seed")]
    both = models["base"]
    both.language_scores = Remembered(pair, split.dataset.num_items)  # type: ignore[method-assign]
    both.trained(handed_over(split))
    mixed, each = measured(both)
    tell("two_models", {f"mixed_{key}": value for key, value in mixed.items()}, each)


def _alone(
    model: GraphGPT, split: Split, measured: Callable[[GraphGPT], tuple[dict[str, float], Any]]
) -> dict[str, float]:
    """Figures of the model without new weights."""
    assert model.mixture is not None
    fitted, model.mixture.mixture = model.mixture.mixture, weights_alone(model, split)
    alone, _ = measured(model)
    model.mixture.mixture = fitted
    return {f"alone_{key}": value for key, value in alone.items()}


def _measured_users(split: Split, model: GraphGPT, most: int) -> np.ndarray:
    """Some of those with validation rows of whom no seed's weights know."""
    assert model.mixture is not None
    users = np.unique(split.valid.user_index)
    for seed in (0, 1):
        rows = model.mixture.twin(model.mixture.spoken)
        rows.rows(split, model.config.priors, seed)
        users = np.setdiff1d(users, rows.users)
    return np.sort(np.random.default_rng(0).permutation(users)[:most]).astype(np.int64)


if __name__ == "__main__":
    main()
