"""A small shop, its source as files, runs of it and their results, made once; a guarded command."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgewise.cli.main import app
from edgewise.data.importing import import_dataset
from edgewise.display import printable

# Of processor time, for machines that are busy; waiting for what never comes is ended, too.
SECONDS, WAITING, BYTES = 10, 60, 2 * 10**9
ROWS = [
    {"user_id": f"u{user}", "item_id": f"i{(user * 3 + step * 5) % 12}", "timestamp": 1000 + step}
    for user in range(16)
    for step in range(5)
]


@dataclass(frozen=True)
class World:
    """Folders and files that tests copy and change."""

    data: Path
    popular: Path
    ease: Path
    elmrec: Path
    result: Path


def _fit(out: Path, method: str, data: Path, *more: str) -> Path:
    words = ["fit", method, "--data", str(data), "--out", str(out), "--quiet", *more]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    return out


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once; tests copy what they change."""
    folder = tmp_path_factory.mktemp("world")
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    data = folder / "data"
    import_dataset(source, data)
    popular = _fit(folder / "popular", "popularity", data)
    small = (
        "--preset",
        "tiny",
        "--set",
        "training.epochs=1",
        "--set",
        "backbone.vocab_size=50",
        "--set",
        "prompts.num_negatives=3",
        "--set",
        "graph.num_folds=2",
    )
    elmrec = _fit(folder / "elmrec", "elmrec", data, *small)
    ease = _fit(folder / "ease", "ease", data)
    result = folder / "result.json"
    guarded("evaluate", popular, "--json", result, expect=0)
    return World(data, popular, ease, elmrec, result)


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a file or folder of the world."""

    def copy(path: Path) -> Path:
        target = tmp_path / path.name
        if path.is_dir():
            return Path(shutil.copytree(path, target))
        return Path(shutil.copy(path, target))

    return copy


@dataclass(frozen=True)
class Done:
    """A command that has ended as it should."""

    status: int
    stdout: str
    stderr: str


def guarded(*arguments: object, names: str = "", expect: int | None = None) -> Done:
    """Run ``edgewise`` within limits of time and memory, and hold it to its word.

    Args:
        arguments: of the command.
        names: what the line of a refusal must name: a file, an option or a setting.
        expect: the status; 0, 1 or 2 where it is None.
    """
    words = [str(each) for each in arguments]
    start = time.process_time()
    with _limits():
        found = CliRunner().invoke(app, words)
    seconds = time.process_time() - start
    told = f"{words}\n{found.stdout}\n{found.stderr}"
    assert found.exception is None or isinstance(found.exception, SystemExit), told
    assert seconds < SECONDS, f"{seconds:.1f} s: {told}"
    assert found.exit_code in ((0, 1, 2) if expect is None else (expect,)), told
    assert "Traceback" not in told and "defect of edgewise" not in told, told
    assert printable(found.output) == found.output, ascii(told)
    if found.exit_code:
        (line,) = [each for each in found.stderr.splitlines() if not each.startswith("warning: ")]
        assert line.startswith("error: ") and len(line) < 2100, told
        assert names in line, told
    return Done(found.exit_code, found.stdout, found.stderr)


class _TooLongError(BaseException):
    """Not an Exception, which a reader might catch."""


@contextmanager
def _limits() -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise _TooLongError

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    alarms = {signal.SIGPROF: signal.ITIMER_PROF, signal.SIGALRM: signal.ITIMER_REAL}
    before = {each: signal.signal(each, ring) for each in alarms}
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + BYTES, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING)
    try:
        yield
    finally:
        for each, timer in alarms.items():
            signal.setitimer(timer, 0)
            signal.signal(each, before[each])
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
