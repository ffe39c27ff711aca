from __future__ import annotations

import numpy as np
import pytest

from edgewise.errors import DataError
from edgewise.graph import hub_labels
from edgewise.graph.hub_labels import HubLabels, build_labels


def labels_of(labels: HubLabels) -> list[list[tuple[int, int]]]:
    """``(rank of the hub, distance)`` by node."""
    rows = np.split(labels.entries, labels.starts[1:-1])
    return [[divmod(entry, 256) for entry in row.tolist()] for row in rows]


def test_a_chain_by_hand(chain):
    """4 - 0 - 5 - 1 - 6 - 2: items 5, 6 and 4 rank 0, 1 and 2; behind 5 nothing sees 4."""
    labels = build_labels(chain, cutoff=5)
    assert labels.num_hubs == 3
    assert labels_of(labels) == [
        [(0, 1), (2, 1)],
        [(0, 1), (1, 1)],
        [(0, 3), (1, 1)],
        [],
        [(0, 2), (2, 0)],
        [(0, 0)],
        [(0, 2), (1, 0)],
        [],
    ]


def test_the_cutoff_ends_the_search(chain):
    labels = build_labels(chain, cutoff=2)
    assert labels_of(labels)[2] == [(1, 1)]
    assert labels_of(labels)[6] == [(0, 2), (1, 0)]


@pytest.mark.parametrize(("num_users", "num_items"), [(200, 90), (90, 200)])
def test_the_smaller_side_holds_the_hubs(random_graph, num_users, num_items):
    graph = random_graph(0, num_users, num_items, 400)
    smaller = graph.user_degrees if num_users < num_items else graph.item_degrees
    labels = build_labels(graph, cutoff=4)
    assert labels.num_hubs == np.count_nonzero(smaller)
    first = 0 if num_users < num_items else num_users
    own = [hub for row in labels_of(labels)[first : first + 90] for hub, d in row if d == 0]
    assert sorted(own) == list(range(labels.num_hubs))


def test_no_label_is_in_vain(random_graph):
    """Two labels of lower rank never say what a hub above them says already."""
    labels = build_labels(random_graph(1, 90, 80, 260), cutoff=6)
    rows = [dict(row) for row in labels_of(labels)]
    at_rank = {rank: row for row in rows for rank, distance in row.items() if distance == 0}
    assert len(at_rank) == labels.num_hubs > 64
    for row in rows:
        for rank, distance in row.items():
            above = [h for h in row if h < rank and h in at_rank[rank]]
            assert all(row[h] + at_rank[rank][h] > distance for h in above)


def test_more_hubs_than_can_be_numbered_are_refused(chain, monkeypatch):
    monkeypatch.setattr(hub_labels, "MAX_HUBS", 2)
    with pytest.raises(DataError, match=r"3 nodes with edges .* up to 2: keep fewer"):
        build_labels(chain, 5)
