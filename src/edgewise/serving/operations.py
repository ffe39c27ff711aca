"""What ``/metrics`` tells, as a person reads it: requests, latency, cache, queue."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

_SHOWN = "/v1/"
_LISTS = ("/v1/recommend",)

Buckets = dict[float, float]
"""Requests that took at most so many seconds, by these seconds; the last is infinity."""


def operations(text: bytes, queue: int) -> dict[str, Any]:
    """Figures of the service since its start.

    Args:
        text: as :meth:`edgewise.serving.metrics.Metrics.text` gives it.
        queue: questions that wait for the model.

    Returns:
        ``seconds`` (of a clock that never goes back), ``requests``, ``latency`` (p50 and p99 in
        seconds), ``lists`` (how many came from where), ``events``, ``queue``, ``batch`` (mean
        number of questions asked at once) and ``routes``, each with its own figures.
    """
    from prometheus_client.parser import text_string_to_metric_families

    samples: dict[str, list] = defaultdict(list)
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            samples[sample.name].append(sample)
    routes: dict[tuple[str, str], Buckets] = defaultdict(lambda: defaultdict(float))
    for sample in samples["edgewise_request_seconds_bucket"]:
        told = sample.labels
        if told["route"].startswith(_SHOWN):
            buckets = routes[told["route"], told["source"]]
            buckets[float(told["le"])] += sample.value
    return {
        "seconds": time.monotonic(),
        **_together(routes),
        "events": _total(samples, "edgewise_events_total"),
        "queue": queue,
        "batch": _mean(samples, "edgewise_batch_size"),
    }


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Seconds within which a share of requests was answered; None without any.

    Within a bucket requests are taken to be spread evenly, as Prometheus does.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0
    if not total:
        return None
    below, start = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= share * total:
            if bound == float("inf"):
                return start
            inside = buckets[bound] - below
            return start + (bound - start) * ((share * total - below) / inside if inside else 1)
        below, start = buckets[bound], bound
    return start


def _together(routes: Mapping[tuple[str, str], Buckets]) -> dict[str, Any]:
    everything: Buckets = defaultdict(float)
    lists = {"all": 0, "cache": 0, "model": 0, "fallback": 0}
    rows = []
    for (route, source), buckets in sorted(routes.items()):
        count = int(max(buckets.values(), default=0))
        for bound, value in buckets.items():
            everything[bound] += value
        if route in _LISTS and source in lists:
            lists[source] += count
            lists["all"] += count
        shares = {f"p{p}": quantile(buckets, p / 100) for p in (50, 95, 99)}
        shown = route.replace(":path}", "}")  # how a route is declared is no news
        rows.append({"route": shown, "source": source, "count": count, **shares})
    return {
        "requests": int(max(everything.values(), default=0)),
        "latency": {"p50": quantile(everything, 0.5), "p99": quantile(everything, 0.99)},
        "lists": lists,
        "routes": sorted(rows, key=lambda row: -row["count"]),
    }


def _total(samples: Mapping[str, list], name: str) -> int:
    return int(sum(sample.value for sample in samples.get(name, [])))


def _mean(samples: Mapping[str, list], name: str) -> float | None:
    count = _total(samples, f"{name}_count")
    total = sum(sample.value for sample in samples.get(f"{name}_sum", []))
    return total / count if count else None
