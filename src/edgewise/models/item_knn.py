"""Item-based nearest neighbours (Sarwar et al., WWW 2001).

W is who has what, ``[U, I]``, each entry 1, or weighted as words in documents are, an item being
the document and its users the words (TF-IDF; BM25 with its length of documents). With w_i the
column of item i, item j speaks for item i by

    ``S_ji = w_j . w_i / (|w_j|^(2 alpha) |w_i|^(2 - 2 alpha) + shrink)``,

a cosine for alpha = 1/2 (asymmetric: Aiolli, RecSys 2013). Each item i keeps its k nearest j, and a
user's score of i is the sum over the user's items j. Weights, shrinking and neighbours chosen for
the item that is scored are those of Ferrari Dacrema et al., RecSys 2019. With ``weighting = texts``
the rows of W are words of titles instead of users, by TF-IDF, so that an item which nobody has
taken is as near to others as its title. The order of items is not
read, and items that nothing speaks for stand below all others, by popularity. Everything is sparse:
learning holds a few rows of S at a time before they are cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from edgewise.config import setting
from edgewise.data.ragged import Ragged
from edgewise.errors import DataError
from edgewise.graph.row_blocks import rows_of_product
from edgewise.item_texts import tfidf_matrix
from edgewise.models.counting import (
    CountingConfig,
    CountingRecommender,
    nearest_of_rows,
    spoken_for,
)

Weighting = Literal["binary", "tfidf", "bm25", "texts"]


class ItemKNNConfig(CountingConfig):
    """Settings of item-based nearest neighbours."""

    neighbors: int = setting(1000, "How many items speak for an item.", symbol="k", ge=1)
    weighting: Weighting = setting(
        "binary",
        "What a user counts in the likeness of two items; less with many items in tfidf and bm25. "
        "Of texts, words of titles count instead of users.",
    )
    shrink: float = setting(
        30.0, "Added to what likeness is divided by: holds back items of few users.", ge=0
    )
    alpha: float = setting(
        0.5,
        "How much of the division is by the length of the user's own item: 0.5 is the cosine, more "
        "prefers popular items.",
        ge=0,
        le=1,
    )
    bm25_k1: float = setting(1.2, "Of bm25.", symbol="k1", ge=0)
    bm25_b: float = setting(
        0.75, "Of bm25: how much the users of popular items count less.", symbol="b", ge=0, le=1
    )


class ItemKNN(CountingRecommender):
    """Scores an item by its likeness to the user's items; see the module.

    Attributes:
        similarity: S, ``float32[I, I]``, at most k values a column; row j is what item j says of
            the others.
    """

    name, label = "item-knn", "Item kNN"
    paper = "Sarwar et al., WWW 2001"
    Config = ItemKNNConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"neighbors": 20, "shrink": 0.0},
        "cpu": {},
        "texts": {"weighting": "texts", "neighbors": 100},
    }
    LEARNED = ("similarity",)
    SCORE_UNIT: ClassVar[str] = "sum of similarities"
    similarity: sp.csr_array

    def learn(self, histories: Ragged) -> None:
        config = self.config
        if config.weighting == "texts":
            weights = self._title_words()
        else:
            weights = weighted(self.matrix(histories), config)
        self.similarity = nearest_items(weights, config.neighbors, config.shrink, config.alpha)

    def _title_words(self) -> sp.csr_array:
        """The words of titles by TF-IDF, ``float32[words, I]``, items of length 1."""
        if not any(map(str.strip, self.data.titles)):
            raise DataError(
                f"data set {self.data.name!r} has no titles, and item-knn of texts reads nothing "
                "else: import it with a file about the items, or choose another weighting"
            )
        return sp.csr_array(tfidf_matrix(self.data.titles).T, dtype=np.float32)

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        return self.above_popularity(sp.csr_array(self.matrix(histories) @ self.similarity))

    @property
    def similarity_unit(self) -> str:
        """What one item says of the others."""
        return "similarity of item kNN"

    def item_similarities(self, items: np.ndarray) -> np.ndarray:
        """Rows of S, ``float32[n, I]``."""
        return spoken_for(self.similarity, items)


def weighted(taken: sp.csr_array, config: ItemKNNConfig) -> sp.csr_array:
    """W, ``float32[U, I]``.

    Args:
        taken: who has what, 1 or nothing, ``[U, I]``.
        config: names the weighting.
    """
    if config.weighting == "binary":
        return taken
    num_users, num_items = taken.shape  # type: ignore[misc]
    user = np.repeat(np.arange(num_users), np.diff(taken.indptr))
    # A user with every item tells nothing; one item more keeps the logarithm above 0.
    rarity = np.log((num_items + 1) / np.maximum(np.diff(taken.indptr), 1))
    values = rarity[user]
    if config.weighting == "bm25":
        length = taken.sum(axis=0)
        norm = 1 - config.bm25_b + config.bm25_b * length / (length.mean() or 1)
        values *= (config.bm25_k1 + 1) / (config.bm25_k1 * norm[taken.indices] + 1)
    parts = (values.astype(np.float32), taken.indices, taken.indptr)
    return sp.csr_array(parts, shape=taken.shape)


def nearest_items(weights: sp.csr_array, k: int, shrink: float, alpha: float) -> sp.csr_array:
    """S, cut to the k largest of every column, ``float32[I, I]``.

    Args:
        weights: W, ``[U, I]``.
        k, shrink, alpha: see the module.
    """
    items = sp.csr_array(weights.T)
    squares = np.asarray(items.multiply(items).sum(axis=1)).ravel()
    speaking, scored = squares**alpha, squares ** (1 - alpha)

    def nearest(found: sp.csr_array, first: int) -> sp.csr_array:
        lengths = np.diff(found.indptr)
        item = np.repeat(np.arange(first, first + len(lengths)), lengths)
        found.data /= scored[item] * speaking[found.indices] + shrink
        found.data[found.indices == item] = 0  # no item speaks for itself
        found.eliminate_zeros()
        return nearest_of_rows(found, k)

    return sp.csr_array(rows_of_product(items, weights, nearest).T, dtype=np.float32)
