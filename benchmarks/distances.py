"""What distances between the nodes of prompts cost, without the matrix of all distances.

Run ``python benchmarks/distances.py [--json FILE]``. Made-up shops as large as Amazon Food and
Amazon Beauty, and one whose matrix is small; there a plain loop over the matrix fills the same
batch in the same process, and must find the same lengths.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgewise.data.interactions import Interactions
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.distance import DistanceIndex
from edgewise.model_folder import versions
from edgewise.runs.machine import describe_machine

# Users, items, edges.
FOOD = (95_421, 32_180, 834_514)
BEAUTY = (22_363, 12_101, 131_413)
SMALL = (3_300, 1_700, 29_000)
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
    """A user, his history, and items as they sell to fill the row, ``int64[NUM_PROMPTS, width]``.

    Users come as often as they bought, as in training batches.
    """
    rng = np.random.default_rng(1)
    users = graph.users[rng.integers(graph.num_edges, size=NUM_PROMPTS)]
    items = graph.items[rng.integers(graph.num_edges, size=(NUM_PROMPTS, width - 1))]
    for user, row in zip(users, items, strict=True):
        history = rng.permutation(graph.items[graph.users == user])[: width - 1]
        row[: len(history)] = history
    return np.column_stack([users, items.astype(np.int64) + graph.num_users])


def best_time(run: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of several runs: the least disturbed by other work."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_bytes() -> int:
    """The most memory that the process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def pairs_per_second(index: DistanceIndex, first: np.ndarray, second: np.ndarray) -> float:
    return len(first) / best_time(lambda: index.lengths(first, second), repeats=3)


def indexed(sizes: tuple[int, int, int]) -> tuple[DistanceIndex, dict[str, float]]:
    """The index of a shop of some size, and what it costs."""
    graph = shop(*sizes)
    start = time.perf_counter()
    index = DistanceIndex.build(graph, CUTOFF)
    figures: dict[str, float] = {
        "nodes": graph.num_nodes,
        "edges": graph.num_edges,
        "build_seconds": time.perf_counter() - start,
        "index_bytes": index.nbytes,
        "matrix_bytes_float32": 4 * graph.num_nodes**2,
    }
    rng = np.random.default_rng(2)
    random_pairs = rng.integers(graph.num_nodes, size=(2, NUM_PAIRS))
    figures["random_pairs_per_second"] = pairs_per_second(index, *random_pairs)
    rows = prompts(graph, WIDTHS[0])
    slots = rng.integers(rows.size, size=NUM_PAIRS), rng.integers(WIDTHS[0], size=NUM_PAIRS)
    own, other = rows.ravel()[slots[0]], rows[slots[0] // WIDTHS[0], slots[1]]
    figures["prompt_pairs_per_second"] = pairs_per_second(index, own, other)
    for width in WIDTHS:
        nodes = prompts(graph, width)
        figures[f"batch_{width}_seconds"] = best_time(lambda nodes=nodes: index.among(nodes))
    return index, figures


def matrix_of(graph: BipartiteGraph) -> np.ndarray:
    """All distances by one multiplication with the adjacency per step, ``uint8[N, N]``."""
    adjacency = graph.normalized_adjacency().astype(bool).astype(np.float32)
    walks = np.eye(graph.num_nodes, dtype=np.float32)
    matrix = np.where(walks > 0, 0, CUTOFF + 1).astype(np.uint8)
    for step in range(1, CUTOFF + 1):
        walks = (adjacency @ walks > 0).astype(np.float32)
        matrix[(walks > 0) & (matrix > step)] = step
    return matrix


def looped(matrix: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """A batch filled pair by pair."""
    num_rows, width = nodes.shape
    lengths = np.empty((num_rows, width, width), dtype=np.uint8)
    for row, members in zip(lengths, nodes.tolist(), strict=True):
        for i, first in enumerate(members):
            for j, second in enumerate(members):
                row[i, j] = matrix[first, second]
    return lengths


def against_loop() -> dict[str, float]:
    index, figures = indexed(SMALL)
    graph = shop(*SMALL)
    matrix = matrix_of(graph)
    for width in WIDTHS:
        nodes = prompts(graph, width)
        np.testing.assert_array_equal(index.among(nodes), looped(matrix, nodes))
        loop = best_time(lambda nodes=nodes: looped(matrix, nodes))
        figures[f"loop_{width}_seconds"] = loop
        figures[f"loop_over_batch_{width}"] = loop / figures[f"batch_{width}_seconds"]
    return figures


def measure() -> dict[str, dict[str, float]]:
    # First, because peak memory is that of the process so far.
    food = indexed(FOOD)[1] | {"peak_bytes": peak_bytes()}
    return {
        "food": food,
        "beauty": indexed(BEAUTY)[1],
        "small_beside_a_matrix": against_loop(),
    }


def main(arguments: list[str]) -> None:
    """Print the figures; with ``--json FILE`` write them too."""
    if arguments and (len(arguments) != 2 or arguments[0] != "--json"):
        sys.exit("usage: python benchmarks/distances.py [--json FILE]")
    figures = measure()
    for name, values in figures.items():
        print(name.replace("_", " "))
        for key, value in values.items():
            print(f"  {key.replace('_', ' '):24} {value:>15,.4g}")
    if arguments:
        path = Path(arguments[1])
        unfinished = path.with_name(f".unfinished-{path.name}")
        about = {"machine": describe_machine(), "versions": versions()}
        unfinished.write_text(json.dumps(figures | about, indent=2) + "\n")
        unfinished.replace(path)


if __name__ == "__main__":
    main(sys.argv[1:])
