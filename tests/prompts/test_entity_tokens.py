"""Spelled ids: what they look like, and that no two items look alike."""

from __future__ import annotations

import numpy as np
import pytest
from tests.prompts.conftest import NUM_ITEMS, NUM_USERS

from edgewise.errors import ConfigError
from edgewise.models.elmrec.prompts import build_entity_token_table, spell_item, spell_user
from edgewise.models.tokenizers import train_tokenizer


def test_numbers_start_at_1_and_0_is_nobody():
    assert (spell_user(-1), spell_user(0), spell_item(0)) == ("user_0", "user_1", "item_1")


def test_every_entity_is_spelled_as_the_tokenizer_does(table, tokenizer):
    for index in (0, 8, 99, 998, NUM_USERS - 1):
        ids = tokenizer(f"user_{index + 1}", add_special_tokens=False)["input_ids"]
        assert table.tokens_of(index).tolist() == ids
    ids = tokenizer(f"item_{NUM_ITEMS}", add_special_tokens=False)["input_ids"]
    assert table.tokens_of(table.num_nodes - 1).tolist() == ids


def test_item_targets_are_the_spellings_with_an_end(table):
    tokens, lengths = table.item_targets
    for item in (0, 41, NUM_ITEMS - 1):
        spelled = table.tokens_of(NUM_USERS + item)
        assert tokens[item, : lengths[item]].tolist() == [*spelled, table.eos_id]
        assert (tokens[item, lengths[item] :] == table.pad_id).all()
    assert len(np.unique(tokens, axis=0)) == NUM_ITEMS


def test_a_trained_tokenizer_spells_an_id_in_three_pieces(trained_tokenizer):
    pieces = trained_tokenizer.tokenize("item_12101")
    assert pieces == ["item_12", "10", "1"]
    assert len(trained_tokenizer.tokenize("user_999")) == 2


def test_a_tokenizer_without_digits_is_refused():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    blind = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>")
    with pytest.raises(ConfigError, match="spells two items alike"):
        build_entity_token_table(blind, 2, 3)


def test_equal_texts_train_equal_tokenizers():
    texts = ["a small green lamp", "a lamp in green", "the lamp's small shade"] * 3
    first, second = (train_tokenizer(iter(texts), 40) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    ids = first("a small shade in green", add_special_tokens=False)["input_ids"]
    assert ids == second("a small shade in green", add_special_tokens=False)["input_ids"]
    assert first.decode(ids) == "a small shade in green"
