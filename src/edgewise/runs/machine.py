"""What a result was computed on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def describe_machine() -> dict[str, object]:
    """The processor's name, the cores this process may use, and the GPU if there is one.

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
