"""Tokenizers: what they may learn from, and where they come from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from transformers import GPT2Tokenizer

from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError
from edgewise.models.tokenizers import (
    SavedTokenizer,
    corpus_of,
    load_tokenizer,
    read_tokenizer,
    train_tokenizer,
)


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


def test_a_saved_tokenizer_is_read_without_the_library(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "first")
    read = read_tokenizer(tmp_path / "first")
    assert isinstance(read, SavedTokenizer) and len(read) == len(tokenizer)
    assert read.get_vocab() == tokenizer.get_vocab()
    for name in ("pad_token_id", "eos_token_id", "unk_token_id"):
        assert getattr(read, name) == getattr(tokenizer, name)
    texts = [
        "Choose one item for user_17 among item_3 item_2100 .",
        "",
        "</s> Ünï-code  twice <pad>",
    ]
    for special in (False, True):
        found, wanted = (each(texts, add_special_tokens=special) for each in (read, tokenizer))
        assert found["input_ids"] == wanted["input_ids"]
        assert read(texts[0], add_special_tokens=special)["input_ids"] == found["input_ids"][0]
    for row in map(np.array, found["input_ids"]):
        assert read.decode(row) == tokenizer.decode(row)
        skipped = read.decode(row, skip_special_tokens=True)
        assert skipped == tokenizer.decode(row, skip_special_tokens=True)
    tokens = [[token] for token in range(len(tokenizer))]
    assert read.batch_decode(tokens) == tokenizer.batch_decode(tokens)
    read.save_pretrained(tmp_path / "again")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        first, again = (tmp_path / folder / name for folder in ("first", "again"))
        assert first.read_bytes() == again.read_bytes()


def test_a_gpt2_tokenizer_is_read_without_the_library(tmp_path):
    vocab = {word: n for n, word in enumerate(["<|endoftext|>", "h", "i", "Ġ", "hi", "Ġhi", "!"])}
    merges = [("h", "i"), ("Ġ", "hi")]
    GPT2Tokenizer(vocab=vocab, merges=merges).save_pretrained(tmp_path)
    read, library = read_tokenizer(tmp_path), load_tokenizer(tmp_path)
    assert isinstance(read, SavedTokenizer) and not isinstance(library, SavedTokenizer)
    ids = library("hi hi!<|endoftext|>", add_special_tokens=False)["input_ids"]
    assert ids == [4, 5, 6, 0] == read("hi hi!<|endoftext|>", add_special_tokens=False)["input_ids"]
    assert read.decode(ids) == library.decode(ids)
    assert (read.eos_token_id, read.pad_token_id) == (0, None)


def test_a_tokenizer_that_does_more_is_the_librarys(trained_tokenizer, tmp_path):
    trained_tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    told = json.loads(file.read_text())
    for more in ({"clean_up_tokenization_spaces": True}, {"tokenizer_class": "BertTokenizer"}):
        file.write_text(json.dumps({**told, **more}))
        assert not isinstance(read_tokenizer(tmp_path), SavedTokenizer)


@pytest.mark.parametrize("load", [load_tokenizer, read_tokenizer])
def test_a_missing_tokenizer_is_named(load, tmp_path):
    with pytest.raises(ConfigError, match=r"no tokenizer could be loaded from .*nowhere"):
        load(tmp_path / "nowhere")


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
