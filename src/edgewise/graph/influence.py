"""Which neighbours, and which items, a propagated vector comes from (ELMRec, eqs. 5 and 6)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from edgewise.graph.bipartite import BipartiteGraph


def influence(graph: BipartiteGraph, user: int) -> tuple[np.ndarray, np.ndarray]:
    """How strongly each user two steps away speaks in a user's vector (ELMRec, eq. 6).

    ``c(u_j -> u_i) = 1 / sqrt(|N_ui| |N_uj|) * sum over shared items k of 1 / |N_k|``. The paper
    prints ``|N_v|`` where ``|N_uj|`` follows from eq. 5 applied twice.

    Args:
        graph: of train rows.
        user: u_i.

    Returns:
        The other users who share an item with this one, ``int32[n]``, strongest first (ties by
        index), and their coefficients, ``float32[n]``.
    """
    biadjacency = graph.normalized_biadjacency()
    row = _dense_row(biadjacency[[user]] @ biadjacency.T)
    row[user] = 0
    return _strongest_first(row)


def speaking_items(graph: BipartiteGraph, user: int, item: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of a user's items connect him with an item, and with what share.

    A path user - k - other user - item brings the item's vector to the user in three steps of
    eq. 5; its weight is the product of the step factors. All paths through one item k of the
    user's history are summed. The direct edge is left out if there is one.

    Args:
        graph: of train rows.
        user: who is asked about.
        item: what is to be explained.

    Returns:
        The user's items on such paths, ``int32[n]``, strongest first (ties by index), and their
        shares, ``float32[n]`` with sum 1. Both are empty where no path of three steps exists.
    """
    biadjacency = graph.normalized_biadjacency()
    own = biadjacency[[user]]
    takers = biadjacency[:, [item]].multiply(np.arange(graph.num_users)[:, None] != user)
    towards_item = _dense_row(takers.T @ biadjacency)
    weights = _dense_row(own) * towards_item
    weights[item] = 0
    items, strengths = _strongest_first(weights)
    return items, strengths / max(float(strengths.sum()), np.finfo(np.float32).tiny)


def shared_takers(graph: BipartiteGraph, user: int, item: int) -> np.ndarray:
    """How many others took each item as well as this one, ``int64[I]``.

    Args:
        graph: of train rows.
        user: who does not count.
        item: taken by all who count; its own entry is their number.
    """
    takers = graph.users[(graph.items == item) & (graph.users != user)]
    theirs = np.isin(graph.users, takers)
    return np.bincount(graph.items[theirs], minlength=graph.num_items)


def _dense_row(row: sp.csr_array) -> np.ndarray:
    return np.asarray(row.todense(), dtype=np.float32).ravel()


def _strongest_first(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-weights, kind="stable")[: np.count_nonzero(weights)]
    return order.astype(np.int32), weights[order]
