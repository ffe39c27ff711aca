"""What it costs and gains to let whole lists hold items that nobody has taken.

Run ``python benchmarks/new_items.py RUN... [--users N] [--json FILE]`` on runs of the
graph-attentive GPT-2 with priors. A tenth of the items is made cold: their rows are taken out of
histories, of what priors count and of the rows that fit weights, and the language model's word on
them is put out. Then validation rows of other users are measured, whose targets are warm or cold.
No language model is trained anew, so that it may have learned from cold rows what it says of warm
items.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import keep
from prior_ablation import Remembered

from edgewise.config import updated
from edgewise.data.splits import with_cold_items
from edgewise.models.graph_gpt.recommender import GraphGPT
from edgewise.models.item_priors import USUAL
from edgewise.models.mixing import PriorMixture
from edgewise.runs.run import Run, open_run
from edgewise.runs.train import handed_over

_SHARE, _AT_ONCE = 0.1, 200


def measured(run: Run, users: int, fitted_on: int) -> dict[str, Any]:
    """Figures of one run by where new items stand."""
    model, whole = run.model, handed_over(run.split)
    assert isinstance(model, GraphGPT)
    seed, num_items = model.config.seed, run.dataset.num_items
    split = with_cold_items(whole, _SHARE, seed)
    cold = split.cold_items()
    names = [*USUAL, "attributes"]
    config = updated(model.config.priors, {"names": names, "users": fitted_on, "new_items": True})
    known = split.known_before("valid")
    mixture = PriorMixture.of(split, known, config, seed)
    assert mixture is not None
    mixture.untaught = np.flatnonzero(cold | (mixture.item_counts == 0))
    ask = Remembered([model], num_items)
    mixture.fit(split, config, seed, ask.all_at_once)
    new = mixture.new_items
    assert new is not None
    user, target = (
        each.astype(np.int64) for each in (whole.valid.user_index, whole.valid.item_index)
    )
    free = np.flatnonzero(~np.isin(user, mixture.users) & (known.lengths[user] > 0))
    rows = np.sort(np.random.default_rng(seed).permutation(free)[:users])
    ways = {"at_the_end": replace(new, mixture=_far(new.mixture)), "placed": new}
    gains: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        histories = known.take(user[part])
        likelihood = ask.all_at_once(user[part], histories)
        seen = torch.zeros(len(part), num_items, dtype=torch.bool)
        row, item = (torch.from_numpy(x) for x in (histories.row_of_value, histories.values))
        seen[row, item.long()] = True
        for name, weights in ways.items():
            mixture.new_items = weights
            scores = mixture.mixed(likelihood, histories).masked_fill(seen, -torch.inf)
            own = scores.gather(1, torch.from_numpy(target[part])[:, None])
            rank = (scores >= own).sum(1).numpy()
            found = (rank <= 10) & np.isfinite(own[:, 0].numpy())
            gains[name].append(np.where(found, 1 / np.log2(1 + rank), 0.0))
    is_cold = cold[target[rows]]
    told: dict[str, Any] = {"weights": new.to_dict()}
    for name, parts in gains.items():
        each = np.concatenate(parts)
        told[name] = {"rows": len(each), "cold_rows": int(is_cold.sum())}
        for group, chosen in (("all", is_cold | True), ("warm", ~is_cold), ("cold", is_cold)):
            told[name][f"{group}_HitRate@10"] = float((each[chosen] > 0).mean())
            told[name][f"{group}_NDCG@10"] = float(each[chosen].mean())
    return told


def _far(mixture: Any) -> Any:
    """Weights by which no new item is ever listed."""
    return replace(
        mixture, weights=mixture.weights - [[1e3], *[[0.0]] * (len(mixture.weights) - 1)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--users", type=int, default=5000, help="validation rows; 5000")
    parser.add_argument("--fitted-on", type=int, default=2500, help="users; 2500")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    for folder in given.runs:
        run = open_run(folder)
        told = measured(run, given.users, given.fitted_on)
        figures[run.dataset.name] = told
        print(run.dataset.name, told, flush=True)
        if given.json:
            keep(given.json, figures)


if __name__ == "__main__":
    main()
