"""The untrained probe: how much random features alone know of the held-out rows.

Random features propagated over a graph and compared by their dot product know nothing but the
graph. On the graph of train rows they are little better than chance; what they reach beyond that
on the graph in use, they read off its edges.
"""

from __future__ import annotations

import numpy as np

from edgewise.audit.findings import Figure, Finding, Subject
from edgewise.audit.pairs import Pairs, pair_keys
from edgewise.data.candidates import CandidateLists
from edgewise.data.interactions import Interactions
from edgewise.data.split import Split
from edgewise.evaluation.ranking import ranks_from_scores
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.propagation import random_features

_PROBE = Subject("untrained-probe", "probe")
_WIDTH, _LAYERS, _K = 512, 4, 10
_ROWS_AT_ONCE = 256
_SIGMAS = 5.0


def untrained_probe(
    edges: Pairs, split: Split, lists: CandidateLists, positives: np.ndarray, seed: int = 0
) -> Finding:
    """HR@10 of raw propagated features (ELMRec eqs. 4-7, L = 4, D = 512) in the direct task.

    Args:
        edges: what the graph in use is built from.
        split: its train rows make the graph to compare with.
        lists: candidates of Q held-out rows.
        positives: the item to be found in each list, ``int[Q]``.
        seed: of the random features.
    """
    if not len(lists):
        return _PROBE.not_applicable("no held-out row, nothing to find")
    honest = probe_hits(split.train, split, lists, positives, seed)
    in_use = honest if _same(edges, split) else probe_hits(edges, split, lists, positives, seed)
    gain = in_use.astype(np.float64) - honest
    figures = (
        Figure("HR@10 on the graph in use", float(in_use.mean()), "HR@10"),
        Figure("HR@10 on train rows", float(honest.mean()), "HR@10"),
        Figure("HR@10 by chance", _chance(lists), "HR@10"),
    )
    if gain.mean() <= _SIGMAS * max(gain.std(), 1 / len(gain)) / np.sqrt(len(gain)):
        return _PROBE.ok("the graph in use tells no more than train rows do", *figures)
    return _PROBE.leak(
        "random numbers that nobody trained find held-out items, because the graph in use knows "
        "them: any model that reads it will look good",
        *figures,
        repair="build the graph from train rows alone (protocol honest)",
    )


def probe_hits(
    edges: Pairs, split: Split, lists: CandidateLists, positives: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Whether the probe finds each list's positive among the first 10, ``bool[Q]``."""
    num_users, num_items = split.dataset.num_users, split.dataset.num_items
    rows = Interactions(edges.user_index, edges.item_index)
    graph = BipartiteGraph.from_interactions(rows, num_users, num_items)
    features = random_features(graph, _WIDTH, _LAYERS, 1.0, seed)
    return ranks_from_scores(lists, _scores(features, num_users, lists), positives) <= _K


def _scores(features: np.ndarray, num_users: int, lists: CandidateLists) -> np.ndarray:
    """Dot products of each list's user and items, ``float32[candidates]``."""
    scores = np.empty(len(lists.items), dtype=np.float32)
    owners = np.repeat(lists.user_index, np.diff(lists.offsets))
    step = _ROWS_AT_ONCE * 100
    for start in range(0, len(scores), step):
        part = slice(start, start + step)
        users, items = features[owners[part]], features[num_users + lists.items[part]]
        np.einsum("nd,nd->n", users, items, out=scores[part])
    return scores


def _same(edges: Pairs, split: Split) -> bool:
    num_items = split.dataset.num_items
    mine, train = (np.unique(pair_keys(rows, num_items)) for rows in (edges, split.train))
    return np.array_equal(mine, train)


def _chance(lists: CandidateLists) -> float:
    return float(np.minimum(1.0, _K / np.diff(lists.offsets)).mean())
