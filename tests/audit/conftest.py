"""Small worlds for the checks: clean as they are, and easily spoilt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop

MakeSplit = Callable[..., Split]


def split_of(
    sequences: Sequence[Sequence[int]],
    num_items: int,
    times: Sequence[int] | None = None,
    ids: Sequence[str] | None = None,
) -> Split:
    """Leave-one-out of hand-written sequences."""
    lengths = [len(row) for row in sequences]
    users = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    items = np.concatenate([np.asarray(row) for row in sequences]).astype(np.int32)
    stamps = None if times is None else np.asarray(times, dtype=np.int64)
    dataset = Dataset(
        "small",
        Vocabulary(tuple(f"u{n}" for n in range(len(lengths))), "user"),
        Vocabulary(tuple(ids or (f"i{n:04d}" for n in range(num_items))), "item"),
        Interactions(users, items, stamps),
        Catalog.empty(num_items),
    )
    return leave_one_out(dataset)


@pytest.fixture(scope="session")
def make_split() -> MakeSplit:
    """``make_split(sequences, num_items, times=None, ids=None)``."""
    return split_of


@pytest.fixture(scope="session")
def shop() -> Split:
    """Leave-one-out of the demo shop: times, texts, tastes, no leak."""
    return leave_one_out(make_demo_shop(5, num_users=300, num_items=200))
