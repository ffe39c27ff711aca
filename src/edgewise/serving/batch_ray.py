"""Shards of a batch on Ray Data: the same function in actors, on one machine or many.

Actors open the run once, ask for one processor each, and one processor is left for reading rows:
with all of them taken, Ray Data waits for itself forever. The shard of an actor that dies is
written again by another; a shard is a file that appears whole, so nothing is lost or doubled.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewise.config import check
from edgewise.errors import ConfigError
from edgewise.serving.batch_shards import Shard, ShardOptions, ShardWriter

if TYPE_CHECKING:
    import pyarrow as pa

_STORE_BYTES = 128 * 2**20  # of objects between processes, which are user numbers and shards' facts


class _Actor:
    """A :class:`ShardWriter` that takes and gives Arrow tables."""

    def __init__(self, options: ShardOptions, folder: Path) -> None:
        self._writer = ShardWriter(options, folder)

    def __call__(self, jobs: pa.Table) -> pa.Table:
        import pyarrow as pa

        rows = []
        for job in jobs.to_pylist():
            shard = self._writer.write(job["number"], np.array(job["users"], dtype=np.int32))
            rows.append({"number": job["number"], **shard.to_dict()})
        return pa.Table.from_pylist(rows)


def shards_by_ray(
    options: ShardOptions, folder: Path, jobs: Sequence[tuple[int, np.ndarray]], workers: int
) -> Iterator[tuple[int, Shard]]:
    """Shards by number, as they are finished.

    A Ray cluster that this process is connected to is used; otherwise one is started on this
    machine and ended with the batch.

    Raises:
        ConfigError: Ray is not installed, or its cluster has too few processors.
    """
    try:
        import ray
        import ray.data as ray_data
    except ImportError:
        raise ConfigError(
            "--engine ray needs Ray Data, which is not installed: pip install 'edgewise[ray]'"
        ) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    started = not ray.is_initialized()
    if started:
        _start(ray, workers)
    try:
        processors = int(ray.cluster_resources().get("CPU", 0))
        check(
            workers < processors,
            f"--workers {workers}: the Ray cluster has {processors} processors, of which one stays "
            f"free to read rows; ask for at most {processors - 1}",
        )
        rows = [{"number": number, "users": users.tolist()} for number, users in jobs]
        context = ray_data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        told: Any = ray_data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=(options, folder.resolve()),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray_data.ActorPoolStrategy(size=min(workers, len(rows))),
            num_cpus=1,
        )
        for row in told.iter_rows():
            number = int(row.pop("number"))
            yield number, Shard(**row)
    finally:
        if started:
            ray.shutdown()


def _start(ray: Any, workers: int) -> None:
    address = os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        return
    ray.init(
        num_cpus=workers + 1,
        object_store_memory=_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
    )
