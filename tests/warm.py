"""A Python that starts at once, for tests that start many processes.

A server loads the libraries once and forks for each process that is wanted; edgewise itself is
imported anew by every one. What a test starts is a small program that hands its arguments, folder,
environment and open files to the server, passes signals on and ends as the fork does. Tests of
starting itself, and of what it loads, use ``sys.executable``.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

LIBRARIES = (
    *("accelerate", "jinja2", "matplotlib.pyplot", "polars", "pydantic", "rich.table", "typer"),
    *("scipy.sparse.linalg", "scipy.stats", "safetensors.torch", "torch", "torch._dynamo"),
    *("transformers.models.auto.modeling_auto", "transformers.models.gpt2.modeling_gpt2"),
    *("transformers.models.t5.modeling_t5", "tokenizers", "torch.utils.tensorboard"),
)
PROGRAM = """#!{python} -IS
import json, os, signal, socket, struct, sys

def inheritable(number):
    try:
        return os.get_inheritable(number)
    except OSError:
        return False

passed = [n for n in map(int, os.listdir("/proc/self/fd")) if inheritable(n)]
words = [*{words!r}, *sys.argv[1:]]
told = json.dumps([words, os.getcwd(), dict(os.environ), passed]).encode("utf-8")
handled = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
signal.pthread_sigmask(signal.SIG_BLOCK, handled)
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
socket.send_fds(server, [struct.pack("q", len(told))], passed)
server.sendall(told)
fork = struct.unpack("q", server.recv(8))[0]
for each in handled:
    signal.signal(each, lambda number, frame: os.kill(fork, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
status = struct.unpack("q", server.recv(8))[0]
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@contextmanager
def warm_programs(folder: Path) -> Iterator[Path]:
    """A folder with ``python`` and ``edgewise``, for as long as the block lasts."""
    path = str(folder / "socket")
    begun = {"python": [], "edgewise": ["-m", "edgewise.cli.main"]}
    for name, words in begun.items():
        (folder / name).write_text(PROGRAM.format(python=sys.executable, path=path, words=words))
        (folder / name).chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, path], stdin=subprocess.PIPE)
    while not Path(path).exists():
        assert server.poll() is None, "the server has ended"
        time.sleep(0.05)
    yield folder
    server.communicate()


def main() -> None:
    """The server; in a fork, what was asked for."""
    own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [path for path in sys.path[1:] if path not in own]
    for name in LIBRARIES:
        with suppress(ImportError):  # of an extra
            importlib.import_module(name)
    gc.freeze()
    words, folder, environment = serve(sys.argv[1])
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    own = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [*own, *paths]
    leave(ended(words))


def serve(path: str) -> tuple[list[str], str, dict[str, str]]:
    """Fork for all who ask until the standard input ends; returns in forks alone."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen(64)
    Path(f"{path}.new").rename(path)
    asked = selectors.DefaultSelector()
    asked.register(listener, selectors.EVENT_READ)
    asked.register(0, selectors.EVENT_READ)
    running: dict[socket.socket, tuple[int, int]] = {}
    while True:
        for key, _ in asked.select():
            source: Any = key.fileobj
            if source == 0:
                for process, _ in running.values():
                    os.kill(process, signal.SIGKILL)
                os._exit(0)
            elif source is listener:
                client, _ = listener.accept()
                told, files = _received(client)
                process = os.fork()
                if not process:
                    asked.close()
                    for each in (listener, client, *running):
                        each.close()
                    _take_over(files, told[3])
                    return told[0], told[1], told[2]
                for each in files:
                    os.close(each)
                client.sendall(process.to_bytes(8, sys.byteorder))
                running[client] = process, os.pidfd_open(process)
                asked.register(client, selectors.EVENT_READ)
                asked.register(running[client][1], selectors.EVENT_READ, client)
            elif source in running:  # whoever waits for it has been killed
                os.kill(running[source][0], signal.SIGKILL)
                asked.unregister(source)
            else:
                _end(asked, key, running)


def _received(client: socket.socket) -> tuple[Any, list[int]]:
    size, files, _, _ = socket.recv_fds(client, 8, 250)
    missing, text = int.from_bytes(size, sys.byteorder), b""
    while len(text) < missing:
        text += client.recv(missing - len(text))
    return json.loads(text), list(files)


def _take_over(files: list[int], numbers: list[int]) -> None:
    """Open files get the numbers that they had."""
    import fcntl

    above = [fcntl.fcntl(file, fcntl.F_DUPFD, 500) for file in files]
    for file in files:
        os.close(file)
    for high, number in zip(above, numbers, strict=True):
        os.dup2(high, number)
        os.close(high)
    # Those of the server know of its files whether they can be sought in, and of its terminal.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(
        2, "w", encoding="utf-8", buffering=1, errors="backslashreplace", closefd=False
    )


def _end(asked: selectors.BaseSelector, key: Any, running: dict[Any, tuple[int, int]]) -> None:
    """Tell how a fork has ended."""
    client = key.data
    process, handle = running.pop(client)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    asked.unregister(handle)
    os.close(handle)
    with suppress(KeyError, OSError):  # nobody waits any more
        asked.unregister(client)
        client.sendall(status.to_bytes(8, sys.byteorder, signed=True))
    client.close()


def ended(words: list[str]) -> int:
    """The status with which a program ends."""
    try:
        run(words)
    except SystemExit as end:
        if isinstance(end.code, int) or end.code is None:
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(status: int) -> NoReturn:
    """As the interpreter does, but for taking all of the libraries apart."""
    threading._shutdown()  # type: ignore[attr-defined]  which waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError):  # a worker's are closed
            stream.flush()
    os._exit(status)


def run(words: list[str]) -> None:
    """``-c CODE``, ``-m MODULE`` or ``FILE``, each with arguments, as the interpreter does."""
    while words[0].startswith("-") and words[0] not in ("-c", "-m"):
        del words[0]  # flags of the interpreter, with which the server has started
    if words[0] == "-c":
        main = sys.modules["__main__"] = ModuleType("__main__")
        sys.argv = ["-c", *words[2:]]
        sys.path.insert(0, "")
        exec(compile(words[1], "<string>", "exec"), main.__dict__)
    elif words[0] == "-m":
        sys.argv = words[1:]
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    main()
