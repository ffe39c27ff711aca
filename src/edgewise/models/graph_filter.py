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

C is never made: its products are two products with B, exact, each a pass over all edges. With
``neighbors``, of two-step and gf-cf, the largest values of each row of C are found once, a few rows
at a time, and are all that is kept of the graph, so that a question takes a time that does not grow
with the edges. Finding them takes as many steps as the sum of squared lengths of histories: with
``longest`` users of more items than that count by as many of their newest alone.
Users who are not in the data have a row of B as everybody else. The order of items is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from edgewise.config import setting
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.graph.products import BothWays, sparse_times
from edgewise.graph.randomized_svd import leading_singular_vectors
from edgewise.graph.row_blocks import rows_of_product
from edgewise.models.counting import (
    CountingConfig,
    CountingRecommender,
    few_at_once,
    nearest_of_rows,
    powers,
    scaled,
)

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
    neighbors: int = setting(
        0,
        "How many of the largest values of each row of C are kept, of two-step and gf-cf; 0 = all, "
        "exactly. For large data: approximate, and faster to ask.",
        ge=0,
    )
    longest: int = setting(
        0,
        "Users of more items count in C with as many of their newest, if neighbors are kept; "
        "0 = with all.",
        ge=0,
    )
    popularity: float = setting(0.5, "Exponent of an item's users that scores are multiplied by.")


class GraphFilter(CountingRecommender):
    """Scores items by a filter of the user-item graph; see the module.

    Attributes:
        graph: B, ``float32[U, I]``; of no row where neighbors are kept.
        meetings: what is kept of C, ``float32[I, I]``; nothing where all of it counts.
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
    LEARNED = ("graph", "meetings", "degrees", "values", "vectors", "fixed")
    SCORE_UNIT: ClassVar[str] = "filtered signal"
    _turned: BothWays | None = None
    graph: sp.csr_array
    meetings: sp.csr_array
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
        config, taken = self.config, self.matrix(histories)
        num_users, num_items = taken.shape  # type: ignore[misc]
        self.degrees = taken.sum(axis=0)
        self.graph = self._rows(taken)
        wanted = config.filter == "svd" or config.low_pass > 0
        rank = min(config.rank, num_users, num_items) if wanted else 0
        _, self.values, self.vectors = leading_singular_vectors(
            self.graph, rank, _ITERATIONS, config.seed
        )
        self.meetings = sp.csr_array((num_items, num_items), dtype=np.float32)
        if config.neighbors and config.filter != "svd":
            self.meetings = self._nearest(histories)
            self.graph = self.graph[:0]

    def _nearest(self, histories: Ragged) -> sp.csr_array:
        """The items that each item meets most, by what they add to scores."""
        config, graph = self.config, self.graph
        if config.longest:
            place_from_end = histories.lengths[histories.row_of_value] - histories.place_of_value
            newest = self.matrix(histories.keep(place_from_end <= config.longest))
            graph = self._rows(newest)
        gain = powers(self.degrees, config.popularity)

        def nearest(found: sp.csr_array, first: int) -> sp.csr_array:
            found.data *= gain[found.indices]
            found = nearest_of_rows(found, config.neighbors)
            found.data /= gain[found.indices]
            return found

        return rows_of_product(graph.T.tocsr(), graph, nearest)

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        width = max(self.graph.shape)  # type: ignore[type-var]
        parts = few_at_once(len(users), width)
        return np.concatenate([self._scores(histories.take(rows)) for rows in parts])

    def _scores(self, histories: Ragged) -> np.ndarray:
        config, taken = self.config, self.matrix(histories)
        rows = self._rows(taken)
        if config.filter == "two-step":
            once = self._met(rows)
            scores = _dense(once) + config.low_pass * self._low(rows, self.values**2)
            if config.steps:
                scores += config.steps * self._met_again(once)
        elif config.filter == "gf-cf":
            spread = taken @ sp.diags_array(powers(self.degrees, -0.5))
            low = self._low(spread, 1.0) * powers(self.degrees, 0.5)
            scores = _dense(self._met(taken)) + config.low_pass * low
        else:
            scores = self._low(rows, 1.0)
        return scores * powers(self.degrees, config.popularity)

    def _rows(self, taken: sp.csr_array) -> sp.csr_array:
        """Rows of B, ``float32[B, I]``."""
        users, items = powers(taken.sum(axis=1), -0.5), powers(self.degrees, -0.5)
        return scaled(taken.copy(), users, items)

    def _met(self, rows: Any) -> Any:
        """Rows times C, ``[B, I]``, as sparse as C is kept."""
        if self.config.neighbors:
            return sp.csr_array(rows @ self.meetings)
        if sp.issparse(rows):  # the users of some items are soon found
            near = np.ascontiguousarray((rows @ self.graph.T).toarray().T)
            return self._both.transposed(near).T
        return self._both.gram(np.ascontiguousarray(rows.T)).T

    def _met_again(self, rows: Any) -> np.ndarray:
        """The same of what that found, which is less sparse."""
        return sparse_times(rows, self.meetings) if self.config.neighbors else self._met(rows)

    @property
    def _both(self) -> BothWays:
        """B and its transpose, made when it is first asked for."""
        if self._turned is None or self._turned.matrix is not self.graph:
            self._turned = BothWays(self.graph)
        return self._turned

    def _low(self, rows: sp.csr_array, gains: Any) -> np.ndarray:
        """Rows times ``V gains V^T``, ``float32[B, I]``."""
        return (rows @ self.vectors * gains) @ self.vectors.T


def _dense(scores: Any) -> np.ndarray:
    return scores.toarray() if sp.issparse(scores) else scores
