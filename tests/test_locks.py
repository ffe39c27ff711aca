"""One writer at a time; a lock ends with its process, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from edgewise import locks
from edgewise.errors import LockedError
from edgewise.files import replacing, write_text
from edgewise.locks import lock_file, locked

HOLD = """
import sys, time
from pathlib import Path
from edgewise.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes ``tmp_path / 'run'``."""
    words = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_refused_and_told_who_is_first(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.05)
    told = rf"run: process {holder.pid} \('-c .*', since 20\d\d-.*\) is writing it; wait for it"
    with pytest.raises(LockedError, match=told), locked(tmp_path / "run"):
        pass
    with pytest.raises(LockedError, match=told):
        write_text(tmp_path / "run", "text")
    with locked(tmp_path / "other"):
        pass


def test_a_lock_vanishes_with_a_killed_process(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    place = lock_file(tmp_path / "run")
    assert place.exists(), "it was killed"
    with locked(tmp_path / "run"):
        assert str(os.getpid()) in place.read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_thread_may_ask_again_and_another_may_not(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.05)
    path, found = tmp_path / "run", []

    def ask() -> None:
        try:
            with locked(path):
                found.append("had")
        except LockedError:
            found.append("refused")

    with locked(path):
        with locked(path):
            pass
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    ask()
    assert found == ["refused", "had"]


def test_whoever_waits_gets_it_when_the_first_has_done(tmp_path):
    path, order = tmp_path / "file", []

    def write(name: str) -> None:
        with replacing(path) as partial:
            order.append(f"{name} begins")
            partial.write_text(name)
            order.append(f"{name} ends")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcdefgh"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [words[2:] for words in order] == ["begins", "ends"] * 8, "never two at once"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_ours_locks_nothing(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError

    monkeypatch.setattr(locks.os, "open", refuse)
    with locked(tmp_path / "run"):
        pass


def test_a_damaged_lock_file_names_nobody(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.05)
    lock_file(tmp_path / "run").write_text("?")
    with pytest.raises(LockedError, match="another process is writing"), locked(tmp_path / "run"):
        pass
