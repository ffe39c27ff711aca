"""Whether a data set has anything to learn from and to measure, said before training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgewise.data.pairs import distinct, pair_keys
from edgewise.data.splits import Split
from edgewise.errors import DataError
from edgewise.evaluation.protocols import HONEST, Protocol

_FEW_ROWS = 3  # leave-one-out and ratio splits hold out a row of users with at least as many


def check_learnable(split: Split) -> None:
    """Refuse data of which nothing can be learned, whatever the method.

    Raises:
        DataError: there are fewer than two items, no train rows, or no two rows of any user.
    """
    dataset, name = split.dataset, f"data set {split.dataset.name!r}"
    if dataset.num_items < 2:
        raise DataError(
            f"{name} has {dataset.num_items} item{'s' * (dataset.num_items != 1)}: there is "
            "nothing to rank, and nothing to learn; import rows of at least two items"
        )
    if not len(split.train):
        raise DataError(f"{name} has no train rows under the {split.kind} split: nothing to learn")
    most = _rows_of_users(split).max(initial=0)
    if most < 2 and not len(split.valid) and not len(split.test):
        raise DataError(
            f"{name}: each of its {dataset.num_users:,} users has a single row, so that no two "
            "items belong together, and none can be held out: nothing to learn, and nothing to "
            "measure; import more rows of each user, and look at 'data describe' for the ids"
        )


def shortages(split: Split, protocol: Protocol = HONEST) -> list[str]:
    """What cannot be measured, or only on few users or short lists; empty where all is well."""
    return [*_of_parts(split), *_of_lists(split, protocol)]


def _of_parts(split: Split) -> Iterator[str]:
    dataset = split.dataset
    few = int((_rows_of_users(split) < _FEW_ROWS).sum())
    if few and split.kind != "time":
        yield (
            f"{few:,} of {dataset.num_users:,} users have fewer than {_FEW_ROWS} rows: all of "
            "their rows train, and they are not measured"
        )
    if not len(split.valid):
        yield "no row is held out for validation: nothing can choose the best epoch"
    if not len(split.test):
        yield "no row is held out for the test: 'edgewise evaluate' cannot measure this run"
    trained = np.zeros(dataset.num_users, dtype=bool)
    trained[split.train.user_index] = True
    new = len(distinct(split.test.user_index[~trained[split.test.user_index]]))
    if new:
        yield f"{new:,} users of the test part have no train row: nothing is known of them"


def _of_lists(split: Split, protocol: Protocol) -> Iterator[str]:
    num_items, rows = split.dataset.num_items, split.dataset.interactions
    pairs = distinct(pair_keys(rows, num_items))
    touched = np.bincount(pairs // num_items, minlength=split.dataset.num_users)
    everything = int((touched == num_items).sum())
    if everything == split.dataset.num_users:
        yield f"every user has all {num_items:,} items: nothing can be recommended, or measured"
        return
    if everything:
        yield (
            f"{everything:,} of {split.dataset.num_users:,} users have all {num_items:,} items: "
            "nothing can be recommended to them, and they are left out of figures"
        )
    measured = distinct(np.concatenate([split.valid.user_index, split.test.user_index]))
    short = int((num_items - touched[measured] < protocol.num_negatives).sum())
    if short:
        yield (
            f"the catalogue has {num_items:,} items: for {short:,} of {len(measured):,} measured "
            f"users a list of the direct task cannot hold {protocol.num_negatives} items that they "
            "never touched; their lists are shorter, and chance is higher ('edgewise evaluate' "
            "prints both)"
        )


def _rows_of_users(split: Split) -> np.ndarray:
    return np.bincount(split.dataset.interactions.user_index, minlength=split.dataset.num_users)
