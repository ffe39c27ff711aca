"""Item priors: what train rows and the catalogue say of the next item before any training.

A language model from random weights learns in minutes what sequences have in common, and leaves
much untold that can simply be counted: :mod:`edgewise.models.mixing` adds it to the model's
likelihood. A prior is an untrained score ``S_p(u, i) >= 0`` of every item for a history: a product
``S_p = a L R`` of the user's row a, which weighs the newest item 1, the one before it
``2^-recency``, then ``3^-recency``, and of a matrix L of neighbours, 100 an item, or of vectors L
and R:

==============  ==================================================================================
``transitions`` what follows items within ten steps; L: ``o_i^-1/2 T_ij d_j^-1/4``
``markov``      what follows the newest item at once (first-order Markov chain); L: ``T_ij / o_i``
``two_hops``    what follows, and precedes, within two steps; L: the square of such transitions
``spectral``    spectral match of user and item: the user-item graph smoothed by its 64 leading
                singular vectors (LightGCN's limit); L: ``V s^2``, R: ``V^T``, with degrees
``texts``       titles with the same words by TF-IDF; of the newest eight items, a mean
``topics``      all texts by latent semantic analysis, or by a sentence encoder; L, R: vectors
``attributes``  brands and categories in common, rare ones more (paper 002's second-order links)
``popularity``  how often an item is taken, whoever asks
``trend``       the same, each row halved in weight every ``half_life`` days; where rows have times
==============  ==================================================================================

T counts train rows alone (:func:`~edgewise.graph.transition_counts.item_transitions`), B is their
normalised graph. An item without train rows has texts and attributes at once.

Beyond the papers.

Shapes: B users asked about, I items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse as sp

from edgewise.config import Settings, setting, updated
from edgewise.data.dataset import Catalog, histories_of
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.graph.randomized_svd import leading_singular_vectors
from edgewise.graph.transition_counts import item_transitions
from edgewise.item_texts import (
    TFIDF,
    ItemTexts,
    TextConfig,
    item_attributes,
    item_sentences,
    tfidf_matrix,
)
from edgewise.models.counting import nearest_of_rows, powers

PriorName = Literal[
    "transitions",
    "markov",
    "two_hops",
    "spectral",
    "texts",
    "topics",
    "attributes",
    "popularity",
    "trend",
]
PRIORS: tuple[PriorName, ...] = get_args(PriorName)
# Of these the others add little on data with texts.
USUAL: tuple[PriorName, ...] = (
    "transitions",
    "markov",
    "spectral",
    "texts",
    "topics",
    "popularity",
    "trend",
)

# What a score above the mean of all items means, which items of the history that speak in it
# complete, and what a lower one means.
REASONS: Mapping[PriorName, tuple[str, str]] = {
    "transitions": ("people took it after", "people did not take it after this history"),
    "markov": ("people took it right after", "people did not take it right after the newest item"),
    "two_hops": ("it is two steps away from", "it is far from this history"),
    "spectral": ("people of this taste take it, going by", "people of this taste leave it"),
    "texts": ("titles like", "titles of this history are unlike its own"),
    "topics": ("texts about the same as", "texts of this history are about other things"),
    "attributes": ("brand or categories of", "no brand or category of this history"),
    "popularity": ("it is taken often", "it is taken seldom"),
    "trend": ("it is taken often these days", "it is taken seldom these days"),
}

_WINDOW, _RANK, _ITERATIONS, _NEWEST = 10, 64, 4, 8
_ONE_DAY = 86_400.0
_NUMBERS_AT_ONCE = 10_000_000


class PriorsConfig(Settings):
    """What is mixed into the language model's likelihood of items."""

    SECTION = "priors"

    names: tuple[PriorName, ...] = setting(
        (),
        f"Of {', '.join(PRIORS)}: those for which the data has what they read. None: the language "
        "model alone, as in the paper.",
    )
    gate: bool = setting(
        True,
        "Let weights depend on what is known before the target: the history's length, how often "
        "its newest item was taken, how sure the language model is.",
    )
    users: int = setting(
        2500,
        "Validation users whose rows fit the weights, at most half of them. 'evaluate --part "
        "valid' measures the others.",
        ge=1,
    )
    neighbours: int = setting(
        100, "Items that an item speaks for, of priors that are lists of neighbours.", ge=1
    )
    encoder: str = setting(
        TFIDF, "Of the prior topics: tfidf, minilm or another sentence encoder; see texts.encoder."
    )
    relearn: bool = setting(
        False,
        "Count anew what histories that are told later hold: validation rows, too, when test is "
        "predicted. Weights stay.",
    )
    new_items: bool = setting(
        True,
        "Score items without train rows by texts, topics and attributes alone, with weights of "
        "their own, so that whole lists may hold them; false: as others of which nothing is "
        "counted, which puts them at the end.",
    )
    half_life: float = setting(90.0, "Of the prior trend, in days.", gt=0)


@dataclass(frozen=True, eq=False)
class ItemPrior:
    """One untrained score of all items: ``a L R``.

    Attributes:
        name: which.
        left: L: neighbours of items, sparse ``float32[I, I]``; or their vectors, ``float32[I, D]``;
            or a score of all items, ``float32[1, I]``, where no history is read.
        right: R of vectors, ``float32[D, I]``.
        recency: how much less older items of a history count; 0 for all alike.
        newest: items of a history that are read; 0 for all.
        averaged: whether a's weights are divided by their sum.
    """

    name: PriorName
    left: Any
    right: np.ndarray | None = None
    recency: float = 1.0
    newest: int = 0
    averaged: bool = False

    def scores(self, histories: Ragged) -> Any:
        """``S_p`` of all items, ``float32[B, I]``, none below 0: sparse where L is.

        Those of a prior that reads no history are one row.
        """
        if self.left.shape[0] == 1:
            return self.left
        if self.right is None:
            return self.asked(histories) @ self.left
        return np.maximum((self.asked(histories) @ self.left) @ self.right, 0)

    def asked(self, histories: Ragged) -> sp.csr_array:
        """a, ``float32[B, I]``."""
        weights = self.weights(histories)
        if self.newest:  # what is not read is not multiplied
            read = weights > 0
            weights, histories = weights[read], histories.keep(read)
        places = (weights, histories.values, histories.offsets)
        return sp.csr_array(places, shape=(len(histories), self.left.shape[0]))

    def scores_of(self, histories: Ragged, items: np.ndarray) -> np.ndarray:
        """:meth:`scores` of some items, ``float32[B, n]``."""
        if self.left.shape[0] == 1:
            return np.repeat(self.left[:, items], len(histories), 0)
        if self.right is None:
            some = replace(self, left=sp.csr_array(self.left[:, items]))
        else:
            some = replace(self, right=self.right[:, items])
        found = some.scores(histories)
        return found.toarray() if sp.issparse(found) else found

    def speaking(self, history: np.ndarray, item: int) -> np.ndarray:
        """What each item of one history adds to the score of one item, ``float32[history]``."""
        if self.left.shape[0] == 1:
            return np.zeros(len(history), np.float32)
        rows = self.left[history]
        told = rows[:, [item]].toarray() if self.right is None else rows @ self.right[:, [item]]
        return self.weights(Ragged.of_rows([history])) * np.maximum(told[:, 0], 0)

    def weights(self, histories: Ragged) -> np.ndarray:
        """The values of a, one a row of the histories, ``float32``."""
        age = histories.lengths[histories.row_of_value] - histories.place_of_value
        weights = age.astype(np.float32) ** np.float32(-self.recency)
        if self.newest:
            weights *= age <= self.newest
        if self.averaged:
            total = np.bincount(histories.row_of_value, weights, len(histories))
            weights /= total[histories.row_of_value]
        return weights.astype(np.float32)


def unknown_priors(split: Split, names: Sequence[PriorName]) -> tuple[PriorName, ...]:
    """Those of which the data set tells nothing: no texts, no brands or categories, no times."""
    catalog = split.dataset.catalog
    lacking = {
        "texts": not any(map(str.strip, catalog.title)),
        "topics": not any(map(str.strip, item_sentences(catalog))),
        "attributes": not item_attributes(catalog, 2).names,
        "trend": split.train.timestamp is None,
    }
    return tuple(name for name in names if lacking.get(name))


def build_priors(split: Split, config: PriorsConfig, seed: int) -> tuple[ItemPrior, ...]:
    """The priors that are asked for and that the data set tells, in the order of :data:`PRIORS`.

    Args:
        split: train rows and catalogue alone are read.
        config: which.
        seed: of the start of singular vectors.
    """
    lacking = unknown_priors(split, config.names)
    config = updated(config, {"names": [name for name in config.names if name not in lacking]})
    histories = histories_of(split.dataset.num_users, split.train)
    counted = counted_priors(histories, split.dataset.num_items, config, seed)
    found = {prior.name: prior for prior in (*counted, *_described_priors(split, config))}
    return tuple(found[name] for name in PRIORS if name in found)


def counted_priors(
    histories: Ragged, num_items: int, config: PriorsConfig, seed: int
) -> Iterator[ItemPrior]:
    """Those of what users took.

    Args:
        histories: of all users, oldest items first.
        num_items: I.
        config: which.
        seed: of the start of singular vectors.
    """
    for name in config.names:
        if name == "transitions":
            counted = item_transitions(histories, num_items, _WINDOW, backward=0.0)
            yield ItemPrior(name, _nearest(_scaled(counted, -0.5, -0.25), config))
        elif name == "markov":
            counted = item_transitions(histories, num_items, 1, backward=0.0)
            yield ItemPrior(name, _nearest(_scaled(counted, -1.0, 0.0), config), newest=1)
        elif name == "two_hops":
            counted = item_transitions(histories, num_items, _WINDOW, forward=3.0)
            once = _scaled(counted, -0.5, -0.25)
            yield ItemPrior(name, _nearest(once, config, once))
        elif name == "spectral":
            yield ItemPrior(name, *_spectral_sides(histories, num_items, seed), recency=0.5)
        elif name == "popularity":
            counts = np.bincount(histories.values, minlength=num_items)
            yield ItemPrior(name, counts.astype(np.float32)[None])


def _described_priors(split: Split, config: PriorsConfig) -> Iterator[ItemPrior]:
    """Those of the catalogue, and of times."""
    read = {"recency": 0.5, "newest": _NEWEST, "averaged": True}
    for name in config.names:
        if name == "texts":
            rows = sp.csr_array(tfidf_matrix(list(split.dataset.catalog.title)), dtype=np.float32)
            yield ItemPrior(name, _nearest(rows, config, sp.csr_array(rows.T)), **read)
        elif name == "topics":
            encoder = TextConfig(encoder=config.encoder, size=_RANK)
            vectors = ItemTexts.of(split.dataset, encoder, "the prior topics").vectors
            yield ItemPrior(name, vectors, np.ascontiguousarray(vectors.T), **read)
        elif name == "attributes":
            rows = attribute_rows(split.dataset.catalog)
            yield ItemPrior(name, _nearest(rows, config, sp.csr_array(rows.T)), **read)
        elif name == "trend":
            yield ItemPrior(name, _recent_counts(split, config.half_life)[None])


def _nearest(left: Any, config: PriorsConfig, right: Any = None) -> sp.csr_array:
    """The items with the largest ``L R`` of each item, itself left out, ``float32[I, I]``."""
    kept, step = [], max(1, _NUMBERS_AT_ONCE // left.shape[0])
    for start in range(0, left.shape[0], step):
        rows = left[start : start + step]
        rows = sp.csr_array(rows if right is None else rows @ right)
        lengths = np.diff(rows.indptr)
        own = np.repeat(np.arange(start, start + len(lengths)), lengths)
        rows.data[rows.indices == own] = 0
        rows.eliminate_zeros()
        kept.append(nearest_of_rows(rows, config.neighbours))
    return sp.csr_array(sp.vstack(kept), dtype=np.float32)


def _scaled(counted: sp.csr_array, rows: float, columns: float) -> sp.csr_array:
    """A matrix times powers of its rows' sums and of its columns' sums."""
    before = sp.diags_array(powers(counted.sum(axis=1), rows))
    after = sp.diags_array(powers(counted.sum(axis=0), columns))
    return sp.csr_array(before @ counted @ after)


def _spectral_sides(histories: Ragged, num_items: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``D^-1/2 V s^2`` and ``V^T D^1/2`` of the normalised graph, ``[I, rank]``, ``[rank, I]``."""
    ones = np.ones(len(histories.values), np.float32)
    places = (histories.row_of_value, histories.values)
    taken = sp.csr_array((ones, places), shape=(len(histories), num_items))
    taken.data[:] = 1  # of repeated rows
    graph, degrees = _scaled(taken, -0.5, -0.5), taken.sum(axis=0)
    rank = min(_RANK, *taken.shape)  # type: ignore[misc]
    _, values, vectors = leading_singular_vectors(graph, rank, _ITERATIONS, seed)
    left = vectors * powers(degrees, -0.5)[:, None] * values**2
    return left, np.ascontiguousarray((vectors * powers(degrees, 0.5)[:, None]).T)


def attribute_rows(catalog: Catalog) -> sp.csr_array:
    """Attributes of items, rare ones more, rows of length 1, ``float32[I, A]``."""
    matrix: Any = item_attributes(catalog, 2).matrix
    weight = np.log((1 + matrix.shape[0]) / (1 + np.asarray(matrix.sum(axis=0))))
    weighed = sp.csr_array(matrix @ sp.diags_array(weight.astype(np.float32)))
    length = powers(weighed.multiply(weighed).sum(axis=1), -0.5)
    return sp.csr_array(sp.diags_array(length) @ weighed)


def _recent_counts(split: Split, half_life: float) -> np.ndarray:
    """Train rows of items, each weighing ``2^-(age / half_life)`` at the last train row."""
    times = split.train.timestamp
    assert times is not None
    age = (times.max(initial=0) - times) / (half_life * _ONE_DAY)
    found = np.bincount(split.train.item_index, 2.0**-age, split.dataset.num_items)
    return found.astype(np.float32)
