"""A shop of a few dozen users, and small networks to read it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path
from transformers import GPT2Config, GPT2Model

from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.graph_gpt.batch import PromptBatch
from edgewise.models.graph_gpt.config import AttentionConfig
from edgewise.models.graph_gpt.model import GraphGPTModel
from edgewise.models.graph_gpt.recommender import GraphGPT

SMALL = (
    "backbone.vocab_size=300",
    "backbone.max_tokens=128",
    "history.max_items=6",
    "content.contents=false",
    "content.second_order=false",
    "content.events=false",
    "content.max_text_tokens=6",
    "training.content.epochs=1",
    "training.content.batch_size=64",
    "training.content.precision=fp32",
    "training.sequence.epochs=2",
    "training.sequence.batch_size=8",
    "training.sequence.precision=fp32",
)
NUM_TEXT, NUM_USERS, NUM_ITEMS = 10, 4, 7


def small_graph_gpt(*overrides: str) -> GraphGPT:
    """Both orders of training, few steps."""
    return GraphGPT.from_preset("tiny", [*SMALL, *overrides])


def same_weights(first: GraphGPT, second: GraphGPT) -> bool:
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


@pytest.fixture(scope="session")
def shop_split() -> Split:
    return leave_one_out(make_demo_shop(seed=0, num_users=40, num_items=48))


@pytest.fixture(scope="session")
def fitted(shop_split) -> GraphGPT:
    """Content, then sequence; do not change it."""
    return small_graph_gpt().fit(shop_split)


def small_model(config: AttentionConfig | None = None, implementation: str = "eager"):
    """Random weights large enough that attention matters, over 10 words, 4 users and 7 items."""
    torch.manual_seed(0)
    settings = GPT2Config(
        vocab_size=NUM_TEXT + NUM_USERS + NUM_ITEMS,
        n_positions=16,
        n_embd=8,
        n_layer=2,
        n_head=2,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation=implementation,
    )
    return GraphGPTModel(
        GPT2Model(settings), NUM_TEXT, NUM_USERS, config or AttentionConfig()
    ).eval()


def random_batch(seed: int = 0, rows: int = 3, size: int = 9) -> PromptBatch:
    """Words, users and items in disorder, rows of different lengths, distances at random."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(NUM_TEXT + NUM_USERS + NUM_ITEMS, size=(rows, size))
    lengths = np.arange(size, size - rows, -1)
    present = np.arange(size) < lengths[:, None]
    node = np.where(present & (tokens >= NUM_TEXT), tokens - NUM_TEXT, -1)
    distance = rng.integers(0, 7, size=(rows, size, size)).astype(np.uint8)
    distance[(node < 0)[:, :, None] | (node < 0)[:, None, :]] = 6
    targets = np.where(present, rng.integers(NUM_ITEMS, size=(rows, size)), -100)
    return PromptBatch(
        *(torch.from_numpy(a) for a in (tokens, present.astype(np.int64), node, targets)),
        "items",
        torch.from_numpy(distance),
    )


class DenseDistances:
    """The whole matrix by scipy, for graphs small enough."""

    def __init__(self, users, items, num_users: int, num_items: int, cutoff: int = 5) -> None:
        size = num_users + num_items
        edges = coo_array(
            (np.ones(len(users)), (users, num_users + np.asarray(items))), shape=(size, size)
        )
        lengths = shortest_path(edges, directed=False, unweighted=True)
        self.table = np.minimum(lengths, cutoff + 1).astype(np.uint8)
        self.cutoff = cutoff

    def among(self, nodes: np.ndarray) -> np.ndarray:
        found = self.table[nodes[:, :, None], nodes[:, None, :]]
        none = (nodes < 0)[:, :, None] | (nodes < 0)[:, None, :]
        return np.where(none, self.cutoff + 1, found).astype(np.uint8)

    def in_histories(self, nodes: np.ndarray, user_index: np.ndarray) -> np.ndarray:
        raise AssertionError(f"no history of {user_index} is read here")
