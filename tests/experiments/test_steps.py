"""Commands as processes: what they say is kept, and stopping them leaves none behind."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from edgewise.experiments.runner import Commands, StepError, StoppedError

# Started as a script's background job, in which SIGINT is ignored.
SLEEPER = """
import pathlib, signal, sys, time
import edgewise.cli.main

def sleep(**_):
    try:
        pathlib.Path(sys.argv[1]).touch()
        time.sleep(60)
    except KeyboardInterrupt:
        print("stopped in order", flush=True)
        sys.exit(130)

signal.signal(signal.SIGINT, signal.SIG_IGN)
edgewise.cli.main.app = sleep
edgewise.cli.main.main()
"""


def python(code: str) -> Commands:
    return Commands((sys.executable, "-c", code))


def test_words_and_threads_reach_the_log(tmp_path):
    log = tmp_path / "logs" / "cell.log"
    program = "import os, sys; print(sys.argv[1:], os.environ['OMP_NUM_THREADS'])"
    python(program).run(["fit", "a b"], log)
    assert log.read_text() == "$ edgewise fit 'a b'\n['fit', 'a b'] 1\n"
    assert list(log.parent.iterdir()) == [log]


def test_a_failure_tells_the_error_and_the_log(tmp_path):
    program = "import sys; print('error: no such file'); print('bye'); sys.exit(2)"
    with pytest.raises(StepError, match=r"no such file \(see .*cell.log\)"):
        python(program).run(["fit"], tmp_path / "cell.log")
    with pytest.raises(StepError, match=r"exit code 3 \(see"):
        python("import sys; sys.exit(3)").run(["fit"], tmp_path / "other.log")


def test_stopping_interrupts_what_runs_and_starts_nothing_more(tmp_path):
    commands, mark, log = python(SLEEPER), tmp_path / "running", tmp_path / "cell.log"
    raised: list[BaseException] = []

    def work() -> None:
        try:
            commands.run([str(mark)], log)
        except StoppedError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not mark.exists():
        time.sleep(0.02)
    commands.stop()
    thread.join(timeout=20)
    assert len(raised) == 1 and "stopped in order" in log.read_text()
    with pytest.raises(StoppedError):
        commands.run([str(mark)], log)


def test_a_process_of_a_killed_call_is_left_alone(tmp_path, monkeypatch):
    log = tmp_path / "cell.log"
    monkeypatch.setattr("edgewise.experiments.runner.Path.read_bytes", lambda _: b"edgewise fit")
    log.with_suffix(".pid").write_text("12345")
    with pytest.raises(StepError, match=r"12345 of an earlier call still works.*kill -TERM 12345"):
        python("").run(["fit"], log)


def test_a_mark_of_a_process_that_is_gone_does_no_harm(tmp_path):
    log = tmp_path / "cell.log"
    log.with_suffix(".pid").write_text("999999999")
    python("print('done')").run(["fit"], log)
    assert log.read_text().endswith("done\n")
