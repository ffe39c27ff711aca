"""Templates become tokens that read alike, and histories the prompts the last stage learned."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.graph_gpt.stages.conftest import read

from edgewise.config import with_overrides
from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.graph_gpt.prompts import (
    CONTENT_TEMPLATES,
    EVENTS,
    NOBODY,
    PREDICTIVE,
    TEMPLATES,
    HistoryWriter,
    PromptTemplate,
    distinct,
    event_prompt,
    explanation_prompt,
    newest,
    predictive_prompt,
    recommending_stage,
)

HISTORY = np.array([3, 1, 4, 1, 5])
HISTORIES = Ragged.of_rows([HISTORY])
ITEMS = np.array([4, 1])


@pytest.fixture
def tokens(fitted):
    return fitted.tokens


def test_prompts_read_as_their_templates(tokens):
    assert read(tokens, event_prompt(3, ITEMS, tokens)) == " [u3] has interacted with [i4] [i1]"
    assert read(tokens, predictive_prompt(3, ITEMS, tokens)) == (
        " [u3] has interacted with [i4] [i1] . [u3] will interact with"
    )
    assert read(tokens, explanation_prompt(3, 4, tokens)) == (
        " [u3] gave this reason for buying [i4] :"
    )
    assert read(tokens, explanation_prompt(3, 4, tokens, "review")) == (
        " [u3] reviewed [i4] in these words :"
    )


def test_nobody_is_left_out(tokens):
    assert read(tokens, event_prompt(None, ITEMS, tokens)) == " has interacted with [i4] [i1]"
    assert read(tokens, predictive_prompt(None, ITEMS[:0], tokens)) == (
        " has interacted with . will interact with"
    )


def test_users_and_items_are_single_tokens(tokens):
    row = event_prompt(3, ITEMS, tokens)
    assert row.dtype == np.int64
    assert row[[0, -2, -1]].tolist() == [tokens.user_token(3), *tokens.item_token(ITEMS)]
    assert (row[1:-2] < tokens.num_text).all()


def test_fixed_tokens_are_all_but_the_items(tokens):
    empty = predictive_prompt(0, ITEMS[:0], tokens)
    template = PromptTemplate.of(PREDICTIVE, tokens)
    assert template.num_fixed == len(empty)
    assert template.room(len(empty) + 5, needed=5) == 5
    with pytest.raises(ConfigError, match=f"backbone.max_tokens={len(empty) + 6} or more"):
        template.room(len(empty) + 5, needed=6)


def test_every_template_is_listed_for_the_tokenizer_and_contents_end_in_a_colon():
    assert set(TEMPLATES) == {*CONTENT_TEMPLATES.values(), EVENTS, PREDICTIVE}
    assert all(template.endswith(" :") for template in CONTENT_TEMPLATES.values())


def writer(tokens, stage, *overrides) -> HistoryWriter:
    config = with_overrides(GraphGPTConfig(), ["history.order=time", *overrides])
    return HistoryWriter.of(config, tokens, ("content", stage))


def test_the_last_stage_that_recommends():
    assert recommending_stage(("content", "events", "predictive")) == "predictive"
    assert recommending_stage(("sequence", "content")) == "sequence"


@pytest.mark.parametrize("stage", ["events", "sequence"])
def test_user_words_items(tokens, stage):
    (prompt,) = writer(tokens, stage).prompts(np.array([2]), HISTORIES)
    words = tokens.encode_text(" has interacted with")
    items = tokens.item_token(HISTORY)
    assert prompt.tolist() == [tokens.user_token(2), *words, *items]


def test_past_and_future_tense(tokens):
    (prompt,) = writer(tokens, "predictive").prompts(np.array([2]), HISTORIES)
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
    (prompt,) = writer(tokens, "sequence", "history.max_items=2").prompts(np.array([2]), HISTORIES)
    assert prompt[-2:].tolist() == tokens.item_token(HISTORY[-2:]).tolist()
    assert len(prompt) == len(writer(tokens, "sequence").write(2, HISTORY)) - 3


def test_sets_are_written_once_and_in_no_order(tokens):
    as_set = writer(tokens, "predictive", "history.order=set", "history.max_items=3")
    first, second = as_set.prompts(
        np.array([2, 2]), Ragged.of_rows([HISTORY, np.array([0, 5, 4, 1, 5])])
    )
    assert first.tolist() == predictive_prompt(2, np.array([1, 4, 5]), tokens).tolist()
    assert second.tolist() == first.tolist()
    ordered = writer(tokens, "sequence", "history.order=set").prompts(np.array([2]), HISTORIES)
    assert ordered[0][-5:].tolist() == tokens.item_token(HISTORY).tolist()


def test_distinct_items_stand_where_they_stood_last():
    found = distinct(Ragged.of_rows([HISTORY, HISTORY[:0], ITEMS]))
    assert [row.tolist() for row in found.rows()] == [[3, 4, 1, 5], [], [4, 1]]


def test_the_newest_items_stand_last():
    found = newest(Ragged.of_rows([HISTORY, HISTORY[:0], ITEMS[:1]]), 2)
    assert [row.tolist() for row in found.rows()] == [[1, 5], [], [4]]


def test_what_does_not_fit_is_told(tokens):
    words = len(writer(tokens, "sequence").write(2, HISTORY[:0]))
    short = HistoryWriter(tokens, "sequence", 50, words + 3, with_user=True)
    with pytest.warns(UserWarning, match="up to 5 items do not fit.*newest 3 items"):
        (prompt,) = short.prompts(np.array([2]), HISTORIES)
    assert len(prompt) == words + 3


def test_no_room_at_all(tokens):
    with pytest.raises(ConfigError, match="max_tokens"):
        HistoryWriter(tokens, "predictive", 50, 3, with_user=True).prompts(np.array([2]), HISTORIES)
