from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewise.decoding import score_candidates, step_scores
from edgewise.decoding.step_scores import children


def test_children_are_those_of_the_tree(table) -> None:
    trie = table.trie
    nodes = [0, 3, trie.num_nodes - 1, 1, 3]
    row, child = children(torch.from_numpy(trie.child_offsets), torch.tensor(nodes))
    expected = [
        (place, child)
        for place, node in enumerate(nodes)
        for child in range(1, trie.num_nodes)
        if trie.node_parent[child] == node
    ]
    assert list(zip(row.tolist(), child.tolist(), strict=True)) == expected


@pytest.mark.parametrize("budget", [1, 40 * 3, 40 * 7])
def test_blocks_of_logits_do_not_matter(
    t5, prompts, table, lists, budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score_candidates(t5, prompts.hidden, prompts.mask, table, lists)
    monkeypatch.setitem(step_scores._LOGITS_AT_ONCE, "cpu", budget)
    for first, second in zip(
        whole, score_candidates(t5, prompts.hidden, prompts.mask, table, lists), strict=True
    ):
        np.testing.assert_allclose(first, second, atol=1e-4)
