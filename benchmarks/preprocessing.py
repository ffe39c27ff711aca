"""Many files of raw rows cleaned into one Parquet file: by polars, and by Ray Data.

Run ``python benchmarks/preprocessing.py [--json FILE]``. Eight made-up csv files of half a million
rows each are read, their ids stripped and rows without an id, or rated below 3, left out. What
comes out is what ``edgewise data import`` reads. :func:`by_ray` is how to clean files on many
machines: on a cluster that ``RAY_ADDRESS`` names, every machine takes files and writes parts.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from measuring import report, seconds

if TYPE_CHECKING:
    import pyarrow as pa

NUM_FILES, ROWS_OF_EACH, NUM_USERS, NUM_ITEMS = 8, 500_000, 200_000, 50_000
ROUNDS = 3


def clean(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Rows that count, with the columns' usual names."""
    ids = (pl.col(name).str.strip_chars().replace("", None) for name in ("user", "item"))
    user, item = ids
    rated = pl.col("stars") >= 3
    columns = user.alias("user_id"), item.alias("item_id"), pl.col("time").alias("timestamp")
    return rows.filter(rated).select(*columns).drop_nulls()


def by_polars(files: Sequence[Path], out: Path) -> None:
    """Clean files on this machine, a few rows at a time."""
    clean(pl.scan_csv(list(files))).sink_parquet(out)


def by_ray(files: Sequence[Path], out: Path) -> None:
    """Clean files wherever Ray has processors, then join the parts."""
    import ray.data as ray_data

    def cleaned(table: pa.Table) -> pa.Table:
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return clean(frame.lazy()).collect().to_arrow()

    with tempfile.TemporaryDirectory(dir=out.parent) as parts:
        rows: Any = ray_data.read_csv([str(file) for file in files])
        rows.map_batches(cleaned, batch_format="pyarrow", batch_size=None).write_parquet(parts)
        pl.scan_parquet(Path(parts) / "*.parquet").sink_parquet(out)


def start_ray(processors: int) -> None:
    """The cluster that ``RAY_ADDRESS`` names, or one on this machine."""
    import ray
    import ray.data as ray_data

    if address := os.environ.get("RAY_ADDRESS"):
        ray.init(address=address, log_to_driver=False)
        return
    ray.init(
        num_cpus=processors,
        object_store_memory=256 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    ray_data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def write_files(folder: Path, count: int = NUM_FILES, rows: int = ROWS_OF_EACH) -> list[Path]:
    """Raw rows, some of them without a user."""
    files = []
    for number in range(count):
        rng = np.random.default_rng(number)
        users = (NUM_USERS * rng.random(rows) ** 2).astype(np.int64)
        numbers = {
            "user": users,
            "item": (NUM_ITEMS * rng.random(rows) ** 2).astype(np.int64),
            "stars": rng.integers(1, 6, rows),
            "time": 1_600_000_000 + np.arange(rows) + number * rows,
        }
        table = pl.DataFrame(numbers).with_columns(
            pl.when(pl.col("user") % 97 > 0).then(pl.format(" u{} ", "user")).alias("user"),
            pl.format("i{}", "item").alias("item"),
        )
        files.append(folder / f"rows-{number:03}.csv")
        table.write_csv(files[-1])
    return files


def measure() -> dict[str, dict[str, float]]:
    """Seconds of either way in turns, and of starting Ray."""
    import ray

    with tempfile.TemporaryDirectory() as folder:
        files, out = write_files(Path(folder)), Path(folder, "rows.parquet")
        starting = seconds(lambda: start_ray(os.cpu_count() or 1))
        ways: dict[str, Callable[[Sequence[Path], Path], None]] = {
            "polars": by_polars,
            "ray": by_ray,
        }
        times = {name: list[float]() for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                times[name].append(seconds(lambda way=way: way(files, out)))
        ray.shutdown()
    middle = {name: float(np.median(each)) for name, each in times.items()}
    rows = NUM_FILES * ROWS_OF_EACH
    found = {name: {"rows": rows, "seconds": each} for name, each in middle.items()}
    found["ray"] |= {
        "starting_seconds": starting,
        "times_of_polars": middle["ray"] / middle["polars"],
    }
    return found


if __name__ == "__main__":
    report(measure, __doc__)
