"""Who is measured: the held-out rows of all users, of some, or of a seeded sample.

Lists that no honest recommender returns are refused before anything is measured.

How models are measured: honestly, unless a protocol that leaks is asked for by name.

A model meets candidates and histories here, never a held-out row marked as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import polars as pl

from edgewise.data.dataset import Interactions
from edgewise.data.item_lists import Recommendations
from edgewise.data.negatives import uniform_candidates
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.data.texts import ExplanationPairs
from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation.metrics import (
    ENTRY_METRICS,
    METRICS,
    Hits,
    catalogue_coverage,
    check_cutoffs,
    check_metrics,
    hits_from_recommendations,
    padded_at_random,
    per_user_metrics,
    popular_items,
    popular_share,
    ranks_from_scores,
    text_metrics,
)
from edgewise.evaluation.protocols import HONEST, Protocol, check_split, known_under
from edgewise.evaluation.report import RankingReport, TextReport
from edgewise.evaluation.statistics import Bootstrap, Estimate, bootstrap_means
from edgewise.recommender import Explainer, Recommender


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
    held_out: Interactions, users: np.ndarray | None, max_users: int | None, seed: int
) -> np.ndarray:
    """The users to be measured, ascending, ``int32[U]``."""
    having = np.unique(held_out.user_index)
    if users is None:
        return sample(having, max_users, seed, "max_users")
    chosen = np.unique(np.asarray(users, dtype=np.int32))
    without = np.setdiff1d(chosen, having)
    if len(without):
        raise EdgewiseError(
            f"{len(without)} of the given users have no held-out rows, first user_index "
            f"{without[0]}; leave them out"
        )
    return sample(chosen, max_users, seed, "max_users")


def sample(rows: np.ndarray, limit: int | None, seed: int, option: str) -> np.ndarray:
    """At most ``limit`` of the rows, drawn from the seed, in their order; all where it is None."""
    if limit is None or limit >= len(rows):
        return rows
    if limit < 1:
        raise ConfigError(f"{option}={limit}: must be 1 or more, or None for all")
    return np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))


def check_lists(
    recommendations: Recommendations,
    users: np.ndarray,
    known: Ragged,
    num_items: int,
    k: int,
    *,
    allow_seen: bool = False,
    allow_repeats: bool = False,
) -> None:
    """Refuse lists that break the contract of ``Recommender.recommend``.

    Args:
        recommendations: what a model returned.
        users: the users that were asked for.
        known: what each user already has, by user index.
        num_items: size of the catalogue.
        k: the list length that was asked for.
        allow_seen: let lists hold items of the user's history.
        allow_repeats: let an item stand at several places of a list.

    Raises:
        EdgewiseError: names the first user and item at fault.
    """
    user, item = recommendations.user_index, recommendations.item_index
    _refuse(recommendations, ~np.isin(user, users), "a list for a user who was not asked for")
    _refuse(recommendations, (item < 0) | (item >= num_items), "an item outside the catalogue")
    starts = _list_starts(user)
    _refuse(recommendations, starts & _repeats(user[starts], starts), "two lists for one user")
    _check_ranks(recommendations, starts, k)
    keys = user.astype(np.int64) * num_items + item
    if not allow_repeats:
        _refuse(recommendations, _repeats(keys), "a repeated item")
    if not allow_seen:
        seen = np.isin(keys, _known_keys(known, users, num_items))
        _refuse(recommendations, seen, "a seen item")


def _refuse(recommendations: Recommendations, wrong: np.ndarray, what: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        user, item = recommendations.user_index[rows[0]], recommendations.item_index[rows[0]]
        raise EdgewiseError(
            f"the model recommended {what}: user_index {user}, item_index {item} "
            f"({len(rows)} such rows of {len(recommendations)}); correct its recommend()"
        )


def _list_starts(user: np.ndarray) -> np.ndarray:
    """Marks the first row of every run of equal users, ``bool[rows]``."""
    return np.concatenate([[True], user[1:] != user[:-1]])[: len(user)]


def _repeats(keys: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """Marks all but the first occurrence of every key, at the rows marked by ``where``."""
    repeated = np.ones(len(keys), dtype=bool)
    repeated[np.unique(keys, return_index=True)[1]] = False
    if where is None:
        return repeated
    spread = np.zeros(len(where), dtype=bool)
    spread[where] = repeated
    return spread


def _check_ranks(recommendations: Recommendations, starts: np.ndarray, k: int) -> None:
    rows = np.arange(len(starts))
    expected = rows - np.maximum.accumulate(np.where(starts, rows, 0)) + 1
    _refuse(recommendations, recommendations.rank != expected, "ranks that are not 1, 2, 3, ...")
    _refuse(recommendations, expected > k, f"more than k={k} items")
    score = recommendations.score
    # Written so that NaN, which compares false with everything, is refused too.
    falls = np.concatenate([[True], score[1:] <= score[:-1]])[: len(score)]
    _refuse(recommendations, ~(falls | starts) | np.isnan(score), "scores that are not descending")


def _known_keys(known: Ragged, users: np.ndarray, num_items: int) -> np.ndarray:
    owner = np.repeat(np.arange(len(known)), known.lengths)
    mine = np.isin(owner, users)
    return owner[mine] * num_items + known.values[mine]


_ONE_HELD_OUT = ("HitRate", "NDCG", "MRR")


def usual_metrics(split: Split, protocol: Protocol = HONEST) -> tuple[str, ...]:
    """What is measured where nobody asks: Recall joins where users have several held-out rows."""
    if protocol.metrics:
        return protocol.metrics
    return _ONE_HELD_OUT if split.kind == "leave-one-out" else ("Recall", *_ONE_HELD_OUT)


def evaluate_direct(
    model: Recommender,
    split: Split,
    part: str = "test",
    *,
    ks: Sequence[int] | None = None,
    metrics: Sequence[str] | None = None,
    num_negatives: int | None = None,
    seed: int = 0,
    users: np.ndarray | None = None,
    max_users: int | None = None,
    bootstrap: Bootstrap | None = None,
    protocol: Protocol = HONEST,
) -> RankingReport:
    """Find each held-out item among items its user never touched (ELMRec, section 4.1).

    Negatives are uniform over the catalogue without the user's items of any part, so no later
    purchase is counted as a mistake. Ties count against the model. A user with several held-out
    items has one list for each, and their average.

    Args:
        model: fitted; asked for ``score_candidates`` alone.
        split: where the held-out rows are.
        part: ``valid`` or ``test``.
        ks: list lengths; the protocol's where it is None.
        metrics: names from :data:`edgewise.evaluation.metrics.METRICS`; the protocol's where None.
        num_negatives: negatives in each list; the protocol's where it is None.
        seed: of the negatives, and of the sample of users.
        users: measure these users only, each with held-out rows.
        max_users: measure a seeded sample of the users, for a quick look.
        bootstrap: how intervals are made.
        protocol: that the split was made under.

    Raises:
        ConfigError: an impossible option, or a split that was made under another protocol.
    """
    held_out = held_out_rows(split, part)
    check_split(protocol, split)
    ks, metrics = _measured(protocol, ks, metrics)
    num_negatives = protocol.num_negatives if num_negatives is None else num_negatives
    chosen = choose_users(held_out, users, max_users, seed)
    rows = np.flatnonzero(np.isin(held_out.user_index, chosen))
    lists = uniform_candidates(split, part, num_negatives, seed).take(rows)
    known = known_under(protocol, split, part)
    scores = np.asarray(model.score_candidates(lists, histories=known))
    ranks = ranks_from_scores(lists, scores, held_out.item_index[rows])
    frame = per_user_metrics(Hits.from_ranks(lists.user_index, ranks), ks, metrics)
    settings = _settings("direct", split, part, users, max_users, seed) | {
        "num_negatives": num_negatives,
        "negatives_seed": seed,
    }
    return _ranking_report(frame, split, settings, bootstrap, protocol)


def evaluate_sequential(
    model: Recommender,
    split: Split,
    part: str = "test",
    *,
    ks: Sequence[int] | None = None,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
    users: np.ndarray | None = None,
    max_users: int | None = None,
    allow_seen: bool = False,
    bootstrap: Bootstrap | None = None,
    protocol: Protocol = HONEST,
) -> RankingReport:
    """Find each user's held-out items in the whole catalogue without the user's seen items.

    Beside accuracy the report tells ``Coverage@k`` and ``PopularShare@k``. A held-out item that the
    user already had cannot be recommended and counts as missed. Seen are train items, and when the
    test part is predicted validation items, too: the graph-attentive GPT-2 paper masks train items
    alone, so that its lists spend places on items that cannot be right, and so does the protocol
    ``llm4rec-released``.

    Args:
        model: fitted; asked for ``recommend`` alone.
        split: where the held-out rows are.
        part: ``valid`` or ``test``.
        ks: list lengths, the protocol's where it is None; the model is asked for the longest.
        metrics: names from :data:`edgewise.evaluation.metrics.METRICS`; the protocol's where None.
        seed: of the sample of users.
        users: measure these users only, each with held-out rows.
        max_users: measure a seeded sample of the users, for a quick look.
        allow_seen: let lists hold items of the user's history, as in the paper's ablation without
            reranking. Such an item keeps its place, and is right only if it is held out.
        bootstrap: how intervals are made.
        protocol: that the split was made under; it says what is done to lists before they count.

    Raises:
        ConfigError: an impossible option, or a split that was made under another protocol.
        EdgewiseError: the model returned seen, repeated or unknown items, or an unsorted list.
    """
    held_out = held_out_rows(split, part)
    check_split(protocol, split)
    ks, metrics = _measured(protocol, ks, metrics)
    chosen = choose_users(held_out, users, max_users, seed)
    known, num_items = known_under(protocol, split, part), split.dataset.num_items
    lists = model.recommend(chosen, k=max(ks), histories=known)
    repeats = protocol.count_repeats
    check_lists(
        lists, chosen, known, num_items, max(ks), allow_seen=allow_seen, allow_repeats=repeats
    )
    if protocol.random_padding:
        lists = padded_at_random(lists, chosen, split.dataset, max(ks), seed)
    wanted = held_out.take(np.flatnonzero(np.isin(held_out.user_index, chosen)))
    hits = hits_from_recommendations(lists, wanted, every_entry=repeats)
    frame = per_user_metrics(hits, ks, metrics, ENTRY_METRICS if repeats else METRICS)
    is_popular = popular_items(split.train, num_items)
    shares = {f"PopularShare@{k}": popular_share(lists, is_popular, chosen, k) for k in ks}
    settings = _settings("sequential", split, part, users, max_users, seed)
    if protocol.random_padding:
        settings["padding_seed"] = seed
    settings["already_seen"] = _num_already_seen(wanted, known)
    settings["allow_seen"] = allow_seen
    settings["masked"] = "nothing" if allow_seen else _masked(protocol, part)
    coverage = {f"Coverage@{k}": Estimate(catalogue_coverage(lists, num_items, k)) for k in ks}
    frame = frame.with_columns(**{name: pl.Series(share) for name, share in shares.items()})
    return _ranking_report(frame, split, settings, bootstrap, protocol, coverage)


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


def _measured(
    protocol: Protocol, ks: Sequence[int] | None, metrics: Sequence[str] | None
) -> tuple[Sequence[int], Sequence[str]]:
    """What is asked for, checked, or what the protocol measures."""
    ks = protocol.ks if ks is None else ks
    metrics = (protocol.metrics or _ONE_HELD_OUT) if metrics is None else metrics
    check_cutoffs(ks)
    check_metrics(metrics)
    return ks, metrics


def _masked(protocol: Protocol, part: str) -> str:
    return "train items" if part == "valid" else f"{protocol.history_rows} items"


def _num_already_seen(wanted: Interactions, known: Ragged) -> int:
    pairs = zip(wanted.user_index, wanted.item_index, strict=True)
    return sum(bool((known[user] == item).any()) for user, item in pairs)


def _settings(
    task: str,
    split: Split,
    part: str,
    users: np.ndarray | None,
    max_users: int | None,
    seed: int,
) -> dict[str, object]:
    return {
        "task": task,
        "data": split.dataset.name,
        "data_checksum": split.dataset.checksum,
        "num_items": split.dataset.num_items,
        "num_train_rows": len(split.train),
        "split": split.kind,
        "split_seed": split.seed,
        "part": part,
        "users": "all" if users is None else "given",
        "max_users": max_users,
        "users_seed": None if max_users is None else seed,
    }


def _ranking_report(
    frame: pl.DataFrame,
    split: Split,
    settings: dict[str, object],
    bootstrap: Bootstrap | None,
    protocol: Protocol,
    extra: dict[str, Estimate] | None = None,
) -> RankingReport:
    bootstrap = bootstrap or Bootstrap()
    names = frame.columns[1:]
    estimates = bootstrap_means(frame.select(names).to_numpy(), bootstrap)
    ids = split.dataset.users.ids
    user_id = pl.Series("user_id", [ids[u] for u in frame["user_index"]], dtype=pl.String)
    return RankingReport(
        per_user=frame.insert_column(1, user_id),
        metrics=dict(zip(names, estimates, strict=True)) | (extra or {}),
        num_users=len(frame),
        settings=settings | {"bootstrap": asdict(bootstrap)},
        protocol=protocol,
    )
