"""A shop of a few dozen users, one small ELMRec fitted on it, and spelled ids."""

from __future__ import annotations

import pytest
import torch

from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.elmrec.prompts import EntityTokenTable, build_entity_token_table
from edgewise.models.elmrec.recommender import ELMRec

NUM_USERS, NUM_ITEMS = 1300, 2100

SMALL = (
    "priors.names=",
    "training.epochs=1",
    "training.batch_size=16",
    "training.precision=fp32",
    "backbone.vocab_size=200",
    "prompts.num_negatives=5",
    "prompts.max_history=6",
    "graph.num_folds=2",
    "graph.num_iterations=2",
    "decoding.explanation_beams=3",
)


def small_elmrec(*overrides: str) -> ELMRec:
    return ELMRec.from_preset("tiny", [*SMALL, *overrides])


@pytest.fixture(scope="session")
def shop_split() -> Split:
    return leave_one_out(make_demo_shop(seed=0, num_users=40, num_items=48))


@pytest.fixture(scope="session")
def table(tokenizer) -> EntityTokenTable:
    """Of as many users and items as need ids of several tokens."""
    return build_entity_token_table(tokenizer, NUM_USERS, NUM_ITEMS)


@pytest.fixture(scope="session")
def fitted(shop_split) -> ELMRec:
    """All three tasks, one epoch; do not change it."""
    return small_elmrec().fit(shop_split)


@pytest.fixture(scope="session")
def as_printed(shop_split) -> ELMRec:
    """Direct recommendation by Eq. 1 alone, without what goes beyond the paper."""
    settings = ("direct_likelihood=vocabulary", "candidate_head=false", "tasks=direct")
    overrides = [f"prompts.{setting}" for setting in settings]
    return small_elmrec(*overrides, "whole_words.decoder_alpha=0.0").fit(shop_split)


def same_weights(first: ELMRec, second: ELMRec) -> bool:
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)
