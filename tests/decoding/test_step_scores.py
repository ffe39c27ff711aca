from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewise.decoding import score_candidates, step_scores, t5_tree
from edgewise.decoding.step_scores import children, edge_log_probs
from edgewise.decoding.t5_tree import TreeDecoder


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


@torch.no_grad()
def test_steps_are_normalised_over_the_whole_vocabulary(t5, monkeypatch) -> None:
    monkeypatch.setattr(t5_tree, "WORDS_AT_ONCE", 7)
    monkeypatch.setattr(step_scores, "_ROWS_AT_ONCE", 2)
    hidden = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    parent, token = torch.tensor([0, 0, 2, 4, 4, 4]), torch.tensor([3, 39, 3, 0, 5, 39])
    found = edge_log_probs(TreeDecoder(t5), hidden, parent, token)
    logits = hidden.numpy().astype(float) @ t5.lm_head.weight.numpy().astype(float).T
    total = np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(found, (logits - total[:, None])[parent, token], atol=1e-5)
