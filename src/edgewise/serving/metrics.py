"""What ``/metrics`` counts, over all workers of a service (Prometheus).

With several workers, each writes its numbers into files of the folder that the environment variable
``PROMETHEUS_MULTIPROC_DIR`` names, which :func:`use_folder` sets before anything is counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client import Histogram

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


def use_folder(folder: Path) -> None:
    """Count over several processes, in an empty folder."""
    os.environ[_FOLDER] = str(folder)


class Metrics:
    """All numbers of one worker.

    Attributes:
        text: everything, over all workers, as Prometheus reads it.
    """

    def __init__(self) -> None:
        try:
            import prometheus_client as prometheus
        except ModuleNotFoundError:
            raise ConfigError(
                "a service needs more packages: pip install 'edgewise[serve]'"
            ) from None
        shared = os.environ.get(_FOLDER)
        self.registry = registry = prometheus.CollectorRegistry()
        if shared:
            _bury(Path(shared))
        self._seconds = prometheus.Histogram(
            "edgewise_request_seconds",
            "Seconds of requests, by route and by where the answer came from.",
            ("route", "source", "status"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_sizes = prometheus.Histogram(
            "edgewise_batch_size", "Questions asked at once.", buckets=_SIZES, registry=registry
        )
        self.model_seconds = prometheus.Histogram(
            "edgewise_model_seconds",
            "Seconds of the model for questions asked at once.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.events = prometheus.Counter(
            "edgewise_events", "Events written, by what happened.", ("kind",), registry=registry
        )
        self.repeated = prometheus.Counter(
            "edgewise_events_repeated", "Events whose keys were known.", registry=registry
        )
        self.refused = prometheus.Counter(
            "edgewise_requests_refused",
            "Requests refused at the door: key, rate, size.",
            ("reason",),
            registry=registry,
        )
        self.waiting = prometheus.Gauge(
            "edgewise_queue",
            "Questions that wait for the model.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.models = prometheus.Gauge(
            "edgewise_models_loaded",
            "Versions in memory, over all workers.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._generate = prometheus.generate_latest
        self.content_type = prometheus.CONTENT_TYPE_LATEST
        self.observer: Callable[[str, str, int], Histogram] = cache(
            lambda route, source, status: self._seconds.labels(route, source, str(status))
        )
        self._shared = shared

    def observe(self, route: str, source: str, status: int, seconds: float) -> None:
        """A request was answered; ``source`` is empty where there is none."""
        self.observer(route, source, status).observe(seconds)

    def text(self) -> bytes:
        """Everything, over all workers, as Prometheus reads it."""
        if self._shared is None:
            return self._generate(self.registry)
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry, self._shared)
        return self._generate(registry)


def _bury(folder: Path) -> None:
    """Gauges of killed processes count no longer."""
    from prometheus_client.multiprocess import mark_process_dead

    for file in folder.glob("gauge_live*_*.db"):
        number = int(file.stem.rpartition("_")[2])
        if not Path(f"/proc/{number}").exists():
            mark_process_dead(number, str(folder))
