"""Workers: their words are kept, and none of them is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgewise.experiments import workers
from edgewise.experiments.workers import StepError, StoppedError, Workers
from edgewise.locks import locked

# A worker's functions must be found in a new process: ``exec`` is, with any code.
SLEEP = """
import pathlib, time
try:
    pathlib.Path({mark!r}).touch()
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped in order", flush=True)
    raise
"""


def execute(code: str, log: Path) -> None:
    Workers().run(exec, code, command="edgewise fit 'a b'", log=log)


def wait_for(condition) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_words_and_threads_reach_the_log_and_other_processes_keep_theirs(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    log = tmp_path / "logs" / "cell.log"
    execute("import os; print(os.environ['OMP_NUM_THREADS']); os.system('echo deep')", log)
    execute("print('again')", log)
    first = "$ edgewise fit 'a b'\n"
    assert log.read_text() == f"{first}1\ndeep\n{first}again\n"
    assert os.environ["OMP_NUM_THREADS"] == "7" and list(log.parent.iterdir()) == [log]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise OSError('no such file')", "no such file"),
        ("raise ValueError('a mistake of ours')", "ValueError: a mistake of ours"),
        ("import os; os._exit(3)", "exit code 3"),
    ],
)
def test_a_failure_tells_the_error_and_the_log(tmp_path, code, said):
    log = tmp_path / "cell.log"
    with pytest.raises(StepError, match=rf"^{said} \(see .*cell\.log\)$"):
        execute(code, log)
    assert said in log.read_text() or "exit" in said


def test_stopping_ends_in_order_what_runs_and_starts_nothing_more(tmp_path):
    running, mark, log = Workers(), tmp_path / "running", tmp_path / "cell.log"
    raised: list[BaseException] = []

    def work() -> None:
        try:
            running.run(exec, SLEEP.format(mark=str(mark)), command="edgewise fit", log=log)
        except StoppedError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(mark.exists)
    running.stop()
    thread.join(timeout=120)
    assert len(raised) == 1 and "stopped in order" in log.read_text()
    with pytest.raises(StoppedError):
        running.run(exec, "", command="edgewise fit", log=log)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_dies_with_its_command_and_stands_in_nobodys_way(tmp_path, how):
    mark, log = tmp_path / "running", tmp_path / "cell.log"
    code = f"import os, pathlib, time; pathlib.Path({str(mark)!r}).write_text(str(os.getpid()))"
    program = f"""
from pathlib import Path
from edgewise.experiments.workers import Workers
code = {code!r} + "; time.sleep(60)"
Workers().run(exec, code, command="edgewise fit", log=Path({str(log)!r}))
"""
    command = subprocess.Popen([sys.executable, "-c", program])
    wait_for(lambda: mark.exists() and mark.read_text())
    command.send_signal(how)
    command.wait()
    execute("print('the next call works on it at once')", log)
    assert "at once" in log.read_text()
    assert (
        not Path(f"/proc/{mark.read_text()}/cmdline").exists()
        or not Path(f"/proc/{mark.read_text()}/cmdline").read_bytes()
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cell.log", "running"]


def test_a_cell_at_which_another_call_works_is_left_alone(tmp_path):
    log = tmp_path / "cell.log"
    with (
        locked(log),
        pytest.raises(StepError, match=rf"cell\.log: process {os.getpid()} \(.*is writing it"),
    ):
        execute("print('never')", log)
    execute("print('now')", log)
    assert log.read_text() == "$ edgewise fit 'a b'\nnow\n"


def test_nobody_waits_for_a_worker_that_does_not_end(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_PATIENCE", 0.1)
    mark, log = tmp_path / "running", tmp_path / "cell.log"
    stubborn = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(mark)!r}).touch(); time.sleep(60)"
    )
    running = Workers()
    threading.Thread(target=lambda: (wait_for(mark.exists), running.stop())).start()
    with pytest.raises(StoppedError):
        running.run(exec, stubborn, command="edgewise fit", log=log)
