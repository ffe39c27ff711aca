"""What each item prior is worth, alone and removed, without training a language model again.

Run ``python benchmarks/prior_ablation.py RUN... [--users N] [--json FILE]`` on runs of the
graph-attentive GPT-2 with priors, such as those that ``edgewise reproduce priors`` leaves. Of each,
the weights are fitted anew on the same validation rows for every variant, which is then measured
on test rows of a sample of users, by full ranking and among 99 negatives. Runs of one data set are
its seeds. ``two models`` is the likelihood of the first two of them, averaged: an upper bound of
what another training adds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import keep

from edgewise.config import updated
from edgewise.data.ragged import Ragged
from edgewise.evaluation.evaluate import evaluate_direct, evaluate_sequential
from edgewise.models.graph_gpt.recommender import GraphGPT
from edgewise.models.item_priors import USUAL, PriorsConfig
from edgewise.models.mixing import LANGUAGE_MODEL, PriorMixture
from edgewise.runs.run import Run, open_run
from edgewise.runs.train import handed_over

_METRICS = ("HitRate", "NDCG")


class Remembered:
    """The language model's likelihoods, each worked out once.

    Args:
        models: whose likelihoods are averaged; none for a likelihood that knows nothing.
    """

    def __init__(self, models: Sequence[GraphGPT], num_items: int) -> None:
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


def variants(config: PriorsConfig, known: Sequence[str]) -> dict[str, PriorsConfig | None]:
    """The settings of every variant by name; None is the language model alone."""
    names = [name for name in USUAL if name in known]

    def of(**changes: Any) -> PriorsConfig:
        return updated(config, {"names": names, **changes})

    found: dict[str, PriorsConfig | None] = {LANGUAGE_MODEL: None, "all": of()}
    found |= {f"without {name}": of(names=[n for n in names if n != name]) for name in names}
    found |= {f"{name} alone": of(names=[name]) for name in names}
    found |= {f"and {more}": of(names=[*names, more]) for more in ("two_hops", "attributes")}
    return found | {
        "without gate": of(gate=False),
        "300 neighbours": of(neighbours=300),
        "relearned": of(relearn=True),
    }


def measured(run: Run, config: PriorsConfig | None, ask: Remembered, users: int) -> dict[str, Any]:
    """Figures of a run whose priors are replaced."""
    model: GraphGPT = run.model
    model.language_scores = ask  # type: ignore[method-assign]
    start, seed = time.process_time(), model.config.seed
    told: dict[str, Any] = {}
    if config is None:
        model.mixture = None
    else:
        split, histories = handed_over(run.split), model.data.histories
        model.config = updated(model.config, {"priors": config.model_dump(mode="json")})
        model.mixture = PriorMixture.of(split, histories, config, seed)
        assert model.mixture is not None
        model.trained(split)
        told["fit_seconds"] = time.process_time() - start
    for name, task in (("full", evaluate_sequential), ("among_99", evaluate_direct)):
        found = task(model, run.split, "test", ks=(10,), metrics=_METRICS, max_users=users)
        told |= {f"{name}_{each}@10": found.metrics[f"{each}@10"].mean for each in _METRICS}
    return told


def averaged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and the standard deviations of full ranking."""
    means: dict[str, Any] = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    spread = np.std([row["full_NDCG@10"] for row in rows], ddof=1) if len(rows) > 1 else 0.0
    return {**means, "full_NDCG@10_deviation": float(spread), "seeds": len(rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--users", type=int, default=5000, help="measured of each run; 5000")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    by_data: dict[str, list[Run]] = {}
    for folder in given.runs:
        run = open_run(folder)
        by_data.setdefault(run.dataset.name, []).append(run)
    figures: dict[str, Any] = {"users": given.users}
    for data, runs in by_data.items():
        found: dict[str, list[dict[str, Any]]] = {}
        for run in runs:
            for name, told in _of_run(run, runs, given.users):
                found.setdefault(name, []).append(told)
                words = " ".join(f"{each} {value:.4f}" for each, value in told.items())
                print(f"{data}, seed {run.model.config.seed}, {name}: {words}", flush=True)
        named = {f"{data} {name}".replace(" ", "_"): rows for name, rows in found.items()}
        figures |= {name: averaged(rows) for name, rows in named.items()}
    if given.json:
        keep(given.json, figures)


def _of_run(run: Run, runs: Sequence[Run], users: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The figures of every variant of one run by their names."""
    model, num_items = run.model, run.dataset.num_items
    known = () if model.mixture is None else model.mixture.names[1:]
    every, own = variants(model.config.priors, known), Remembered([model], num_items)
    rows = [(name, config, own) for name, config in every.items()]
    rows.append((f"without {LANGUAGE_MODEL}", every["all"], Remembered([], num_items)))
    if run is runs[0] and len(runs) > 1:
        both = Remembered([runs[0].model, runs[1].model], num_items)
        rows.append(("two models", every["all"], both))
    for name, config, ask in rows:
        yield name, measured(run, config, ask, users)


if __name__ == "__main__":
    main()
