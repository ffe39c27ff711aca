"""What all benchmarks share: the fastest of several runs, what products of matrices take at least,
and how figures are shown and kept."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from edgewise.files import versions, write_text
from edgewise.runs.provenance import describe_machine

Figures = dict[str, dict[str, float]]


def seconds(run: Callable[[], object]) -> float:
    """How long one run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def best_time(run: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of several runs: the least disturbed by other work."""
    return best_times(run, repeats=repeats)[0]


def best_times(*runs: Callable[[], object], repeats: int = 5) -> list[float]:
    """The same of several ways, which take turns."""
    rounds = [[seconds(run) for run in runs] for _ in range(repeats)]
    return [min(times) for times in zip(*rounds, strict=True)]


def least_seconds(run: Callable[[], object]) -> float:
    """Seconds that a run's products of matrices take at the peak of a thread, and nothing else.

    Only products of floats are counted.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(query: object, key: object, value: object, *_: object, **also: object) -> int:
        return sdpa_flop_count(query, key, value)

    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={on_cpu: attention}) as counter:
        run()
    rows, inner, columns = 4096, 512, 2048
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    peaks = []
    for _ in range(20):
        start = time.process_time()
        _ = left @ right
        peaks.append(2 * rows * inner * columns / (time.process_time() - start))
    return counter.get_total_flops() / max(peaks)


def report(measure: Callable[[], Figures], description: str | None) -> None:
    """Measure and print; with ``--json FILE`` on the command line keep the figures, too."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    file = parser.parse_args().json
    figures = measure()
    for name, values in figures.items():
        print(name.replace("_", " "))
        for key, value in values.items():
            print(f"  {key.replace('_', ' '):32} {value:>15,.4g}")
    if file:
        keep(file, figures)


def keep(file: Path, figures: Mapping[str, object]) -> None:
    """Write figures with the machine and the versions that they were taken on."""
    about = {"machine": describe_machine(), "versions": versions()}
    write_text(file, json.dumps({**figures, **about}, indent=2) + "\n")
