"""Nearest histories: what people with similar recent items have (Ludewig and Jannach, UMUAI 2018).

V-SKNN, with histories for sessions. A user's history weighs its items by age, the newest 1, the one
before it ``2^-recency``, then ``3^-recency``; item i counts by its rarity ``idf_i = log(U / n_i)``
with n_i users. How near history v is to history u, of |v| items,

    ``sim(u, v) = sum_i w_u(i) idf_i [i in v] / |v|^normalization``,

and a user's score of an item is ``sum_v sim(u, v) w_v(i)`` over the k nearest v, in which the
neighbour's items weigh by their age as well (neighbor_recency); items of no neighbour stand below
all others, by popularity. The paper samples recent sessions
for speed; here all are read, which sparse products make fast enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from edgewise.config import setting
from edgewise.data.ragged import Ragged
from edgewise.models.counting import (
    CountingConfig,
    CountingRecommender,
    few_at_once,
    nearest_of_rows,
    powers,
)


class SessionKNNConfig(CountingConfig):
    """Settings of nearest histories."""

    neighbors: int = setting(500, "How many histories are asked.", symbol="k", ge=1)
    recency: float = setting(
        1.0, "How much less the asked user's older items count; 0 for all alike.", ge=0
    )
    neighbor_recency: float = setting(
        0.5, "The same for what a neighbour's history speaks for.", ge=0
    )
    rarity: float = setting(1.0, "Exponent of idf: how much more rare shared items count.", ge=0)
    normalization: float = setting(
        0.3, "Exponent of a neighbour's length: how much less long histories count.", ge=0
    )
    popularity: float = setting(
        0.0, "Exponent of an item's users that scores are multiplied by; below 0 for rare items."
    )


class SessionKNN(CountingRecommender):
    """Scores an item by the nearest histories that have it; see the module.

    Attributes:
        lookup: ``idf_i^rarity / |v|^normalization`` by item and history, ``float32[I, U]``.
        spoken: what histories speak for, ``float32[U, I]``.
    """

    name, label = "session-knn", "Session kNN"
    paper = "Ludewig and Jannach, UMUAI 2018, arXiv 1803.09587"
    Config = SessionKNNConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {"neighbors": 50}, "cpu": {}}
    LEARNED = ("lookup", "spoken")
    SCORE_UNIT: ClassVar[str] = "sum of similarities of histories"
    lookup: sp.csr_array
    spoken: sp.csr_array

    def learn(self, histories: Ragged) -> None:
        config, taken = self.config, self.matrix(histories)
        counts = taken.sum(axis=0)
        rarity = np.log(max(len(histories), 2) / np.maximum(counts, 1)) ** config.rarity
        length = powers(taken.sum(axis=1), -config.normalization)
        lookup = sp.diags_array(length) @ taken @ sp.diags_array(rarity)
        self.lookup = sp.csr_array(lookup.T, dtype=np.float32)
        recent = self.recent(histories, config.neighbor_recency)
        self.spoken = sp.csr_array(recent @ sp.diags_array(powers(counts, config.popularity)))

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        parts = few_at_once(len(users), len(self.data.users))
        return np.concatenate([self._scores(users[rows], histories.take(rows)) for rows in parts])

    def _scores(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        near = sp.csr_array(self.recent(histories, self.config.recency) @ self.lookup)
        own = near.indices == np.repeat(users, np.diff(near.indptr))
        near.data[own] = 0  # nobody is a neighbour of oneself
        near.eliminate_zeros()
        near = nearest_of_rows(near, self.config.neighbors)
        return self.above_popularity(sp.csr_array(near @ self.spoken))
