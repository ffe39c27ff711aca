"""What keeping a few neighbours of each item costs in accuracy.

Run ``python benchmarks/graph_pruning.py DATA [--json FILE]`` on a data set that ``edgewise data
import`` made. Graph filters and item transitions are fitted on train rows with all that they count,
and with the largest values of each item alone, and rank the whole catalogue for validation rows.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from measuring import Figures, keep

from edgewise.data.dataset import Dataset
from edgewise.data.splits import leave_one_out
from edgewise.evaluation.evaluate import evaluate_sequential
from edgewise.models.graph_filter import GraphFilter
from edgewise.models.transitions import Transitions

NEIGHBORS = (0, 20, 50, 100, 200, 500)
_METRICS = ("HitRate", "NDCG")


def measure(folder: Path) -> Figures:
    split = leave_one_out(Dataset.load(folder))
    figures: Figures = {}
    for method in (GraphFilter, Transitions):
        variants = [{"neighbors": number} for number in NEIGHBORS]
        if method is GraphFilter:
            variants.append({"neighbors": 200, "longest": 50})
        for settings in variants:
            model = method(**settings).fit(split)
            start = time.process_time()
            found = evaluate_sequential(model, split, "valid", ks=(10,), metrics=_METRICS)
            name = "_".join([model.name, *(f"{key}_{value}" for key, value in settings.items())])
            figures[name] = {
                **settings,
                "users": len(split.valid),
                "processor_seconds": time.process_time() - start,
                **{each: found.metrics[f"{each}@10"].mean for each in _METRICS},
            }
            print(name, figures[name], flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures = measure(given.data)
    if given.json:
        keep(given.json, figures)


if __name__ == "__main__":
    main()
