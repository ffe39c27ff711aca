"""How long commands take that have little to do: help, refusals, a list, a service's start.

Run ``python benchmarks/startup.py [--json FILE] [--runs FOLDER]``. The built-in shop, methods
fitted for one epoch (kept in FOLDER); every command in a process of its own, all in turns with
``python -c "import torch"``, five times. Medians of seconds of processor, which other work does not
stretch, and by the clock; the ratio is to importing torch, of processor seconds. A service is told
to stop when it is ready, which is where its clock stops.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from measuring import keep

from edgewise.data.synthetic import make_demo_shop

ROUNDS = 5
_TORCH = "import torch"
_ONE_EPOCH = ("--preset", "tiny", "--set", "training.epochs=1")
_CONTENT = [f"content.{name}=false" for name in ("contents", "second_order", "events")]
METHODS: Mapping[str, Sequence[str]] = {
    "popularity": (),
    "ease": (),
    "item-knn": (),
    "transitions": (),
    "graph-filter": (),
    "lightgcn": _ONE_EPOCH,
    "sasrec": _ONE_EPOCH,
    "graph-gpt": (*_ONE_EPOCH, *(word for each in _CONTENT for word in ("--set", each))),
    "elmrec": _ONE_EPOCH,
    "tiger": _ONE_EPOCH,
}
_SERVE = "serve"
_OF_COMMAND = [sys.executable, "-m", "edgewise.cli.main"]


def commands(folder: Path, user: str) -> dict[str, tuple[list[str], int]]:
    """Words and the expected exit code of each command, by its name."""
    shop, run = str(folder / "shop"), str(folder / "graph-gpt")
    asked: dict[str, tuple[list[str], int]] = {
        "--help": (["--help"], 0),
        "data info": (["data", "info", shop], 0),
        "wrong --metric": (["evaluate", run, "--metric", "Foo"], 2),
        "wrong --filter": (["recommend", run, "--users", user, "--filter", "colour=red"], 2),
        "wrong --users": (["recommend", run, "--users", "nobody"], 2),
        "wrong method": (["fit", "graphgpt", "--data", shop, "--out", str(folder / "no")], 2),
    }
    for method in METHODS:
        name = f"recommend, {method}"
        asked[name] = (["recommend", str(folder / method), "--users", user], 0)
    asked["evaluate, graph-gpt"] = (["evaluate", run, "--task", "sequential"], 0)
    for method in ("sasrec", "graph-gpt", "elmrec"):
        asked[f"serve, {method}"] = ([_SERVE, str(folder / method)], 0)
    return {name: ([*_OF_COMMAND, *words], code) for name, (words, code) in asked.items()}


def prepare(folder: Path) -> str:
    """Make what is not there yet of data and runs; the id of a user."""
    shop = make_demo_shop()
    if not (folder / "shop").exists():
        shop.save(folder / "shop")
    for method, options in METHODS.items():
        if not (folder / method).exists():
            words = ["fit", method, "--data", str(folder / "shop"), "--out", str(folder / method)]
            subprocess.run([*_OF_COMMAND, *words, "--quiet", *options], check=True)
    return shop.users.ids[0]


def timed(words: Sequence[str], expected: int = 0) -> tuple[float, float]:
    """Seconds of processor and by the clock of a process.

    Raises:
        SystemExit: it ends otherwise than expected.
    """
    start, serves = time.perf_counter(), _SERVE in words
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as told:
        port = free_port()
        at = ["--port", str(port), "--store", f"{folder}/store.db"] if serves else []
        environment = {**os.environ, **_THREADS}
        process = subprocess.Popen([*words, *at], stdout=told, stderr=told, env=environment)
        ready = until_ready(process, port) if serves else None
        _, status, used = os.wait4(process.pid, 0)
        end = ready or time.perf_counter()
        code = os.waitstatus_to_exitcode(status)
        process.returncode = code
        if code != expected:
            told.seek(0)
            raise SystemExit(f"{' '.join(words)} ended with {code}: {told.read().decode()}")
    return used.ru_utime + used.ru_stime, end - start


def free_port() -> int:
    """Of this machine."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until_ready(process: subprocess.Popen[bytes], port: int) -> float:
    """Tell a service to stop when it is ready; the time at which it was."""
    for _ in range(5000):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1).close()
            break
        except OSError:
            time.sleep(0.02)
    now = time.perf_counter()
    process.terminate()
    return now


_THREADS = {"OMP_NUM_THREADS": "1"}


def measure(asked: Mapping[str, tuple[list[str], int]], rounds: int) -> dict[str, dict[str, float]]:
    """Medians of every command, and of importing torch."""
    all_ = {_TORCH: ([sys.executable, "-c", _TORCH], 0), **asked}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in all_}
    for _ in range(rounds):
        for name, (words, code) in all_.items():
            taken[name].append(timed(words, code))
    torch = median(processor for processor, _ in taken[_TORCH])
    found: dict[str, dict[str, float]] = {}
    for name, times in taken.items():
        processor, clock = (median(each) for each in zip(*times, strict=True))
        found[name] = {
            "processor_seconds": processor,
            "seconds": clock,
            "times_importing_torch": processor / torch,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--runs", type=Path, help="where data and runs stay")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = told.runs or Path(name)
        found = measure(commands(folder, prepare(folder)), told.rounds)
    for name, values in found.items():
        print(f"{name:24}", *(f"{key} {value:.2f}" for key, value in values.items()), sep="  ")
    if told.json:
        named = {re.sub(r"\W+", "_", name).strip("_"): row for name, row in found.items()}
        keep(told.json, {**named, "settings": {"rounds": told.rounds}})


if __name__ == "__main__":
    main()
