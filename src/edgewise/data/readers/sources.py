"""Bytes of a source file: fetched, unpacked, decoded, and cut where lines end."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from edgewise.data.readers.read_log import Kind, ReadLog
from edgewise.errors import ConfigError, DataError

CHUNK = 4 << 20
LONG_FILE = 16 << 20
# Longer than any line that people write; a file of one endless line is no table.
LONGEST_LINE = 256 << 20
PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
# What else people have, and how to get at it.
UNREADABLE = {
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"Rar!": "a rar archive; unpack it",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save the sheet as csv",
    b"SQLite format 3": "an SQLite database; export the table as csv",
    b"\x89HDF": "an HDF5 file; save the table as csv or Parquet",
    b"\x93NUMPY": "a NumPy array; save it as csv or Parquet",
    b"ARROW1": "an Arrow file; save the table as Parquet",
    b"\x80\x04": "a pickle, which could run code; save the table as csv or Parquet",
    b"\x80\x05": "a pickle, which could run code; save the table as csv or Parquet",
}
PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException)


@contextmanager
def local_file(source: str | Path) -> Iterator[Path]:
    """A source as a local path; ``s3://``, ``https://`` and the like are fetched for the time.

    Raises:
        ConfigError: what the address needs is not installed.
        DataError: it cannot be fetched.
    """
    if "://" not in str(source):
        yield Path(source)
        return
    import fsspec

    address = str(source)
    try:
        with tempfile.TemporaryDirectory() as folder, fsspec.open(address, "rb") as remote:
            path = Path(folder, PurePosixPath(address.partition("?")[0]).name or "source")
            with path.open("wb") as file:
                while chunk := remote.read(CHUNK):  # pyright: ignore[reportAttributeAccessIssue]
                    file.write(chunk)
            yield path
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{address}: {error}. Addresses need pip install 'edgewise[remote]'"
        ) from None
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{address}: cannot be fetched: {error!r}") from None


@contextmanager
def _progress(path: Path) -> Iterator[Callable[[int], None]]:
    """A bar over the bytes of a long file, to be told the place; silent off a terminal."""
    size = path.stat().st_size
    if size < LONG_FILE or not sys.stderr.isatty():
        yield lambda place: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {escape(path.name)}", total=size)
        yield lambda place: bar.update(task, completed=place)


def packing(path: Path) -> str | None:
    """How a file is packed, by its first bytes: its name may not say, or say it wrongly."""
    with path.open("rb") as file:
        head = file.read(8)
    return next((name for magic, name in PACKED.items() if head.startswith(magic)), None)


def plain_name(path: Path) -> str:
    """The name without the ending of an archive: ``r.csv`` for ``r.csv.gz``."""
    suffix = path.suffix.lower()
    return path.name[: -len(suffix)] if suffix in PACKED_SUFFIXES else path.name


def _open_packed(path: Path, file: Any) -> Any:
    kind = packing(path)
    if kind == "gzip":
        return gzip.GzipFile(fileobj=file)
    if kind == "bz2":
        return bz2.BZ2File(file)
    if kind == "xz":
        return lzma.LZMAFile(file)
    if kind == "zstd":
        return pa.CompressedInputStream(file, "zstd")
    if kind == "zip":
        return _open_member(path, file)
    return file


def _open_member(path: Path, file: Any) -> Any:
    archive = zipfile.ZipFile(file)
    members = [m for m in archive.namelist() if not m.endswith("/") and "__MACOSX" not in m]
    if any(name in members for name in ("[Content_Types].xml", "xl/workbook.xml")):
        raise DataError(f"{path.name}: an Excel file; save the sheet as csv and import that")
    if len(members) != 1:
        raise DataError(
            f"{path.name}: the archive holds {len(members)} files ({', '.join(members[:5])}); "
            "unpack it, and import the file or the folder"
        )
    if archive.getinfo(members[0]).flag_bits & 1:
        raise DataError(f"{path.name}: the archive is encrypted; unpack it, and import the file")
    return archive.open(members[0])


def member_name(path: Path) -> str:
    """The name of what is inside an archive of one file, else :func:`plain_name`."""
    if packing(path) == "zip":
        try:
            with path.open("rb") as file, _open_member(path, file) as member:
                return PurePosixPath(member.name).name
        except zipfile.BadZipFile as error:
            raise DataError(f"{path.name}: a damaged zip archive: {error}") from None
    return plain_name(path)


def read_chunks(path: Path) -> Iterator[bytes]:
    """Pieces of a file's unpacked bytes; what is packed may turn out damaged on the way.

    Raises:
        DataError: there is no such file, or it holds no one file that could be read.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    with path.open("rb") as file, _progress(path) as told:
        unpacked = _open_packed(path, file)
        # read1 gives what there is before the damage, where read would lose it.
        read = getattr(unpacked, "read1", unpacked.read)
        first = True
        while chunk := read(CHUNK):
            if first:
                _check_readable(path, chunk)
            first = False
            told(file.tell())
            yield chunk


def _check_readable(path: Path, head: bytes) -> None:
    what = next((what for magic, what in UNREADABLE.items() if head.startswith(magic)), None)
    if head[257:262] == b"ustar":
        what = "a tar archive; unpack it"
    if what is not None:
        raise DataError(f"{path.name}: {what}, and import that")


def find_encoding(head: bytes) -> str | None:
    """The encoding that the first bytes speak of; None where they do not."""
    for mark, name in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return name
    zeros = [head[place:4096:2].count(0) for place in (0, 1)]
    half = max(1, len(head[:4096]) // 2)
    if zeros[1] > 0.4 * half and zeros[0] < 0.1 * half:
        return "utf-16-le"
    if zeros[0] > 0.4 * half and zeros[1] < 0.1 * half:
        return "utf-16-be"
    return None


def read_blocks(
    path: Path, log: ReadLog, encoding: str | None = None
) -> Iterator[tuple[int, bytes]]:
    """Whole lines as UTF-8, each block with the number of its first line, from 1.

    A file whose lines end in carriage returns alone gets newlines. A line that cannot be decoded is
    a bad row, and left empty. An archive that is cut short ends at its last whole line, and counts
    as one bad row.

    Args:
        path: the file.
        log: told of what is wrong.
        encoding: of the file; without one it is UTF-8, or what its byte order mark says.

    Raises:
        DataError: the file is in another encoding; the message names one that fits.
    """
    line, rest, decode = 1, b"", None
    old_ends, checked = False, _Utf8(path, log, given=encoding is not None)
    for chunk, damage in _undamaged(path):
        if decode is None:
            decode, name = _decoder(path, chunk, encoding)
            if name != "utf-8":
                log.warn(f"{path.name}: read as {name}")
        if damage is not None:
            log.report(Kind.ARCHIVE, path, line + rest.count(b"\n"), damage)
            rest = b""
            break
        chunk = decode(chunk)
        if line == 1 and not rest and b"\n" not in chunk and b"\r" in chunk.rstrip(b"\r"):
            old_ends = True
            log.warn(f"{path.name}: lines end in carriage returns alone")
        chunk = chunk.replace(b"\r", b"\n") if old_ends else chunk
        whole, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            rest += tail
            if len(rest) > LONGEST_LINE:
                raise DataError(f"{path.name}, line {line}: a line of over {LONGEST_LINE} bytes")
            continue
        block, rest = checked(rest + whole + newline, line), tail
        yield line, block
        line += block.count(b"\n")
    if rest:
        yield line, checked(rest + b"\n", line)
    checked.done()


def read_lines(path: Path, log: ReadLog, encoding: str | None = None) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines without their end; blank lines are left out."""
    for first, block in read_blocks(path, log, encoding):
        for number, line in enumerate(block.decode().split("\n"), start=first):
            if line.strip():
                yield number, line.rstrip("\r")


def _undamaged(path: Path) -> Iterator[tuple[bytes, str | None]]:
    """The chunks of :func:`read_chunks`, and last what is wrong with the archive."""
    chunks = read_chunks(path)
    archive = path.is_file() and packing(path) is not None
    while True:
        try:
            chunk = next(chunks, None)
        except _DAMAGE as error:
            if not archive:
                raise
            yield b"", str(error) or type(error).__name__
            return
        if chunk is None:
            return
        yield chunk, None


def _decoder(path: Path, head: bytes, given: str | None) -> tuple[Callable[[bytes], bytes], str]:
    """From a file's bytes to UTF-8."""
    name = given or find_encoding(head) or "utf-8"
    try:
        name = codecs.lookup(name).name
        incremental = codecs.getincrementaldecoder(name)()
    except LookupError:
        raise ConfigError(
            f"--encoding {given}: there is no such encoding; utf-8, cp1252, latin-1, utf-16, "
            "gb18030 and shift_jis are some"
        ) from None
    if name == "utf-8":
        if b"\0" in head[:CHUNK] and given is None and head.count(0) > len(head) // 20:
            raise DataError(f"{path.name}: neither text nor Parquet, nor an archive that is known")
        return (lambda chunk: chunk), name

    def decode(chunk: bytes) -> bytes:
        try:
            return incremental.decode(chunk).encode("utf-8", "surrogatepass")
        except UnicodeError as error:
            raise DataError(
                f"{path.name}: not in {name}: {error}; name the encoding with --encoding"
            ) from None

    return decode, name


class _Utf8:
    """Checks blocks that should be UTF-8; a whole file in another encoding is no heap of bad rows.

    Args:
        path: the file.
        log: told of the bad rows.
        given: UTF-8 was asked for, so that lines of anything else are only bad rows.
    """

    def __init__(self, path: Path, log: ReadLog, *, given: bool) -> None:
        self.path, self.log, self.given = path, log, given
        self.broken: list[tuple[int, bytes]] = []
        self.num_broken = self.num_foreign = 0

    def __call__(self, block: bytes, line: int) -> bytes:
        """The block with empty lines for those that are not UTF-8."""
        try:
            block.decode()
            return block
        except UnicodeDecodeError:
            pass
        lines = block.split(b"\n")
        for place, text in enumerate(lines):
            try:
                text.decode()
                self.num_foreign += not text.isascii()
            except UnicodeDecodeError as error:
                if not self.log.skip:
                    self.log.report(
                        Kind.ENCODING, self.path, line + place, self._told(text, error.start)
                    )
                self.num_broken += 1
                self.broken = self.broken or [(line + place, text)]
                lines[place] = b""
        return b"\n".join(lines)

    def _told(self, text: bytes, at: int) -> str:
        return (
            f"byte {at + 1} of the line is not UTF-8; the file looks like {guess_encoding(text)}: "
            f"read it with --encoding {guess_encoding(text)}"
        )

    def done(self) -> None:
        """Count the bad rows, unless they are the file's whole alphabet."""
        if not self.num_broken:
            return
        line, text = self.broken[0]
        if not self.given and self.num_broken > max(1, self.num_foreign):
            name = guess_encoding(text)
            raise DataError(
                f"{self.path.name}, line {line}: {self.num_broken} lines are not UTF-8, and the "
                f"file looks like {name}: read it with --encoding {name}, or leave those lines out "
                "with --encoding utf-8 --on-bad-rows skip"
            )
        self.log.report(Kind.ENCODING, self.path, line, "not UTF-8", self.num_broken)
        self.log.warn(
            f"{self.path.name}: {self.num_broken} lines left out that are not UTF-8, the first is "
            f"line {line}"
        )


def guess_encoding(text: bytes) -> str:
    """An encoding in which a text that is not UTF-8 reads well."""
    from charset_normalizer import from_bytes

    best = from_bytes(text, threshold=0.4).best()
    # On a word or two, Western European is the likeliest by far.
    return best.encoding if best is not None and len(text) > 200 else "cp1252"
