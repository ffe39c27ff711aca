"""R equals the formulas, and the mask keeps tokens from looking where they may not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewise.data.ragged import Ragged
from edgewise.models.graph_gpt.attention_bias import (
    FORBIDDEN,
    attention_mask,
    bias_table,
    build_distances,
    gated,
    graph_bias,
    meaningless_bias,
)
from edgewise.models.graph_gpt.batch import assemble
from edgewise.models.graph_gpt.config import AttentionConfig


def table(**changes) -> list[float]:
    return bias_table(AttentionConfig(**changes)).tolist()


class TestTable:
    def test_proximity(self):
        """Same node, 1 to 5 steps, farther; an edge counts 1 for R_conn and 1 for its path."""
        assert table() == [0, 2, 0.5, 0.25, 0.125, 0.0625, 0]

    def test_delta(self):
        assert table(delta=0.1) == pytest.approx([0, 2, 0.1, 0.01, 1e-3, 1e-4, 0])

    def test_connection_off(self):
        assert table(connection=False) == [0, 1, 0.5, 0.25, 0.125, 0.0625, 0]

    def test_released(self):
        """6 - P over 6, plus 1 at an edge, over the largest: 5/6 + 1 = 11/6."""
        assert table(path="released") == pytest.approx(np.array([6, 11, 4, 3, 2, 1, 0]) / 11)

    def test_printed(self):
        expected = [1 - 0.5**p / 5 for p in range(6)]
        expected[1] += 1
        assert table(path="printed") == pytest.approx([*expected, 0])

    def test_printed_grows_with_distance_and_the_others_fall(self):
        for path, sign in (("printed", 1), ("proximity", -1), ("released", -1)):
            steps = np.diff(table(path=path, connection=False)[1:-1])
            assert (np.sign(steps) == sign).all()

    def test_max_path(self):
        assert table(max_path=2) == [0, 2, 0.5, 0]


class TestBias:
    def test_each_pair_is_looked_up(self):
        """A user, a word, an item he took, and an item at three steps."""
        distance = torch.tensor([[[0, 6, 1, 3], [6, 6, 6, 6], [1, 6, 0, 2], [3, 6, 2, 0]]])
        bias = graph_bias(distance.to(torch.uint8), bias_table(AttentionConfig()))
        assert bias.tolist() == [
            [[[0, 0, 2, 0.25], [0, 0, 0, 0], [2, 0, 0, 0.5], [0.25, 0, 0.5, 0]]]
        ]

    def test_meaningless_is_1_between_all_users_and_items(self):
        bias = meaningless_bias(torch.tensor([[3, -1, 0]]))
        assert bias.tolist() == [[[[1, 0, 1], [0, 0, 0], [1, 0, 1]]]]


class TestMask:
    def test_future_and_padding_are_forbidden_whatever_r_holds(self):
        present = torch.tensor([[1, 1, 0], [1, 1, 1]])
        bias = torch.full((2, 1, 3, 3), 1e6)
        mask = attention_mask(present, bias)[:, 0]
        allowed = torch.tensor(
            [
                [[True, False, False], [True, True, False], [True, True, False]],
                [[True, False, False], [True, True, False], [True, True, True]],
            ]
        )
        assert torch.equal(mask == 1e6, allowed)
        assert (mask[~allowed] == FORBIDDEN).all()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_it_is_finite_in_every_precision(self, dtype):
        assert torch.isfinite(attention_mask(torch.tensor([[1, 0]]), None).to(dtype)).all()

    def test_without_bias_it_is_zero_where_allowed(self):
        mask = attention_mask(torch.ones(1, 2, dtype=torch.int64), None)
        assert mask.tolist() == [[[[0, FORBIDDEN], [0, 0]]]]

    def test_gates_multiply_r_alone(self):
        mask = torch.tensor([[[[2.0, FORBIDDEN], [0.5, 0.0]]]])
        assert gated(mask, torch.tensor([1.0, -3.0])).tolist() == [
            [[[2, FORBIDDEN], [0.5, 0]], [[-6, FORBIDDEN], [-1.5, 0]]]
        ]


class TestDistances:
    """Users 0 and 1 of items 0..2, which are nodes 2..4; item 2 has no train row."""

    TRAIN = Ragged(np.array([0, 2, 3]), np.array([0, 1, 1], dtype=np.int32))

    @pytest.mark.parametrize("kind", ["none", "meaningless"])
    def test_attention_without_the_graph_needs_none(self, kind):
        assert build_distances(AttentionConfig(kind=kind), self.TRAIN, 3) is None

    def test_settings_choose_what_is_followed(self):
        nodes, user = np.array([[0, 2, 3, 1]]), np.array([0])
        for settings, wanted in (
            ({}, (3, 2)),
            ({"max_path": 2}, (3, 2)),
            ({"max_path": 1}, (2, 2)),
            ({"include_own_edges": False}, (3, 4)),
        ):
            paths = build_distances(AttentionConfig(**settings), self.TRAIN, 3)
            assert paths is not None
            found = paths.among(nodes)[0, 1, 3], paths.in_histories(nodes, user)[0, 1, 2]
            assert found == wanted

    def test_prompts_of_histories_are_told_apart_from_others(self, fitted):
        """The same tokens, as anything and as a history of somebody new."""
        prompt = fitted.tokens.item_token(np.arange(20))
        graph = fitted.distances
        whole = assemble(fitted.tokens, [prompt], distances=graph)
        own = assemble(fitted.tokens, [prompt], distances=graph, user_index=np.array([-1]))
        assert int(whole.distance.max()) > 2 and sorted(own.distance.unique().tolist()) == [0, 2]
