"""Distances of the train graph, from the histories that a recommender keeps anyway."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgewise.data.interactions import Histories, Interactions
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.distance import DistanceIndex
from edgewise.models.graph_gpt.config import AttentionConfig
from edgewise.models.graph_gpt.history_paths import OtherTakers, history_lengths


@dataclass(frozen=True, eq=False)
class TrainGraph:
    """P between the nodes of prompts, see :class:`~edgewise.models.graph_gpt.batch.Distances`.

    Attributes:
        graph: of train rows.
        cutoff: the longest path that is followed.
        num_users: U.
        others: where a reader's own edges do not join the items of a history; else None.
    """

    graph: BipartiteGraph
    cutoff: int
    num_users: int
    others: OtherTakers | None = None

    @cached_property
    def index(self) -> DistanceIndex:
        """Exact lengths, made when a prompt first asks for more than its reader's history."""
        return DistanceIndex.build(self.graph, cutoff=self.cutoff)

    def among(self, nodes: np.ndarray) -> np.ndarray:
        """Of any prompt, by the train graph."""
        return self.index.among(nodes)

    def in_histories(self, nodes: np.ndarray, readers: np.ndarray) -> np.ndarray:
        """Of prompts that tell a reader's history."""
        lengths = history_lengths(nodes, self.num_users, self.cutoff)
        if self.others is not None:
            self.others.part(lengths, nodes, readers, self.num_users, self.cutoff)
        return lengths


def build_distances(config: AttentionConfig, train: Histories, num_items: int) -> TrainGraph | None:
    """Index the shortest paths between users and items; None where attention does without.

    Args:
        config: kind, the longest path that is followed, and whether readers' own edges count.
        train: each user's train items; no held-out row.
        num_items: I.
    """
    if config.kind != "graph":
        return None
    users = np.repeat(np.arange(len(train), dtype=np.int32), train.lengths)
    graph = BipartiteGraph.from_interactions(
        Interactions(users, train.items), len(train), num_items
    )
    others = None if config.own_edges else OtherTakers.of(train, num_items)
    return TrainGraph(graph, config.max_path, len(train), others)
