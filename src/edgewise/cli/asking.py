"""Questions of ``edgewise recommend``, put to the model a few users at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from edgewise.cli.ids import RawCandidates, find_ids
from edgewise.config import check
from edgewise.data.dataset import histories_of
from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.recommender import Task
from edgewise.runs.predict import SIZE
from edgewise.runs.run import Run

NEW_USER = "new user"


@dataclass(frozen=True, eq=False)
class Answer:
    """Some users' lists (``user_id, item_id, rank, score, title``) and how far this brings us."""

    names: Sequence[str]
    lists: pl.DataFrame
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Asking:
    """What is asked of the model for every user alike.

    Attributes:
        run: opened.
        k: items a user.
        task: which prompt ranks them.
        candidates: the items to rank, for everybody or a user; None for the whole catalogue.
        skip_unknown: leave unknown ids out with a warning.
    """

    run: Run
    k: int
    task: Task
    candidates: RawCandidates | None
    skip_unknown: bool

    def users(self, ids: list[str] | None) -> Iterator[Answer]:
        """Lists of the named users, or of all."""
        dataset, users = self.run.dataset, self._indices(ids)
        histories = histories_of(dataset.num_users, dataset.interactions)
        for start in range(0, len(users), SIZE):
            piece = users[start : start + SIZE]
            if self.candidates is None:
                lists = self.run.model.recommend(piece, self.k, histories=histories)
            else:
                choices = [self._choice(dataset.users.ids[user]) for user in piece]
                lists = self._ranked(piece, choices, histories=histories)
            names = [dataset.users.ids[user] for user in piece]
            yield Answer(names, lists.to_frame(dataset), start + len(piece), len(users))

    def newcomer(self, history: str) -> Iterator[Answer]:
        """The list of somebody who is not in the data, from comma-separated item ids."""
        dataset = self.run.dataset
        typed = [name.strip() for name in history.split(",") if name.strip()]
        items = find_ids(dataset.items, typed, self.skip_unknown)
        check(len(items) > 0, f"--history {history}: no known item in it")
        if self.candidates is None:
            lists = self.run.model.recommend_new([items], self.k)
        else:
            shared = not isinstance(self.candidates, dict)
            check(shared, "--history goes with one list of candidates, not with lists by user")
            lists = self._ranked(np.zeros(1, np.int32), [self._shared], new_users=[items])
        frame = lists.to_frame(dataset).with_columns(user_id=pl.lit(NEW_USER))
        yield Answer([NEW_USER], frame, 1, 1)

    def _indices(self, ids: list[str] | None) -> np.ndarray:
        """The users asked for; "all" means all who have candidates where these go by user."""
        vocabulary, by_user = self.run.dataset.users, isinstance(self.candidates, dict)
        if ids is None and not by_user:
            return np.arange(len(vocabulary), dtype=np.int32)
        names = dict.fromkeys(self.candidates if ids is None else ids)  # type: ignore[arg-type]
        return find_ids(vocabulary, names, self.skip_unknown)

    @cached_property
    def _shared(self) -> np.ndarray:
        """The candidates that everybody shares, by item index."""
        return self._found(self.candidates or [])

    def _choice(self, user: str) -> np.ndarray:
        if not isinstance(self.candidates, dict):
            return self._shared
        check(user in self.candidates, f"--candidates has none for user {user!r}: add some")
        return self._found(self.candidates[user])

    def _found(self, raw_ids: Sequence[str] | dict[str, Any]) -> np.ndarray:
        return find_ids(self.run.dataset.items, dict.fromkeys(raw_ids), self.skip_unknown)

    def _ranked(self, users: np.ndarray, choices: list[np.ndarray], **who: Any) -> Recommendations:
        """The k best of each user's candidates."""
        lists = CandidateLists.from_lists(users, choices)
        scores = self.run.model.score_candidates(lists, task=self.task, **who)
        parts = np.split(scores, lists.offsets[1:-1])
        best = [np.argsort(-part, kind="stable")[: self.k] for part in parts]
        items = [row[order] for row, order in zip(choices, best, strict=True)]
        ordered = [part[order] for part, order in zip(parts, best, strict=True)]
        return Recommendations.from_lists(users, items, ordered)
