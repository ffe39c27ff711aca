"""Memory that is freed stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Pages that the system had to clear for a block of 60 MB, asked for ten times.
SCRIPT = """
import resource, numpy as np
from edgewise.training.memory import keep_freed_memory
{call}
def ask():
    np.ones(60 << 20, np.uint8)
ask()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    ask()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this is about glibc's memory")
def test_freed_blocks_are_asked_from_the_system_once():
    faults = [
        int(subprocess.check_output([sys.executable, "-c", SCRIPT.format(call=call)]))
        for call in ("keep_freed_memory()", "")
    ]
    kept, otherwise = faults
    assert kept < otherwise / 20
