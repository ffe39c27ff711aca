"""Untrained filters of the user-item graph.

B is the normalised graph of train rows, ``B_ui = (n_u n_i)^-1/2`` where user u has item i, and
``C = B^T B`` how items meet in users. With V the right singular vectors of the rank largest
singular values s of B, b a user's row of B, x the same row as zeros and ones and D the items'
degrees n_i, the scores of all items are, as ``filter`` says,

- two-step: ``b (C + steps C^2 + low_pass V s^2 V^T) D^popularity``: the items of people with the
  same items, and what lies one round of propagation further. Beyond the papers.
- gf-cf: ``x (C + low_pass D^-1/2 V V^T D^1/2) D^popularity``: a linear filter and an ideal low-pass
  filter (Shen et al., CIKM 2021, arXiv 2108.07567; there without popularity).
- svd: ``b V V^T D^popularity``: the ideal low-pass filter alone.

C is never made: its products are two products with B. Users who are not in the data have a row of B
as everybody else. The order of items is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from edgewise.config import setting
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.graph.randomized_svd import leading_singular_vectors
from edgewise.models.counting import CountingConfig, CountingRecommender, few_at_once, powers

_ITERATIONS = 4

Filter = Literal["two-step", "gf-cf", "svd"]


class GraphFilterConfig(CountingConfig):
    """Settings of untrained graph filters."""

    filter: Filter = setting("two-step", "Which filter; see the module.")
    steps: float = setting(0.5, "What C^2 counts beside C, of two-step.", ge=0)
    rank: int = setting(64, "Singular vectors that are kept of the graph.", ge=1)
    low_pass: float = setting(
        1.0,
        "What the low-pass part counts beside C, of two-step and gf-cf.",
        symbol="alpha of GF-CF",
        ge=0,
    )
    popularity: float = setting(0.5, "Exponent of an item's users that scores are multiplied by.")


class GraphFilter(CountingRecommender):
    """Scores items by a filter of the user-item graph; see the module.

    Attributes:
        graph: B, ``float32[U, I]``.
        degrees: n_i, ``float32[I]``.
        values, vectors: s ``float32[rank]`` and V ``float32[I, rank]``; of no column where nothing
            reads them.
        fixed: whether the split named other edges than the train rows, ``bool[1]``; such a graph
            stays as it is whatever histories are told later.
    """

    name, label = "graph-filter", "Graph filter"
    paper = "Shen et al., CIKM 2021, arXiv 2108.07567"
    Config = GraphFilterConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"rank": 4},
        "cpu": {},
        "gf-cf": {"filter": "gf-cf", "rank": 256, "low_pass": 0.3, "popularity": 0.0},
        "svd": {"filter": "svd"},
    }
    LEARNED = ("graph", "degrees", "values", "vectors", "fixed")
    SCORE_UNIT: ClassVar[str] = "filtered signal"
    graph: sp.csr_array
    degrees: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    fixed: np.ndarray

    def fit_scores(self, split: Split) -> None:
        self.fixed = np.array([split.edges is not None])
        super().fit_scores(split)
        if self.fixed:
            self.learn(split.graph_histories())

    def prepare(self, histories: Ragged) -> None:
        if not self.fixed:
            super().prepare(histories)

    def learn(self, histories: Ragged) -> None:
        taken = self.matrix(histories)
        self.degrees = taken.sum(axis=0)
        self.graph = self._rows(taken)
        wanted = self.config.filter == "svd" or self.config.low_pass > 0
        rank = min(self.config.rank, *taken.shape) if wanted else 0  # type: ignore[misc]
        seed = self.config.seed
        _, self.values, self.vectors = leading_singular_vectors(self.graph, rank, _ITERATIONS, seed)

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        parts = few_at_once(len(users), len(self.data.users))
        return np.concatenate([self._scores(histories.take(rows)) for rows in parts])

    def _scores(self, histories: Ragged) -> np.ndarray:
        config, taken = self.config, self.matrix(histories)
        rows = self._rows(taken)
        if config.filter == "two-step":
            once = self._met((rows @ self.graph.T).toarray())
            scores = once + config.low_pass * self._low(rows, self.values**2)
            if config.steps:
                scores += config.steps * self._met((self.graph @ once.T).T)
        elif config.filter == "gf-cf":
            scores = self._met((taken @ self.graph.T).toarray())
            scaled = taken @ sp.diags_array(powers(self.degrees, -0.5))
            scores += config.low_pass * self._low(scaled, 1.0) * powers(self.degrees, 0.5)
        else:
            scores = self._low(rows, 1.0)
        return scores * powers(self.degrees, config.popularity)

    def _rows(self, taken: sp.csr_array) -> sp.csr_array:
        """Rows of B, ``float32[B, I]``."""
        users = sp.diags_array(powers(taken.sum(axis=1), -0.5))
        return sp.csr_array(users @ taken @ sp.diags_array(powers(self.degrees, -0.5)))

    def _met(self, near: np.ndarray) -> np.ndarray:
        """What users have who are near, ``[B, U]`` to ``[B, I]``."""
        return np.asarray((self.graph.T @ near.T).T)

    def _low(self, rows: sp.csr_array, gains: Any) -> np.ndarray:
        """Rows times ``V gains V^T``, ``float32[B, I]``."""
        return (rows @ self.vectors * gains) @ self.vectors.T
