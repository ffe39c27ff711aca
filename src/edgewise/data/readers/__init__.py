"""Readers of the formats in which interaction data are passed around."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from edgewise.data.readers import amazon, mind, movielens, p5, recbole
from edgewise.data.readers.jsonlines import peek_keys
from edgewise.data.readers.raw import RawTable, ReadRequest
from edgewise.data.readers.tables import find_tables, kind_name, read_table, table_kind
from edgewise.errors import ConfigError, DataError

Reader = Callable[[ReadRequest], RawTable]
READERS: dict[str, Reader] = {
    "csv": read_table,
    "tsv": read_table,
    "parquet": read_table,
    "jsonl": read_table,
    "amazon": amazon.read,
    "p5": p5.read,
    "sequences": p5.read_sequences,
    "movielens": movielens.read,
    "mind": mind.read,
    "recbole": recbole.read,
}
WITH_COLUMNS = ("csv", "tsv", "parquet", "jsonl", "recbole")


def read(request: ReadRequest, format: str | None = None) -> RawTable:
    """Read a source in the format named, or in the one it looks like.

    Raises:
        ConfigError: the format is unknown, or has its columns by definition and was given some.
        DataError: the source cannot be read.
    """
    if not request.path.exists():
        raise DataError(f"{request.path}: there is no such file or folder")
    if request.metadata is not None and not request.metadata.is_file():
        raise DataError(f"--metadata {request.metadata}: there is no such file")
    name = detect_format(request.path) if format is None else _known(format)
    if request.columns and name not in WITH_COLUMNS:
        raise ConfigError(f"--column is for {', '.join(WITH_COLUMNS)}; {name} has fixed columns")
    if request.where and name not in WITH_COLUMNS[:4]:
        raise ConfigError(f"--where is for {', '.join(WITH_COLUMNS[:4])}; {name} has fixed columns")
    return READERS[name](request)


def detect_format(source: Path) -> str:
    """The format a file or folder looks like.

    Raises:
        DataError: it looks like none.
    """
    found = _format_of_folder(source) if source.is_dir() else _format_of_file(source)
    if found is None:
        raise DataError(
            f"{source}: cannot tell the format of this {'folder' if source.is_dir() else 'file'}; "
            f"name it with --format ({', '.join(READERS)})"
        )
    return found


def _known(format: str) -> str:
    if format not in READERS:
        close = get_close_matches(format, READERS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"--format {format}: unknown format; formats are {', '.join(READERS)}.{hint}"
        )
    return format


def _format_of_folder(folder: Path) -> str | None:
    if (folder / "dataset.json").is_file():
        raise DataError(f"{folder}: this is a data set folder already; use it as it is")
    if (folder / p5.SEQUENCES).is_file():
        return "p5"
    if (folder / p5.OPEN).is_file():
        return "sequences"
    if movielens.find_ratings(folder):
        return "movielens"
    if mind.find_behaviors(folder):
        return "mind"
    if recbole.find_inter(folder):
        return "recbole"
    named = any(path.name.startswith("interactions.") for path in folder.iterdir())
    if not named and amazon.find_reviews(folder):
        return "amazon"
    tables = find_tables(folder)
    return kind_name(tables[0]) if tables else None


def _format_of_file(path: Path) -> str | None:
    if path.name == p5.SEQUENCES:
        return "p5"
    if path.name == p5.OPEN:
        return "sequences"
    if movielens.find_ratings(path):
        return "movielens"
    if mind.find_behaviors(path):
        return "mind"
    if path.suffix == ".inter":
        return "recbole"
    kind = table_kind(path)
    if kind == "jsonl" and amazon.find_layout(peek_keys(path)):
        return "amazon"
    return kind_name(path) if kind else None
