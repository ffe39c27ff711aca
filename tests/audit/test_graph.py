"""Held-out rows among the edges of the graph."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.audit.split_checks import held_out_edges

SEQUENCES = [[0, 1, 2, 3], [4, 5, 6, 7], [1, 2, 8, 9], [3, 4, 0, 6]]


def shares(finding):
    return [figure.value for figure in finding.figures]


def test_the_graph_of_train_rows_is_clean(make_split):
    split = make_split(SEQUENCES, 10)
    finding = held_out_edges(split.train, split)
    assert finding.verdict == "ok" and shares(finding) == [0, 0]


def test_planted_edges_are_counted(make_split):
    split = make_split(SEQUENCES, 10)
    rows = split.dataset.interactions
    # All of user 0 but the last row, all of user 1: 1 of 4 test rows, 2 of 4 validation rows.
    edges = rows.take(np.array([0, 1, 2, 4, 5, 6, 7, 8]))
    finding = held_out_edges(edges, split)
    assert (finding.verdict, finding.group) == ("leak", "graph")
    assert shares(finding) == [0.25, 0.5]
    assert str(finding.figures[0]) == "test rows that are edges 25.0 %"
    assert "train rows" in finding.repair


@pytest.mark.parametrize(("kept", "expected"), [("valid", [0, 1]), ("test", [1, 0])])
def test_one_part_is_enough(make_split, kept, expected):
    split = make_split(SEQUENCES, 10)
    finding = held_out_edges(split.held_out(kept), split)
    assert finding.verdict == "leak" and shares(finding) == expected


def test_a_pair_that_train_rows_hold_is_no_leak_of_the_graph(make_split):
    split = make_split([[0, 1, 2, 0], [3, 4, 5, 6]], 7)  # user 0 takes item 0 again
    assert held_out_edges(split.train, split).verdict == "ok"
