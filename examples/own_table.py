"""Your own table to recommendations: a frame, a split, a fit, a measurement, lists, a saved model.

    python examples/own_table.py

The frame is made up: readers of two tastes take books of theirs alone. Put your own in its place:
it needs the columns ``user_id`` and ``item_id``, and a ``timestamp`` where the order matters.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from edgewise import EASE, Dataset, evaluate, leave_one_out, load_model


def readings(num_readers: int = 60, num_books: int = 120) -> pl.DataFrame:
    """Each reader takes 15 of the 60 books of one taste, one a day."""
    rng = np.random.default_rng(0)
    books = np.arange(num_books).reshape(2, -1)
    rows = [
        (f"reader-{reader}", f"book-{taste}-{book}", day)
        for reader in range(num_readers)
        for taste in [reader % 2]
        for day, book in enumerate(rng.choice(books[taste], size=15, replace=False))
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def main() -> None:
    """From the frame to lists, and to a model that can be loaded elsewhere."""
    dataset = Dataset.from_frame(readings(), name="readings")
    split = leave_one_out(dataset)
    print(dataset)

    model = EASE.from_preset("tiny").fit(split)
    for report in evaluate(model, split).values():
        print(report)

    print(model.recommend(["reader-0", "reader-1"], k=5).to_frame())
    print(model.recommend_new([["book-0-3", "book-0-14"]], k=5).to_frame())

    with TemporaryDirectory() as folder:
        place = Path(folder) / "model"
        model.save_pretrained(place)
        again = load_model(place)
    before, after = (each.recommend(["reader-0"], k=5).to_frame() for each in (model, again))
    print("the same lists after loading:", before.equals(after))


if __name__ == "__main__":
    main()
