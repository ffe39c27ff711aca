"""A model as it is served: everybody's history by index, and questions about many at once.

Shapes: U users, I items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp

from edgewise.data.dataset import histories_of
from edgewise.data.ragged import Ragged
from edgewise.models.grown import Grown
from edgewise.recommender import ItemFilter, ScoreShare
from edgewise.runs.run import Run, open_run
from edgewise.serving.catalogue import Catalogue
from edgewise.serving.schemas import Item, Reason
from edgewise.serving.version import lists_key, model_version

_NAMED_ITEMS = 3
_WARMED = 16


@dataclass(frozen=True, eq=False)
class Taste:
    """Somebody as a model is asked about them.

    Attributes:
        user: by index; -1 for people who are not in the data.
        history: items by index, oldest first, ``int32[n]``.
        hidden: items never to be shown to them, ``int32[m]``, whatever a request says.
        events: the same, and what they had events with, ``int32[m]``.
    """

    user: int
    history: np.ndarray
    hidden: np.ndarray
    events: np.ndarray

    @property
    def is_cold(self) -> bool:
        """Whether nothing is known of their taste."""
        return not len(self.history)


@dataclass(frozen=True, eq=False)
class Question:
    """The k best items for somebody, without the banned ones, ``int[m]`` by index."""

    taste: Taste
    banned: np.ndarray
    k: int


Ranking = tuple[Sequence[int], Sequence[float]]
"""Items by index, best first, and their scores."""


@dataclass(frozen=True, eq=False)
class Served:
    """A run that answers.

    Attributes:
        version: by which answers are told apart.
        run: opened; with the shop's new items, where :func:`with_new_items` made it.
        histories: of all users by everything that the data set tells, oldest first.
        catalogue: its items, with the shop's changes.
        opened: the run as its folder has it.
    """

    version: str
    run: Run
    histories: Ragged
    catalogue: Catalogue
    opened: Run

    @classmethod
    def load(cls, folder: Path, data: Path | None = None, weights: str | None = None) -> Served:
        """Open a run and ask it one question, so that the first person does not wait.

        Arguments as for :func:`edgewise.runs.run.open_run`.

        Raises:
            EdgewiseError: the run, its model or its data set cannot be used.
        """
        run = open_run(folder, data, weights)
        run.model.require("sequential")
        return cls.of(model_version(folder), run, run)

    @classmethod
    def of(cls, version: str, run: Run, opened: Run) -> Served:
        """Of an opened run; arguments as the attributes."""
        histories = histories_of(run.dataset.num_users, run.dataset.interactions)
        run.model.prepare(histories)
        served = cls(version, run, histories, Catalogue(run.dataset), opened)
        served.warm()
        return served

    def warm(self) -> None:
        """Answer somebody with a history, several, and nobody."""
        some = np.flatnonzero(self.histories.lengths)[:_WARMED].tolist()
        nothing = np.empty(0, np.int32)
        tastes = [Taste(user, self.histories[user], nothing, nothing) for user in some]
        questions = [Question(taste, taste.history, _WARMED) for taste in tastes]
        for part in (questions[:1], questions):
            if part:
                self.rank(part)
        _ = self.popular

    @cached_property
    def key(self) -> str:
        """By which its lists are stored."""
        return lists_key(self.run)

    @property
    def num_items(self) -> int:
        return len(self.catalogue.ids)

    @cached_property
    def popular(self) -> tuple[np.ndarray, np.ndarray]:
        """All items by falling popularity, ``int64[I]``, and the scores by item."""
        scores = np.asarray(self.run.model.cold_scores())
        return np.argsort(-scores, kind="stable"), scores

    @cached_property
    def cold_users(self) -> frozenset[str]:
        """Ids of people of whom the data set tells nothing."""
        ids = self.run.dataset.users.ids
        return frozenset(ids[user] for user in np.flatnonzero(self.histories.lengths == 0))

    def user_index(self, user_id: str) -> int:
        """-1 for people who are not in the data."""
        users = self.run.dataset.users
        return users.index_of(user_id) if user_id in users else -1

    def popular_items(self, banned: np.ndarray, k: int) -> Ranking:
        """The most popular items but those in ``bool[I]``."""
        order, scores = self.popular
        best = order[~banned[order]][:k]
        return best.tolist(), scores[best].tolist()

    def rank(self, questions: Sequence[Question]) -> list[Ranking]:
        """Lists of several people, from one question to the model."""
        users, histories = _asked([question.taste for question in questions])
        banned = Ragged.of_rows([np.unique(question.banned) for question in questions])
        k = max(question.k for question in questions)
        found = self.run.model.rank(users, histories, k, ItemFilter(banned))
        return [
            (items[: question.k].tolist(), scores[: question.k].astype(float).tolist())
            for question, items, scores in zip(
                questions, found.items.rows(), found.scores.rows(), strict=True
            )
        ]

    def score(self, taste: Taste, items: np.ndarray) -> Ranking:
        """Given items, best first: the user-item score of paper 002."""
        model = self.run.model
        if taste.is_cold:
            scores = self.popular[1][items]
        else:
            task = "direct" if "direct" in model.tasks else "sequential"
            users, histories = _asked([taste])
            scores = model.score_lists(users, histories, Ragged.of_rows([items]), task)
        order = np.argsort(-scores, kind="stable")
        return items[order].tolist(), scores[order].astype(float).tolist()

    def similar(self, item: int, banned: np.ndarray, k: int) -> Ranking:
        """Items that are most like one, without those in ``bool[I]``."""
        deny = np.flatnonzero(banned)
        found = self.run.model.similar_items([item], k, deny=deny if len(deny) else None)
        return found.item_index.tolist(), found.score.astype(float).tolist()

    def reasons(self, taste: Taste, items: Sequence[int]) -> list[list[Reason]]:
        """What speaks for each item, strongest first.

        The parts of its score, where the method mixes several; otherwise what the graph says.
        """
        if taste.is_cold:
            return [[_POPULAR] for _ in items]
        users, histories = _asked([taste])
        asked = np.asarray(items, dtype=np.int64)
        shares = self.run.model.shares(users, histories, asked)
        if any(shares):
            return [[self._part(share) for share in row] for row in shares]
        return [self._shared(taste, item) for item in items]

    def _part(self, share: ScoreShare) -> Reason:
        items = [item for item, _ in share.items[:_NAMED_ITEMS]]
        return self._told(share.name, share.share, share.reason, items[:2], items)

    def _told(
        self, name: str, share: float, text: str, titled: Sequence[int], items: Sequence[int]
    ) -> Reason:
        ids, titles = self.catalogue.ids, self.catalogue.titles
        told = " and ".join(f'"{titles[item] or ids[item]}"' for item in titled)
        named = [ids[item] for item in items]
        return Reason(name=name, share=float(share), text=f"{text} {told}".strip(), items=named)

    def _shared(self, taste: Taste, item: int) -> list[Reason]:
        """What the graph says: people who took the item, and what they have in common."""
        takers = self._takers
        people = takers[[item]]
        history = np.array(list(dict.fromkeys(taste.history[::-1].tolist())))
        counts = (takers[history] @ people.T).toarray()[:, 0].astype(int)
        order = np.argsort(-counts, kind="stable")[:_NAMED_ITEMS]
        best = history[order[counts[order] > 0]].tolist()
        if not best:
            told = f"taken by {_people(people.nnz)}, none of whom took anything they have"
            return [Reason(name="graph", share=0.0, text=told, items=[])]
        told = f"taken by {_people(int(counts.max()))} who also took"
        return [self._told("graph", 1.0, told, best[:1], best)]

    @cached_property
    def _takers(self) -> sp.csr_array:
        """Who took each item, ``float32[I, U]``."""
        return sp.csr_array(self.run.model.matrix(self.histories).T)


def with_new_items(served: Served, items: Sequence[Item]) -> Served:
    """The same model asked about more items, which it lists by what they are like.

    The model itself does not change; see ``models/grown.py``.

    Args:
        served: of the run as its folder has it.
        items: that its data set lacks.
    """
    opened = served.opened
    table = pl.DataFrame(
        {
            "item_id": [item.item_id for item in items],
            "title": [item.title for item in items],
            "brand": [item.brand for item in items],
            "categories": pl.Series([item.categories for item in items], dtype=pl.List(pl.String)),
        }
    )
    dataset = opened.dataset.append(items=table)
    fitted = opened.model.model if isinstance(opened.model, Grown) else opened.model
    run = replace(opened, dataset=dataset, model=Grown.of(fitted, dataset))
    return Served.of(served.version, run, opened)


_UNKNOWN = "it is popular, and nothing is known of this person"
_POPULAR = Reason(name="popularity", share=1.0, text=_UNKNOWN, items=[])


def _asked(tastes: Sequence[Taste]) -> tuple[np.ndarray, Ragged]:
    users = np.array([taste.user for taste in tastes], dtype=np.int64)
    return users, Ragged.of_rows([taste.history for taste in tastes])


def _people(count: int) -> str:
    return f"{count:,} {'person' if count == 1 else 'people'}"
