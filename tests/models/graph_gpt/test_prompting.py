"""The prompts of recommending are those of the last stage that learned to recommend."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.config import with_overrides
from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.graph_gpt.prompts import (
    NOBODY,
    HistoryWriter,
    distinct,
    predictive_prompt,
    recommending_stage,
)

HISTORY = np.array([3, 1, 4, 1, 5])


@pytest.fixture
def tokens(fitted):
    return fitted.tokens


def writer(tokens, stage, *overrides) -> HistoryWriter:
    config = with_overrides(GraphGPTConfig(), ["history.order=time", *overrides])
    return HistoryWriter.of(config, tokens, ("content", stage))


def test_the_last_stage_that_recommends():
    assert recommending_stage(("content", "events", "predictive")) == "predictive"
    assert recommending_stage(("sequence", "content")) == "sequence"


@pytest.mark.parametrize("stage", ["events", "sequence"])
def test_user_words_items(tokens, stage):
    (prompt,) = writer(tokens, stage).prompts(np.array([2]), [HISTORY])
    words = tokens.encode_text(" has interacted with")
    items = tokens.item_token(HISTORY)
    assert prompt.tolist() == [tokens.user_token(2), *words, *items]


def test_past_and_future_tense(tokens):
    (prompt,) = writer(tokens, "predictive").prompts(np.array([2]), [HISTORY])
    assert prompt.tolist() == predictive_prompt(2, HISTORY, tokens).tolist()
    assert tokens.tokenizer.decode(prompt[-5:]).endswith("with")


def test_nobody_is_not_written(tokens):
    anonymous = writer(tokens, "sequence").write(NOBODY, HISTORY)
    assert anonymous.tolist() == writer(tokens, "sequence").write(2, HISTORY).tolist()[1:]
    without = writer(tokens, "sequence", "history.user_token=false")
    assert without.write(2, HISTORY).tolist() == anonymous.tolist()


def test_sets_always_name_their_user(tokens):
    settings = ("history.order=set", "history.user_token=false")
    assert writer(tokens, "events", *settings).with_user
    assert not writer(tokens, "sequence", *settings).with_user


def test_the_newest_items_are_kept(tokens):
    (prompt,) = writer(tokens, "sequence", "history.max_items=2").prompts([2], [HISTORY])
    assert prompt[-2:].tolist() == tokens.item_token(HISTORY[-2:]).tolist()
    assert len(prompt) == len(writer(tokens, "sequence").write(2, HISTORY)) - 3


def test_sets_are_written_once_and_in_no_order(tokens):
    as_set = writer(tokens, "predictive", "history.order=set", "history.max_items=3")
    first, second = as_set.prompts(np.array([2, 2]), [HISTORY, np.array([0, 5, 4, 1, 5])])
    assert first.tolist() == predictive_prompt(2, np.array([1, 4, 5]), tokens).tolist()
    assert second.tolist() == first.tolist()
    ordered = writer(tokens, "sequence", "history.order=set").prompts(np.array([2]), [HISTORY])
    assert ordered[0][-5:].tolist() == tokens.item_token(HISTORY).tolist()


def test_distinct_items_stand_where_they_stood_last():
    assert distinct(HISTORY).tolist() == [3, 4, 1, 5]
    assert distinct(HISTORY[:0]).tolist() == []


def test_what_does_not_fit_is_told(tokens):
    words = len(writer(tokens, "sequence").write(2, HISTORY[:0]))
    short = HistoryWriter(tokens, "sequence", 50, words + 3, with_user=True)
    with pytest.warns(UserWarning, match="up to 5 items do not fit.*newest 3 items"):
        (prompt,) = short.prompts(np.array([2]), [HISTORY])
    assert len(prompt) == words + 3


def test_no_room_at_all(tokens):
    with pytest.raises(ConfigError, match="max_tokens"):
        HistoryWriter(tokens, "predictive", 50, 3, with_user=True).prompts([2], [HISTORY])
