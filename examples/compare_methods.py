"""Five methods on one data set, measured alike: the next item out of the whole catalogue.

    python examples/compare_methods.py

The data set is the demo shop, the presets are the smallest: under a minute on one core. What comes
out says that the code works; which method is best on your data, only your data say.
"""

from __future__ import annotations

import time

from edgewise import evaluate, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.registry import find_method

METHODS = {
    "popularity": [],
    "ease": [],
    "lightgcn": ["training.epochs=10"],
    "sasrec": ["training.epochs=10"],
    "graph-gpt": ["stages=sequence", "training.epochs=3"],
}
COLUMNS = ("HitRate@10", "NDCG@10")


def main() -> None:
    """Fit and measure one method after the other; print a row each, means with 95 % intervals."""
    split = leave_one_out(make_demo_shop(num_users=300, num_items=200))
    print(f"{'method':24}" + "".join(f"{name:26}" for name in COLUMNS) + "seconds")
    for name, settings in METHODS.items():
        start = time.perf_counter()
        method = find_method(name)
        model = method.recommender.from_preset("tiny", settings).fit(split)
        report = evaluate(model, split, tasks=["sequential"])["sequential"]
        found = [report.metrics[column] for column in COLUMNS]
        cells = (f"{each.mean:.4f} ({each.low:.4f} to {each.high:.4f})" for each in found)
        line = f"{method.label:24}" + "".join(f"{cell:26}" for cell in cells)
        print(f"{line}{time.perf_counter() - start:7.1f}")


if __name__ == "__main__":
    main()
