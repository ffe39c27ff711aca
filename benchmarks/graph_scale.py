"""What the graph costs as interactions grow: features, transitions, neighbours, and its products.

Run ``python benchmarks/graph_scale.py [--rows N ...] [--only JOB ...] [--json FILE]``. Histories
are made up, independent draws with log-normal activity and popularity about as one over the rank:
nothing repeats that would make results small. A thirtieth as many users as rows, and a fifth of
these in items. Each job runs in a process of its own, which tells its seconds, its seconds of
processor (which other work on the machine does not stretch) and the most memory it held, data and
libraries included, on one thread. ``products`` compares ways to multiply, on one thread and on two,
those that are installed (``pip install numba sparse_dot_mkl mkl`` for all). ``round_trip``
compares a product there and back with the same in torch's memory, without blocks. Figures are added
to those that the file holds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.sparse as sp
from measuring import best_times, keep

from edgewise.data.dataset import Interactions
from edgewise.data.ragged import Ragged
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.products import BothWays, times, weighted_sums
from edgewise.graph.propagation import random_features
from edgewise.graph.spectral import spectral_features
from edgewise.graph.transition_counts import item_transitions
from edgewise.models.graph_filter import GraphFilter

ROWS = (3_000_000, 10_000_000, 30_000_000, 100_000_000)
DIM, NUM_LAYERS, NEIGHBORS = 64, 4, 200
PLAIN_ROWS = 10_000_000  # what is measured for comparison is not measured beyond
_WIDTH = 80


def make(folder: Path, num_rows: int) -> None:
    """Offsets and items of histories, and the number of items."""
    rng = np.random.default_rng(0)
    num_users, num_items = num_rows // 30, num_rows // 150
    activity = rng.lognormal(0, 1, num_users)
    lengths = np.maximum(1, activity * (num_rows / activity.sum())).astype(np.int64)
    done = np.cumsum((np.arange(num_items) + 20.0) ** -0.9)
    items = np.empty(lengths.sum(), np.int32)
    for start in range(0, len(items), 1_000_000):
        part = items[start : start + 1_000_000]
        part[:] = np.searchsorted(done, rng.random(len(part)) * done[-1]).clip(max=num_items - 1)
    # An item's number tells nothing of its popularity.
    items = rng.permutation(num_items).astype(np.int32)[items]
    np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
    np.save(folder / "items.npy", items)


class Made:
    """What was made, read."""

    def __init__(self, folder: Path) -> None:
        offsets, items = (np.load(folder / f"{name}.npy") for name in ("offsets", "items"))
        self.histories = Ragged(offsets, items)
        self.num_users, self.num_items = len(offsets) - 1, (len(offsets) - 1) // 5

    def graph(self) -> BipartiteGraph:
        users = np.repeat(np.arange(self.num_users, dtype=np.int32), self.histories.lengths)
        rows = Interactions(users, self.histories.values)
        return BipartiteGraph.from_interactions(rows, self.num_users, self.num_items)

    def filter(self, **settings: Any) -> GraphFilter:
        model: Any = GraphFilter(low_pass=0.0, **settings)
        model._data = SimpleNamespace(items=range(self.num_items), users=range(self.num_users))
        model.learn(self.histories)
        return model


Figures = dict[str, float]


def build(made: Made) -> Figures:
    return {"edges": made.graph().normalized_biadjacency().nnz}


def random(made: Made) -> Figures:
    return {"nodes": len(random_features(made.graph(), DIM, NUM_LAYERS, 1.0, seed=0))}


def spectral(made: Made) -> Figures:
    return {"nodes": len(spectral_features(made.graph(), DIM).features)}


def transitions(made: Made) -> Figures:
    return {"entries": item_transitions(made.histories, made.num_items).nnz}


def transitions_in_file(made: Made) -> Figures:
    logging.disable()
    return {"entries": item_transitions(made.histories, made.num_items, memory=0).nnz}


def transitions_plain(made: Made) -> Figures:
    """A matrix for each number of steps, added up: the plain way."""
    user, items = made.histories.row_of_value, made.histories.values
    total = sp.csr_array((made.num_items, made.num_items), dtype=np.float32)
    for steps in range(1, 6):
        near = (user[:-steps] == user[steps:]) & (items[:-steps] != items[steps:])
        pairs = items[:-steps][near], items[steps:][near]
        weight = np.full(len(pairs[0]), 1 / steps, dtype=np.float32)
        total = total + sp.csr_array((weight, pairs), shape=total.shape)
    return {"entries": sp.csr_array(total + total.T).nnz}


def neighbors(made: Made) -> Figures:
    model = made.filter(neighbors=NEIGHBORS)
    return {"entries": model.meetings.nnz, **asked(model, made, 200)}


def two_step(made: Made) -> Figures:
    return asked(made.filter(), made, 30)


def asked(model: GraphFilter, made: Made, count: int) -> Figures:
    """Seconds of a question of some users, the second time."""
    users = np.arange(count)
    model.score_items(users, made.histories.take(users))
    wall, processor = time.perf_counter(), time.process_time()
    model.score_items(users, made.histories.take(users))
    return {
        "seconds_a_user": (time.perf_counter() - wall) / count,
        "processor_seconds_a_user": (time.process_time() - processor) / count,
    }


def products(made: Made) -> Figures:
    """Seconds of ways to multiply, all in one process, and the largest difference from SciPy's."""
    graph = made.graph().normalized_biadjacency()
    of_items = np.random.default_rng(0).random((made.num_items, _WIDTH), dtype=np.float32) - 0.5
    of_users = times(graph, of_items)
    found: Figures = {}
    for side, matrix, features in (
        ("users", graph, of_items),
        ("items", graph.T.tocsr(), of_users),
    ):
        ways = {name: way for name, way in WAYS.items() if way is not None}
        expected = matrix @ features
        scale = np.abs(expected).max()
        for name, way in ways.items():
            found[f"{side}_{name}_difference"] = float(
                np.abs(way(matrix, features) - expected).max() / scale
            )
        runs = [partial(way, matrix, features) for way in ways.values()]
        spent = best_times(*runs, repeats=3)
        found |= {f"{side}_{name}": value for name, value in zip(ways, spent, strict=True)}
    return found


def round_trip(made: Made) -> Figures:
    """Seconds of processor of items -> users -> items, as it is taken and in the plain way."""
    import torch

    graph = made.graph().normalized_biadjacency()
    both, turned = BothWays(graph), graph.T.tocsr()
    features = np.random.default_rng(0).random((made.num_items, _WIDTH), dtype=np.float32)

    def plain() -> np.ndarray:
        found = torch.from_numpy(features)
        for matrix in (graph, turned):
            offsets, columns = map(torch.from_numpy, (matrix.indptr, matrix.indices))
            found = weighted_sums(offsets, columns, torch.from_numpy(matrix.data), found)
        return found.numpy()

    ways = {"here": partial(both.gram, features), "plain": plain}
    expected = plain()
    difference = np.abs(both.gram(features) - expected).max() / np.abs(expected).max()
    del expected
    times_of = {name: list[float]() for name in ways}
    for _ in range(3):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            times_of[name].append(time.process_time() - begun)
    spent = {name: float(np.median(each)) for name, each in times_of.items()}
    return {
        **{f"{name}_processor_seconds": each for name, each in spent.items()},
        **{f"{name}_seconds_an_entry": each / graph.nnz for name, each in spent.items()},
        "times": spent["plain"] / spent["here"],
        "difference": float(difference),
    }


def by_threads(matrix: sp.csr_array, features: np.ndarray) -> np.ndarray:
    """SciPy's product, rows of equal numbers of entries on each thread."""
    threads = int(os.environ["OMP_NUM_THREADS"])
    wanted = np.linspace(0, matrix.nnz, 4 * threads + 1)
    edges = np.searchsorted(matrix.indptr, wanted)
    edges[-1] = len(matrix.indptr) - 1
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(lambda a, b: matrix[a:b] @ features, edges[:-1], edges[1:])
        return np.concatenate(list(parts))


def by_torch(matrix: sp.csr_array, features: np.ndarray) -> np.ndarray:
    import torch

    warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
    parts = map(torch.from_numpy, (matrix.indptr, matrix.indices, matrix.data))
    shape = tuple(matrix.shape)
    sparse = torch.sparse_csr_tensor(*parts, shape, check_invariants=False)
    return (sparse @ torch.from_numpy(features)).numpy()


def by_mkl() -> Callable[[sp.csr_array, np.ndarray], np.ndarray] | None:
    if importlib.util.find_spec("sparse_dot_mkl") is None:
        return None
    dot_product_mkl = importlib.import_module("sparse_dot_mkl").dot_product_mkl
    return lambda matrix, features: dot_product_mkl(sp.csr_matrix(matrix, copy=False), features)


def by_numba() -> Callable[[sp.csr_array, np.ndarray], np.ndarray] | None:
    if importlib.util.find_spec("numba") is None:
        return None
    numba: Any = importlib.import_module("numba")

    @numba.njit(parallel=True, fastmath=True)
    def kernel(indptr, indices, data, features, found):
        for row in numba.prange(len(indptr) - 1):
            for place in range(indptr[row], indptr[row + 1]):
                value, column = data[place], indices[place]
                for each in range(features.shape[1]):
                    found[row, each] += value * features[column, each]

    def product(matrix: sp.csr_array, features: np.ndarray) -> np.ndarray:
        found = np.zeros((matrix.shape[0], features.shape[1]), np.float32)
        kernel(matrix.indptr, matrix.indices, matrix.data, features, found)
        return found

    return product


WAYS: dict[str, Callable[[sp.csr_array, np.ndarray], np.ndarray] | None] = {}
JOBS: dict[str, Callable[[Made], Figures]] = {
    job.__name__: job
    for job in (
        build, random, spectral, transitions, transitions_in_file, transitions_plain, neighbors,
        two_step, products, round_trip,
    )
}  # fmt: skip


def do(name: str, folder: Path) -> None:
    """One job, in a process of its own."""
    made = Made(folder)
    if name == "products":
        WAYS.update(
            here=times, scipy=lambda matrix, features: matrix @ features, scipy_threads=by_threads,
            torch_csr=by_torch, mkl=by_mkl(), numba=by_numba(),
        )  # fmt: skip
    wall, processor = time.perf_counter(), time.process_time()
    found = JOBS[name](made)
    spent = {
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
    }
    print(json.dumps({**spent, **found}))


def measured(name: str, folder: Path, threads: int) -> Figures:
    command = [sys.executable, __file__, "--do", name, str(folder)]
    env = {**os.environ, **dict.fromkeys(_THREADS, str(threads)), "MKL_INTERFACE_LAYER": "LP64"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{name} failed")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"threads": threads, **json.loads(printed), "peak_bytes": peak}


_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS), help="these jobs")
    parser.add_argument("--json", type=Path, help="add the figures to this file")
    parser.add_argument("--do", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.do:
        return do(given.do[0], Path(given.do[1]))
    figures: dict[str, Mapping[str, object]] = {}
    if given.json and given.json.exists():
        figures = json.loads(given.json.read_text(encoding="utf-8"))
    for num_rows in given.rows:
        with tempfile.TemporaryDirectory() as folder:
            # Elsewhere, since a process starts with the peak of the one that started it.
            maker = get_context("spawn").Process(target=make, args=(Path(folder), num_rows))
            maker.start()
            maker.join()
            for name in given.only:
                if num_rows > PLAIN_ROWS and name == "transitions_plain":
                    continue
                for threads in (1, 2) if name == "products" else (1,):
                    found = {"rows": num_rows, **measured(name, Path(folder), threads)}
                    suffix = f"_{threads}" if name == "products" else ""
                    figures[f"{name}_{num_rows // 1_000_000}m{suffix}"] = found
                    print(name, json.dumps(found), flush=True)
                    if given.json:
                        keep(given.json, figures)


if __name__ == "__main__":
    main()
