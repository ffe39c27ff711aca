"""One writer at a time, for a file or a folder.

The lock is the kernel's (``flock``) on a hidden file beside what is written, ``.NAME.lock``:
it vanishes with the process that holds it, however that ends. The file tells who holds the lock
and is removed with it; one that a killed process left behind is taken over by the next writer.
Readers need no lock: what they read appears whole or not at all.

Where no such file can be made (the folder above is not ours), or the system knows no such locks
(Windows, some network file systems), nothing is locked.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgewise.errors import LockedError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

# Small files are written in less: whoever meets their writer has only to wait for a moment.
_PATIENCE, _PAUSE = 1.0, 0.02
_SHOWN = 100
_held: set[tuple[Path, int, int]] = set()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder, whether it exists or not; its parent must.

    A thread that holds it already may ask again.

    Raises:
        LockedError: another process (or thread) holds it for longer than a moment; names it.
    """
    path = path.resolve()
    key = (path, os.getpid(), threading.get_ident())
    if key in _held:
        yield
        return
    place = lock_file(path)
    descriptor = _acquired(place, path)
    _held.add(key)
    try:
        yield
    finally:
        _held.discard(key)
        if descriptor is not None:
            # Removed while it is held: whoever waits for it sees that it is gone, and makes one.
            with suppress(OSError):
                place.unlink()
            os.close(descriptor)


def lock_file(path: Path) -> Path:
    """Where the lock of a file or folder lies."""
    return path.with_name(f".{path.name}.lock")


def _acquired(place: Path, path: Path) -> int | None:
    """The open file whose lock is held; None where nothing can be locked."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:
            return None
        taken = _try(descriptor)
        if taken is None:
            os.close(descriptor)
            return None
        if taken and _is_still_there(place, descriptor):
            _sign(descriptor)
            return descriptor
        os.close(descriptor)
        if not taken and time.monotonic() > end:
            raise LockedError(
                f"{path}: {_holder(place)} is writing it; wait for it or end it, and try again"
            )
        time.sleep(_PAUSE)


def _try(descriptor: int) -> bool | None:
    """Whether the lock could be had; None where there is none to have."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_still_there(place: Path, descriptor: int) -> bool:
    """Whether the file that was locked has not been removed by its last holder meanwhile."""
    try:
        return os.path.samestat(place.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    command = shlex.join([Path(sys.argv[0]).name or "python", *sys.argv[1:]])
    about = {"pid": os.getpid(), "command": command, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    text = (json.dumps(about) + "\n").encode()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def _holder(place: Path) -> str:
    try:
        about = json.loads(place.read_text(encoding="utf-8"))
        command = textwrap.shorten(about["command"], _SHOWN, placeholder=" ...")
        return f"process {about['pid']} ('{command}', since {about['since']})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "another process"
