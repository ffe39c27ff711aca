"""The runner under its old name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def test_the_runner_under_its_old_name() -> None:
    command = [sys.executable, "experiments/run.py", "direct/nowhere", "--dry-run"]
    done = subprocess.run(
        command, cwd=EXPERIMENTS.parent, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "no table 'direct/nowhere' under experiments/. Did you mean 'direct'?" in done.stderr
