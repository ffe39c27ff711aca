"""Some users go unnamed, so that people who are not in the data can be answered."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.graph_gpt.stages.conftest import ALL, prompts_of, stage

from edgewise.models.graph_gpt.stages.schedule import Stream, UserTokenDropout

EVERYBODY = np.arange(1000)


def naming(rate: float = 0.3, *, with_user: bool = True, seed: int = 0) -> UserTokenDropout:
    return UserTokenDropout(with_user, rate, seed, Stream.EVENTS)


def test_a_share_goes_unnamed():
    named = naming().training(EVERYBODY, epoch=0)
    assert all(name in (user, None) for user, name in enumerate(named))
    assert 250 < named.count(None) < 350
    assert naming(0.0).training(EVERYBODY, 0) == EVERYBODY.tolist()
    assert naming(1.0).training(EVERYBODY, 0) == [None] * 1000


def test_draws_depend_on_user_epoch_and_seed_alone():
    some = np.array([400, 7])
    everybody = naming().training(EVERYBODY, 3)
    assert naming().training(some, 3) == [everybody[400], everybody[7]]
    assert naming().training(EVERYBODY, 4) != everybody
    assert naming(seed=1).training(EVERYBODY, 3) != everybody


def test_validation_names_all_or_nobody():
    assert naming(0.9).validation(EVERYBODY) == EVERYBODY.tolist()
    assert naming(0.0, with_user=False).validation(EVERYBODY) == [None] * 1000
    assert naming(0.0, with_user=False).training(EVERYBODY, 0) == [None] * 1000


@pytest.mark.parametrize("name", ["events", "predictive"])
def test_stages_leave_some_users_out(name, by_ratio, tokens):
    data = stage(name, by_ratio, "history.user_dropout=0.5", tokens=tokens)
    steps = range(2 * data.steps_per_epoch)
    texts = [text for step in steps for text in prompts_of(tokens, data.batch(step, ALL))]
    share = np.mean(["[u" in text for text in texts])
    assert 0.25 < share < 0.75
    for batch in data.validation()[name]:
        assert all("[u" in text for text in prompts_of(tokens, batch))
