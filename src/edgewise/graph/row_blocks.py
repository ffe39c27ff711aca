"""Large sparse matrices a few rows at a time, on all cores of the process.

Kernels of NumPy and SciPy release Python's lock, so threads that each work on rows of their own run
side by side; what a block of rows becomes is all that is held of it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

_VALUES_AT_ONCE = 2_000_000

Found = TypeVar("Found")


def num_threads() -> int:
    """``OMP_NUM_THREADS``, which numerical libraries obey, too, else the cores of the process."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def blocks(sizes: np.ndarray, at_most: int | None = None) -> list[tuple[int, int]]:
    """Consecutive rows whose sizes add up to at most so much, or one row that is larger.

    Args:
        sizes: of all rows, ``int[rows]``.
        at_most: so much; None = 2 million.

    Returns:
        First row and the one after the last of each block; no rows, no block.
    """
    at_most = _VALUES_AT_ONCE if at_most is None else at_most
    ends, found, start = np.cumsum(sizes, dtype=np.int64), list[tuple[int, int]](), 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + at_most, side="right")))
        found.append((start, end))
        start = end
    return found


def in_threads(
    function: Callable[[int, int], Found], parts: list[tuple[int, int]]
) -> Iterator[Found]:
    """What a function makes of each block, in their order; few of them wait to be taken."""
    threads = num_threads()
    if threads == 1 or len(parts) == 1:
        yield from (function(*part) for part in parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque[Future[Found]]()
        for part in parts:
            waiting.append(pool.submit(function, *part))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def rows_of_product(
    left: sp.csr_array, right: sp.csr_array, keep: Callable[[sp.csr_array, int], sp.csr_array]
) -> sp.csr_array:
    """What is kept of each row of ``left @ right``, which is never held as a whole.

    The work is the sum over left's entries of the lengths of right's rows: for ``R^T R`` that of
    users' squared lengths.

    Args:
        left, right: ``[rows, K]`` and ``[K, columns]``.
        keep: takes consecutive rows of the product, with the number of the first of them.

    Returns:
        What was kept, ``[rows, columns]``.
    """
    steps = np.diff(right.indptr).astype(np.float64)
    pattern = sp.csr_array((np.ones(left.nnz, bool), left.indices, left.indptr), shape=left.shape)
    num_columns = right.shape[1]  # type: ignore[index]
    longest = np.minimum(pattern @ steps, num_columns).astype(np.int64)

    def kept(start: int, end: int) -> sp.csr_array:
        return keep(sp.csr_array(left[start:end] @ right), start)

    found = list(in_threads(kept, blocks(longest + 1)))
    return sp.csr_array(sp.vstack(found, format="csr")) if found else sp.csr_array(left @ right)
