"""Tokenizers: what they may learn from, and where they come from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError
from edgewise.models.tokenizers import corpus_of, load_tokenizer


def test_the_corpus_holds_train_texts_alone():
    split = leave_one_out(make_demo_shop(0, 30, 48))
    texts = list(corpus_of(split))
    assert split.train.review is not None
    assert split.train.review[0] in texts
    emptied = replace(split, valid=split.train.take([0]), test=split.train.take([1]))
    assert list(corpus_of(emptied)) == texts


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
