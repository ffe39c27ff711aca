"""A fitted recommender asked about a data set that has grown since.

:class:`Grown` knows all users and items of the grown data set and changes no weight of the model.

- **Histories** are the newest. New items in them are not read by the model, which has no word for
  them; where a user has nothing else, each is read as the known item that it is most like.
- **New users** are to the model people who are not in the data: they are known by their histories.
- **New items** are scored by a linear extension of the model, from the three known items j that
  each is most like:

      ``s(u, n) = l_n + c (sum over j of W_nj s(u, j) - l_n)``, rows of W sum to 1.

  l_n is the mean of that sum over users. A mean of scores varies less over users than each of them,
  so that it would seldom be among a user's highest: c, at least 1, is the largest number by which
  new items are among the ten best of no more users than their neighbours are. Where a score is a
  dot product of embeddings, this is the score of an item whose embedding is c times the mean of its
  neighbours' embeddings, and a constant. Nearest are by texts (TF-IDF of title, brand and
  categories, cosine) and, with e users who have it, by who took both (cosine of columns), which
  weighs ``e / (e + 5)``. Of a new item without either nothing is known: it is in no list, and the
  last of given candidates.

What a method cannot do that way, :attr:`Grown.notes` says.

Beyond the papers. The mean of the nearest items' factors for an item that is cold: Gantner et al.,
ICDM 2010 (attribute-to-feature mappings, k nearest neighbours).

Shapes: B users asked about, I items, K known and N new ones, I = K + N.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from edgewise.data.dataset import Catalog, Dataset
from edgewise.data.fitted import FittedData
from edgewise.data.ragged import Ragged
from edgewise.data.ranking import Ranked, best_of_rows
from edgewise.data.splits import Split
from edgewise.errors import ConfigError, DataError
from edgewise.models.new_items import (
    NewItems,
    extended,
    is_empty,
    joined,
    mean_of_finite,
    mean_shares,
    nearest_by_events,
    nearest_by_texts,
)
from edgewise.recommender import (
    ItemFilter,
    Recommender,
    ScoreShare,
    Task,
    popularity_scores,
)

# Of how often items are among the best, a few hundred users tell.
_SAMPLED_USERS, _PLACES = 500, 10
_MOST_STRETCH, _HALVINGS = 10.0, 12
# Known items that a method which searches lists is asked to score besides, for every list.
_MOST_SCORED = 300


class Grown(Recommender):
    """A recommender whose data set has grown since it was fitted; made by :meth:`of`.

    ``data`` is the grown data set's: all its ids, and histories of all its rows.

    Attributes:
        model: as it was fitted.
        told: the histories of all users that were told last; those of all rows at first.
    """

    name, label = "grown", "Grown"
    LEARNED: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, model: Recommender, data: FittedData, catalog: Catalog, num_rows: int
    ) -> None:
        self.model = model
        self._num_rows = num_rows
        self.tasks = model.tasks
        self.stage_curves = model.stage_curves
        self._data = data
        self._catalog = catalog
        self.told = data.histories
        self._told_model = self._known_rows(data.histories)
        self._new_items: NewItems | None = None
        self._scale: tuple[np.ndarray, np.ndarray] | None = None
        for name in ("label", "SCORE_UNIT", "ASKED_AT_ONCE", "summary"):
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))

    @classmethod
    def of(cls, model: Recommender, dataset: Dataset) -> Self:
        """Ask a fitted model about a data set that begins with the ids that the model knows.

        Raises:
            DataError: it does not.
        """
        for kind in ("users", "items"):
            known, grown = getattr(model.data, kind).ids, getattr(dataset, kind).ids
            if grown[: len(known)] != known:
                raise DataError(
                    f"{model!r}: the {kind} of {dataset.name!r} do not begin with those of the "
                    "model, so that index numbers would mean others: only a data set that grew by "
                    "'edgewise data append' goes on with the model's ids"
                )
        rows = dataset.interactions
        nothing = rows.take(np.empty(0, np.int64))
        data = FittedData.of(Split(dataset, rows, nothing, nothing, kind="leave-one-out"))
        states = {state.checksum: state.interactions for state in dataset.grown_from}
        before = states.get(model.data.checksum, len(model.data.histories.values))
        return cls(model, data, dataset.catalog, len(rows) - before)

    def _no_embeddings(self) -> ConfigError:
        return ConfigError(
            f"{self.data.name} has grown since the model was fitted, whose vectors are of what it "
            "was fitted on alone: model.model.item_embeddings() in Python; for vectors of all, fit "
            "again (edgewise fit METHOD --from RUN goes on from the old weights)"
        )

    def __repr__(self) -> str:
        known, now = self.model.data, self.data
        users, items = len(now.users) - len(known.users), len(now.items) - len(known.items)
        return f"Grown({self.model!r} + {users:,} users, {items:,} items, {self._num_rows:,} rows)"

    @property
    def config(self) -> Any:
        """Of the model; where it is set, the model gets it."""
        return self.model.config

    @config.setter
    def config(self, value: Any) -> None:
        self.model.config = value

    @property
    def num_known(self) -> int:
        """K, items that the model knows."""
        return len(self.model.data.items)

    @property
    def num_new(self) -> int:
        """N, items that have come since."""
        return len(self.data.items) - self.num_known

    @property
    def notes(self) -> tuple[str, ...]:
        """Why new items are missing from lists, in sentences; empty where they are not."""
        found = []
        if alone := int(is_empty(self.new_items.weights).sum()):
            found.append(
                f"{alone:,} of {self.num_new:,} new items have neither texts nor rows that connect "
                "them with known ones: they are in no list"
            )
        if self.num_new and not self._lists_new:
            found.append(
                f"{self.model.label} searches the items it was fitted on, and {self.num_new:,} new "
                "ones are too many to be scored beside: its lists hold none of them, and it can "
                "rank them as candidates; fit it again to list them"
            )
        return tuple(found)

    # What new items are like

    @property
    def new_items(self) -> NewItems:
        """What each new item is like among the known ones."""
        if self._new_items is None:
            by_events, users = nearest_by_events(self.matrix(self.told), self._taught)
            self._new_items = joined(self._by_texts, by_events, users)
        return self._new_items

    def scale(self, task: Task) -> tuple[np.ndarray, np.ndarray]:
        """l and c of the new items for the scores of a task, ``float64[N]`` each."""
        if not self._is_scaled(task):
            return np.zeros(self.num_new), np.ones(self.num_new)
        if self._scale is None:
            self._scale = self._measured_scale(task)
        return self._scale

    def _is_scaled(self, task: Task) -> bool:
        """A language model that reads the candidates scores no item alike in two lists."""
        return task == "sequential" or not self.model.SEARCHES

    def _measured_scale(self, task: Task) -> tuple[np.ndarray, np.ndarray]:
        own, known = self.new_items.of_columns, np.flatnonzero(self._told_model.lengths)
        most = _SAMPLED_USERS // (5 if self.model.SEARCHES else 1)
        users = np.sort(np.random.default_rng(self.config.seed).permutation(known)[:most])
        if not len(users) or not len(self.new_items.columns):
            return np.zeros(self.num_new), np.ones(self.num_new)
        histories = self._told_model.take(users)
        scores = self._column_scores(users, histories, task)
        means = np.asarray((own @ scores.T).T)
        level = means.mean(axis=0)
        stretch = 1.0
        if "sequential" in self.tasks:
            best = self.model.rank_items(users, histories, ItemFilter(histories), _PLACES).scores
            bars = np.array([row[-1] if len(row) == _PLACES else np.inf for row in best.rows()])
            seen = self.matrix(histories)[:, self.new_items.columns].toarray() > 0
            fair = float(((scores >= bars[:, None]) & ~seen).dot(own.T.toarray()).sum())
            stretch = _fair_stretch(means, level, bars[:, None], fair)
        return level, np.full(self.num_new, stretch)

    def _column_scores(self, users: np.ndarray, histories: Ragged, task: Task) -> np.ndarray:
        """The model's scores of these, ``float64[B, n]``."""
        columns = self.new_items.columns
        lists = Ragged.of_lengths(np.full(len(users), len(columns)), np.tile(columns, len(users)))
        found = self.model.score_lists(users, histories, lists, task)
        return np.asarray(found, np.float64).reshape(len(users), len(columns))

    @cached_property
    def _by_texts(self) -> sp.csr_array:
        return nearest_by_texts(self._catalog, self._taught)

    @property
    def _taught(self) -> np.ndarray:
        return self.model.data.item_counts > 0

    def prepare(self, histories: Ragged) -> None:
        """Count anew what new items are like; the model is told what known users have by now."""
        if histories is not self.told:
            self.told, self._new_items, self._scale = histories, None, None
            self._told_model = self._known_rows(histories)
        self.model.prepare(self._told_model)

    def _known_rows(self, histories: Ragged) -> Ragged:
        """Of known users and known items alone."""
        known = histories.part(0, min(len(histories), len(self.model.data.users)))
        return known.keep(known.values < self.num_known)

    # Answering

    def cold_scores(self) -> np.ndarray:
        """How often each item is taken by now, ``float64[I]``."""
        counts = np.bincount(self.told.values, minlength=len(self.data.items))
        return popularity_scores(counts, self.config.seed)

    def rank_items(
        self, users: np.ndarray, histories: Ragged, hidden: ItemFilter, k: int
    ) -> Ranked:
        """Known items as the model ranks them, and new ones among them by their scores."""
        asked, read = self._asked(users, histories)
        warm = read.lengths > 0
        places = np.flatnonzero(warm), np.flatnonzero(~warm)
        parts = [
            rank(asked[rows], read.take(rows), hidden.take(rows), k)
            for rows, rank in zip(places, (self._rank_all, self._rank_popular), strict=True)
            if len(rows)
        ]
        return Ranked.concat(parts).put(np.concatenate(places))

    def _rank_all(self, users: np.ndarray, histories: Ragged, hidden: ItemFilter, k: int) -> Ranked:
        known = self.model.rank_items(users, histories, self._known(hidden), min(k, self.num_known))
        if not self.num_new or not self._lists_new:
            return known
        parts: list[Ranked] = []
        for rows in self._parts(len(users)):
            ours = Ranked(known.items.take(rows), known.scores.take(rows))
            width = int(ours.items.lengths.max(initial=0))
            scores = np.full((len(rows), width + self.num_new), -np.inf)
            items = np.zeros((len(rows), width + self.num_new), np.int64)
            place = ours.items.row_of_value, ours.items.place_of_value
            scores[place], items[place] = ours.scores.values, ours.items.values
            items[:, width:] = np.arange(self.num_known, len(self.data.items))
            scores[:, width:] = self._new_scores(users[rows], histories.take(rows))
            _hide_new(scores[:, width:], hidden.take(rows), self.num_known)
            best = best_of_rows(scores, k)
            chosen = items[best.items.row_of_value, best.items.values]
            parts.append(Ranked(Ragged(best.items.offsets, chosen), best.scores))
        return Ranked.concat(parts)

    def _rank_popular(
        self, users: np.ndarray, histories: Ragged, hidden: ItemFilter, k: int
    ) -> Ranked:
        """For people who have nothing that the model can read."""
        scores = np.tile(self.cold_scores(), (len(users), 1))
        hidden.apply(scores)
        return best_of_rows(scores, k)

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """The model's scores of known items, extended to new ones, ``float[B, I]``."""
        asked, read = self._asked(users, histories)
        scores = np.tile(self.cold_scores(), (len(users), 1))
        if len(warm := np.flatnonzero(read.lengths > 0)):
            known = np.asarray(self.model.score_items(asked[warm], read.take(warm)))
            new = extended(
                known, self.new_items.weights, known.min(axis=1), self.scale("sequential")
            )
            scores[warm] = np.concatenate([known, new], axis=1)
        return scores

    def score_lists(
        self, users: np.ndarray, histories: Ragged, lists: Ragged, task: Task
    ) -> np.ndarray:
        """The model's scores of lists in which the neighbours of new items stand for them."""
        asked, read = self._asked(users, histories)
        scores = self.cold_scores()[lists.values]
        warm = np.flatnonzero(read.lengths > 0)
        if not len(warm):
            return scores.astype(np.float32)
        chosen, weights = lists.take(warm), self.new_items.weights
        longer = [self._with_neighbours(row, weights) for row in chosen.rows()]
        given = Ragged.of_rows(longer)
        found = self.model.score_lists(asked[warm], read.take(warm), given, task)
        answers = Ragged(given.offsets, np.asarray(found, np.float64)).rows()
        told = [
            self._scores_of(row, items, answer, task)
            for row, items, answer in zip(chosen.rows(), longer, answers, strict=True)
        ]
        scores[(read.lengths > 0)[lists.row_of_value]] = np.concatenate([np.empty(0), *told])
        return scores.astype(np.float32)

    def _with_neighbours(self, items: np.ndarray, weights: sp.csr_array) -> np.ndarray:
        """A list's known items in their order, and behind them what its new ones are like."""
        new = items[items >= self.num_known] - self.num_known
        known = items[items < self.num_known]
        if not len(new):
            return known
        more = np.setdiff1d(weights[new].indices, known)
        if not len(more) and not len(known):
            more = np.flatnonzero(self.model.data.item_counts)[:1]  # something has to be asked
        return np.concatenate([known, more]).astype(np.int64)

    def _scores_of(
        self, items: np.ndarray, asked: np.ndarray, answer: np.ndarray, task: Task
    ) -> np.ndarray:
        """Of a list, from the answer for :meth:`_with_neighbours`."""
        is_new = items >= self.num_known
        if not is_new.any():
            return answer
        found, new = np.empty(len(items)), items[is_new] - self.num_known
        found[~is_new] = answer[: len(items) - len(new)]
        place = np.zeros(self.num_known)
        place[asked] = answer
        level, stretch = self.scale(task)
        scale = level[new], stretch[new]
        lowest = np.array([answer.min()])
        found[is_new] = extended(place[None], self.new_items.weights[new], lowest, scale)[0]
        return found

    def _new_scores(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Of all new items, ``float64[B, N]``, minus infinity where nothing is known of one.

        Histories are as the model reads them, none empty.
        """
        nowhere = np.full(len(users), -np.inf)
        if not len(self.new_items.columns):
            return np.tile(nowhere[:, None], self.num_new)
        scores = self._column_scores(users, histories, "sequential")
        return extended(scores, self.new_items.of_columns, nowhere, self.scale("sequential"))

    @property
    def _lists_new(self) -> bool:
        """Whether the scores of new items can be had for every list."""
        return not self.model.SEARCHES or len(self.new_items.columns) <= _MOST_SCORED

    def _asked(self, users: np.ndarray, histories: Ragged) -> tuple[np.ndarray, Ragged]:
        """Users and histories as the model knows them; histories may become empty."""
        asked = np.where(users < len(self.model.data.users), users, -1)
        if not self.num_new or not (histories.values >= self.num_known).any():
            return asked, histories
        values = self.new_items.stand_ins[histories.values].astype(histories.values.dtype)
        is_known = histories.values < self.num_known
        only_new = histories.keep(is_known).lengths[histories.row_of_value] == 0
        return asked, Ragged(histories.offsets, values).keep(is_known | (only_new & (values >= 0)))

    def _known(self, hidden: ItemFilter) -> ItemFilter:
        """What known items must not be listed."""
        seen = hidden.seen and hidden.seen.keep(hidden.seen.values < self.num_known)
        return ItemFilter(seen, None if hidden.hidden is None else hidden.hidden[: self.num_known])

    @property
    def similarity_unit(self) -> str:
        """The model's."""
        return self.model.similarity_unit

    def item_similarities(self, items: np.ndarray) -> np.ndarray:
        """The model's; those of new items are the means of those of the items they are like."""
        is_new = items >= self.num_known
        own = self.new_items.weights[items[is_new] - self.num_known]
        asked = np.unique(np.concatenate([items[~is_new], own.indices])).astype(np.int64)
        rows = np.full((len(asked), self.num_known), -np.inf)
        if len(asked):
            rows = np.array(self.model.item_similarities(asked), dtype=np.float64)
            rows[np.arange(len(asked)), asked] = -np.inf  # an item is like itself as its nearest is
            rows[np.arange(len(asked)), asked] = rows.max(axis=1)
        known = np.empty((len(items), self.num_known))
        known[~is_new] = rows[np.searchsorted(asked, items[~is_new])]
        known[is_new] = mean_of_finite(rows.T, sp.csr_array(own[:, asked])).T
        return np.concatenate([known, mean_of_finite(known, self.new_items.weights)], axis=1)

    # Telling

    def require(self, task: str) -> None:
        self.model.require(task)

    def learned_rows(self) -> tuple[tuple[str, str], ...]:
        return self.model.learned_rows()

    def fitted_on_valid(self) -> np.ndarray:
        return self.model.fitted_on_valid()

    def write_explanations(self, users: np.ndarray, items: np.ndarray) -> list[str]:
        """As the model writes them.

        Raises:
            ConfigError: a user or an item has come since it was fitted.
        """
        for kind, asked in (("user", users), ("item", items)):
            ids = getattr(self.data, f"{kind}s").ids
            if len(new := asked[asked >= len(getattr(self.model.data, f"{kind}s"))]):
                raise ConfigError(
                    f"{kind} {ids[new[0]]!r} has come since the model was fitted, and it writes of "
                    "those alone that it knows: ask without texts, or fit it again"
                )
        return self.model.write_explanations(users, items)

    def shares(
        self, users: np.ndarray, histories: Ragged, items: np.ndarray
    ) -> list[tuple[ScoreShare, ...]]:
        """The model's; a part of a new item's is the mean of those of the items it is like."""
        asked, read = self._asked(users, histories)
        if not read.lengths[0]:
            return [()] * len(items)
        weights, is_new = self.new_items.weights, items >= self.num_known
        known = np.union1d(items[~is_new], weights[items[is_new] - self.num_known].indices)
        told = self.model.shares(asked, read, known)
        by_item = dict(zip(known.tolist(), told, strict=True))
        found = []
        for item in items.tolist():
            shares = by_item.get(item) if item < self.num_known else None
            if shares is None:
                row = weights[[item - self.num_known]]
                pairs = zip(row.indices.tolist(), row.data.tolist(), strict=True)
                shares = mean_shares([(by_item[near], weight) for near, weight in pairs])
            found.append(tuple(self._in_own_items(share, histories[0]) for share in shares))
        return found

    def _in_own_items(self, share: ScoreShare, history: np.ndarray) -> ScoreShare:
        """With the user's new items in place of those that they were read as."""
        stand_ins, taken = self.new_items.stand_ins, set(history.tolist())
        back = {int(stand_ins[item]): int(item) for item in history if item >= self.num_known}
        named = (
            (item if item in taken else back.get(item, item), part) for item, part in share.items
        )
        return replace(share, items=tuple(named))

    def save_pretrained(self, folder: str | Path, *, card: Mapping[str, str] | None = None) -> None:
        """There is nothing of its own to be saved.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"{folder}: what has grown is the data set; save the model itself (.model), and make "
            "this again with Grown.of(model, dataset)"
        )


def _fair_stretch(means: np.ndarray, level: np.ndarray, bars: np.ndarray, fair: float) -> float:
    """c, up to :data:`_MOST_STRETCH`, by which at most ``fair`` of the scores lie above bars.

    Args:
        means: of the neighbours' scores, ``float64[B, N]``.
        level: l of the new items, ``[N]``.
        bars: what the best scores of each user begin at, ``[B, 1]``.
        fair: how many scores of new items may lie above.
    """
    low, high = 1.0, _MOST_STRETCH
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = (level + middle * (means - level) > bars).sum()
        low, high = (middle, high) if above <= fair else (low, middle)
    return low


def _hide_new(scores: np.ndarray, hidden: ItemFilter, num_known: int) -> None:
    """Set the scores ``[B, N]`` of new items that must not be listed to minus infinity."""
    if hidden.seen is not None:
        new = hidden.seen.values >= num_known
        scores[hidden.seen.row_of_value[new], hidden.seen.values[new] - num_known] = -np.inf
    if hidden.hidden is not None:
        scores[:, hidden.hidden[num_known:]] = -np.inf
