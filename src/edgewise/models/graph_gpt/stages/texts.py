"""Texts of items and train reviews, each with the prompt that it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from edgewise.data.explanations import ExplanationPairs, explanation_split
from edgewise.data.interactions import Catalog, Interactions
from edgewise.data.split import Split
from edgewise.models.graph_gpt.config import ContentConfig
from edgewise.models.graph_gpt.stages.ragged import Ragged
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.models.graph_gpt.wordings import ContentKind


@dataclass(frozen=True)
class Texts:
    """Texts of one kind.

    Attributes:
        kind: chooses the wording.
        user, item: whom and what each text is about, ``int64[n]``; ``user`` is -1 where the
            wording names none.
        text: one line each.
    """

    kind: ContentKind
    user: np.ndarray
    item: np.ndarray
    text: Sequence[str]

    def __len__(self) -> int:
        return len(self.text)

    def take(self, rows: np.ndarray) -> Texts:
        """Some of them, in the order given."""
        return Texts(
            self.kind, self.user[rows], self.item[rows], [self.text[int(row)] for row in rows]
        )


def collect_texts(split: Split, config: ContentConfig) -> Iterator[Texts]:
    """Each kind of text that the configuration asks for; those the data lacks are empty.

    Item contents come from the catalogue, reviews and reasons for buying from train rows alone.
    """
    if config.contents:
        yield from _item_contents(split.dataset.catalog)
    if config.reviews:
        yield _reviews(split.train)
        yield _reasons(explanation_split(split).train)


def held_out_reasons(split: Split) -> Texts:
    """Reasons of validation rows whose user and item have no train row together."""
    return _reasons(explanation_split(split).valid)


def _item_contents(catalog: Catalog) -> Iterator[Texts]:
    lists = [", ".join(dict.fromkeys(names)) for names in catalog.categories]
    nobody, items = np.full(len(catalog), -1), np.arange(len(catalog))
    yield _present("title", nobody, items, catalog.title)
    yield _present("brand", nobody, items, catalog.brand)
    yield _present("categories", nobody, items, lists)
    yield _present("description", nobody, items, catalog.description)


def _reviews(rows: Interactions) -> Texts:
    texts = [""] * len(rows) if rows.review is None else rows.review.fill_null("").to_list()
    return _present("review", rows.user_index, rows.item_index, texts)


def _reasons(pairs: ExplanationPairs) -> Texts:
    return _present("reason", pairs.user_index, pairs.item_index, pairs.text)


def _present(kind: ContentKind, user: np.ndarray, item: np.ndarray, texts: Sequence[str]) -> Texts:
    """The texts that are not empty, white space made one space."""
    lines = [" ".join(text.split()) for text in texts]
    present = np.array([bool(line) for line in lines], dtype=bool)
    users, items = user[present].astype(np.int64), item[present].astype(np.int64)
    return Texts(kind, users, items, list(compress(lines, present)))


def encode_texts(tokens: TokenSpace, texts: Sequence[str], max_tokens: int) -> Ragged:
    """Tokens of texts as they follow a colon: with a space before them.

    A text of more than ``max_tokens`` is cut, and then not closed by the end token: its end is not
    to be learned.
    """
    if not texts:
        return Ragged.of_rows([])
    spaced = [f" {text}" for text in texts]
    # A tokenizer warns of texts longer than its model reads, though they are cut here.
    encoded = tokens.tokenizer(spaced, add_special_tokens=False, verbose=False)["input_ids"]
    end = [tokens.end_token]
    rows = [row[:max_tokens] if len(row) > max_tokens else row + end for row in encoded]
    return Ragged.of_rows([np.array(row, dtype=np.int32) for row in rows])
