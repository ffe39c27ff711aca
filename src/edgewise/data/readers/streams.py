"""Bytes of a source file: unpacked, with a progress bar, and whole lines only where damaged."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgewise.data.readers.bad_rows import BadRows, Kind
from edgewise.errors import DataError

CHUNK = 1 << 20
LONG_FILE = 16 << 20


def is_gzip(path: Path) -> bool:
    """Whether a file's first bytes say gzip; its name may not, as some tools unpack and keep it."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def progress(path: Path) -> Iterator[Callable[[int], None]]:
    """A bar over the bytes of a long file, to be told of each step; silent off a terminal."""
    size = path.stat().st_size
    if size < LONG_FILE or not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {path.name}", total=size)
        yield lambda step: bar.advance(task, step)


def read_chunks(path: Path, bad: BadRows) -> Iterator[bytes]:
    """Pieces of a file's unpacked bytes.

    A gzip file that is cut short or damaged ends at its last whole line, and counts as one bad row.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    raw = _raw_chunks(path)
    return _whole_lines(_gunzip(raw), path, bad) if is_gzip(path) else raw


def open_stream(path: Path, bad: BadRows) -> io.BufferedReader:
    """The unpacked bytes of :func:`read_chunks` as a file object."""
    return io.BufferedReader(_ChunkReader(read_chunks(path, bad)), CHUNK)


def read_lines(path: Path, bad: BadRows) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines without their end; blank lines are left out."""
    for number, line in enumerate(open_stream(path, bad), start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
        except UnicodeDecodeError as error:
            bad.report(Kind.UTF8, path, number, f"byte {error.start + 1} of the line")
            continue
        if text.strip():
            yield number, text


def _raw_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file, progress(path) as advance:
        while chunk := file.read(CHUNK):
            advance(len(chunk))
            yield chunk


class _DamagedGzipError(Exception):
    """The gzip stream ended early or failed its own checks."""


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    unpack = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        while chunk := chunk.lstrip(b"\0") if unpack.eof else chunk:
            if unpack.eof:
                unpack = zlib.decompressobj(wbits=31)
            try:
                yield unpack.decompress(chunk)
            except zlib.error as error:
                raise _DamagedGzipError(str(error)) from None
            chunk = unpack.unused_data
    if not unpack.eof:
        raise _DamagedGzipError("the file ends before its gzip data do")


def _whole_lines(chunks: Iterator[bytes], path: Path, bad: BadRows) -> Iterator[bytes]:
    lines, rest = 0, b""
    try:
        for chunk in chunks:
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            lines += whole.count(b"\n") + len(newline)
            yield whole + newline
    except _DamagedGzipError as error:
        bad.report(Kind.GZIP, path, lines + 1, str(error))
        return
    yield rest


class _ChunkReader(io.RawIOBase):
    """A file object over pieces of bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        while not self._rest:
            piece = next(self._chunks, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
