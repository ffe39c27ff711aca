"""The one door through which a command that fails goes: one line, and a status.

Status 2: something of the user's (an option, a file, a folder, a setting, the disk) was refused.
Status 1: memory ran out, the output was closed, or edgewise itself is wrong, and says so with the
file in which the traceback was saved. 130: interrupted. ``edgewise --debug`` shows tracebacks.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from edgewise.cli.output import command_line, say
from edgewise.display import one_line
from edgewise.errors import EdgewiseError

REFUSED, FAILED = 2, 1
_USAGE = typer.BadParameter.__mro__[1:3]
"""Errors of the command line itself: UsageError and ClickException."""
_LONGEST = 2_000
_DISK_FULL = "the disk is full: free some space and run the same command again"
_WORDS = {
    errno.ENOSPC: _DISK_FULL,
    errno.EDQUOT: "your disk quota is used up: free some space and run the same command again",
    errno.EFBIG: "the file grew larger than this system allows",
    errno.EACCES: "permission denied: change its permissions or name another place",
    errno.EPERM: "not permitted: change its permissions or name another place",
    errno.EROFS: "its file system is read-only: name another place",
    errno.EISDIR: "is a folder, and a file is wanted",
    errno.ENOTDIR: "is a file, and a folder is wanted",
    errno.ENOENT: "no such file or folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EMFILE: "too many open files: raise the limit with 'ulimit -n'",
}


class ClearErrors(TyperGroup):
    """Ends every failure with one line and a status, see the module."""

    _debug = False

    def invoke(self, ctx: Any) -> Any:
        self._debug = bool(ctx.params.get("debug"))
        return super().invoke(ctx)

    def main(self, *args: Any, standalone_mode: bool = True, **more: Any) -> Any:
        try:
            found = super().main(*args, standalone_mode=False, **more)
        except BaseException as error:
            # A panic of a library in Rust is no Exception, and all the same no wish to stop.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            if self._debug and not isinstance(error, _USAGE):
                raise
            status = end(error)
        else:
            status = found if isinstance(found, int) else 0
        if standalone_mode:
            sys.exit(status)
        return status


def end(error: BaseException) -> int:
    """Print the line of a failure; returns the status to end with."""
    if type(error).__name__ == "NoArgsIsHelpError":  # a group without a command has shown its help
        return REFUSED
    if isinstance(error, typer.Abort):
        _print("stopped")
        return FAILED
    words, status = _told(error)
    _print(words if words is not None else _defect(error))
    return status


def _print(words: str) -> None:
    cut = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."
    say(f"error: {cut}", colour="red", stderr=True)


def _told(error: BaseException) -> tuple[str | None, int]:
    """What is said of an error that may happen, None for one that must not; and the status."""
    if isinstance(error, EdgewiseError):
        return one_line(error), REFUSED
    if isinstance(error, _USAGE):
        return _usage(error), REFUSED
    if (words := _of_the_disk(error)) is not None:
        return words, REFUSED
    if isinstance(error, MemoryError) or _ran_out_of_memory(error):
        return (
            "out of memory: ask for less at a time (smaller data, lists or batch sizes, fewer "
            "negatives), or use a machine with more",
            FAILED,
        )
    if isinstance(error, OSError):
        return _of_the_system(error), REFUSED
    return None, FAILED


def _usage(error: Any) -> str:
    message = one_line(error.format_message()).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; see '{context.command_path} --help'" if context else message


def _of_the_system(error: OSError) -> str:
    words = _WORDS.get(error.errno or 0, error.strerror or str(error))
    return one_line(f"{os.fsdecode(error.filename)}: {words}" if error.filename else words)


def _of_the_disk(error: BaseException) -> str | None:
    """Libraries in other languages tell of a full disk in words alone."""
    full = f"os error {errno.ENOSPC}", os.strerror(errno.ENOSPC)
    cause: BaseException | None = error
    while cause is not None:
        told = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        if told or any(words in str(cause) for words in full):
            return _of_the_system(cause) if isinstance(cause, OSError) and told else _DISK_FULL
        cause = cause.__cause__ or cause.__context__
    return None


def _ran_out_of_memory(error: BaseException) -> bool:
    """torch has errors of its own for this, and must not be loaded to name them."""
    words = "can't allocate memory", "out of memory", "not enough memory"
    return isinstance(error, RuntimeError) and any(each in str(error).lower() for each in words)


def _defect(error: BaseException) -> str:
    return (
        f"a defect of edgewise: {one_line(repr(error))[:300]}; {_saved(error)}; please report it "
        f"with the command that met it"
    )


def _saved(error: BaseException) -> str:
    """Where the traceback was saved."""
    lines = "".join(traceback.format_exception(error))
    try:
        number, path = tempfile.mkstemp(prefix="edgewise-error-", suffix=".txt")
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{command_line()}\n\n{lines}")
    except OSError:
        return "the traceback could not be saved: 'edgewise --debug' before the command shows it"
    return f"the traceback is in {path}"
