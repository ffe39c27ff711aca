"""A warm start takes everything over: before the first step old users get the old scores."""

from __future__ import annotations

import numpy as np
import pytest
from tests.contracts.checkerboard import checkerboard
from tests.contracts.test_elmrec import SETTINGS as ELMREC
from tests.contracts.test_graph_gpt import SETTINGS as GRAPH_GPT
from tests.contracts.test_rsl import SETTINGS as RSL
from tests.growth import grown

from edgewise.data.item_lists import CandidateLists
from edgewise.data.ragged import Ragged
from edgewise.data.splits import leave_one_out
from edgewise.models import base
from edgewise.models.base import TorchRecommender
from edgewise.models.registry import METHODS
from edgewise.recommender import Recommender

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
ONE_TOKEN = (
    *FROZEN,
    "prompts.ids=one-token",
    "prompts.item_head=true",
    "prompts.user_vectors=true",
)
CASES = [
    *((name, ()) for name in TRAINED if name != "elmrec"),
    ("elmrec", FROZEN),
    ("elmrec", TRAINED_GRAPH),
    ("elmrec", ONE_TOKEN),
    ("gru4rec", ("tied=false",)),
    ("unisrec", ("mode=inductive", "freeze_encoder=true")),
]


def scores(model: Recommender, known: Ragged, num_items: int) -> np.ndarray:
    """Of old items for old users after their old histories, less each user's mean.

    A softmax over more items takes the same off all of a user's scores.
    """
    lists = CandidateLists.from_lists(np.arange(len(known)), [np.arange(num_items)] * len(known))
    more = len(model.data.users) - len(known)
    rows = Ragged.of_rows([*known.rows(), *[np.empty(0, np.int32)] * more])
    found = model.score_candidates(lists, histories=rows, task="sequential")
    found = found.reshape(len(known), num_items)
    return found - found.mean(1, keepdims=True)


@pytest.fixture
def no_steps(monkeypatch):
    """Training that ends before its first step; call it to begin with that."""
    return lambda: monkeypatch.setattr(base, "train", lambda *args, **kwargs: {})


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_old_scores_before_the_first_step(name, settings, no_steps):
    old = checkerboard(described=True).split.dataset
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
        # One more code that tells equal ids apart changes the softmax of the last step.
        more_codes = name == "tiger" and dataset is not old
        assert found == pytest.approx(expected, abs=0.05 if more_codes else 1e-5)
        assert len(after.recommend(np.arange(len(after.data.users))[-3:], 4)) == 12
