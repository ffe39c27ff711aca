"""The door: one line and a status for every failure; a defect of ours says so."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from edgewise.errors import DataError


def fails(monkeypatch, edgewise, error, *options):
    def known():
        raise error

    monkeypatch.setattr("edgewise.models.registry.methods", known)
    return edgewise(*options, "methods")


CASES = [
    (DataError("a\n b [/]"), 2, "error: a b [/]"),
    (PermissionError(errno.EACCES, "x", "f.csv"), 2, "error: f.csv: permission denied: change"),
    (IsADirectoryError(errno.EISDIR, "x", "f"), 2, "error: f: is a folder, and a file is wanted"),
    (OSError(errno.ENOSPC, "x"), 2, "error: the disk is full: free some space"),
    (
        RuntimeError("I/O error: No space left on device (os error 28)"),
        2,
        "error: the disk is full",
    ),
    (MemoryError(), 1, "error: out of memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "error: out of memory"),
    (BrokenPipeError(errno.EPIPE, "x"), 1, ""),
    (KeyboardInterrupt(), 130, ""),
]


@pytest.mark.parametrize(("error", "status", "line"), CASES, ids=lambda value: type(value).__name__)
def test_failures_end_with_a_line_and_a_status(monkeypatch, edgewise, error, status, line):
    result = fails(monkeypatch, edgewise, error)
    assert result.exit_code == status
    assert result.stderr.startswith(line) and result.stderr.count("\n") == bool(line)


def test_a_defect_says_where_its_traceback_is(monkeypatch, edgewise):
    result = fails(monkeypatch, edgewise, ZeroDivisionError("oh [/]\x1b"))
    assert result.exit_code == 1 and "\x1b" not in result.stderr
    found = re.match(r"error: a defect of edgewise: .* the traceback is in (\S+);", result.stderr)
    assert found and "please report it" in result.stderr
    saved = Path(found[1])
    assert "ZeroDivisionError: oh" in saved.read_text() and "test_errors.py" in saved.read_text()
    saved.unlink()


def test_debug_lets_it_through(monkeypatch, edgewise):
    error = ZeroDivisionError("oh")
    assert fails(monkeypatch, edgewise, error, "--debug").exception is error


@pytest.mark.parametrize("words", [["--nothing"], ["fit"], ["fit", "ease"], ["nothing"]])
def test_wrong_options_are_one_line_that_names_the_help(edgewise, words):
    result = edgewise(*words)
    assert result.exit_code == 2
    assert re.fullmatch(r"error: .* --help'\n", result.stderr)


def test_nothing_shows_the_help(edgewise):
    result = edgewise()
    assert result.exit_code == 2 and "Usage" in result.output and "error" not in result.stderr
