"""``report.html`` of a run: metrics, learning curves, maps and a few users in words, in one file.

It knows no method by name. A recommender may tell of itself, all of it optional: ``summary`` says
in a sentence or two what it is, ``node_vectors()`` gives the vectors of users and then items that
are drawn as maps, ``float32[N, D]``, and ``node_vectors_summary`` ends "After training, ...".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from edgewise.data.dataset import Dataset
from edgewise.evaluation.chance import spelled_sizes
from edgewise.evaluation.list_metrics import LIST_METRICS
from edgewise.evaluation.protocols import warning_on
from edgewise.evaluation.report import RankingReport, Report, paired_differences
from edgewise.evaluation.statistics import Estimate
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.influence import speaking_items
from edgewise.graph.plots import map_2d
from edgewise.graph.propagation import initial_features
from edgewise.reporting.render import data_address, render
from edgewise.runs.evaluate import TaskResult, cautions, measured_texts
from edgewise.runs.explain import score_reasons, strongest
from edgewise.runs.growth import age_note
from edgewise.runs.run import Run
from edgewise.training.curves import curves_png, read_curves

SHOWN_HISTORY = 8
_HIDDEN = {
    "leave-one-out": "Each user's last purchase was",
    "ratio": "A tenth of each user's purchases, drawn at random, was",
    "time": "The newest tenth of all purchases was",
}
_MOST_GROUPS = 10
_MOST_NODES = 1500


@dataclass(frozen=True)
class ShownItem:
    """An item by title and shelf; ``held_out`` marks what the user really took next.

    ``reason`` is the strongest part of its score in words, where the score has parts.
    """

    title: str
    shelf: str
    held_out: bool = False
    reason: str = ""


@dataclass(frozen=True)
class UserExample:
    """A user's newest items, what is recommended next, and what the user really took."""

    user_id: str
    history: list[ShownItem]
    history_length: int
    recommended: list[ShownItem]
    taken: list[ShownItem]


@dataclass(frozen=True)
class ExplanationExample:
    """A written explanation beside the user's own words, and the items that speak for it."""

    user_id: str
    item: ShownItem
    written: str
    own_words: str
    speaking: list[tuple[str, float]]


def run_page(
    run: Run,
    results: Sequence[TaskResult],
    users: Sequence[UserExample],
    explanations: Sequence[ExplanationExample],
) -> str:
    """The whole page; it loads nothing from anywhere."""
    method = run.model
    return render(
        "run.html",
        title=f"{run.label} on {run.dataset.name}",
        warning=warning_on(run.spec.protocol, run.dataset),
        hidden=_HIDDEN[run.split.kind],
        summary=getattr(method, "summary", f"{run.label} has learned from who bought what."),
        facts=_facts(run),
        results=[_result(each) for each in results],
        curves=learning_curves(run),
        maps=vector_maps(run.as_fitted()),
        vectors=getattr(
            run.as_fitted().model,
            "node_vectors_summary",
            "they are what the model learned of users and items",
        ),
        learned=method.learned_rows(),
        users=users,
        explanations=explanations,
        folder=run.folder,
        method=run.spec.method_name,
    )


def _facts(run: Run) -> str:
    dataset, info, spec = run.dataset, run.info, run.spec
    return (
        f"{dataset.num_users:,} users, {dataset.num_items:,} items, "
        f"{len(dataset.interactions):,} purchases; {spec.split_kind} split, protocol "
        f"{spec.protocol.title}, seed {spec.config.seed}; trained for "
        f"{info.training_seconds / 60:.1f} minutes on "
        f"{info.machine.get('gpu', info.machine['processor'])} ({info.machine['cores']} cores)."
        + "".join(f" {words[0].upper()}{words[1:]}." for words in _since(run))
    )


def _since(run: Run) -> list[str]:
    """What has come since the model was fitted, and what it cannot do for that."""
    if run.growth is None:
        return []
    return [age_note(run.growth.settings("test")), *run.notes]


# A few users in words.


def user_examples(run: Run, count: int = 3, k: int = 5, seed: int = 0) -> list[UserExample]:
    """Users drawn at random, not chosen for success, as they stood before the test rows.

    None of a run that ranks given candidates alone.
    """
    if "sequential" not in run.model.tasks:
        return []
    test, known = run.split.test, run.split.known_before("test")
    users = _draw(np.unique(test.user_index), count, seed)
    lists = run.model.recommend(users, k, histories=known)
    found = []
    for user in users:
        taken = test.item_index[test.user_index == user]
        recommended = lists.item_index[lists.user_index == user]
        parts = score_reasons(run, int(user), recommended, known)
        found.append(
            UserExample(
                run.dataset.users.ids[user],
                [_shown(run.dataset, item) for item in known[user][-SHOWN_HISTORY:]],
                len(known[user]),
                [
                    replace(_shown(run.dataset, item, item in taken), reason=strongest(own))
                    for item, own in zip(recommended, parts, strict=True)
                ],
                [_shown(run.dataset, item, True) for item in taken],
            )
        )
    return found


def explanation_examples(run: Run, count: int = 2, seed: int = 0) -> list[ExplanationExample]:
    """Test pairs drawn at random; none where nothing explains, or there is nothing to explain."""
    texts = measured_texts(run, "test")
    if "explanation" not in run.model.tasks or not len(texts):
        return []
    pairs = texts.take(_draw(np.arange(len(texts)), count, seed))
    asked = list(zip(pairs.user_index.tolist(), pairs.item_index.tolist(), strict=True))
    dataset = run.dataset
    graph = BipartiteGraph.from_interactions(run.split.train, dataset.num_users, dataset.num_items)
    found = []
    for (user, item), text, own in zip(asked, run.model.explain(asked), pairs.text, strict=True):
        items, shares = speaking_items(graph, user, item)
        speaking = [(dataset.item_label(i), float(s)) for i, s in zip(items, shares, strict=True)]
        shown = _shown(dataset, item)
        found.append(ExplanationExample(dataset.users.ids[user], shown, text, own, speaking[:3]))
    return found


def shelves(dataset: Dataset) -> list[str]:
    """Each item's shelf: the first level of its categories on which items differ; may be empty."""
    paths = dataset.catalog.categories
    for level in range(max(map(len, paths), default=0)):
        names = [path[level] if level < len(path) else "" for path in paths]
        if len(set(names)) > 1:
            return names
    return [""] * len(paths)


def _shown(dataset: Dataset, item: int, held_out: bool = False) -> ShownItem:
    return ShownItem(dataset.item_label(item), shelves(dataset)[item], held_out)


def _draw(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(rows)[:count])


# Metrics beside a baseline.


def _result(result: TaskResult) -> dict[str, Any]:
    first = next(iter(result.reports.values()))
    unit = "users" if isinstance(first, RankingReport) else "pairs"
    settings: dict[str, Any] = dict(first.settings)
    return {
        "task": result.task,
        "counted": f"{len(first.rows):,} {unit}",
        "candidates": spelled_sizes(settings) if "candidates_mean" in settings else "",
        "chance": [
            (name.partition("@")[2], f"{value:.3f}")
            for name, value in settings.get("chance", {}).items()
            if name.startswith("HitRate@")
        ],
        "cautions": cautions(result),
        **metrics_table(result.reports),
    }


def metrics_table(reports: Mapping[str, Report]) -> dict[str, Any]:
    """A system and its baseline, one row a metric, with the paired difference if there are any.

    Args:
        reports: by system, ours first; ours alone where it is the baseline itself.
    """
    ours, *others = reports.values()
    differences: dict[str, Estimate] = {}
    for other in others:
        if isinstance(ours, RankingReport) and isinstance(other, RankingReport):
            differences = paired_differences(ours, other)
    form = ".3f" if isinstance(ours, RankingReport) else ".1f"
    rows = [
        {
            "metric": metric,
            "cells": [_spelled(each.metrics[metric], form) for each in (ours, *others)],
            "difference": _difference(metric, differences.get(metric)),
        }
        for metric in ours.metrics
    ]
    return {"systems": list(reports), "has_differences": bool(differences), "rows": rows}


def _difference(metric: str, estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None or estimate.low is None:
        return {"text": "-", "interval": "", "sure": False}
    judged = metric.partition("@")[0] not in LIST_METRICS  # neither good nor bad by themselves
    return _spelled(estimate, "+.3f") | {"sure": judged and estimate.low > 0}


def _spelled(estimate: Estimate, form: str) -> dict[str, Any]:
    interval = "" if estimate.low is None else f"{estimate.low:{form}} to {estimate.high:{form}}"
    return {"text": f"{estimate.mean:{form}}", "interval": interval}


# Pictures, as addresses for ``<img>``.


def learning_curves(run: Run) -> dict[str, str]:
    """The curves on ``light`` and on ``dark`` ground.

    None of what learns at once, or without the extra ``plots``.
    """
    curves = read_curves(run.folder)
    if not curves or find_spec("matplotlib") is None:
        return {}
    return {theme: data_address(curves_png(curves, theme)) for theme in ("light", "dark")}


def vector_maps(run: Run) -> dict[str, str]:
    """``users`` and ``items`` before and after training; none if the method gives no vectors, or
    without the extra ``plots``.

    Before are random vectors. Colours are shelves; a user has the colour of the shelf he took most
    from. The pictures stay in the run folder, too, under ``maps/``.
    """
    if not hasattr(run.model, "node_vectors") or find_spec("matplotlib") is None:
        return {}
    after: np.ndarray = run.model.node_vectors()  # type: ignore[attr-defined]
    num_users, seed = run.dataset.num_users, run.config.seed
    before = initial_features(len(after), after.shape[1], 1.0, seed)
    groups, names = _groups(run)
    found = {}
    for kind, nodes in {"users": range(num_users), "items": range(num_users, len(after))}.items():
        chosen = np.sort(np.random.default_rng(seed).permutation(nodes)[:_MOST_NODES])
        panels = {f"{kind}, before": before[chosen], f"{kind}, after": after[chosen]}
        path = run.folder / "maps" / f"{kind}.png"
        map_2d(panels, groups[chosen], path, group_names=names)
        found[kind] = data_address(path.read_bytes())
    return found


def _groups(run: Run) -> tuple[np.ndarray, list[str]]:
    """A shelf number for every user and item (-1: none of the largest), and the shelves' names."""
    of_items = shelves(run.dataset)
    counts = {name: of_items.count(name) for name in set(of_items) if name}
    names = sorted(sorted(counts), key=lambda name: -counts[name])[:_MOST_GROUPS]
    numbers = {name: number for number, name in enumerate(names)}
    items = np.array([numbers.get(name, -1) for name in of_items])
    return np.concatenate([_favourites(run, items, len(names)), items]), names


def _favourites(run: Run, items: np.ndarray, num_groups: int) -> np.ndarray:
    """The shelf that each user took most from in the train rows, -1 without any."""
    train = run.split.train
    shelf = items[train.item_index]
    taken = np.zeros((run.dataset.num_users, max(num_groups, 1)), dtype=np.int64)
    np.add.at(taken, (train.user_index[shelf >= 0], shelf[shelf >= 0]), 1)
    return np.where(taken.any(axis=1), taken.argmax(axis=1), -1)
