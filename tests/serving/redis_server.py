"""A Redis of one's own: a real server on a free port, with its files in a folder of the test."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SAFE = ("--appendonly", "yes", "--appendfsync", "always")


@dataclass(eq=False)
class RedisServer:
    """A server that can be killed and started again on what it has written.

    Attributes:
        folder: of its files.
        options: of its command line.
        port: that it listens at.
    """

    folder: Path
    options: tuple[str, ...] = SAFE
    port: int = field(init=False)
    _process: subprocess.Popen | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--dir", str(self.folder), "--save", "", *self.options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as asked:
                    asked.sendall(b"PING\r\n")
                    if asked.recv(100) == b"+PONG\r\n":
                        return
            except OSError:
                pass
            assert time.monotonic() < end, "redis-server does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        """By SIGKILL: what it has not written is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
