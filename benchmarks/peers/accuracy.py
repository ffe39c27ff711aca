"""RecBole's models and edgewise's trained until validation improves no more: what both reach.

Run ``python benchmarks/peers/accuracy.py DATA --recbole PYTHON [--models NAME ...] [--json FILE]``,
where DATA is an imported data set with brands or categories and PYTHON the interpreter of an
environment that has RecBole. Both packages learn from the same part of the data, the rows of its
most popular items by users who have five of them or more, so that each training ends in minutes:
the same sizes, loss and learning rate (``settings.py``), batches with as many items to be told, no
penalty that one of them does not have. Models that read no histories know users by their train rows
alone, as RecBole does, where ours could read validation rows as well. Each keeps its epoch of the
best NDCG@10 on validation rows, and the lists of both for the test rows, seen items left out, are
scored by edgewise's metrics. The interval is of the difference over the same users; it says nothing
of other random starts, by which either moves, too. ``--quick`` takes the built-in shop and two
epochs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from compare import measure_each, run_side, told_ours, told_recbole
from edgewise_side import METRICS
from export import ImportedLists
from settings import PEERS, Peer

from edgewise.data.dataset import Dataset
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.evaluation.evaluate import evaluate_sequential
from edgewise.evaluation.report import RankingReport
from edgewise.evaluation.statistics import bootstrap_difference

K = 10
_LEAST_ROWS, _MAX_ITEMS, _SMALLER = 5, 10, 4
# Beside those of settings.py: what one package does by itself and the other does not.
_ALIKE = {"weight_decay": 0.0, "max_grad_norm": 0.0}
# By BPR, RecBole 1.2.1 takes the sampled item from the table that is read, not from the scored one.
_BY_SOFTMAX = ("hgn",)
_SOFTMAX = {"loss_type": "CE", "train_neg_sample_args": None}


@dataclass(frozen=True)
class Effort:
    """How long both train.

    Attributes:
        epochs: at most.
        pretraining: epochs before, of models that have some; the last is kept.
        patience: epochs without a better validation until a training ends.
        seconds: of the processor, after which RecBole's training ends with its epoch.
    """

    epochs: int = 200
    pretraining: int = 5
    patience: int = 10
    seconds: float = 240


def part_of(dataset: Dataset, num_items: int) -> Dataset:
    """The rows of the most popular items by users with :data:`_LEAST_ROWS` of them or more."""
    rows = dataset.interactions
    counts = np.bincount(rows.item_index, minlength=dataset.num_items)
    kept = np.isin(rows.item_index, np.argsort(-counts, kind="stable")[:num_items])
    lengths = np.bincount(rows.user_index[kept], minlength=dataset.num_users)
    kept &= lengths[rows.user_index] >= _LEAST_ROWS
    ids, catalog = np.array(dataset.items.ids), dataset.catalog
    part = {
        "user_id": np.array(dataset.users.ids)[rows.user_index[kept]],
        "item_id": ids[rows.item_index[kept]],
        "timestamp": np.arange(int(kept.sum())),
    }
    here = np.unique(rows.item_index[kept]).tolist()
    items = {
        "item_id": ids[here],
        "title": [catalog.title[item] for item in here],
        "brand": [catalog.brand[item] for item in here],
        "categories": [list(catalog.categories[item]) for item in here],
    }
    return Dataset.from_frame(pl.DataFrame(part), pl.DataFrame(items), name=dataset.name)


def compare(peer: Peer, data: Path, python: str, effort: Effort) -> dict[str, Any]:
    """One model in both packages.

    Args:
        peer: the model.
        data: an imported data set.
        python: of RecBole's environment.
        effort: how long both train.
    """
    split = leave_one_out(Dataset.load(data))
    peer = _short(peer, split)
    found: dict[str, Any] = {"model": peer.model, "patience": effort.patience}
    found["seconds_at_most"] = effort.seconds
    reports: dict[str, RankingReport] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = {
            "recbole": told_recbole(peer, split, folder),
            "ours": _patient(told_ours(peer, data), peer, effort),
        }
        for side, job in jobs.items():
            longest = K + int(split.known_before("test").lengths.max())
            known = "valid" if peer.max_items is None else "test"
            limits = {**vars(effort), "longest": longest, "trained": True, "known_before": known}
            told = run_side(side, {**job, **limits}, folder, python)
            lists = ImportedLists(**np.load(folder / "lists.npz"))
            reports[side] = evaluate_sequential(lists, split, ks=(K,), metrics=METRICS)  # type: ignore
            found |= {f"{side}_{key}": value for key, value in told.items()}
            found |= {f"{side}_{n}": each.mean for n, each in reports[side].metrics.items()}
    for metric in ("HitRate", "NDCG"):
        ours, theirs = (
            reports[side].per_user[f"{metric}@{K}"].to_numpy() for side in ("ours", "recbole")
        )
        each = bootstrap_difference(ours, theirs)
        shares = {"": each.mean, "_low": each.low, "_high": each.high}
        for place, value in shares.items():
            found[f"{metric}@{K}_gap{place}"] = (value or 0.0) / max(theirs.mean(), 1e-12)
    found |= {"users": split.dataset.num_users, "items": split.dataset.num_items}
    return found | {"rows": len(split.dataset.interactions)}


def _short(peer: Peer, split: Split) -> Peer:
    """Shorter histories, smaller batches; of histories, with as many items to be told in both."""
    if peer.max_items is None:
        name, recbole = "train_batch_size", dict(peer.recbole)
        if name in recbole:
            recbole[name] //= _SMALLER
        return replace(peer, batch_size=peer.batch_size // _SMALLER, recbole=recbole)
    lengths = split.known_before("valid").lengths
    targets = (lengths[lengths > 1] - 1).mean()
    ours, max_items = dict(peer.ours), min(peer.max_items, _MAX_ITEMS)
    if "window" not in ours:
        ours["max_items"] = max_items
    batch = max(1, round(peer.batch_size / targets))
    if peer.name in _BY_SOFTMAX:
        peer = replace(peer, recbole={**peer.recbole, **_SOFTMAX})
        ours["loss"] = "softmax"
    return replace(peer, ours=ours, max_items=max_items, our_batch_size=batch)


def _patient(job: Mapping[str, Any], peer: Peer, effort: Effort) -> dict[str, Any]:
    """Our job with all epochs, and with nothing in its optimiser that RecBole's has not."""
    settings = dict(job["settings"])
    training = {**settings[peer.stage], **_ALIKE}
    if peer.stage == "pretraining":
        settings["pretraining"] = {**training, "epochs": effort.pretraining}
    patience = {"epochs": effort.epochs, "patience": effort.patience}
    training |= {**patience, "validation_metric": f"NDCG@{K}"}
    return {**job, "settings": {**settings, "training": training}}


def main() -> None:
    names = [peer.key for peer in PEERS if not peer.variant]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="an imported data set")
    parser.add_argument("--recbole", required=True, help="the interpreter that has RecBole")
    parser.add_argument("--models", nargs="+", choices=names, default=names)
    parser.add_argument("--items", type=int, default=500, help="of the part")
    parser.add_argument("--epochs", type=int, default=Effort.epochs)
    parser.add_argument("--patience", type=int, default=Effort.patience)
    parser.add_argument("--seconds", type=float, default=Effort.seconds)
    parser.add_argument("--quick", action="store_true", help="the built-in shop, two epochs")
    parser.add_argument("--json", type=Path, help="write the figures to this file, model by model")
    given = parser.parse_args()
    if given.data is None and not given.quick:
        parser.error("name an imported data set, or --quick")
    python = str(Path(given.recbole).absolute())
    effort = Effort(epochs=given.epochs, patience=given.patience, seconds=given.seconds)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "part")
        if given.quick:
            effort = Effort(epochs=2, pretraining=1)
            make_demo_shop().save(data)
        else:
            part_of(Dataset.load(given.data), given.items).save(data)
        measure_each(
            names, given.models, given.json, lambda peer: compare(peer, data, python, effort)
        )


if __name__ == "__main__":
    main()
