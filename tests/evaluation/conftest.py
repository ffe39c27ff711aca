"""A small world whose right answers are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split, leave_one_out


def dataset_of(sequences: Sequence[Sequence[int]], num_items: int) -> Dataset:
    users = np.repeat(np.arange(len(sequences)), [len(row) for row in sequences])
    items = np.concatenate([np.asarray(row) for row in sequences])
    return Dataset(
        "small",
        Vocabulary(tuple(f"u{i}" for i in range(len(sequences))), "user"),
        Vocabulary(tuple(f"i{i}" for i in range(num_items)), "item"),
        Interactions(users.astype(np.int32), items.astype(np.int32)),
        Catalog.empty(num_items),
    )


class Scripted:
    """A recommender that knows each item's score, and what it was asked."""

    tasks: tuple[str, ...] = ("direct", "sequential")

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores  # float64[U, I]
        self.asked: list[Ragged | None] = []

    def recommend(
        self,
        users: np.ndarray,
        k: int = 10,
        *,
        histories: Ragged | None = None,
        exclude_seen: bool = True,
    ) -> Recommendations:
        assert histories is not None and exclude_seen
        self.asked.append(histories)
        items, scores = [], []
        for user in users:
            row = self.scores[user].copy()
            row[histories[user]] = -np.inf
            best = np.argsort(-row)[: min(k, int(np.isfinite(row).sum()))]
            items.append(best)
            scores.append(row[best])
        return Recommendations.from_lists(users, items, scores)

    def score_candidates(
        self, candidates: CandidateLists, *, histories: Ragged | None = None
    ) -> np.ndarray:
        assert histories is not None
        self.asked.append(histories)
        owner = np.repeat(candidates.user_index, np.diff(candidates.offsets))
        return self.scores[owner, candidates.items]


@pytest.fixture
def make_dataset():
    return dataset_of


@pytest.fixture
def scripted():
    return Scripted


@pytest.fixture
def small_split() -> Split:
    """40 users with 5 different items each out of 30, the last two held out."""
    generator = np.random.default_rng(3)
    sequences = [generator.choice(30, 5, replace=False).tolist() for _ in range(40)]
    return leave_one_out(dataset_of(sequences, 30))
