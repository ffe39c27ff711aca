"""Tokenizers: what they may learn from, and where they come from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError
from edgewise.models.tokenizers import corpus_of, load_tokenizer, train_tokenizer


def test_the_corpus_holds_train_texts_alone():
    split = leave_one_out(make_demo_shop(0, 30, 48))
    texts = list(corpus_of(split, ["Pick one ."]))
    assert texts[0] == "Pick one ."
    assert split.train.review is not None
    assert split.train.review[0] in texts
    emptied = replace(split, valid=split.train.take([0]), test=split.train.take([1]))
    assert list(corpus_of(emptied, ["Pick one ."])) == texts


def test_sentences_survive_a_round_trip(trained_tokenizer):
    text = "Bought 2 of these, 1234 times!"
    ids = trained_tokenizer(text, add_special_tokens=False)["input_ids"]
    assert trained_tokenizer.decode(ids) == text


def test_a_saved_tokenizer_loads_alike(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    text = "Choose one item for user_17 among item_3 item_2100 ."
    assert load_tokenizer(tmp_path)(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no tokenizer could be loaded from .*nowhere"):
        load_tokenizer(tmp_path / "nowhere")


def test_a_trained_tokenizer_spells_an_id_in_three_pieces(trained_tokenizer):
    pieces = trained_tokenizer.tokenize("item_12101")
    assert pieces == ["item_12", "10", "1"]
    assert len(trained_tokenizer.tokenize("user_999")) == 2


def test_equal_texts_train_equal_tokenizers():
    texts = ["a small green lamp", "a lamp in green", "the lamp's small shade"] * 3
    first, second = (train_tokenizer(iter(texts), 40) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    ids = first("a small shade in green", add_special_tokens=False)["input_ids"]
    assert ids == second("a small shade in green", add_special_tokens=False)["input_ids"]
    assert first.decode(ids) == "a small shade in green"
