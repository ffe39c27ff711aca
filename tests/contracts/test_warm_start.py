"""A warm start takes everything over: before the first step old users get the old scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.contracts.checkerboard import checkerboard, descriptions
from tests.contracts.test_elmrec import SETTINGS as ELMREC
from tests.contracts.test_graph_gpt import SETTINGS as GRAPH_GPT
from tests.contracts.test_rsl import SETTINGS as RSL

from edgewise.data.dataset import Dataset, Interactions, Vocabulary
from edgewise.data.item_lists import CandidateLists
from edgewise.data.ragged import Ragged
from edgewise.data.splits import leave_one_out
from edgewise.models import base
from edgewise.models.base import TorchRecommender
from edgewise.models.registry import METHODS

MORE_USERS, MORE_ITEMS = 9, 6
TRAINED = sorted(n for n, m in METHODS.items() if issubclass(m.recommender, TorchRecommender))
# Without priors, which are counted anew from the grown rows, and with one epoch.
ONCE = ("training.epochs=1",)
SETTINGS = {
    "elmrec": (*ELMREC, *ONCE, "prompts.item_head=false", "priors.names=[]"),
    "rsl": (*RSL, *ONCE, "priors.names=[]"),
    "graph-gpt": (*GRAPH_GPT, "training.sequence.epochs=1", "priors.names=[]"),
    "tiger": (*ONCE, "num_user_tokens=8"),
    "s3rec": (*ONCE, "pretraining.epochs=1"),
    "unisrec": (*ONCE, "pretraining.epochs=1"),
}
FROZEN = ("graph.features=random", "graph.num_folds=0")
TRAINED_GRAPH = ("graph.features=trained", "graph.num_folds=0")
CASES = [
    *((name, ()) for name in TRAINED if name != "elmrec"),
    ("elmrec", FROZEN),
    ("elmrec", TRAINED_GRAPH),
    ("gru4rec", ("tied=false",)),
    ("unisrec", ("mode=inductive", "freeze_encoder=true")),
]


def world(described: bool = True) -> Dataset:
    return checkerboard(described=described).split.dataset


def grown(old: Dataset, *, apart: bool) -> Dataset:
    """New users and items behind the old ones; and, unless they keep apart, new rows of old users.

    What a graph says of old nodes stays only where new ones keep apart.
    """
    num_users, num_items = old.num_users, old.num_items
    rng = np.random.default_rng(1)
    items = np.arange(num_items, num_items + MORE_ITEMS)
    if not apart:
        items = np.concatenate([items, np.arange(num_items)])
    rows = [
        (user, item)
        for user in range(num_users, num_users + MORE_USERS)
        for item in rng.permutation(items)[:5]
    ]
    if not apart:
        rows += [(user, num_items + user % MORE_ITEMS) for user in range(0, num_users, 2)]
    users, taken = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    users = np.concatenate([old.interactions.user_index, users])
    order = np.argsort(users, kind="stable")
    interactions = Interactions(
        users[order], np.concatenate([old.interactions.item_index, taken])[order]
    )
    more = descriptions(np.arange(MORE_ITEMS) % 2)
    catalog = replace(
        old.catalog,
        title=old.catalog.title + tuple(f"{title} again" for title in more.title),
        brand=old.catalog.brand + ("Brand new",) * MORE_ITEMS,
        categories=old.catalog.categories + more.categories,
        description=old.catalog.description + more.description,
    )
    return Dataset(
        "grown",
        Vocabulary(old.users.ids + tuple(f"new{n}" for n in range(MORE_USERS)), "user"),
        Vocabulary(old.items.ids + tuple(f"other{n}" for n in range(MORE_ITEMS)), "item"),
        interactions,
        catalog,
    )


def scores(model: TorchRecommender, known: Ragged, num_items: int) -> np.ndarray:
    """Of old items for old users after their old histories, less each user's mean.

    A softmax over more items takes the same off all of a user's scores.
    """
    lists = CandidateLists.from_lists(np.arange(len(known)), [np.arange(num_items)] * len(known))
    more = len(model.data.users) - len(known)
    rows = Ragged.of_rows([*known.rows(), *[np.empty(0, np.int32)] * more])
    task = "sequential"
    found = model.score_candidates(lists, histories=rows, task=task).reshape(len(known), num_items)
    return found - found.mean(1, keepdims=True)


@pytest.fixture
def no_steps(monkeypatch):
    """Training that ends before its first step; call it to begin with that."""
    return lambda: monkeypatch.setattr(base, "train", lambda *args, **kwargs: {})


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_old_scores_before_the_first_step(name, settings, no_steps):
    old = world()
    method = METHODS[name].recommender
    chosen = [*SETTINGS.get(name, ONCE), *settings]
    before = method.from_preset("tiny", chosen).fit(leave_one_out(old))
    expected = scores(before, before.data.histories, old.num_items)
    assert expected.std() > 0
    no_steps()
    for dataset in (old, grown(old, apart=name in ("elmrec", "graph-gpt"))):
        after = method.from_preset("tiny", chosen)
        after.fit(leave_one_out(dataset), start_from=before)
        found = scores(after, before.data.histories, old.num_items)
        assert found == pytest.approx(expected, abs=1e-5)
        assert len(after.recommend(np.arange(len(after.data.users))[-3:], 4)) == 12
