"""How models are measured: honestly, unless a protocol that leaks is asked for by name.

:func:`evaluate` measures a model on each ranking task that it was trained for. A model meets
candidates and histories here, never a held-out row marked as such, and lists that no honest
recommender returns are refused before anything is counted.

Shapes: U measured users, Q held-out rows of theirs, I items.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from edgewise.config import check
from edgewise.data.dataset import Interactions
from edgewise.data.item_lists import Recommendations
from edgewise.data.negatives import uniform_candidates
from edgewise.data.pairs import among, distinct, pair_keys
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.data.texts import ExplanationPairs
from edgewise.errors import ConfigError, DataError, EdgewiseError
from edgewise.evaluation.chance import ListSizes
from edgewise.evaluation.contract import check_lists, known_keys
from edgewise.evaluation.list_metrics import ShownLists, measure_lists
from edgewise.evaluation.metrics import (
    METRICS,
    Hits,
    OwnMetric,
    check_cutoffs,
    check_metrics,
    hits_from_recommendations,
    named_metrics,
    only_of_lists,
    padded_at_random,
    per_user_metrics,
    ranks_from_scores,
    text_metrics,
)
from edgewise.evaluation.protocols import HONEST, Protocol, check_split, known_under
from edgewise.evaluation.report import RankingReport, TextReport
from edgewise.evaluation.statistics import Bootstrap, Estimate, bootstrap_means

if TYPE_CHECKING:
    from edgewise.recommender import Explainer, Recommender

RANKING_TASKS = ("direct", "sequential")
_ONE_HELD_OUT = ("HitRate", "NDCG", "MRR")


def evaluate(
    model: Recommender,
    split: Split,
    *,
    tasks: Collection[str] | None = None,
    part: str = "test",
    ks: Sequence[int] | None = None,
    metrics: Sequence[str | OwnMetric] | None = None,
    max_users: int | None = None,
    protocol: Protocol = HONEST,
) -> dict[str, RankingReport]:
    """Measure a model on its ranking tasks, one report a task.

    Texts are measured by :func:`evaluate_explanations`, which needs the users' own.

    Args:
        model: fitted on the split.
        split: where the held-out rows are.
        tasks: ``direct``, ``sequential`` or both; None for those in ``model.tasks``, without
            ``direct`` where no metric of accuracy is named.
        part: ``valid`` or ``test``.
        ks: list lengths; the protocol's where it is None.
        metrics: names, and functions of your own (``docs/metrics.md``); see :func:`usual_metrics`
            for what is measured where it is None.
        max_users: measure a seeded sample of the users, for a quick look.
        protocol: that the split was made under.

    Raises:
        ConfigError: no ranking task, or an impossible option.
        EdgewiseError: the model returned lists that break its contract.
    """
    chosen = [t for t in RANKING_TASKS if t in model.tasks] if tasks is None else [*tasks]
    metrics = None if metrics is None else named_metrics(metrics)
    if tasks is None and only_of_lists(metrics):
        chosen = [task for task in chosen if task != "direct"]
    check(
        len(chosen) > 0 and set(chosen) <= {*RANKING_TASKS},
        f"tasks={tuple(model.tasks if tasks is None else tasks)}: give some of "
        f"{', '.join(RANKING_TASKS)}; texts are measured by evaluate_explanations",
    )
    functions = {"direct": evaluate_direct, "sequential": evaluate_sequential}
    options = {"ks": ks, "metrics": metrics, "max_users": max_users, "protocol": protocol}
    return {task: functions[task](model, split, part, **options) for task in chosen}


def evaluate_direct(
    model: Recommender,
    split: Split,
    part: str = "test",
    *,
    ks: Sequence[int] | None = None,
    metrics: Sequence[str | OwnMetric] | None = None,
    num_negatives: int | None = None,
    seed: int = 0,
    users: np.ndarray | None = None,
    leave_out: np.ndarray | None = None,
    max_users: int | None = None,
    bootstrap: Bootstrap | None = None,
    protocol: Protocol = HONEST,
) -> RankingReport:
    """Find each held-out item among items its user never touched (ELMRec, section 4.1).

    Negatives are uniform over the catalogue without the user's items of any part, so no later
    purchase is counted as a mistake. Ties count against the model. A user with several held-out
    items has one list for each, and their average. Lists are shorter where the catalogue has fewer
    such items, and users for whom it has none are left out: the report's settings tell how long
    lists are, how many users that concerns, and what guessing scores (``chance``).

    Args:
        model: fitted; asked for ``score_candidates`` alone.
        split: where the held-out rows are.
        part: ``valid`` or ``test``.
        ks: list lengths; the protocol's where it is None.
        metrics: names from :data:`edgewise.evaluation.metrics.METRICS` (those of lists are left
            out); see :func:`usual_metrics` for what is measured where it is None.
        num_negatives: negatives in each list; the protocol's where it is None.
        seed: of the negatives, and of the sample of users.
        users: measure these users only, each with held-out rows.
        leave_out: do not measure these users. On validation rows those join them whose rows fitted
            the model's weights (:meth:`~edgewise.recommender.Recommender.fitted_on_valid`).
        max_users: measure a seeded sample of the users, for a quick look.
        bootstrap: how intervals are made.
        protocol: that the split was made under.

    Raises:
        ConfigError: an impossible option, or a split that was made under another protocol.
        EdgewiseError: every user has touched every item.
    """
    check_same_ids(model, split)
    who = users, _not_measured(model, part, leave_out)
    asked = _asked("direct", split, part, ks, metrics, who, max_users, seed, protocol)
    check(
        not only_of_lists(asked.metrics),
        f"{', '.join(asked.metrics)}: measured on lists of the whole catalogue, which the direct "
        "task has not; measure the sequential task, or name a metric of accuracy beside",
    )
    num_negatives = protocol.num_negatives if num_negatives is None else num_negatives
    most = max(1, split.dataset.num_items - 1)
    lists = uniform_candidates(split, part, min(num_negatives, most), seed).take(asked.rows)
    has_choice = lists.lists.lengths > 1
    asked, left_out = asked.only(has_choice)
    lists = lists.take(np.flatnonzero(has_choice))
    scores = np.asarray(model.score_candidates(lists, histories=asked.known))
    ranks = ranks_from_scores(lists, scores, asked.held_out.item_index)
    hits = Hits.from_ranks(lists.user_index, ranks)
    sizes = ListSizes(lists.user_index, lists.lists.lengths, np.ones(len(lists), bool))
    drawn: dict[str, object] = {"num_negatives": num_negatives, "negatives_seed": seed}
    drawn |= sizes.settings(asked.ks, asked.accuracy, 1 + num_negatives, left_out)
    return asked.report(_accuracy(hits, asked), drawn, bootstrap)


def evaluate_sequential(
    model: Recommender,
    split: Split,
    part: str = "test",
    *,
    ks: Sequence[int] | None = None,
    metrics: Sequence[str | OwnMetric] | None = None,
    seed: int = 0,
    users: np.ndarray | None = None,
    leave_out: np.ndarray | None = None,
    max_users: int | None = None,
    allow_seen: bool = False,
    items: np.ndarray | None = None,
    bootstrap: Bootstrap | None = None,
    protocol: Protocol = HONEST,
) -> RankingReport:
    """Find each user's held-out items in the whole catalogue without the user's seen items.

    Beside accuracy the report tells ``Coverage@k`` and ``PopularShare@k``. A held-out item that the
    user already had cannot be recommended and counts as missed. Users to whom nothing else can be
    recommended than what is held out are left out, and the settings count them. Seen are train
    items, and when the test part is predicted validation items, too: the graph-attentive GPT-2
    paper masks train items alone, so that its lists spend places on items that cannot be right, and
    so does the protocol ``llm4rec-released``.

    Args:
        model: fitted; asked for ``recommend`` alone.
        split: where the held-out rows are.
        part: ``valid`` or ``test``.
        ks: list lengths, the protocol's where it is None; the model is asked for the longest.
        metrics: names from :data:`edgewise.evaluation.metrics.METRICS` or
            :data:`edgewise.evaluation.list_metrics.LIST_METRICS`; see :func:`usual_metrics` for
            what is measured where it is None.
        seed: of the sample of users.
        users: measure these users only, each with held-out rows.
        leave_out: do not measure these users. On validation rows those join them whose rows fitted
            the model's weights (:meth:`~edgewise.recommender.Recommender.fitted_on_valid`).
        max_users: measure a seeded sample of the users, for a quick look.
        allow_seen: let lists hold items of the user's history, as in the paper's ablation without
            reranking. Such an item keeps its place, and is right only if it is held out.
        items: rank these alone, ``bool[I]``, and measure the held-out rows of these alone; all if
            None.
        bootstrap: how intervals are made.
        protocol: that the split was made under; it says what is done to lists before they count.

    Raises:
        ConfigError: an impossible option, or a split that was made under another protocol.
        EdgewiseError: the model returned seen, repeated or unknown items, or an unsorted list; or
            nobody can be recommended anything but what is held out.
    """
    check_same_ids(model, split)
    who = users, _not_measured(model, part, leave_out)
    asked = _asked("sequential", split, part, ks, metrics, who, max_users, seed, protocol)
    if items is not None:
        asked, _ = asked.only(items[asked.held_out.item_index])
        asked = replace(asked, settings={**asked.settings, "ranked_items": int(items.sum())})
    asked, told = _with_sizes(asked, allow_seen, items)
    lists = _checked_lists(model, asked, allow_seen, items)
    shown = told | ({"padding_seed": seed} if protocol.random_padding else {})
    if protocol.random_padding:
        lists = padded_at_random(
            lists, asked.users, split.dataset, min(max(asked.ks), split.dataset.num_items), seed
        )
    repeats = protocol.count_repeats
    hits = hits_from_recommendations(lists, asked.held_out, every_entry=repeats)
    frame = _accuracy(hits, asked, count_repeats=repeats)
    shown |= {
        "already_seen": _num_already_seen(asked),
        "allow_seen": allow_seen,
        "masked": "nothing" if allow_seen else _masked(protocol, part),
    }
    per_user, overall = _list_metrics(lists, asked)
    return asked.report(frame.with_columns(**per_user), shown, bootstrap, overall)


def evaluate_explanations(
    explainer: Explainer,
    pairs: ExplanationPairs,
    *,
    conditions: Mapping[str, object] | None = None,
    max_pairs: int | None = None,
    seed: int = 0,
    bootstrap: Bootstrap | None = None,
    protocol: Protocol = HONEST,
) -> TextReport:
    """Compare written explanations with the users' own words.

    Args:
        explainer: fitted on other pairs than these.
        pairs: held-out pairs with the users' texts.
        conditions: what the report should say of the pairs (data, split, part), for comparisons.
        max_pairs: measure a seeded sample of the pairs, for a quick look.
        seed: of the sample.
        bootstrap: how intervals are made.
        protocol: that the pairs were parted under.
    """
    bootstrap = bootstrap or Bootstrap()
    pairs = pairs.take(sample(np.arange(len(pairs)), max_pairs, seed, "max_pairs"))
    asked = list(zip(pairs.user_index.tolist(), pairs.item_index.tolist(), strict=True))
    table, metrics = text_metrics(explainer.explain(asked), pairs.text, bootstrap)
    names = pl.DataFrame({"user_index": pairs.user_index, "item_index": pairs.item_index})
    settings = {
        "task": "explanation",
        **(conditions or {}),
        "max_pairs": max_pairs,
        "pairs_seed": None if max_pairs is None else seed,
        "bootstrap": asdict(bootstrap),
    }
    per_pair = pl.concat([names, table], how="horizontal")
    return TextReport(per_pair, metrics, len(pairs), settings, protocol)


def check_same_ids(model: Recommender, split: Split) -> None:
    """Refuse a model of another data set: its index numbers mean other users and items.

    Raises:
        DataError: names which ids differ.
    """
    fitted = getattr(model, "data", None)
    for kind in ("users", "items"):
        # Baselines of the package's own know no ids.
        if hasattr(fitted, kind) and getattr(fitted, kind).ids != getattr(split.dataset, kind).ids:
            raise DataError(
                f"{model!r}: the ids of its {kind} are not those of the data set "
                f"{split.dataset.name!r}, so that index numbers would mean others: measure it on "
                "the data set that it was fitted on"
            )


def usual_metrics(split: Split, protocol: Protocol = HONEST) -> tuple[str, ...]:
    """What is measured where nobody asks: the protocol's metrics, or HitRate, NDCG and MRR.

    Recall joins them where users have several held-out rows.
    """
    if protocol.metrics:
        return protocol.metrics
    return _ONE_HELD_OUT if split.kind == "leave-one-out" else ("Recall", *_ONE_HELD_OUT)


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is asked of a model on one task, once the options are checked.

    Attributes:
        split, protocol: as given.
        users: who is measured, ascending, ``int32[U]``.
        rows: places of their rows in the held-out part, ``int64[Q]``.
        held_out: those rows.
        known: what each user of the data set had before, by user index.
        ks, metrics: what is measured.
        settings: the conditions, for the report.
    """

    split: Split
    protocol: Protocol
    users: np.ndarray
    rows: np.ndarray
    held_out: Interactions
    known: Ragged
    ks: Sequence[int]
    metrics: Sequence[str]
    settings: Mapping[str, object]

    @property
    def accuracy(self) -> list[str]:
        """The metrics that are not of whole lists."""
        return [name for name in self.metrics if name in METRICS]

    def only(self, rows: np.ndarray) -> tuple[_Asked, int]:
        """The same without some of the rows, ``bool[Q]``, and how many users that leaves out.

        Raises:
            EdgewiseError: no row is left.
        """
        if rows.all():
            return self, 0
        held_out = self.held_out.take(np.flatnonzero(rows))
        if not len(held_out):
            raise EdgewiseError(
                f"data set {self.split.dataset.name!r}: its {self.split.dataset.num_items:,} items "
                f"leave none of the {len(self.users):,} users a choice beside what is held out: "
                f"the {self.settings['task']} task cannot be measured; more items are needed"
            )
        left = np.unique(held_out.user_index)
        found = replace(self, users=left, rows=self.rows[rows], held_out=held_out)
        return found, len(self.users) - len(left)

    def report(
        self,
        per_user: pl.DataFrame,
        settings: Mapping[str, object],
        bootstrap: Bootstrap | None,
        extra: Mapping[str, Estimate] | None = None,
    ) -> RankingReport:
        """Means with intervals of ``user_index`` and one column a metric; ``extra`` have none."""
        bootstrap, names = bootstrap or Bootstrap(), per_user.columns[1:]
        estimates = bootstrap_means(per_user.select(names).to_numpy(), bootstrap)
        ids = self.split.dataset.users.ids
        user_id = pl.Series("user_id", [ids[u] for u in per_user["user_index"]], dtype=pl.String)
        return RankingReport(
            per_user=per_user.insert_column(1, user_id),
            metrics={**dict(zip(names, estimates, strict=True)), **(extra or {})},
            num_users=len(per_user),
            settings={**self.settings, **settings, "bootstrap": asdict(bootstrap)},
            protocol=self.protocol,
        )


def _asked(
    task: str,
    split: Split,
    part: str,
    ks: Sequence[int] | None,
    metrics: Sequence[str | OwnMetric] | None,
    who: tuple[np.ndarray | None, np.ndarray],
    max_users: int | None,
    seed: int,
    protocol: Protocol,
) -> _Asked:
    """Check the options and take the protocol's where there are none."""
    held_out = held_out_rows(split, part)
    check_split(protocol, split)
    ks = protocol.ks if ks is None else ks
    metrics = usual_metrics(split, protocol) if metrics is None else named_metrics(metrics)
    check_cutoffs(ks)
    metrics = check_metrics(metrics)
    users, left_out = who
    chosen = choose_users(held_out, users, max_users, seed, left_out)
    rows = np.flatnonzero(np.isin(held_out.user_index, chosen))
    settings = {
        "task": task,
        **_conditions(split, part),
        "users": "all" if users is None else "given",
        "max_users": max_users,
        "users_seed": None if max_users is None else seed,
    }
    if fitted := len(np.intersect1d(held_out.user_index, left_out)):
        settings["users_fitted_on"] = fitted
    known = known_under(protocol, split, part)
    wanted = held_out.take(rows)
    return _Asked(split, protocol, chosen, rows, wanted, known, ks, metrics, settings)


def _not_measured(model: Recommender, part: str, leave_out: np.ndarray | None) -> np.ndarray:
    given = np.empty(0, np.int64) if leave_out is None else leave_out
    own = getattr(model, "fitted_on_valid", None)  # what is only a stand-in tells nothing
    return np.union1d(given, own()) if part == "valid" and own is not None else given


def _conditions(split: Split, part: str) -> dict[str, object]:
    return {
        "data": split.dataset.name,
        "data_checksum": split.dataset.checksum,
        "num_items": split.dataset.num_items,
        "num_train_rows": len(split.train),
        "split": split.kind,
        "split_seed": split.seed,
        "part": part,
        **({"cold_items": split.cold_share} if split.cold_share else {}),
        **({"first_events": len(split.first_events)} if split.first_events is not None else {}),
    }


def _with_sizes(
    asked: _Asked, allow_seen: bool, items: np.ndarray | None
) -> tuple[_Asked, dict[str, object]]:
    """Those who have a choice in the whole catalogue, and what is to be told of their lists.

    Released protocols count and fill lists in their own ways, and are taken as they are.
    """
    if asked.protocol.count_repeats or asked.protocol.random_padding:
        return asked, {}
    users, num_items = asked.held_out.user_index, asked.split.dataset.num_items
    num_ranked = num_items
    wanted = pair_keys(asked.held_out, num_items)
    banned = np.empty(0, np.int64)
    if not allow_seen:
        banned = distinct(known_keys(asked.known, asked.users, num_items))
    if items is not None:
        banned = banned[items[banned % num_items]]
        num_ranked = int(items.sum())
    most = asked.split.dataset.num_users
    sizes = (num_ranked - np.bincount(banned // num_items, minlength=most))[users]
    findable = ~among(wanted, banned)
    found = np.bincount(distinct(wanted[findable]) // num_items, minlength=most)[users]
    has_choice = sizes > found
    asked, left_out = asked.only(has_choice)
    alone = len(asked.users) == len(asked.rows)
    lists = ListSizes(users[has_choice], sizes[has_choice], findable[has_choice] if alone else None)
    return asked, lists.settings(asked.ks, asked.accuracy, None, left_out)


def _checked_lists(
    model: Recommender, asked: _Asked, allow_seen: bool, items: np.ndarray | None
) -> Recommendations:
    """The model's lists of the longest length, once they are known to keep its contract."""
    num_items = asked.split.dataset.num_items
    k = min(max(asked.ks), num_items)
    options: dict[str, Any] = {"histories": asked.known, "exclude_seen": not allow_seen}
    if items is not None:
        options["allow"] = np.flatnonzero(items)
    lists = model.recommend(asked.users, k=k, **options)
    repeats = asked.protocol.count_repeats
    allowed = {"allow_seen": allow_seen, "allow_repeats": repeats, "items": items}
    check_lists(lists, asked.users, asked.known, num_items, k, **allowed)
    return lists


def _accuracy(hits: Hits, asked: _Asked, *, count_repeats: bool = False) -> pl.DataFrame:
    """``user_index``, and the metrics of accuracy among those that were asked for."""
    if not asked.accuracy:
        return pl.DataFrame({"user_index": asked.users})
    return per_user_metrics(hits, asked.ks, asked.accuracy, count_repeats=count_repeats)


def _list_metrics(
    lists: Recommendations, asked: _Asked
) -> tuple[dict[str, pl.Series], dict[str, Estimate]]:
    """``PopularShare@k`` and the like of each user; ``Coverage@k`` and the like, of no user."""
    shown = ShownLists.of(lists, asked.users, asked.split.train, asked.split.dataset)
    per_user, overall = measure_lists(shown, asked.ks, asked.metrics)
    columns = {name: pl.Series(values) for name, values in per_user.items()}
    return columns, {name: Estimate(value) for name, value in overall.items()}


def _masked(protocol: Protocol, part: str) -> str:
    return "train items" if part == "valid" else f"{protocol.history_rows} items"


def _num_already_seen(asked: _Asked) -> int:
    """Held-out rows whose item their user had before, which no list of unseen items can hold."""
    num_items = asked.split.dataset.num_items
    known = np.sort(known_keys(asked.known, asked.users, num_items))
    return int(among(pair_keys(asked.held_out, num_items), known).sum())


def held_out_rows(split: Split, part: str) -> Interactions:
    """The rows to be predicted; refuses a part that has none."""
    if part not in ("valid", "test"):
        raise ConfigError(f"part={part!r}: held-out rows are in 'valid' and 'test'")
    held_out = split.held_out(part)
    if not len(held_out):
        raise EdgewiseError(
            f"data set {split.dataset.name!r} has no {part} rows under the {split.kind} split: "
            "nothing can be measured; use another split or more data"
        )
    return held_out


def choose_users(
    held_out: Interactions,
    users: np.ndarray | None,
    max_users: int | None,
    seed: int,
    left_out: np.ndarray | tuple[int, ...] = (),
) -> np.ndarray:
    """The users to be measured, ascending, none of ``left_out``, ``int32[U]``."""
    chosen = having = np.unique(held_out.user_index)
    if users is not None:
        chosen = np.unique(np.asarray(users, dtype=np.int32))
        without = np.setdiff1d(chosen, having)
        if len(without):
            raise EdgewiseError(
                f"{len(without)} of the given users have no held-out rows, first user_index "
                f"{without[0]}; leave them out"
            )
    if not len(left_out):
        return sample(chosen, max_users, seed, "max_users")
    chosen = np.setdiff1d(chosen, left_out)
    if not len(chosen):
        raise EdgewiseError(
            "no user is left to be measured: the model's weights were fitted on the rows of all "
            "of them; measure the test part"
        )
    return sample(chosen, max_users, seed, "max_users")


def sample(rows: np.ndarray, limit: int | None, seed: int, option: str) -> np.ndarray:
    """At most ``limit`` of the rows, drawn from the seed, in their order; all where it is None."""
    if limit is None or limit >= len(rows):
        return rows
    if limit < 1:
        raise ConfigError(f"{option}={limit}: must be 1 or more, or None for all")
    return np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
