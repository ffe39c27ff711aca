"""A split as the two releases read it, and as both sides then ask about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from edgewise.data.splits import Split

_LEAST_ROWS = 4
NUM_NEGATIVES = 99


def write_p5(split: Split, folder: Path) -> None:
    """ELMRec's layout, P5's: numbers from 1, a line a user, the last two items held out.

    Its graph is that of the explained pairs; here those are the train rows.

    Raises:
        SystemExit: a user has fewer rows than its sampler of segments needs.
    """
    rows = [*split.known_before("test").rows()]
    test = dict(zip(split.test.user_index.tolist(), split.test.item_index.tolist(), strict=True))
    whole = {user: [*row.tolist(), test[user]] for user, row in enumerate(rows) if user in test}
    if len(whole) < len(rows) or min(map(len, whole.values())) < _LEAST_ROWS:
        raise SystemExit(
            f"the release needs {_LEAST_ROWS} rows of every user: filter them (k-core)"
        )
    rng = np.random.default_rng(0)
    num_items = split.dataset.num_items
    positive, negative = [], []
    for user, items in whole.items():
        others = np.setdiff1d(rng.permutation(num_items)[: NUM_NEGATIVES + len(items)], items)
        numbers = (rng.permutation(others)[:NUM_NEGATIVES] + 1).tolist()
        positive.append(" ".join(map(str, [user + 1, *(item + 1 for item in items)])))
        negative.append(" ".join(map(str, [user + 1, *numbers])))
    pairs = zip(split.train.user_index.tolist(), split.train.item_index.tolist(), strict=True)
    train = [{"user": user + 1, "item": item + 1, "explanation": "good"} for user, item in pairs]
    maps = {
        "id2user": {str(n + 1): name for n, name in enumerate(split.dataset.users.ids)},
        "id2item": {str(n + 1): name for n, name in enumerate(split.dataset.items.ids)},
    }
    (folder / "sequential.txt").write_text("\n".join(positive) + "\n", encoding="utf-8")
    (folder / "negative.txt").write_text("\n".join(negative) + "\n", encoding="utf-8")
    explained = {"train": train, "val": train[:8], "test": train[:8]}
    (folder / "explanation.json").write_text(json.dumps(explained), encoding="utf-8")
    (folder / "datamaps.json").write_text(json.dumps(maps), encoding="utf-8")


def write_matrix(split: Split, folder: Path) -> None:
    """LLM4REC's layout: who has which item before the test, as a sparse matrix."""
    known = split.known_before("test")
    shape = len(known), split.dataset.num_items
    ones = np.ones(len(known.values), np.float32)
    matrix = sp.csr_matrix((ones, (known.row_of_value, known.values)), shape=shape)
    sp.save_npz(folder / "train_matrix.npz", matrix)
