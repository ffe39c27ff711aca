"""Demo shops, their tokens, and prompts in a form that a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest
import torch

from edgewise.config import with_overrides
from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.splits import Split, leave_one_out, ratio_split
from edgewise.data.synthetic import make_demo_shop
from edgewise.graph.shortest_paths import ShortestPaths
from edgewise.models.graph_gpt.attention_bias import build_distances
from edgewise.models.graph_gpt.batch import PromptBatch
from edgewise.models.graph_gpt.config import AttentionConfig, GraphGPTConfig
from edgewise.models.graph_gpt.prompts import TEMPLATES
from edgewise.models.graph_gpt.stages import build_stage
from edgewise.models.graph_gpt.tokens import TokenSpace, corpus_of, train_text_tokenizer

SMALL = (
    "history.user_dropout=0.0",
    "training.content.batch_size=16",
    "training.events.batch_size=16",
    "training.predictive.batch_size=16",
)
ALL = slice(None)


def config_of(*overrides: str) -> GraphGPTConfig:
    return with_overrides(GraphGPTConfig(), [*SMALL, *overrides])


def token_space(split: Split) -> TokenSpace:
    tokenizer = train_text_tokenizer(corpus_of(split, TEMPLATES), 300)
    return TokenSpace(tokenizer, split.dataset.num_users, split.dataset.num_items)


def distances_of(split: Split) -> ShortestPaths:
    histories = split.known_before("valid")
    found = build_distances(AttentionConfig(), histories, split.dataset.num_items)
    assert found is not None
    return found


def stage(name: str, split: Split, *overrides: str, tokens: TokenSpace | None = None):
    built = build_stage(
        name, config_of(*overrides), split, tokens or token_space(split), distances_of(split)
    )
    assert built is not None
    return built


@pytest.fixture(scope="session")
def by_ratio() -> Split:
    return ratio_split(make_demo_shop(seed=0, num_users=40, num_items=48))


@pytest.fixture(scope="session")
def by_time() -> Split:
    return leave_one_out(make_demo_shop(seed=0, num_users=40, num_items=48))


@pytest.fixture(scope="session")
def tokens(by_ratio) -> TokenSpace:
    return token_space(by_ratio)


def tiny_split(
    train: Sequence[Sequence[int]],
    valid: Sequence[tuple[int, int]] = (),
    catalog: Catalog | None = None,
    num_items: int = 6,
) -> Split:
    """Users' train items in order, validation rows, and no review texts."""
    pairs = [(user, item) for user, items in enumerate(train) for item in items]
    dataset = Dataset(
        "tiny",
        Vocabulary.shuffled([f"u{n}" for n in range(len(train))], kind="user", seed=0),
        Vocabulary.shuffled([f"i{n}" for n in range(num_items)], kind="item", seed=0),
        rows_of([*pairs, *valid]),
        catalog or Catalog.empty(num_items),
    )
    return Split(dataset, rows_of(pairs), rows_of(valid), rows_of(()), kind="ratio")


def rows_of(pairs: Sequence[tuple[int, int]]) -> Interactions:
    table = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    return Interactions(table[:, 0], table[:, 1])


def with_texts(rows: Interactions, reviews: list[str], summaries: list[str]) -> Interactions:
    return replace(rows, review=pl.Series(reviews), summary=pl.Series(summaries))


def read(tokens: TokenSpace, row: np.ndarray | torch.Tensor) -> str:
    """Words as they are, users and items as ``[u3]`` and ``[i5]``."""
    text = ""
    for token in row.tolist():
        node = token - tokens.num_text
        if node < 0:
            text += tokens.tokenizer.decode([token])
        elif node < tokens.num_users:
            text += f" [u{node}]"
        else:
            text += f" [i{node - tokens.num_users}]"
    return text


def prompts_of(tokens: TokenSpace, batch: PromptBatch) -> list[str]:
    lengths = batch.attention_mask.sum(1).tolist()
    return [read(tokens, row[:n]) for row, n in zip(batch.input_ids, lengths, strict=True)]


def same(first: PromptBatch, second: PromptBatch) -> bool:
    def equal(a, b) -> bool:
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
            return a.shape == b.shape and torch.equal(a, b)
        return a == b

    names = [field.name for field in fields(first)]
    return all(equal(getattr(first, name), getattr(second, name)) for name in names)
