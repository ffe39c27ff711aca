"""Wordings become tokens that read as the wordings do."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.graph_gpt.stages.conftest import read

from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.prompts import (
    CONTENT_WORDINGS,
    EVENTS,
    PREDICTIVE,
    WORDINGS,
    PromptTemplate,
    event_prompt,
    explanation_prompt,
    predictive_prompt,
)

ITEMS = np.array([4, 1])


def test_prompts_read_as_their_wordings(tokens):
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
    phrase = PromptTemplate.of(PREDICTIVE, tokens)
    assert phrase.num_fixed == len(empty)
    assert phrase.room(len(empty) + 5, needed=5) == 5
    with pytest.raises(ConfigError, match=f"backbone.max_tokens={len(empty) + 6} or more"):
        phrase.room(len(empty) + 5, needed=6)


def test_every_wording_is_listed_for_the_tokenizer_and_contents_end_in_a_colon():
    assert set(WORDINGS) == {*CONTENT_WORDINGS.values(), EVENTS, PREDICTIVE}
    assert all(wording.endswith(" :") for wording in CONTENT_WORDINGS.values())
