"""Questions put to a model a few users at a time, so that memory is bounded and progress told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import polars as pl

from edgewise.config import check
from edgewise.data.dataset import Vocabulary, histories_of
from edgewise.data.hashing import id_keys, keyed_bits
from edgewise.data.item_facets import Filters
from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.data.ragged import Ragged
from edgewise.data.ranking import top_k
from edgewise.recommender import Items, Recommender, Task
from edgewise.runs.run import Run, launched_together

USERS_AT_ONCE = 128
T = TypeVar("T")
OnProgress = Callable[[int, int], None]
RawCandidates = Sequence[str] | dict[str, list[str]]
"""Items to rank, by raw id: the same for everybody, or a list a user."""


class BatchedRecommender:
    """Passes on the questions that evaluation asks, a few users at a time.

    Args:
        model: whose answers they are.
        on_progress: told (done, total) after each part.
        size: of a part; the model's own where it is None, fewer where texts are written.
        spread: the processes that ``torchrun`` has started take turns with the parts and tell each
            other the answers, so that everyone has all of them; all processes must ask the same.

    Attributes:
        seconds: that the model has taken to answer so far, in the slowest process.
    """

    def __init__(
        self,
        model: Recommender,
        on_progress: OnProgress | None = None,
        *,
        size: int | None = None,
        spread: bool = False,
    ) -> None:
        self._model, self._spread = model, spread and launched_together()
        # What only writes the most frequent text asks nobody.
        self._size: int = size or getattr(model, "ASKED_AT_ONCE", USERS_AT_ONCE)
        self._on_progress = on_progress or (lambda done, total: None)
        self.seconds = 0.0

    def recommend(
        self,
        users: np.ndarray,
        k: int = 10,
        *,
        histories: Ragged | None = None,
        exclude_seen: bool = True,
        allow: np.ndarray | None = None,
    ) -> Recommendations:
        told: dict[str, Any] = {"histories": histories, "exclude_seen": exclude_seen}
        return Recommendations.concat(
            self._answers(
                len(users), lambda part: self._model.recommend(users[part], k, allow=allow, **told)
            )
        )

    def score_candidates(
        self,
        candidates: CandidateLists,
        *,
        histories: Ragged | None = None,
        task: Task | None = None,
    ) -> np.ndarray:
        told: dict[str, Any] = {"histories": histories, "task": task}
        parts = self._answers(
            len(candidates),
            lambda part: self._model.score_candidates(candidates.take(part), **told),
        )
        return np.concatenate([*parts, np.empty(0, dtype=np.float32)])

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        parts = self._answers(
            len(pairs),
            lambda part: self._model.explain(pairs[part[0] : part[-1] + 1]),
            min(self._size, USERS_AT_ONCE),
        )
        return [text for part in parts for text in part]

    def _answers(
        self, total: int, ask: Callable[[np.ndarray], T], size: int | None = None
    ) -> list[T]:
        """The answers to all parts, in their order; of several processes each asks about its own.

        The parts are those of a single process, and so is every answer.
        """
        size = size or self._size
        parts = [np.arange(n, min(n + size, total)) for n in range(0, total, size)]
        if not self._spread:
            return [answer for _, answer in self._asked(parts, ask, total)]
        from edgewise.training import processes

        processes.join()
        before, mine = self.seconds, processes.process_index()
        own = self._asked(parts[mine :: processes.num_processes()], ask, total)
        shares = processes.answers_of_all((self.seconds - before, list(own)))
        self.seconds = before + max(seconds for seconds, _ in shares)
        found = {int(part[0]): answer for _, share in shares for part, answer in share}
        return [found[int(part[0])] for part in parts]

    def _asked(
        self, parts: Sequence[np.ndarray], ask: Callable[[np.ndarray], T], total: int
    ) -> Iterator[tuple[np.ndarray, T]]:
        for part in parts:
            begun = time.perf_counter()
            answer = ask(part)
            self.seconds += time.perf_counter() - begun
            self._on_progress(int(part[-1]) + 1, total)
            yield part, answer


@dataclass(frozen=True, eq=False)
class Answer:
    """Some users' lists (``user_id, item_id, score, rank, title``) and how far this brings us.

    A column ``cold`` is added where any of all asked users has no history.
    """

    users: Sequence[str]
    lists: pl.DataFrame
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Predictor:
    """What is asked of a run's model for every user alike, by everything its data set tells.

    Attributes:
        run: opened.
        k: items a user.
        task: how candidates are ranked.
        candidates: the items to rank; None for the whole catalogue. A prompt holds them in an order
            by a hash of the run's seed and their ids, so that scores do not depend on who wrote
            the list; less what ``allow``, ``deny`` and ``filters`` leave out.
        exclude_seen, allow, deny, filters: of :meth:`edgewise.recommender.Recommender.recommend`.
        why: add a column ``why``, the strongest part of each item's score in words.
    """

    run: Run
    k: int = 10
    task: Task = "sequential"
    candidates: RawCandidates | None = None
    exclude_seen: bool = True
    allow: Items | None = None
    deny: Items | None = None
    filters: Filters | None = None
    why: bool = False

    def users(self, ids: Sequence[str]) -> Iterator[Answer]:
        """Lists of users of the data set, by raw id; everybody's ids need no looking up."""
        dataset, model = self.run.dataset, self.run.model
        histories = histories_of(dataset.num_users, dataset.interactions)
        everybody = ids is dataset.users.ids
        index = np.arange(len(ids)) if everybody else model.user_index(ids)
        cold = histories.lengths[index] == 0
        any_cold = bool(cold.any())
        for start in range(0, len(ids), USERS_AT_ONCE):
            place = slice(start, start + USERS_AT_ONCE)
            part, users = list(ids[place]), index[place]
            if self.candidates is None:
                lists = model.recommend(users, self.k, histories=histories, **self._filters)
            else:
                choices = [self._choice(user) for user in part]
                scores = CandidateLists.from_lists(users, choices)
                lists = self._ranked(
                    scores,
                    model.score_candidates(scores, histories=histories, task=self.task),
                )
            frame = lists.to_frame(dataset)
            if self.why:
                frame = frame.with_columns(why=self._reasons(lists, histories))
            if any_cold:  # in every part, since they may become one table
                own = [part[row] for row in np.flatnonzero(cold[place])]
                frame = frame.with_columns(cold=pl.col("user_id").is_in(own))
            yield Answer(part, frame, start + len(part), len(ids))

    def asked_as(self, task: Task) -> Predictor:
        """The same questions, by another task."""
        return replace(self, task=task)

    def wanted(self, user: str) -> int:
        """How long the user's list is to be: k, or all candidates."""
        if self.candidates is None:
            return self.k
        own = self.candidates
        if isinstance(own, dict):
            own = own.get(user, [])
        return min(self.k, len(set(own)))

    def similar(self, ids: Sequence[str]) -> Iterator[Answer]:
        """Items that are like others; ``users`` of the answer are those others' ids."""
        for start in range(0, len(ids), USERS_AT_ONCE):
            part = list(ids[start : start + USERS_AT_ONCE])
            found = self.run.model.similar_items(part, self.k, **self._limits)
            yield Answer(part, found.to_frame(), start + len(part), len(ids))

    def newcomer(self, history: Items) -> Iterator[Answer]:
        """The list of somebody who is not in the data, from the items of a history."""
        model = self.run.model
        if self.candidates is None:
            lists = model.recommend_new([history], self.k, **self._filters)
        else:
            shared = not isinstance(self.candidates, dict)
            check(shared, "--history goes with one list of candidates, not with lists by user")
            asked = CandidateLists.from_lists(np.zeros(1, np.int32), [self._shared])
            scores = model.score_candidates(asked, new_users=[history], task=self.task)
            lists = self._ranked(asked, scores)
        frame = lists.to_frame(self.run.dataset).with_columns(user_id=pl.lit("new user"))
        yield Answer(["new user"], frame, 1, 1)

    def _reasons(self, lists: Recommendations, histories: Ragged) -> pl.Series:
        """One for every row of the lists, which stand user by user."""
        from edgewise.runs.explain import score_reasons, strongest

        found: list[str] = []
        starts = np.flatnonzero(np.diff(lists.user_index, prepend=-1))
        for rows in np.split(np.arange(len(lists)), starts[1:]):
            if len(rows):
                user, items = int(lists.user_index[rows[0]]), lists.item_index[rows]
                found += map(strongest, score_reasons(self.run, user, items, histories))
        return pl.Series(found, dtype=pl.String)

    @property
    def _filters(self) -> dict[str, Any]:
        return {"exclude_seen": self.exclude_seen, **self._limits}

    @property
    def _limits(self) -> dict[str, Any]:
        return {"allow": self.allow, "deny": self.deny, "filters": self.filters}

    @cached_property
    def _listable(self) -> np.ndarray:
        """Which items ``allow``, ``deny`` and ``filters`` leave, ``bool[I]``."""
        hidden = self.run.model.hidden(**self._limits)
        return np.ones(self.run.dataset.num_items, bool) if hidden is None else ~hidden

    @cached_property
    def _shared(self) -> np.ndarray:
        """The candidates that everybody shares, by item index."""
        assert not isinstance(self.candidates, dict)
        return self._ordered(self.candidates or [])

    def _choice(self, user: str) -> np.ndarray:
        if not isinstance(self.candidates, dict):
            return self._shared
        check(user in self.candidates, f"--candidates has none for user {user!r}: add some")
        return self._ordered(self.candidates[user])

    def _ordered(self, ids: Sequence[str]) -> np.ndarray:
        """Candidates by item index, each once, in the order of their keys, ``int64[n]``."""
        found = self.run.model.item_index(list(dict.fromkeys(ids)))
        items = found[self._listable[found]]
        names = Vocabulary(tuple(self.run.dataset.items.ids[item] for item in items))
        return items[np.argsort(keyed_bits(self.run.model.config.seed, id_keys(names)))]

    def _ranked(self, asked: CandidateLists, scores: np.ndarray) -> Recommendations:
        """The k best of each list."""
        parts = Ragged(asked.offsets, scores).rows()
        best = [top_k(part, self.k) for part in parts]
        items = [asked[row][order] for row, order in enumerate(best)]
        ordered = [part[order] for part, order in zip(parts, best, strict=True)]
        return Recommendations.from_lists(asked.user_index, items, ordered)
