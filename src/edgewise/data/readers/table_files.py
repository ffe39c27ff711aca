"""Which table format a file's name speaks of, and how delimited files are laid out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgewise.data.readers.delimited_layout import Delimited, read_header

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
SEPARATORS = {"csv": ",", "tsv": "\t"}
NOTHING: Mapping[str, str] = {}


def table_format(path: Path) -> str | None:
    """The table format a file's name speaks of, ``.gz`` aside; None where it speaks of none."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    return SUFFIXES.get(plain.suffix.lower())


def find_tables(folder: Path) -> tuple[Path, Path | None] | None:
    """The files ``interactions.*`` and ``items.*`` of a folder that has them."""
    files = sorted(folder.iterdir())
    tables = {path.name.split(".")[0]: path for path in files if table_format(path)}
    return (tables["interactions"], tables.get("items")) if "interactions" in tables else None


def delimited_source(path: Path, kind: str, given: Mapping[str, str] = NOTHING) -> Delimited:
    """The layout of a csv or tsv file; columns given by place mean that it has no header."""
    names = read_header(path, SEPARATORS[kind])
    if any(column.isdecimal() and column not in names for column in given.values()):
        places = tuple(str(place) for place in range(1, len(names) + 1))
        return Delimited(path, SEPARATORS[kind], places, header=False)
    return Delimited(path, SEPARATORS[kind], names)
