"""Prompts become tensors."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.models.graph_gpt.conftest import DenseDistances

from edgewise.models.graph_gpt.batch import assemble, padded
from edgewise.models.graph_gpt.tokens import TokenSpace


class FewWords(SimpleNamespace):
    """A tokenizer of five words, of which 0 pads and 4 ends."""

    pad_token_id, eos_token_id = 0, 4

    def __len__(self) -> int:
        return 5


TOKENS = TokenSpace(FewWords(), num_users=2, num_items=3)  # pyright: ignore[reportArgumentType]
# user 1, a word, items 0 and 2; then item 1 alone
PROMPTS = [np.array([6, 3, 7, 9]), np.array([8])]


def test_rows_are_padded_on_the_right():
    batch = assemble(TOKENS, PROMPTS, [np.array([-100, 0, 2, -100]), np.array([1])])
    assert batch.input_ids.tolist() == [[6, 3, 7, 9], [8, 0, 0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert batch.node.tolist() == [[1, -1, 2, 4], [3, -1, -1, -1]]
    assert batch.targets.tolist() == [[-100, 0, 2, -100], [1, -100, -100, -100]]
    assert batch.distance is None and batch.positives is None and len(batch) == 2
    assert batch.last.tolist() == [3, 0]


def test_distances_are_looked_up_once_for_all_pairs():
    """User 1 took items 0 and 2; nothing joins item 1."""
    index = DenseDistances([1, 1], [0, 2], 2, 3)
    batch = assemble(TOKENS, PROMPTS, distances=index)
    assert batch.distance.dtype == torch.uint8
    assert batch.distance[0].tolist() == [[0, 6, 1, 1], [6, 6, 6, 6], [1, 6, 0, 2], [1, 6, 2, 0]]
    assert batch.distance[1, 0].tolist() == [0, 6, 6, 6]
    assert (batch.targets == -100).all()


def test_who_a_text_names_has_the_items_it_names():
    """Whether or not the train graph has the edge: a held-out pair is read as a train pair is."""
    index = DenseDistances([0], [0], 2, 3)
    batch = assemble(TOKENS, PROMPTS, space="text", distances=index)
    assert batch.distance[0].tolist() == [[0, 6, 1, 1], [6, 6, 6, 6], [1, 6, 0, 6], [1, 6, 6, 0]]
    assert batch.distance[1, 0].tolist() == [0, 6, 6, 6]


def test_moving_keeps_what_is_no_tensor():
    pairs = np.array([[0, 1], [1, 2]])
    batch = assemble(TOKENS, PROMPTS, space="text", positives=pairs).to(torch.device("cpu"))
    assert batch.space == "text" and batch.distance is None
    assert batch.positives is not None and batch.positives.tolist() == pairs.tolist()


def test_padding_nothing():
    assert padded([], 0).shape == (0, 1)
    assert padded([np.empty(0, np.int64)], 7).tolist() == [[7]]


def test_rows_of_a_written_batch_are_not_chosen():
    with pytest.raises(NotImplementedError, match="before they are written"):
        assemble(TOKENS, PROMPTS).take(slice(1))
