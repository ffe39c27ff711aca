"""The one contract of everything that recommends.

:class:`Recommender` owns what all methods have in common: ids and index numbers, what a user has
seen, allowed and denied items, top-k, memory, people who are not in the data, people without a
history, presets, saving and loading. A method says what it learns and how it scores; it never
masks, sorts or looks up ids.

Shapes: B users asked about, U users, I items, K items of a list.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, get_args

import numpy as np

from edgewise.config import MethodConfig, check, preset_config, to_dict, updated, with_overrides
from edgewise.data.dataset import Dataset, Vocabulary
from edgewise.data.fitted import FittedData
from edgewise.data.item_facets import Filters
from edgewise.data.item_lists import CandidateLists, Recommendations, SimilarItems
from edgewise.data.ragged import Ragged
from edgewise.data.ranking import Ranked, best_of_rows
from edgewise.data.splits import Split
from edgewise.errors import ConfigError, ModelFolderError, UnknownIdError
from edgewise.files import ABOUT, read_model, write_card, writing_model
from edgewise.parsing import Shape, check_shape

if TYPE_CHECKING:
    import scipy.sparse as sp

    from edgewise.training.curves import Curves

Task = Literal["explanation", "sequential", "direct"]
TASKS: tuple[Task, ...] = get_args(Task)

Users = Sequence[str] | Sequence[int] | np.ndarray
"""Raw ids as texts, or index numbers."""
Items = Sequence[str] | Sequence[int] | np.ndarray

DEFAULT_PRESET = "cpu"
# Scores of a few rows stay in a processor's cache until the best of them are found.
_ROWS_AT_ONCE = 64
_SCORES_AT_ONCE, _SCORES_IN_CACHE = 8_000_000, 1_000_000
_TIES = 1
_AGAIN = "fit and save it again"


class _DataPart(Shape):
    name: str
    checksum: str
    users_sha256: str
    items_sha256: str


class _ModelSettings(Shape):
    """What :meth:`Recommender.save_pretrained` says in ``model.json``."""

    config: dict[str, Any]
    tasks: list[str]
    data: _DataPart
    learned: dict[str, Any]


@dataclass(frozen=True)
class FitPlan:
    """What a training is about to do, told before its first step.

    Attributes:
        rows: names and values, as a table shows them.
        num_parameters: numbers that are learned.
    """

    rows: tuple[tuple[str, str], ...] = ()
    num_parameters: int = 0


@dataclass(frozen=True)
class FitOptions:
    """How a recommender is fitted, whatever it is.

    Attributes:
        folder: for checkpoints and trackers; None keeps nothing on disk.
        resume: go on from the folder's checkpoints.
        show_progress: print a progress bar.
        on_plan: told what is about to be trained.
        start_from: a fitted model of the same method, whose weights are gone on from.
        start_share: what these weights count; the rest is a fresh start.
    """

    folder: Path | None = None
    resume: bool = False
    show_progress: bool = False
    on_plan: Callable[[FitPlan], None] | None = None
    start_from: Recommender | None = None
    start_share: float = 1.0


@dataclass(frozen=True, eq=False)
class ItemFilter:
    """Items that lists must not hold.

    Attributes:
        seen: each asked user's own items; None where they may be listed.
        hidden: items that nobody is shown, ``bool[I]``; None = none.
    """

    seen: Ragged | None = None
    hidden: np.ndarray | None = None

    def __repr__(self) -> str:
        hidden = 0 if self.hidden is None else int(self.hidden.sum())
        return f"ItemFilter(seen={self.seen}, {hidden:,} items hidden)"

    def take(self, rows: np.ndarray) -> ItemFilter:
        """For some of the users."""
        return replace(self, seen=None if self.seen is None else self.seen.take(rows))

    def banned(self, num_users: int) -> list[np.ndarray]:
        """Every user's banned items, ``int64``, rising."""
        shared = np.empty(0, np.int64) if self.hidden is None else np.flatnonzero(self.hidden)
        if self.seen is None:
            return [shared] * num_users
        return [np.union1d(row, shared).astype(np.int64) for row in self.seen.rows()]

    def apply(self, scores: np.ndarray) -> None:
        """Set the scores ``[B, I]`` of items that must not be listed to minus infinity."""
        if self.seen is not None:
            scores[self.seen.row_of_value, self.seen.values] = -np.inf
        if self.hidden is not None:
            scores[:, self.hidden] = -np.inf


@dataclass(frozen=True)
class ScoreShare:
    """What one part of a score says of one item for one user.

    Attributes:
        name: of the part, such as ``texts``.
        evidence: how far it lifts the item above the mean of all items, in the score's unit.
        share: of the evidence of all parts, by size; below 0 where it speaks against the item.
            The sizes of all shares sum to 1.
        reason: in words; the titles of ``items`` complete it where there are any.
        items: of the user's history that speak in it, by index, each with its share of what all of
            the history says there, strongest first.
    """

    name: str
    evidence: float
    share: float
    reason: str
    items: tuple[tuple[int, float], ...] = ()


class Explainer(Protocol):
    """Writes why a user may like an item."""

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """One text for each (user_index, item_index)."""
        ...


class Recommender(ABC):
    """Learns from a split's train and validation rows, then ranks items.

    A method without gradients writes :meth:`fit_scores` and :meth:`score_items`; one with gradients
    inherits :class:`edgewise.models.base.TorchRecommender`. ``split.test`` is never read.

    Attributes:
        config: all settings.
        tasks: what it was trained for.
        stage_curves: learning curves of the last :meth:`fit`, by stage; empty without gradients.
    """

    name: ClassVar[str]
    """As it is typed and as saved folders say it."""
    label: ClassVar[str]
    """As tables call it."""
    paper: ClassVar[str] = ""
    Config: ClassVar[type[MethodConfig]] = MethodConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {}, "cpu": {}}
    """Settings that differ from the defaults, by the names of presets."""
    TASKS: ClassVar[tuple[Task, ...]] = ("sequential", "direct")
    LEARNED: ClassVar[tuple[str, ...]] = ()
    """Attributes that hold what was learned, arrays or sparse matrices; saved and loaded."""
    ASKED_AT_ONCE: ClassVar[int] = 8192
    """Users whose lists take about a second, after which a long question tells its progress."""
    SCORE_UNIT: ClassVar[str] = "score"
    """What its scores are, in a few words, as tables and JSON say it: log-probability, ..."""
    SEARCHES: ClassVar[bool] = False
    """Whether lists come from a search, since scores of all items would take long."""
    _checked: Ragged | None = None

    def __init__(self, config: MethodConfig | None = None, **settings: Any) -> None:
        """Not fitted yet; ``settings`` are changed in the configuration, by name."""
        self.config: Any = updated(config or self.Config(), settings)
        self.tasks: tuple[Task, ...] = self.TASKS
        self.stage_curves: dict[str, Curves] = {}
        self._data: FittedData | None = None

    @classmethod
    def from_preset(cls, name: str = DEFAULT_PRESET, overrides: Iterable[str] = ()) -> Self:
        """A recommender with a preset's settings.

        Args:
            name: one of :attr:`PRESETS`.
            overrides: ``section.key=value`` strings.

        Raises:
            ConfigError: an unknown preset, key or value; the nearest is named.
        """
        return cls(with_overrides(preset_config(cls.Config, cls.PRESETS, name), overrides))

    def __repr__(self) -> str:
        if self._data is None:
            return f"{type(self).__name__}(not fitted)"
        users, items = len(self._data.users), len(self._data.items)
        return f"{type(self).__name__}({self._data.name}: {users:,} users, {items:,} items)"

    @property
    def data(self) -> FittedData:
        """What it was fitted on.

        Raises:
            ConfigError: it is not fitted yet.
        """
        if self._data is None:
            name = type(self).__name__
            raise ConfigError(
                f"this {name} is not fitted yet: call fit(split) or {name}.from_pretrained(folder) "
                "first"
            )
        return self._data

    def share_ids(self, dataset: Dataset) -> None:
        """Keep no ids and titles of its own beside those of the data set that it was fitted on."""
        titles = dataset.catalog.title
        same = titles if titles == self.data.titles else self.data.titles
        self._data = replace(self.data, users=dataset.users, items=dataset.items, titles=same)

    # Learning

    def fit(
        self,
        split: Split,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        show_progress: bool = False,
        on_plan: Callable[[FitPlan], None] | None = None,
        start_from: Recommender | None = None,
        start_share: float = 1.0,
    ) -> Self:
        """Learn from ``split.train``, choosing the best epoch on ``split.valid``.

        Args:
            split: its test part is not touched.
            folder: for checkpoints and trackers.
            resume: go on from the folder's checkpoints.
            show_progress: print a progress bar.
            on_plan: told what is about to be trained, before the first step.
            start_from: a model of this method that was fitted before these data grew; its weights
                are the start. A method without gradients takes nothing over and counts anew.
            start_share: what its weights count, above 0; the rest is a fresh start, which may
                end better (Ash and Adams, NeurIPS 2020).

        Raises:
            ConfigError: the model to start from is of another method, or settings differ that must
                not; see :mod:`edgewise.models.warm_start`.
            DataError: these data are not the old ones grown, or rows are held out of which that
                model has learned.
        """
        self._data, self._checked = FittedData.of(split), None
        place = None if folder is None else Path(folder)
        check(0 < start_share <= 1, f"start_share = {start_share}: above 0 and at most 1 is wanted")
        options = FitOptions(place, resume, show_progress, on_plan, start_from, start_share)
        self._fit(split, options)
        return self

    def _fit(self, split: Split, options: FitOptions) -> None:
        if options.on_plan is not None:
            rows = [("training", "in closed form: no epochs")]
            if options.start_from is not None:
                rows.append(("warm start", "nothing to take over: all is counted anew"))
            options.on_plan(FitPlan(tuple(rows)))
        self.fit_scores(split)

    def fit_scores(self, split: Split) -> None:
        """Learn from the train rows of a split (without gradients)."""
        raise NotImplementedError(f"{type(self).__name__} learns nothing")

    @abstractmethod
    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """How well every item goes with every user, higher is better.

        Args:
            users: user indices, -1 for people who are not in the data, ``int64[B]``.
            histories: each of these users' items, oldest first, none empty.

        Returns:
            ``float[B, I]``, a new array; seen items are scored like others.
        """

    def matrix(self, histories: Ragged) -> sp.csr_array:
        """Who has what, ``float32[B, I]``, an item once however often it was taken."""
        import scipy.sparse as sp

        values = np.ones(len(histories.values), dtype=np.float32)
        shape = (len(histories), len(self.data.items))
        found = sp.csr_array((values, (histories.row_of_value, histories.values)), shape=shape)
        found.data[:] = 1  # of repeated rows
        return found

    # Recommending

    def recommend(
        self,
        users: Users,
        k: int = 10,
        *,
        histories: Ragged | None = None,
        exclude_seen: bool = True,
        allow: Items | None = None,
        deny: Items | None = None,
        filters: Filters | None = None,
    ) -> Recommendations:
        """The k best items of each user out of the whole catalogue.

        Users without any history get what is popular, flagged ``cold``.

        Args:
            users: raw ids or index numbers.
            k: items each; fewer only where fewer may be listed, at most the whole catalogue.
            histories: of all users by index, in place of those known at fit time, for example train
                plus validation rows when the test part is to be predicted.
            exclude_seen: leave out what is in the history.
            allow: list these items only.
            deny: never list these items.
            filters: list only items that have one of the values of every attribute, such as
                ``{"brand": "Dove", "categories": ["Hair Care", "Skin Care"]}``.

        Raises:
            UnknownIdError: a user or an item is not in the data set.
            ConfigError: no item has such an attribute or value.
        """
        asked = self.user_index(users)
        rows = self._histories_of(asked, histories)
        banned = ItemFilter(rows if exclude_seen else None, self.hidden(allow, deny, filters))
        found = Recommendations.of(asked, *self.rank(asked, rows, k, banned))
        return self._with_ids(found, self.data.users, asked, rows)

    def recommend_new(
        self,
        histories: Sequence[Items],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        allow: Items | None = None,
        deny: Items | None = None,
        filters: Filters | None = None,
    ) -> Recommendations:
        """The k best items of people who are not in the data, from the items they have.

        ``user_index`` counts the histories. Arguments as for :meth:`recommend`.
        """
        rows = Ragged.of_rows([self.item_index(row) for row in histories])
        self._check_ready(None)
        nobody = np.full(len(rows), -1, dtype=np.int64)
        banned = ItemFilter(rows if exclude_seen else None, self.hidden(allow, deny, filters))
        numbers = np.arange(len(rows))
        names = tuple(f"new user {n + 1}" for n in numbers) if len(rows) > 1 else ("new user",)
        found = Recommendations.of(numbers, *self.rank(nobody, rows, k, banned))
        return self._with_ids(found, Vocabulary(names, "user"), numbers, rows)

    def score_candidates(
        self,
        candidates: CandidateLists,
        *,
        histories: Ragged | None = None,
        new_users: Sequence[Items] | None = None,
        task: Task | None = None,
    ) -> np.ndarray:
        """A score for every candidate, aligned with ``candidates.items``; higher is better.

        Args:
            candidates: lists of any lengths.
            histories: of all users by index; those known at fit time if left out.
            new_users: one history a list for people who are not in the data; ``user_index`` of the
                lists is then not read.
            task: how they are asked about, where a method has several ways; by default as in direct
                recommendation, if it was trained for that.

        Raises:
            UnknownIdError: a user or an item is not in the data set.
        """
        _check_known("item", candidates.items, len(self.data.items))
        task = task or ("direct" if "direct" in self.tasks else "sequential")
        self.require(task)
        if new_users is None:
            users = self.user_index(candidates.user_index)
            rows = self._histories_of(users, histories)
        else:
            users = np.full(len(candidates), -1, dtype=np.int64)
            rows = Ragged.of_rows([self.item_index(row) for row in new_users])
            self._check_ready(None)
        return self._scored(users, rows, candidates.lists, task)

    def similar_items(
        self,
        items: Items,
        k: int = 10,
        *,
        allow: Items | None = None,
        deny: Items | None = None,
        filters: Filters | None = None,
    ) -> SimilarItems:
        """The k items most like each item, best first, by what :attr:`similarity_unit` says.

        Of an item without train rows nothing is known, so its list is empty, and it stands in none;
        a method that knows more of such items overrides :meth:`item_similarities`.

        Args:
            items: raw ids or index numbers.
            k: items each; fewer where fewer are like it at all.
            allow: as for :meth:`recommend`.
            deny: as for :meth:`recommend`.
            filters: as for :meth:`recommend`.

        Raises:
            UnknownIdError: an item is not in the data set.
        """
        check(k >= 1, f"k = {k}: must be 1 or more")
        asked = self.item_index(items)
        hidden = self.hidden(allow, deny, filters)
        parts: list[Ranked] = []
        for rows in self._parts(len(asked)):
            found = np.array(self.item_similarities(asked[rows]), dtype=np.float64)
            found[np.arange(len(rows)), asked[rows]] = -np.inf
            ItemFilter(hidden=hidden).apply(found)
            parts.append(best_of_rows(found, k))
        lists = Recommendations.of(asked, *Ranked.concat(parts))
        return SimilarItems(
            *(lists.user_index, lists.item_index, lists.rank, lists.score),
            *(self.similarity_unit, self.data.items, self.data.titles),
        )

    @property
    def similarity_unit(self) -> str:
        """What :meth:`item_similarities` measures, in a few words."""
        return "cosine of train co-occurrence"

    def item_similarities(self, items: np.ndarray) -> np.ndarray:
        """How much all items are like some; minus infinity where nothing speaks for it.

        Unless a method knows better, the cosine of who took them in training (Sarwar et al., WWW
        2001, Section 3.1.1): users who took both over the root of the product of both items' users.

        Args:
            items: item indices, ``int64[n]``.

        Returns:
            ``float[n, I]``, a new array.
        """
        taken = self.matrix(self.data.histories)
        num_users = np.asarray(taken.sum(axis=0), dtype=np.float64)
        shared = (taken.T.tocsr()[items] @ taken).toarray().astype(np.float64)
        both = np.sqrt(num_users[items, None] * num_users)
        return np.divide(shared, both, out=np.full(shared.shape, -np.inf), where=shared > 0)

    def without_cold(self, items: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """Similarities ``[n, I]`` to some items, minus infinity for items without train rows."""
        cold = self.data.item_counts == 0
        return np.where(cold[items, None] | cold, -np.inf, similarities)

    @property
    def ranks_by_embeddings(self) -> bool:
        """Whether an item's score for a user is the dot product of their embeddings."""
        return False

    def user_embeddings(
        self, users: Users | None = None, *, histories: Ragged | None = None
    ) -> np.ndarray:
        """Vectors of users, ``float32[B, D]``; zeros for users without a history.

        Where :attr:`ranks_by_embeddings`, their dot product with those of items is the score.

        Args:
            users: raw ids or index numbers; all by index if left out.
            histories: of all users by index; those known at fit time if left out.

        Raises:
            ConfigError: the method has no such vectors.
            UnknownIdError: a user is not in the data set.
        """
        raise self._no_embeddings()

    def item_embeddings(self) -> np.ndarray:
        """Vectors of all items by index, ``float32[I, D]``; see :meth:`user_embeddings`.

        Raises:
            ConfigError: the method has no such vectors.
        """
        raise self._no_embeddings()

    def _no_embeddings(self) -> ConfigError:
        _ = self.data
        return ConfigError(
            f"{type(self).__name__} has no vectors of users and items: it scores by "
            f"{self.SCORE_UNIT}; ask it for recommend or similar_items, or fit a method that has "
            "some, such as lightgcn or sasrec"
        )

    def explain(self, pairs: Sequence[tuple[Any, Any]]) -> list[str]:
        """Why each user may like each item, one text for each (user, item).

        Raises:
            ConfigError: the method writes no texts, or was not trained to.
        """
        self.require("explanation")
        users = self.user_index([user for user, _ in pairs])
        items = self.item_index([item for _, item in pairs])
        return self.write_explanations(users, items)

    def write_explanations(self, users: np.ndarray, items: np.ndarray) -> list[str]:
        """What :meth:`explain` answers, for index numbers ``int64[n]`` and ``int64[n]``."""
        raise NotImplementedError

    def score_shares(
        self, user: int, items: np.ndarray, histories: Ragged | None = None
    ) -> list[tuple[ScoreShare, ...]]:
        """What makes up each item's score, strongest part first.

        Args:
            user: by index.
            items: by index, ``int64[n]``.
            histories: of all users by index; those known at fit time if left out.

        Returns:
            One row an item; empty rows where a score has no parts, as with most methods, and where
            the user has no history.
        """
        asked = np.array([user])
        known = self._histories_of(asked, histories)
        return self.shares(asked, known, items) if known.lengths[0] else [()] * len(items)

    def shares(
        self, users: np.ndarray, histories: Ragged, items: np.ndarray
    ) -> list[tuple[ScoreShare, ...]]:
        """What :meth:`score_shares` answers, of anybody by what they have.

        Args:
            users: one user's index, -1 for somebody who is not in the data, ``int64[1]``.
            histories: this user's items, oldest first, not empty.
            items: by index, ``int64[n]``.
        """
        return [()] * len(items)

    def learned_rows(self) -> tuple[tuple[str, str], ...]:
        """A few learned numbers that readers may want to see: names, and values in words."""
        return ()

    def fitted_on_valid(self) -> np.ndarray:
        """Users whose validation rows fitted weights, rising, ``int64``.

        Evaluation leaves them out of figures on validation rows. An epoch that was chosen on these
        rows does not count: it is one number, and they choose it for every method.
        """
        return np.empty(0, dtype=np.int64)

    def prepare(self, histories: Ragged) -> None:  # noqa: B027
        """Told the histories of all users before they are asked about; most methods need it not."""

    def cold_scores(self) -> np.ndarray:
        """Scores of all items for people without a history: what is popular, ``float64[I]``."""
        return popularity_scores(self.data.item_counts, self.config.seed)

    def rank_items(
        self, users: np.ndarray, histories: Ragged, hidden: ItemFilter, k: int
    ) -> Ranked:
        """The k best items and their scores of every user, best first.

        Arguments as for :meth:`score_items`; a method that searches instead of scoring all items
        overrides it.
        """
        parts: list[Ranked] = []
        for rows in self._parts(len(users)):
            found = np.asarray(self.score_items(users[rows], histories.take(rows)))
            hidden.take(rows).apply(found)
            parts.append(best_of_rows(found, k))
        return Ranked.concat(parts)

    def score_lists(
        self, users: np.ndarray, histories: Ragged, lists: Ragged, task: Task
    ) -> np.ndarray:
        """A score for every item of every user's list, ``float32[total]``."""
        parts = [np.empty(0, np.float32)]
        for rows in self._parts(len(users)):
            found = np.asarray(self.score_items(users[rows], histories.take(rows)))
            chosen = lists.take(rows)
            parts.append(found[chosen.row_of_value, chosen.values])
        return np.concatenate(parts)

    def require(self, task: str) -> None:
        """Refuse a task that it was not trained for.

        Raises:
            ConfigError: it was trained for others only, or not at all.
        """
        _ = self.data
        if task not in self.tasks:
            hint = f": fit one with {task} among its tasks" if task in self.TASKS else ""
            raise ConfigError(
                f"this {type(self).__name__} was not trained for the {task} task, only for "
                f"{', '.join(self.tasks)}{hint}"
            )

    def user_index(self, users: Users) -> np.ndarray:
        """Index numbers of users given as raw ids or index numbers, ``int64[B]``."""
        return _indices(users, self.data.users)

    def item_index(self, items: Items) -> np.ndarray:
        """Index numbers of items given as raw ids or index numbers, ``int64[n]``."""
        return _indices(items, self.data.items)

    def rank(self, users: np.ndarray, histories: Ragged, k: int, banned: ItemFilter) -> Ranked:
        """The k best items of anybody: by what they have, or what is popular where that is nothing.

        What :meth:`recommend` and :meth:`recommend_new` ask for many people alike, and a service
        for people who differ in what they have and must not be shown. :meth:`prepare` comes first.

        Args:
            users: user indices, -1 for people who are not in the data, ``int64[B]``.
            histories: each of these users' items, oldest first; some may be empty.
            k: items each; fewer where fewer may be listed.
            banned: items that each user, or nobody, is shown.

        Raises:
            ConfigError: k is below 1, or it was not trained for recommending.
        """
        check(k >= 1, f"k = {k}: must be 1 or more")
        self.require("sequential")
        k = min(k, len(self.data.items))  # nothing is searched or kept for more
        warm = histories.lengths > 0
        asked = np.flatnonzero(warm), np.flatnonzero(~warm)
        parts = [
            ask(users[rows], histories.take(rows), banned.take(rows), k)
            for rows, ask in zip(asked, (self.rank_items, self._popular), strict=True)
            if len(rows)
        ]
        return Ranked.concat(parts).put(np.concatenate(asked))

    def _popular(self, users: np.ndarray, histories: Ragged, banned: ItemFilter, k: int) -> Ranked:
        scores = self.cold_scores()[None]
        if banned.seen is None or not len(banned.seen.values):
            shared = scores.copy()
            replace(banned, seen=None).apply(shared)
            return Ranked.concat([best_of_rows(shared, k)] * len(users))
        parts: list[Ranked] = []
        for rows in self._parts(len(users)):
            found = np.repeat(scores, len(rows), axis=0)
            banned.take(rows).apply(found)
            parts.append(best_of_rows(found, k))
        return Ranked.concat(parts)

    def _scored(
        self, users: np.ndarray, histories: Ragged, lists: Ragged, task: Task
    ) -> np.ndarray:
        cold = histories.lengths == 0
        if not cold.any():
            return self.score_lists(users, histories, lists, task).astype(np.float32)
        scores = self.cold_scores()[lists.values]
        warm = np.flatnonzero(~cold)
        if len(warm):
            asked = users[warm], histories.take(warm), lists.take(warm), task
            scores[~cold[lists.row_of_value]] = self.score_lists(*asked)
        return scores.astype(np.float32)

    def _histories_of(self, users: np.ndarray, histories: Ragged | None) -> Ragged:
        known = self.data.histories if histories is None else histories
        if len(users) and int(users.max()) >= len(known):
            raise UnknownIdError(
                f"user_index {int(users.max())}: the given histories cover {len(known)} users; "
                "pass those of all users, or use recommend_new for people not in the data"
            )
        self._check_ready(known)
        return known.take(users)

    def _check_ready(self, known: Ragged | None) -> None:
        if known is not None and known is not self.data.histories and known is not self._checked:
            _check_known("item", known.values, len(self.data.items))
            self._checked = known  # who asks about many users asks again with the same
        self.prepare(self.data.histories if known is None else known)

    def hidden(
        self, allow: Items | None = None, deny: Items | None = None, filters: Filters | None = None
    ) -> np.ndarray | None:
        """The items that nobody is shown, ``bool[I]``; None where all may be listed.

        Arguments and errors as for :meth:`recommend`.
        """
        if allow is None and deny is None and not filters:
            return None
        hidden = np.full(len(self.data.items), allow is not None)
        if allow is not None:
            hidden[self.item_index(allow)] = False
        if deny is not None:
            hidden[self.item_index(deny)] = True
        if filters:
            if self.data.facets is None:
                raise ConfigError(
                    "filters: this model was saved without brands and categories; fit it again, "
                    "or name the items with allow"
                )
            hidden |= ~self.data.facets.fits(filters)
        return hidden

    def _with_ids(
        self, found: Recommendations, users: Vocabulary, asked: np.ndarray, histories: Ragged
    ) -> Recommendations:
        cold = np.isin(found.user_index, asked[histories.lengths == 0])
        data = self.data
        return replace(found, users=users, items=data.items, titles=data.titles, cold=cold)

    def _parts(self, total: int) -> Iterator[np.ndarray]:
        """Rows a few at a time, so that their scores of all items stay within bounds."""
        num_items = max(1, len(self.data.items))
        size = max(self._scores_at_once // num_items, _ROWS_AT_ONCE)
        size = max(1, min(size, _SCORES_AT_ONCE // num_items))
        for start in range(0, total, size):
            yield np.arange(start, min(start + size, total))

    @property
    def _scores_at_once(self) -> int:
        return _SCORES_IN_CACHE

    # Keeping

    def save_pretrained(self, folder: str | Path, *, card: Mapping[str, str] | None = None) -> None:
        """Write the model folder, complete in itself, whole or not at all.

        Args:
            folder: an older model there is replaced.
            card: more rows of the model card's table, such as the protocol.
        """
        data = self.data
        with writing_model(folder, self.name) as (partial, settings):
            settings |= {"config": to_dict(self.config), "tasks": list(self.tasks)}
            settings["data"] = {
                "name": data.name,
                "checksum": data.checksum,
                "users_sha256": data.users.checksum,
                "items_sha256": data.items.checksum,
            }
            data.save(partial)
            settings["learned"] = self._save_learned(partial)
            write_card(partial, f"{self.label} on {data.name}", self._facts(card), self._words())

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, token: str | None = None, **upload: Any
    ) -> str:
        """Save into a repository of the Hugging Face hub, made where it does not exist.

        Args:
            repo_id: ``name`` or ``organisation/name``.
            private: of a new repository.
            token: of the hub; the one of ``hf auth login`` if left out.
            upload: further arguments of ``huggingface_hub.HfApi.upload_folder``.

        Returns:
            The address of the commit.
        """
        from tempfile import TemporaryDirectory

        from huggingface_hub import HfApi

        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        with TemporaryDirectory() as place:
            self.save_pretrained(Path(place) / "model")
            done = api.upload_folder(repo_id=repo_id, folder_path=Path(place) / "model", **upload)
        return str(done.commit_url)

    @classmethod
    def from_pretrained(cls, name: str | Path, **download: Any) -> Self:
        """Read a model folder, or a repository of the Hugging Face hub.

        Args:
            name: a folder written by :meth:`save_pretrained`, or ``organisation/name``.
            download: arguments of ``huggingface_hub.snapshot_download``: ``revision``, ``token``,
                ``cache_dir``, ``local_files_only``.

        Raises:
            ModelFolderError: the folder is missing, truncated, altered or another model's.
        """
        folder = local_folder(name, **download)
        settings = read_model(folder, cls.name)
        check_shape(settings, _ModelSettings, folder / ABOUT, ModelFolderError, _AGAIN)
        try:
            model = cls(updated(cls.Config(), settings["config"], f"{ABOUT}: "))
            model.tasks = _known_tasks(settings["tasks"], cls)
            model._data = FittedData.load(folder, settings["data"], _AGAIN)
            model._load_learned(folder, settings["learned"])
        except MemoryError:
            raise
        except Exception as error:  # somebody's files may break a library anywhere
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ModelFolderError(
                f"{folder} cannot be read by this version of edgewise: {reason}; {_AGAIN}"
            ) from error
        return model

    def _save_learned(self, folder: Path) -> dict[str, Any]:
        """Write what was learned; returns what :meth:`_load_learned` is to be told."""
        from safetensors.numpy import save_file

        arrays: dict[str, np.ndarray] = {}
        shapes: dict[str, list[int]] = {}
        for name in self.LEARNED:
            value = getattr(self, name)
            if hasattr(value, "indptr"):  # a sparse matrix
                shapes[name] = list(value.shape)
                parts = {part: getattr(value, part) for part in ("data", "indices", "indptr")}
                arrays |= {f"{name}/{part}": array for part, array in parts.items()}
            else:
                arrays[name] = np.asarray(value)
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            folder / "model.safetensors",
        )
        return {"shapes": shapes}

    def _load_learned(self, folder: Path, told: Mapping[str, Any]) -> None:
        """Read what :meth:`_save_learned` wrote."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / "model.safetensors")
        for name in self.LEARNED:
            if name in told["shapes"]:
                import scipy.sparse as sp

                parts = tuple(arrays[f"{name}/{part}"] for part in ("data", "indices", "indptr"))
                setattr(self, name, sp.csr_array(parts, shape=tuple(told["shapes"][name])))
            else:
                setattr(self, name, arrays[name])

    def _facts(self, card: Mapping[str, str] | None) -> dict[str, str]:
        data = self.data
        facts = {
            "method": f"{self.label}{f' ({self.paper})' if self.paper else ''}",
            "data": f"{data.name}: {len(data.users):,} users, {len(data.items):,} items, "
            f"{len(data.histories.values):,} train rows",
            "data checksum": data.checksum,
            "tasks": ", ".join(self.tasks),
            "seed": str(self.config.seed),
        }
        learned = {f"learned: {name}": value for name, value in self.learned_rows()}
        return facts | dict(card or {}) | learned

    def _words(self) -> list[str]:
        return [
            "## Use",
            "```python\nfrom edgewise import load_model\n\n"
            'model = load_model("THIS FOLDER OR REPOSITORY")\n'
            f'print(model.recommend(["{self.data.users.ids[0]}"], k=5).to_frame())\n```',
            "## Licence",
            "edgewise is Apache-2.0. The weights were learned from the data named above, and ids "
            "and titles of users and items are part of this folder: the data's own terms apply to "
            "it.",
        ]


def popularity_scores(counts: np.ndarray, seed: int) -> np.ndarray:
    """Counts of items, and fractions below 1 that order equal counts, ``float64[I]``.

    Equal counts are ordered by a seeded shuffle: where item numbers follow the order of appearance,
    "lower number first" would be a hidden hint. The seed is joined by a number of its own: the same
    draw as that of the import's numbers would undo it, and order equal counts by their raw ids.
    """
    drawn = np.random.default_rng((seed, _TIES)).permutation(len(counts))
    return counts + drawn / max(len(counts), 1)


def local_folder(name: str | Path, **download: Any) -> Path:
    """A folder as it is, or the local copy of a repository of the hub.

    Raises:
        ModelFolderError: there is no such folder, and the hub has no such repository or cannot be
            reached.
    """
    folder = Path(name)
    if folder.exists() or not _is_repository(str(name)):
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), **download))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelFolderError(
            f"{name}: no such folder here, and it could not be fetched from the hub ({reason}). "
            "Give the path of a saved model folder"
        ) from error


def _is_repository(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and all(parts) and not name.startswith(".")


def _indices(ids: Users | Items, vocabulary: Vocabulary) -> np.ndarray:
    array = np.asarray(ids)
    if array.dtype.kind in "US" or (array.dtype == object and len(array)):
        return vocabulary.indices_of([str(raw_id) for raw_id in ids]).astype(np.int64)
    indices = array.astype(np.int64).reshape(-1)
    _check_known(vocabulary.kind, indices, len(vocabulary))
    return indices


def _check_known(kind: str, indices: np.ndarray, size: int) -> None:
    strange = indices[(indices < 0) | (indices >= size)]
    if len(strange):
        raise UnknownIdError(
            f"{kind}_index {int(strange[0])}: this model knows {kind}s 0 to {size - 1}; look up "
            "indices in the data set it was fitted on"
        )


def _known_tasks(names: Sequence[str], method: type[Recommender]) -> tuple[Task, ...]:
    strange = [name for name in names if name not in method.TASKS]
    if strange or not names:
        raise ValueError(
            f"{ABOUT}: tasks = {list(names)}: some of {', '.join(method.TASKS)} are wanted"
        )
    return tuple(names)  # type: ignore[arg-type]
