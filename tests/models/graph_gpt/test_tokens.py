"""Words, users and items share one vocabulary, and ids are never split."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.prompts import EVENTS, TEMPLATES
from edgewise.models.graph_gpt.stages.content import encode_texts
from edgewise.models.graph_gpt.tokens import TokenSpace, corpus_of, train_text_tokenizer


@pytest.fixture(scope="module")
def tokens(shop_split) -> TokenSpace:
    tokenizer = train_text_tokenizer(corpus_of(shop_split, TEMPLATES), 300)
    return TokenSpace(tokenizer, 40, 48)


def test_users_and_items_follow_the_words(tokens):
    text = tokens.num_text
    assert len(tokens) == text + 88
    assert tokens.user_token(0) == text and tokens.user_token(39) == text + 39
    assert tokens.item_token(0) == tokens.first_item == text + 40
    assert tokens.item_token(np.array([0, 47])).tolist() == [text + 40, text + 87]


def test_nodes_are_tokens_without_the_words(tokens):
    row = np.array([0, tokens.num_text - 1, tokens.user_token(3), tokens.item_token(5)])
    assert tokens.nodes_of(row).tolist() == [-1, -1, 3, 45]


def test_every_text_can_be_spelled_and_read_again(tokens):
    for text in (" has interacted with", "größer 漢字 🙂", "user_12 item_7"):
        row = tokens.encode_text(text)
        assert row.max() < tokens.num_text
        assert tokens.tokenizer.decode(row) == text
    assert tokens.encode_text("").tolist() == []


def test_every_word_of_a_wording_is_one_token(shop_split):
    tokens = TokenSpace(train_text_tokenizer(corpus_of(shop_split, TEMPLATES), 600), 40, 48)
    assert len(tokens.encode_text(EVENTS.removeprefix("{user}"))) == 3


def test_encoded_texts_are_kept_and_cannot_be_changed(tokens):
    row = tokens.encode_text(" again")
    assert tokens.encode_text(" again") is row
    with pytest.raises(ValueError, match="read-only"):
        row[0] = 1


def test_padding_is_not_the_end(tokens):
    assert tokens.pad_token != tokens.end_token
    tokens.tokenizer.pad_token, pad = None, tokens.tokenizer.pad_token
    assert TokenSpace(tokens.tokenizer, 1, 1).pad_token == tokens.end_token
    tokens.tokenizer.pad_token = pad


def test_the_corpus_holds_no_held_out_review(shop_split):
    corpus = set(corpus_of(shop_split, TEMPLATES))
    held_out = {f" {r}" for part in (shop_split.valid, shop_split.test) for r in part.review if r}
    trained = {f" {r}" for r in (*shop_split.train.review, *shop_split.train.summary) if r}
    assert held_out - trained and not (held_out - trained) & corpus
    assert trained <= corpus
    assert {f" {title}" for title in shop_split.dataset.catalog.title} <= corpus


def test_texts_are_learned_with_the_space_they_are_read_with(shop_split):
    """The first word of a text is one token, not a space and a word."""
    tokenizer = train_text_tokenizer(corpus_of(shop_split, TEMPLATES), 2000)
    tokens = TokenSpace(tokenizer, 40, 48)
    brand = next(name for name in shop_split.dataset.catalog.brand if name)
    (row,) = encode_texts(tokens, [brand], 20).rows()
    first, *_ = (tokenizer.decode([token]) for token in row)
    assert first == f" {brand.split()[0]}"
    assert not any(text.endswith(" ") or not text for text in corpus_of(shop_split, ()))


def test_blank_tokens_are_white_space_alone(tokens):
    found = {tokens.tokenizer.decode([n]) for n in np.flatnonzero(tokens.blank_tokens)}
    assert {" ", "\n", "\t"} <= found and not any(text.strip() for text in found)
    assert not tokens.blank_tokens[[tokens.pad_token, tokens.end_token]].any()


def test_a_tokenizer_without_an_end(tokens):
    mute = deepcopy(tokens.tokenizer)
    mute.eos_token = None
    with pytest.raises(ConfigError, match=r'no end token.*name one as "eos_token"'):
        _ = TokenSpace(mute, 1, 1).end_token
