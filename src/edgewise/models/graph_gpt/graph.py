"""Distances of the train graph, from the histories that a recommender keeps anyway."""

from __future__ import annotations

import numpy as np

from edgewise.data.interactions import Histories, Interactions
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.distance import DistanceIndex
from edgewise.models.graph_gpt.config import AttentionConfig


def build_distances(
    config: AttentionConfig, train: Histories, num_items: int
) -> DistanceIndex | None:
    """Index the shortest paths between users and items; None where attention does without.

    Args:
        config: kind, and the longest path that is followed.
        train: each user's train items; no held-out row.
        num_items: I.
    """
    if config.kind != "graph":
        return None
    users = np.repeat(np.arange(len(train), dtype=np.int32), train.lengths)
    graph = BipartiteGraph.from_interactions(
        Interactions(users, train.items), len(train), num_items
    )
    return DistanceIndex.build(graph, cutoff=config.max_path)
