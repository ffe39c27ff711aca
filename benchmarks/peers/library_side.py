"""implicit's or RecTools' half of the comparison, run by :mod:`libraries` in their environment.

``python library_side.py JOB OUT`` reads a job (JSON) and ``OUT/pairs.npz``, times learning and
recommending, and writes ``OUT/figures.json`` and ``OUT/lists.npz``. It imports nothing of edgewise.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Lists = tuple[np.ndarray, np.ndarray, np.ndarray]


def by_implicit(job: dict[str, Any], users: np.ndarray, items: np.ndarray) -> dict[str, Any]:
    import scipy.sparse as sp
    from implicit import nearest_neighbours

    taken = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)))
    taken.data[:] = 1
    model = getattr(nearest_neighbours, job["model"])(K=job["neighbors"], num_threads=1)
    asked = np.unique(users)
    start = clocks()
    model.fit(taken, show_progress=False)
    learned = clocks()
    best, scores = model.recommend(asked, taken[asked], N=job["k"])
    scores = np.where(best >= 0, scores, -np.inf)
    return told([start, learned, clocks()], (asked, best, scores))


def by_rectools(job: dict[str, Any], users: np.ndarray, items: np.ndarray) -> dict[str, Any]:
    import pandas as pd
    from rectools.dataset import Dataset
    from rectools.models import EASEModel

    frame = pd.DataFrame({"user_id": users, "item_id": items}).drop_duplicates()
    data = Dataset.construct(frame.assign(weight=1.0, datetime="2020-01-01"))
    model = EASEModel(regularization=job["l2"], recommend_n_threads=1)
    asked = np.unique(users)
    start = clocks()
    model.fit(data)
    learned = clocks()
    found = model.recommend(asked, data, k=job["k"], filter_viewed=True)
    done = clocks()
    best = np.full((len(asked), job["k"]), -1)
    scores = np.full(best.shape, -np.inf)
    place = np.searchsorted(asked, found["user_id"]), found["rank"] - 1
    best[place], scores[place] = found["item_id"], found["score"]
    return told([start, learned, done], (asked, best, scores))


def told(times: list[tuple[float, float]], lists: Lists) -> dict[str, Any]:
    return {"clocks": times, "lists": lists}


def clocks() -> tuple[float, float]:
    """Seconds of the clock, and of the processor, which other work does not stretch."""
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    job_file, folder = map(Path, sys.argv[1:])
    job = json.loads(job_file.read_text(encoding="utf-8"))
    pairs = np.load(folder / "pairs.npz")
    ask = {"implicit": by_implicit, "rectools": by_rectools}[job["library"]]
    result = ask(job, pairs["users"], pairs["items"])
    names = "users", "items", "scores"
    np.savez(folder / "lists.npz", **dict(zip(names, result.pop("lists"), strict=True)))
    result["version"] = version(job["library"])
    (folder / "figures.json").write_text(json.dumps(result), encoding="utf-8")
