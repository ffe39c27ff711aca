"""What a warm start saves, and what it costs in quality, against training anew.

Run ``python benchmarks/warm_start.py SOURCE [--methods sasrec:cpu ...] [--json FILE]`` on a source
that ``edgewise data import`` reads. The data are cut in two: a tenth of the users come after the
cut with all their rows, of the others two in five have taken a few more items since, one or two as
a rule, and three in a hundred items are new. A model is fitted on what was there before, and then,
each measured on the test rows of the grown data by full ranking:

- ``old``: that model as it is, told the new histories; it knows no new item,
- ``placed``: a warm start without a step: new rows stand among their neighbours,
- ``warm``: a warm start of fewer epochs, by the share that the old weights count,
- ``anew``: trained on the grown data from the beginning, and the same with fewer epochs.

Seconds are of one process and its processor; shares are of training anew in the same process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from measuring import keep

from edgewise.data.dataset import Catalog, Dataset, Vocabulary
from edgewise.data.importing import read_dataset
from edgewise.data.item_lists import Recommendations
from edgewise.data.splits import Split, leave_one_out
from edgewise.models import base
from edgewise.models.base import TorchRecommender
from edgewise.models.registry import find_method

NEW_USERS, GROWN_USERS, NEW_ITEMS, FEWEST = 0.1, 0.4, 0.03, 3
K = 10


def cut(dataset: Dataset, seed: int = 0) -> tuple[Dataset, Dataset]:
    """A data set as it was before some of its rows came, and whole, new ids behind the old ones."""
    rows, rng = dataset.interactions, np.random.default_rng(seed)
    lengths = np.bincount(rows.user_index, minlength=dataset.num_users)
    grows = (rng.random(len(lengths)) < GROWN_USERS) * rng.geometric(0.5, len(lengths))
    kept = np.where(rng.random(len(lengths)) < NEW_USERS, 0, np.maximum(lengths - grows, 0))
    place = np.arange(len(rows)) - (np.cumsum(lengths) - lengths)[rows.user_index]
    # Nobody had taken a new item then: the data go without what rows say otherwise.
    is_old, is_new_item = place < kept[rows.user_index], rng.random(dataset.num_items) < NEW_ITEMS
    left = np.flatnonzero(~(is_old & is_new_item[rows.item_index]))
    rows, is_old = rows.take(left), is_old[left]
    kept = np.bincount(rows.user_index[is_old], minlength=dataset.num_users)
    kept[kept < FEWEST] = 0
    is_old &= kept[rows.user_index] > 0
    old_items = np.bincount(rows.item_index[is_old], minlength=dataset.num_items) > 0
    users, items = (np.argsort(~known, kind="stable") for known in (kept > 0, old_items))
    numbers = [np.argsort(order).astype(np.int32) for order in (users, items)]
    moved = replace(
        rows, user_index=numbers[0][rows.user_index], item_index=numbers[1][rows.item_index]
    )
    order = np.argsort(moved.user_index, kind="stable")
    grown = _of(dataset, users, items)
    grown = replace(grown, interactions=moved.take(order))
    before = _of(dataset, users[: (kept > 0).sum()], items[: old_items.sum()])
    return replace(before, interactions=moved.take(order[is_old[order]])), grown


def _of(dataset: Dataset, users: np.ndarray, items: np.ndarray) -> Dataset:
    """Some users and items in an order; rows are still to be set."""
    return replace(
        dataset,
        users=Vocabulary(tuple(dataset.users.ids[n] for n in users), "user"),
        items=Vocabulary(tuple(dataset.items.ids[n] for n in items), "item"),
        catalog=Catalog(
            *(
                tuple(getattr(dataset.catalog, each.name)[n] for n in items)
                for each in fields(Catalog)
            )
        ),
    )


def groups(before: Dataset, grown: Dataset) -> Mapping[str, np.ndarray]:
    """Which users all figures are of, ``bool[U]``."""
    sizes = [
        np.bincount(each.interactions.user_index, minlength=grown.num_users)
        for each in (before, grown)
    ]
    return {
        "all": sizes[1] > 0,
        "unchanged": sizes[0] == sizes[1],
        "grown": (sizes[0] > 0) & (sizes[0] < sizes[1]),
        "new": sizes[0] == 0,
    }


def figures(found: Recommendations, split: Split, of: Mapping[str, np.ndarray]) -> dict[str, float]:
    """HitRate and NDCG of lists of all users, by groups of users."""
    target = np.full(split.dataset.num_users, -1)
    target[split.test.user_index] = split.test.item_index
    hit = found.item_index == target[found.user_index]
    rank = np.full(len(target), np.inf)
    rank[found.user_index[hit]] = found.rank[hit]
    told: dict[str, float] = {}
    for name, chosen in of.items():
        ranks = rank[chosen & (target >= 0)]
        told |= {
            f"{name}_users": len(ranks),
            f"{name}_HitRate@{K}": float(np.isfinite(ranks).mean()),
            f"{name}_NDCG@{K}": float((1 / np.log2(1 + ranks)).mean()),
        }
    return told


def lists_of(model: TorchRecommender, split: Split) -> Recommendations:
    """The lists of all users of the grown data, by a model of these or of the data before."""
    known = split.known_before("test")
    num_users, num_items = len(model.data.users), len(model.data.items)
    known = known.keep(known.values < num_items)
    old, new = np.arange(num_users), np.arange(num_users, len(known))
    found = model.recommend(old, K, histories=known.take(old))
    if not len(new):
        return found
    more = model.recommend_new(known.take(new).rows(), K)
    users = [found.user_index, more.user_index + num_users]
    items, ranks = [found.item_index, more.item_index], [found.rank, more.rank]
    scores = [found.score, more.score]
    return Recommendations(*map(np.concatenate, (users, items, ranks, scores)))


def measured(name: str, preset: str, settings: Sequence[str], given: Any) -> dict[str, Any]:
    """All ways for one method."""
    before, grown = given.data
    method, split = find_method(name).recommender, leave_one_out(grown)
    of, told = groups(before, grown), dict[str, Any]()

    def keep_figures(way: str, model: TorchRecommender, seconds: float) -> None:
        told[way] = {"seconds": seconds, **figures(lists_of(model, split), split, of)}
        words = " ".join(f"{key} {value:.4f}" for key, value in told[way].items())
        print(f"{name} {way}: {words}", flush=True)

    def fitted(
        on: Split, *more: str, start: TorchRecommender | None = None, share: float = 1.0
    ) -> Any:
        begun = time.process_time()
        model = method.from_preset(preset, [*settings, *more])
        model.fit(on, start_from=start, start_share=share)
        return model, time.process_time() - begun

    old, seconds = fitted(leave_one_out(before))
    keep_figures("old", old, seconds)
    with mock.patch.object(base, "train", lambda *args, **kwargs: {}):
        keep_figures("placed", *fitted(split, start=old))
    for assignments in given.warm:
        share, *chosen = assignments.split()
        keep_figures(f"warm {assignments}", *fitted(split, *chosen, start=old, share=float(share)))
    keep_figures("anew", *fitted(split))
    for assignments in given.anew:
        keep_figures(f"anew {assignments}", *fitted(split, *assignments.split()))
    for values in told.values():
        values["share_of_seconds"] = values["seconds"] / told["anew"]["seconds"]
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument(
        "--methods", nargs="+", default=["sasrec:cpu"], help="METHOD:PRESET[:SETTING...]"
    )
    parser.add_argument(
        "--warm",
        nargs="+",
        default=["1 training.epochs=2", "0.5 training.epochs=2"],
        help="warm starts: the share of the old weights and settings, each in quotes",
    )
    parser.add_argument("--anew", nargs="*", default=["training.epochs=2"], help="shorter ones")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.data = cut(read_dataset(given.source))
    sizes = [(len(d.interactions), d.num_users, d.num_items) for d in given.data]
    result: dict[str, Any] = {"data": given.data[1].name, "rows_users_items": sizes}
    print(f"{result['data']}: before and grown {sizes}", flush=True)
    for each in given.methods:
        name, preset, *settings = each.split(":")
        found = measured(name, preset, settings, given)
        result |= {f"{each} {way}".replace(" ", "_"): row for way, row in found.items()}
        if given.json:
            keep(given.json, result)


if __name__ == "__main__":
    main()
