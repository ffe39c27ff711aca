"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Tests start several processes and run small matrices: one thread each is fastest.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Many processes read the same modules, and pytest takes seconds to rewrite those of the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that want it are skipped where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EDGEWISE_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set EDGEWISE_REAL_DATA to a folder that has it")
    return folder
