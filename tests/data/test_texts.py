"""Explanation pairs: which words are taken, and which part they belong to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.data.texts import (
    ExplanationPairs,
    explanation_pairs,
    explanation_split,
    trained_texts,
)
from edgewise.errors import ConfigError


def rows_with(reviews: list[str] | None, summaries: list[str] | None) -> Interactions:
    num_rows = len(reviews or summaries or [])
    return Interactions(
        np.arange(num_rows, dtype=np.int32),
        np.arange(10, 10 + num_rows, dtype=np.int32),
        review=None if reviews is None else pl.Series(reviews, dtype=pl.String),
        summary=None if summaries is None else pl.Series(summaries, dtype=pl.String),
    )


def codes(pairs: ExplanationPairs) -> set[tuple[int, int]]:
    return {*zip(pairs.user_index.tolist(), pairs.item_index.tolist(), strict=True)}


def test_headline_then_first_sentence_then_nothing() -> None:
    pairs = explanation_pairs(
        rows_with(
            ["Long text. More.", "First one! Second one.", "", "  \n "],
            ["A headline", "", "", "  "],
        )
    )
    assert pairs.text == ["A headline", "First one!"]
    assert pairs.user_index.tolist() == [0, 1]
    assert pairs.item_index.tolist() == [10, 11]


@pytest.mark.parametrize(
    ("review", "sentence"),
    [
        ("No end mark at all", "No end mark at all"),
        ("Costs 3.50 a piece. Fine.", "Costs 3.50 a piece."),
        ("Really?! Yes.", "Really?!"),
        ('She said "buy it!" And I did.', 'She said "buy it!"'),
        ("It works (mostly.) Good", "It works (mostly.)"),
        ("One\n line\tand  spaces. Two.", "One line and spaces."),
        ("... well", "..."),
        ("Très bien… vraiment", "Très bien…"),
    ],
)
def test_first_sentence(review: str, sentence: str) -> None:
    assert explanation_pairs(rows_with([review], None)).text == [sentence]


@pytest.mark.parametrize(
    ("max_chars", "text"),
    [
        (30, "a light camera bag"),
        (18, "a light camera bag"),
        (17, "a light camera"),
        (14, "a light camera"),
        (13, "a light"),
        (1, "a"),
    ],
)
def test_long_texts_end_at_a_word(max_chars: int, text: str) -> None:
    assert explanation_pairs(rows_with(None, ["a light camera bag"]), max_chars).text == [text]


def test_one_long_word_is_cut() -> None:
    assert explanation_pairs(rows_with(None, ["extraordinarily"]), 5).text == ["extra"]


def test_rows_without_texts_give_no_pairs() -> None:
    pairs = explanation_pairs(Interactions(np.zeros(3, np.int32), np.arange(3, dtype=np.int32)))
    assert len(pairs) == 0
    assert pairs.text == []


def test_each_part_has_its_own_rows() -> None:
    split = leave_one_out(make_demo_shop(num_users=60))
    explained = explanation_split(split)
    for name in ("train", "valid", "test"):
        rows, pairs = getattr(split, name), getattr(explained, name)
        own = {*zip(rows.user_index.tolist(), rows.item_index.tolist(), strict=True)}
        assert codes(pairs) <= own
        assert 0.8 * len(own) < len(pairs) < len(own)
    assert explained.mode == "interaction"


def repeat_buyer() -> Split:
    """One user: items 0, 1, 2, 0 (test repeats train), each row with its own words."""
    items = np.array([0, 1, 2, 0], np.int32)
    texts = pl.Series(["first", "second", "third", "again"])
    return leave_one_out(
        Dataset(
            "toy",
            Vocabulary(("u",), "user"),
            Vocabulary(("a", "b", "c")),
            Interactions(np.zeros(4, np.int32), items, summary=texts),
            Catalog.empty(3),
        )
    )


def test_a_pair_reviewed_twice_is_not_tested() -> None:
    explained = explanation_split(repeat_buyer())
    assert explained.train.text == ["first", "second"]
    assert explained.valid.text == ["third"]
    assert explained.test.text == []


def test_held_out_texts_do_not_reach_training() -> None:
    split = leave_one_out(make_demo_shop(num_users=60))
    garbled = split.test.take(np.arange(len(split.test))[::-1])
    changed = Split(split.dataset, split.train, split.valid, garbled, split.kind)
    before, after = explanation_split(split), explanation_split(changed)
    assert before.train.text == after.train.text
    assert codes(before.train) == codes(after.train)
    assert before.test.text == after.test.text[::-1]


def test_random_mode_deals_all_texts_and_leaks() -> None:
    split = leave_one_out(make_demo_shop(num_users=100))
    dealt = explanation_split(split, "random", seed=3)
    total = len(explanation_pairs(split.dataset.interactions))
    assert len(dealt.train) + len(dealt.valid) + len(dealt.test) == total
    assert len(dealt.valid) == len(dealt.test) == total // 10
    held_out = codes(explanation_split(split).test)
    leaked = len(codes(dealt.train) & held_out) / len(held_out)
    assert 0.6 < leaked < 0.95
    assert dealt.train.text == explanation_split(split, "random", seed=3).train.text
    assert dealt.train.text != explanation_split(split, "random", seed=4).train.text
    assert dealt.mode == "random"


def test_unknown_mode() -> None:
    with pytest.raises(ConfigError, match="unknown explanation mode 'p5'"):
        explanation_split(repeat_buyer(), "p5")


@pytest.mark.parametrize("mode", ["interaction", "random"])
def test_rows_whose_texts_are_trained_on(mode: str) -> None:
    split = leave_one_out(make_demo_shop(num_users=60))
    pairs = explanation_split(split, mode, seed=2).train
    rows = trained_texts(split, mode, seed=2)
    assert rows.user_index.tolist() == pairs.user_index.tolist()
    assert rows.item_index.tolist() == pairs.item_index.tolist()
    with pytest.raises(ConfigError, match="unknown explanation mode 'p5'"):
        trained_texts(split, "p5")


def test_white_space_is_no_text() -> None:
    split = repeat_buyer()
    rows = split.train.take(np.array([0, 1, 0]))
    blank = replace(rows, review=pl.Series(["", " \n", " a "]), summary=pl.Series([" ", "b", None]))
    bare = replace(rows, review=None, summary=None)
    assert len(trained_texts(replace(split, train=bare))) == 0
    assert trained_texts(replace(split, train=blank)).summary.to_list() == ["b", None]
