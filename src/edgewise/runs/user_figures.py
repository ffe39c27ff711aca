"""Each user's figures, in a small file beside a result: what tests over users need.

Users share their figures with many others: where one item is held out, a user's row of metrics is
told by the item's rank. The file therefore holds the different rows once, and for each user which
of them it is: some 20 KB for 20,000 users, so that it can be committed with the result, whose seal
vouches for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from edgewise.evaluation.list_metrics import LIST_METRICS
from edgewise.files import file_checksum, replacing

UNITS = ("user_index", "item_index")
"""Columns that say whose figures they are; pairs of a user and an item where texts are measured."""


def user_figures_file(result_file: Path) -> Path:
    """Where the figures of a result's users stand."""
    return result_file.with_suffix(".users.npz")


def write_user_figures(file: Path, rows: Mapping[tuple[str, int], pl.DataFrame]) -> str:
    """Write the users (or pairs) behind a result, and give the file's SHA-256.

    Args:
        file: from :func:`user_figures_file`.
        rows: one row a user, by task and number of the system, 0 being the run's own. What lists
            show of the catalogue is left out: nobody is better for it.
    """
    arrays: dict[str, np.ndarray] = {}
    for (task, system), frame in rows.items():
        units = [name for name in UNITS if name in frame.columns]
        metrics = [
            name
            for name, kind in frame.schema.items()
            if kind.is_float() and name.split("@")[0] not in LIST_METRICS
        ]
        values, which = np.unique(frame.select(metrics).to_numpy(), axis=0, return_inverse=True)
        found = {
            "metrics": np.array(metrics, dtype=np.str_),
            "values": values,
            "which": which.reshape(-1).astype(np.min_scalar_type(len(values))),
            # Steps are nearly all the same, and take no room.
            "steps": np.diff(frame.select(units).to_numpy(), axis=0, prepend=0).astype(np.int32),
        }
        arrays |= {f"{task}/{system}/{name}": array for name, array in found.items()}
    with replacing(file) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return file_checksum(file)


def read_user_figures(file: Path, sha256: str, task: str, system: int) -> pl.DataFrame | None:
    """The users (or pairs) that :func:`write_user_figures` wrote, one column a metric.

    None where there is no such file, or another than the result's: it is not to be believed then.
    """
    if not file.is_file() or file_checksum(file) != sha256:
        return None
    with np.load(file, allow_pickle=False) as arrays:
        start = f"{task}/{system}/"
        if f"{start}steps" not in arrays:
            return None
        units = np.cumsum(arrays[f"{start}steps"], axis=0)
        values = arrays[f"{start}values"][arrays[f"{start}which"]]
        metrics = arrays[f"{start}metrics"].tolist()
    columns = dict(zip(UNITS, units.T, strict=False)) | dict(zip(metrics, values.T, strict=True))
    return pl.DataFrame({name: np.ascontiguousarray(each) for name, each in columns.items()})
