"""Programs of :mod:`tests.warm` end as those that they stand for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the programs are Python itself")

TELL = """
import json, os, sys
told = [sys.argv, os.getcwd(), os.environ["TOLD"], sys.stdin.read(), "edgewise" in sys.modules]
print(json.dumps(told))
sys.exit(7)
"""


@pytest.mark.parametrize("form", ["code", "file", "module"])
def test_a_program_is_told_what_it_was_given(programs: Path, tmp_path: Path, form: str):
    (tmp_path / "tell.py").write_text(TELL)
    words = {"code": ["-c", TELL], "file": ["tell.py"], "module": ["-m", "tell"]}[form]
    found = [
        subprocess.run(
            [python, *words, "a b"],
            cwd=tmp_path,
            env={"TOLD": "ä", "PYTHONPATH": ""},
            input="line",
            capture_output=True,
            text=True,
        )
        for python in (programs / "python", sys.executable)
    ]
    assert found[0].returncode == found[1].returncode == 7
    told, expected = (json.loads(done.stdout) for done in found)
    assert told[1:] == expected[1:] == [str(tmp_path), "ä", "line", False]
    assert [Path(word).name for word in told[0]] == [Path(word).name for word in expected[0]]


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("1 / 0", 1, "ZeroDivisionError"),
        ("raise SystemExit('no')", 1, "no\n"),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import atexit; atexit.register(print, 'ended')", 0, ""),
    ],
)
def test_how_it_ends(programs: Path, code: str, status: int, said: str):
    done = subprocess.run([programs / "python", "-c", code], capture_output=True, text=True)
    assert done.returncode == status and said in done.stderr
    assert done.stdout == ("ended\n" if "ended" in code else "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_it(programs: Path, number: signal.Signals):
    code = "import time; print('there', flush=True); time.sleep(600)"
    with subprocess.Popen([programs / "python", "-c", code], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stdout.readline() == b"there\n"
        program.send_signal(number)
        assert program.wait() == -number
        assert program.stdout.read() == b"", "the fork has ended, too"
