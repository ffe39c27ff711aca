"""Pairs of a user and an item with the user's own words on the item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from edgewise.data.dataset import Interactions
from edgewise.data.splits import Split, TextRows
from edgewise.errors import ConfigError

# Up to the first end mark, with its closing quotes or brackets, before a space or the end.
_FIRST_SENTENCE = "^(.*?[.!?\u2026]+[\"'\u201d\u2019)\\]]*)(?:\\s|$)"


@dataclass(frozen=True)
class ExplanationPairs:
    """Texts to be generated, each from its user and item.

    Attributes:
        user_index, item_index: ``int32[pairs]``.
        text: one non-empty line a pair.
    """

    user_index: np.ndarray
    item_index: np.ndarray
    text: list[str]

    def __len__(self) -> int:
        return len(self.text)

    def take(self, rows: np.ndarray) -> ExplanationPairs:
        """The pairs at the given positions, in the given order."""
        texts = [self.text[row] for row in rows]
        return ExplanationPairs(self.user_index[rows], self.item_index[rows], texts)


@dataclass(frozen=True)
class ExplanationSplit:
    """Pairs to train on, to choose the epoch on, and to test on; ``mode`` says how they part."""

    train: ExplanationPairs
    valid: ExplanationPairs
    test: ExplanationPairs
    mode: str = "interaction"


def explanation_pairs(interactions: Interactions, max_chars: int | None = None) -> ExplanationPairs:
    """The review's headline, or its first sentence where it has none.

    Rows with neither are left out. Runs of white space become one space.

    Args:
        interactions: rows, with or without texts.
        max_chars: longer texts are cut at the last space that fits.
    """
    texts = _texts(interactions, max_chars)
    rows = np.flatnonzero((texts != "").to_numpy())
    return ExplanationPairs(
        interactions.user_index[rows], interactions.item_index[rows], texts.gather(rows).to_list()
    )


def explanation_split(
    split: Split, mode: str = "interaction", *, seed: int = 0, max_chars: int | None = None
) -> ExplanationSplit:
    """Pairs of each part.

    Args:
        split: parts of the interactions.
        mode: ``interaction`` gives each part the texts of its own rows; a held-out pair whose user
            already reviewed the same item in an earlier part is left out, so no pair that is
            tested is ever trained on. ``random`` LEAKS and is there only to reproduce published
            figures: it deals all texts 80/10/10 regardless of the split, as the papers do, so
            most rows held out for recommendation stand among its training prompts. Not read where
            the split itself says which texts are read.
        seed: of the ``random`` deal.
        max_chars: see :func:`explanation_pairs`.

    Raises:
        ConfigError: there is no such mode.
    """
    if split.text_rows is not None:
        return _dealt(split.text_rows, max_chars)
    if mode == "random":
        return _dealt(deal_texts(split.dataset.interactions, seed), max_chars)
    _check_mode(mode)
    return _by_interaction(split, max_chars)


def _check_mode(mode: str) -> None:
    if mode not in ("interaction", "random"):
        raise ConfigError(
            f"unknown explanation mode {mode!r}: choose 'interaction', or 'random' to reproduce "
            "the papers' leaking split"
        )


def _by_interaction(split: Split, max_chars: int | None) -> ExplanationSplit:
    parts = [explanation_pairs(part, max_chars) for part in (split.train, split.valid, split.test)]
    num_items = split.dataset.num_items
    codes = [pairs.user_index.astype(np.int64) * num_items + pairs.item_index for pairs in parts]
    new_valid = np.flatnonzero(~np.isin(codes[1], codes[0]))
    new_test = np.flatnonzero(~np.isin(codes[2], np.concatenate(codes[:2])))
    return ExplanationSplit(parts[0], parts[1].take(new_valid), parts[2].take(new_test))


def trained_texts(split: Split, mode: str = "interaction", *, seed: int = 0) -> Interactions:
    """The rows whose texts are trained on, as :func:`explanation_split` parts them.

    Raises:
        ConfigError: there is no such mode.
    """
    if split.text_rows is not None or mode == "random":
        return (split.text_rows or deal_texts(split.dataset.interactions, seed)).train
    _check_mode(mode)
    return split.train.take(_with_text(split.train))


def deal_texts(interactions: Interactions, seed: int = 0) -> TextRows:
    """All rows with a text dealt 80/10/10 at random, whatever parts they stand in: this LEAKS."""
    having = _with_text(interactions)
    order = having[np.random.default_rng(seed).permutation(len(having))]
    held_out = len(order) // 10
    valid, test, train = np.split(order, [held_out, 2 * held_out])
    return TextRows(*(interactions.take(rows) for rows in (train, valid, test)))


def _dealt(rows: TextRows, max_chars: int | None) -> ExplanationSplit:
    parts = (explanation_pairs(part, max_chars) for part in (rows.train, rows.valid, rows.test))
    return ExplanationSplit(*parts, mode="random")


def _with_text(interactions: Interactions) -> np.ndarray:
    """The rows with anything but white space in their headline or review, ``int64[n]``."""
    having = np.zeros(len(interactions), dtype=bool)
    for column in (interactions.review, interactions.summary):
        if column is not None:
            having |= column.str.contains(r"\S").fill_null(False).to_numpy()
    return np.flatnonzero(having)


def _texts(interactions: Interactions, max_chars: int | None = None) -> pl.Series:
    """One text a row, empty where the row has none."""
    nothing = pl.repeat("", len(interactions), dtype=pl.String, eager=True)
    review = nothing if interactions.review is None else interactions.review
    summary = nothing if interactions.summary is None else interactions.summary
    first = pl.col("review").str.extract(_FIRST_SENTENCE, 1).fill_null(pl.col("review"))
    text = pl.when(pl.col("summary") != "").then("summary").otherwise(first)
    if max_chars is not None:
        text = _shortened(text, max_chars)
    columns = {"review": _one_line(review), "summary": _one_line(summary)}
    return pl.DataFrame(columns).select(text.alias("text"))["text"]


def _one_line(texts: pl.Series) -> pl.Series:
    return texts.fill_null("").str.replace_all(r"\s+", " ").str.strip_chars()


def _shortened(text: pl.Expr, max_chars: int) -> pl.Expr:
    # One character more than fits: it tells whether the last word ends at the limit.
    cut = text.str.slice(0, max_chars + 1).str.replace(r"\s\S*$", "").str.slice(0, max_chars)
    return pl.when(text.str.len_chars() > max_chars).then(cut).otherwise(text)
