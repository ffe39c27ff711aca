"""Ids as they are spelled, no two items alike, and templates as they are chosen and filled."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.elmrec.conftest import NUM_ITEMS, NUM_USERS

from edgewise.errors import ConfigError
from edgewise.models.elmrec.config import PromptConfig
from edgewise.models.elmrec.prompts import (
    SHORT_TEMPLATE,
    TEMPLATES,
    PromptWriter,
    TemplateChoice,
    build_entity_token_table,
    spell_item,
    spell_user,
)


def test_numbers_start_at_1_and_0_is_nobody():
    assert (spell_user(-1), spell_user(0), spell_item(0)) == ("user_0", "user_1", "item_1")


def test_every_entity_is_spelled_as_the_tokenizer_does(table, tokenizer):
    for index in (0, 8, 99, 998, NUM_USERS - 1):
        ids = tokenizer(f"user_{index + 1}", add_special_tokens=False)["input_ids"]
        assert table.tokens[index].tolist() == ids
    ids = tokenizer(f"item_{NUM_ITEMS}", add_special_tokens=False)["input_ids"]
    assert table.tokens[table.num_nodes - 1].tolist() == ids


def test_item_targets_are_the_spellings_with_an_end(table):
    tokens, lengths = table.spellings.tokens, table.spellings.lengths
    for item in (0, 41, NUM_ITEMS - 1):
        spelled = table.tokens[NUM_USERS + item]
        assert tokens[item, : lengths[item]].tolist() == [*spelled, table.eos_id]
        assert (tokens[item, lengths[item] :] == table.pad_id).all()
        assert table.target(item).tolist() == [*spelled, table.eos_id]
    assert len(np.unique(tokens, axis=0)) == NUM_ITEMS


def test_a_tokenizer_without_digits_is_refused():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    blind = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>")
    with pytest.raises(ConfigError, match="spells two items alike"):
        build_entity_token_table(blind, 2, 3)


def test_a_long_history_keeps_its_newest_items(table):
    writer = PromptWriter(table, max_history=3)
    (prompt,) = writer.sequential(np.array([0]), [np.arange(10)])
    assert prompt.tolist() == [0, *(NUM_USERS + np.array([7, 8, 9]))]


def test_templates_at_their_rate():
    rng = np.random.default_rng(0)
    drawn = [TemplateChoice(0.25).draw("direct", rng) for _ in range(400)]
    assert np.mean([t == SHORT_TEMPLATE["direct"] for t in drawn]) == pytest.approx(0.75, abs=0.07)
    assert set(drawn) == {SHORT_TEMPLATE["direct"], *TEMPLATES["direct"]}
    assert TemplateChoice(0.25).for_inference("direct") == SHORT_TEMPLATE["direct"]
    assert TemplateChoice(1.0).for_inference("direct") == TEMPLATES["direct"][0]


def test_prompts_are_full_sentences_where_no_soft_prompt_replaces_them():
    for length, template in ((0, TEMPLATES["direct"][0]), (3, SHORT_TEMPLATE["direct"])):
        choice = TemplateChoice.of(PromptConfig(num_prompt_embeddings=length))
        assert choice.for_inference("direct") == template
