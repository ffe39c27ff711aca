"""A few users and their recommendations and explanations, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewise.data.dataset import Dataset
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.influence import speaking_items
from edgewise.runs.evaluate import texts_of
from edgewise.runs.run import Run

SHOWN_HISTORY = 8


@dataclass(frozen=True)
class Shown:
    """An item by title and shelf; ``held_out`` marks what the user really took next."""

    title: str
    shelf: str
    held_out: bool = False


@dataclass(frozen=True)
class UserExample:
    """A user's newest items, what is recommended next, and what the user really took."""

    user_id: str
    history: list[Shown]
    history_length: int
    recommended: list[Shown]
    taken: list[Shown]


@dataclass(frozen=True)
class ExplanationExample:
    """A written explanation beside the user's own words, and the items that speak for it."""

    user_id: str
    item: Shown
    written: str
    own_words: str
    speaking: list[tuple[str, float]]


def user_examples(run: Run, count: int = 3, k: int = 5, seed: int = 0) -> list[UserExample]:
    """Users drawn at random, not chosen for success, as they stood before the test rows."""
    test, known = run.split.test, run.split.known_before("test")
    users = _draw(np.unique(test.user_index), count, seed)
    lists = run.model.recommend(users, k, histories=known)
    found = []
    for user in users:
        taken = test.item_index[test.user_index == user]
        recommended = lists.item_index[lists.user_index == user]
        found.append(
            UserExample(
                run.dataset.users.ids[user],
                [_shown(run.dataset, item) for item in known[user][-SHOWN_HISTORY:]],
                len(known[user]),
                [_shown(run.dataset, item, item in taken) for item in recommended],
                [_shown(run.dataset, item, True) for item in taken],
            )
        )
    return found


def explanation_examples(run: Run, count: int = 2, seed: int = 0) -> list[ExplanationExample]:
    """Test pairs drawn at random."""
    texts = texts_of(run).test
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


def _shown(dataset: Dataset, item: int, held_out: bool = False) -> Shown:
    return Shown(dataset.item_label(item), shelves(dataset)[item], held_out)


def _draw(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(rows)[:count])
