"""What 8-bit matrices change in the metrics of a run: ``rounding.py RUN [--json FILE]``.

Test rows, both ranking tasks, users as many as the run has. ``equal_places`` is the share of places
of the sequential lists of ten that hold the same item. The figures in ``results/bench`` are of the
built-in shop, ELMRec with spelled ids:

    edgewise data demo --out shop
    edgewise fit elmrec --preset cpu-spelled --data shop --out RUN --set priors.names= \\
        --set training.epochs=6 --set prompts.tasks=direct,sequential
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from measuring import Figures, keep

from edgewise.evaluation.evaluate import evaluate_direct, evaluate_sequential
from edgewise.runs.run import Run, open_run

_TASKS = {"direct": evaluate_direct, "sequential": evaluate_sequential}


def metrics(run: Run) -> dict[str, dict[str, float]]:
    """NDCG@10 and HitRate@10 of each task."""
    found: dict[str, dict[str, float]] = {}
    for task, evaluate in _TASKS.items():
        told = evaluate(run.model, run.split, "test", ks=(10,), metrics=("NDCG", "HitRate"))
        found[task] = {name: each.mean for name, each in told.metrics.items()}
    return found


def compare(folder: Path, data: Path | None) -> Figures:
    """Both kinds of matrices, and how alike lists are."""
    figures: Figures = {"direct": {}, "sequential": {}}
    lists = {}
    for weights in ("fp32", "int8"):
        run = open_run(folder, data, weights)
        users = np.arange(run.dataset.num_users)
        lists[weights] = run.model.recommend(users, 10).item_index
        for task, values in metrics(run).items():
            figures[task] |= {f"{name}_{weights}": value for name, value in values.items()}
    figures["sequential"]["equal_places"] = float((lists["fp32"] == lists["int8"]).mean())
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, help="where the run's data set stands now")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    figures = compare(asked.run, asked.data)
    for task, values in figures.items():
        print(task, *(f"{name} {value:.4f}" for name, value in values.items()))
    if asked.json:
        keep(asked.json, figures)


if __name__ == "__main__":
    main()
