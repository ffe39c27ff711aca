"""What distances between the nodes of prompts cost, without the matrix of all distances.

Run ``python benchmarks/distances.py [--json FILE]``. Made-up shops as large as Amazon Food and
Amazon Beauty, and a small one, each in a process of its own. R of a training batch (Eqs. 1-4), as
the model adds it to attention scores, is filled from the index and, in the same process, by a plain
double loop over a dense matrix; both must find the same lengths. Where the matrix of all nodes
would not fit, the loop costs the same over the rows of the batch's own nodes: no other row is read.
Making these rows is not timed.
"""

from __future__ import annotations

import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
from measuring import best_time, best_times, report, seconds

from edgewise.data.dataset import Interactions
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.shortest_paths import ShortestPaths
from edgewise.models.graph_gpt.attention_bias import attention_mask, bias_table, graph_bias
from edgewise.models.graph_gpt.config import AttentionConfig

# Users, items, edges.
FOOD = (95_421, 32_180, 834_514)
BEAUTY = (22_363, 12_101, 131_413)
SMALL = (3_300, 1_700, 29_000)
SHOPS = {"food": FOOD, "beauty": BEAUTY, "small": SMALL}
NUM_PROMPTS, WIDTHS = 32, (21, 101)
NUM_PAIRS = 50_000
CUTOFF = 5


def shop(num_users: int, num_items: int, num_edges: int) -> BipartiteGraph:
    """Five items a user and more for a few, items by a power law: as after a 5-core filter."""
    rng = np.random.default_rng(0)
    activity = 1 + rng.pareto(1.8, num_users)
    weights = (20.0 + np.arange(num_items)) ** -0.8
    weights /= weights.sum()
    counts = 5 + rng.multinomial(num_edges - 5 * num_users, activity / activity.sum())
    users, keys = np.repeat(np.arange(num_users), counts), np.zeros(0, dtype=np.int64)
    while len(keys) < num_edges:
        items = rng.choice(num_items, len(users), p=weights)
        keys = np.unique(np.concatenate([keys, users * num_items + items]))
        users = rng.choice(num_users, num_edges - len(keys), p=activity / activity.sum())
    users, items = (column.astype(np.int32) for column in np.divmod(keys, num_items))
    return BipartiteGraph.from_interactions(Interactions(users, items), num_users, num_items)


def prompts(graph: BipartiteGraph, width: int) -> np.ndarray:
    """A user, items he took, and items as they sell to fill the row, ``int64[NUM_PROMPTS, width]``.

    Users come as often as they bought, so that near and far pairs both come.
    """
    rng = np.random.default_rng(1)
    users = graph.users[rng.integers(graph.num_edges, size=NUM_PROMPTS)]
    items = graph.items[rng.integers(graph.num_edges, size=(NUM_PROMPTS, width - 1))]
    for user, row in zip(users, items, strict=True):
        history = rng.permutation(graph.items[graph.users == user])[: width - 1]
        row[: len(history)] = history
    return np.column_stack([users, items.astype(np.int64) + graph.num_users])


def peak_bytes() -> int:
    """The most memory that the process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def pairs_per_second(paths: ShortestPaths, first: np.ndarray, second: np.ndarray) -> float:
    return len(first) / best_time(lambda: paths.lengths(first, second), repeats=3)


def built(graph: BipartiteGraph) -> tuple[ShortestPaths, dict[str, float]]:
    """The paths with their index, and what it costs."""
    before, paths = peak_bytes(), ShortestPaths(graph, CUTOFF)
    build_seconds = seconds(lambda: paths.labels)
    return paths, {
        "nodes": graph.num_nodes,
        "edges": graph.num_edges,
        "build_seconds": build_seconds,
        "peak_bytes_before": before,
        "peak_bytes": peak_bytes(),
        "index_bytes": paths.nbytes,
        "matrix_bytes_float32": 4 * graph.num_nodes**2,
    }


def pairs(graph: BipartiteGraph, paths: ShortestPaths) -> dict[str, float]:
    """Pairs a second, any and those of prompts."""
    rng = np.random.default_rng(2)
    random_pairs = rng.integers(graph.num_nodes, size=(2, NUM_PAIRS))
    rows = prompts(graph, WIDTHS[0])
    slots = rng.integers(rows.size, size=NUM_PAIRS), rng.integers(WIDTHS[0], size=NUM_PAIRS)
    own, other = rows.ravel()[slots[0]], rows[slots[0] // WIDTHS[0], slots[1]]
    return {
        "random_pairs_per_second": pairs_per_second(paths, *random_pairs),
        "prompt_pairs_per_second": pairs_per_second(paths, own, other),
    }


def matrix_rows(graph: BipartiteGraph, sources: np.ndarray) -> np.ndarray:
    """The rows of some nodes in the matrix of all distances, ``uint8[len(sources), N]``.

    One bit for each of 64 sources travels along all edges at once.
    """
    everyone = np.arange(graph.num_nodes)
    items = graph.items.astype(np.int64) + graph.num_users
    # Each node is its own neighbour, so that it keeps its bits, and no node is without any.
    to = np.concatenate([graph.users, items, everyone])
    order = np.argsort(to, kind="stable")
    neighbors = np.concatenate([items, graph.users, everyone])[order]
    starts = np.searchsorted(to[order], everyone)
    rows = np.zeros((len(sources), graph.num_nodes), dtype=np.uint8)
    for first in range(0, len(sources), 64):
        some = sources[first : first + 64]
        reached = np.zeros(graph.num_nodes, dtype="<u8")
        reached[some] = np.uint64(1) << np.arange(len(some), dtype=np.uint64)
        for _ in range(CUTOFF + 1):
            missing = np.unpackbits(~reached.view(np.uint8), bitorder="little")
            rows[first : first + 64] += missing.reshape(-1, 64).T[: len(some)]
            reached = np.bitwise_or.reduceat(reached[neighbors], starts)
    return rows


def looped(matrix: np.ndarray, places: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Lengths of a batch, read pair by pair.

    Args:
        matrix: of :func:`matrix_rows`, of the batch's nodes.
        places: the row of each node in it, ``int64[B, S]``.
        nodes: its column, ``int64[B, S]``.
    """
    num_rows, width = nodes.shape
    lengths = np.empty((num_rows, width, width), dtype=np.uint8)
    for row, own, members in zip(lengths, places.tolist(), nodes.tolist(), strict=True):
        for i, first in enumerate(own):
            for j, second in enumerate(members):
                row[i, j] = matrix[first, second]
    return lengths


def batch(graph: BipartiteGraph, paths: ShortestPaths, width: int) -> dict[str, float]:
    """Seconds to fill R of one batch, from the index and by the loop."""
    nodes, table = prompts(graph, width), bias_table(AttentionConfig(max_path=CUTOFF))
    sources, places = np.unique(nodes, return_inverse=True)
    matrix, places = matrix_rows(graph, sources), places.reshape(nodes.shape)
    present = torch.ones(nodes.shape, dtype=torch.int64)
    np.testing.assert_array_equal(paths.among(nodes), looped(matrix, places, nodes))

    def bias(lengths: np.ndarray) -> torch.Tensor:
        return attention_mask(present, graph_bias(torch.from_numpy(lengths), table))

    ours, loop = best_times(
        lambda: bias(paths.among(nodes)), lambda: bias(looped(matrix, places, nodes))
    )
    names = "batch_{}_seconds", "loop_{}_seconds", "loop_over_batch_{}", "loop_{}_matrix_bytes"
    values = ours, loop, loop / ours, matrix.nbytes
    return {name.format(width): value for name, value in zip(names, values, strict=True)}


def measured(sizes: tuple[int, int, int]) -> dict[str, float]:
    """All figures of a shop of some size."""
    torch.set_num_threads(1)
    graph = shop(*sizes)
    paths, figures = built(graph)
    figures |= pairs(graph, paths)
    for width in WIDTHS:
        figures |= batch(graph, paths, width)
    return figures


def measure() -> dict[str, dict[str, float]]:
    # Peak memory is that of a process so far, so that each shop gets a fresh one.
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as fresh:
        return dict(zip(SHOPS, fresh.map(measured, SHOPS.values()), strict=True))


if __name__ == "__main__":
    report(measure, __doc__)
