"""What a result was computed on.

Which state of the source code a result was computed with.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

from edgewise.files import versions


def describe_machine() -> dict[str, object]:
    """The processor's name, the cores and threads of this process, and the GPU if there is one.

    With the most memory that this process and the GPU have needed so far, in megabytes.
    """
    found: dict[str, object] = {
        "processor": _processor(),
        "cores": _cores(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if (megabytes := _peak_memory()) is not None:
        found["peak_memory_mb"] = megabytes
    torch = sys.modules.get("torch")
    asked = os.environ.get("OMP_NUM_THREADS", "")
    found["threads"] = int(asked) if asked.isdecimal() else _cores()  # of numpy's linear algebra
    if torch is not None:
        found["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
            found["gpu_peak_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6)
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _peak_memory() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6)


_PACKAGE = Path(__file__).resolve().parents[1]


def code_versions() -> dict[str, str]:
    """Versions of the libraries, and the commit of edgewise itself where git knows it."""
    commit = source_commit(_PACKAGE)
    return versions() | ({"commit": commit} if commit else {})


@cache
def source_commit(folder: Path) -> str | None:
    """The commit that a folder of tracked files stands at, None where git tells nothing.

    ``+changes`` is added where a tracked file below the folder differs from that commit.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    if not commit or not tracked:
        return None
    return commit + ("+changes" if _git(folder, "status", "--porcelain", "--", ".") else "")


def _git(folder: Path, *words: str) -> str | None:
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
