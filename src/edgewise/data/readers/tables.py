"""Tables of interactions as people keep them: delimited text, Parquet and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from edgewise.data.readers import jsonlines, parquet
from edgewise.data.readers.cleaning import as_text, clean
from edgewise.data.readers.columns import by_place, guess_columns, kind_column, map_columns
from edgewise.data.readers.delimited import find_layout, read_delimited
from edgewise.data.readers.item_tables import flatten, read_item_table
from edgewise.data.readers.raw import RawTable, ReadRequest, no_items
from edgewise.data.readers.read_log import Kind
from edgewise.data.readers.sources import member_name, packing, plain_name, read_chunks
from edgewise.errors import ConfigError, DataError

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".data": "csv",
    ".log": "csv",
    ".inter": "csv",
    ".item": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_LIST = r"^\s*\[.*\]\s*$"
# What a file of interactions is called where several files of a folder could be one.
_ROW_WORDS = ("interaction", "rating", "review", "event", "behavior", "purchase", "order")


def table_kind(path: Path) -> str | None:
    """``csv`` for any delimited text, ``parquet`` or ``jsonl``, by the name and then the bytes."""
    if not path.is_file():
        return SUFFIXES.get(Path(plain_name(path)).suffix.lower())
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"PAR1":
        return "parquet"
    suffix = Path(member_name(path)).suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    try:
        start = next(read_chunks(path), b"")
    except DataError:
        raise
    except Exception:
        return None
    if (
        packing(path) is None
        and b"\0" in start[:4096]
        and start[:2] not in (b"\xff\xfe", b"\xfe\xff")
    ):
        return None
    return "jsonl" if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else "csv"


def read_table(request: ReadRequest) -> RawTable:
    """Read one table of interactions, and one of items where there is any.

    Raises:
        DataError: a needed column is missing, or a row cannot be used.
    """
    path, metadata = request.path, request.metadata
    if path.is_dir():
        found = find_tables(path)
        if found is None:
            raise DataError(f"{path}: no table here has a column of users and one of items")
        path, beside = found
        metadata = metadata or beside
        if beside is None and metadata is None:
            request.log.warn(f"{path.parent.name}: read {path.name} alone")
    rows = read_rows(path, request)
    items = read_metadata(metadata, request) if metadata else no_items()
    files = (path.name, metadata.name) if metadata else (path.name,)
    return RawTable(rows, items, layout=kind_name(path), files=files)


def kind_name(path: Path) -> str:
    """The format as people name it: ``tsv`` is told from ``csv`` by its ending."""
    kind = table_kind(path) or "csv"
    suffix = Path(member_name(path)).suffix.lower()
    return "tsv" if kind == "csv" and suffix in (".tsv", ".tab") else kind


def read_metadata(path: Path, request: ReadRequest) -> pl.DataFrame:
    """A table about items, columns as in ``ITEM_SCHEMA``."""
    kind = table_kind(path)
    if kind is None:
        raise DataError(
            f"{path.name}: metadata must be delimited text, JSON or Parquet; its name and its "
            "first bytes say none of these"
        )
    with request.log.about_items():
        return read_item_table(path, kind, request)


def available_columns(path: Path, request: ReadRequest) -> tuple[str, ...]:
    """The columns of a table of any kind."""
    kind = table_kind(path)
    if kind == "parquet":
        return parquet.names(path)
    if kind == "jsonl":
        return jsonlines.column_keys(path, request.log, request.form.encoding)
    return find_layout(path, request.log, request.form, request.columns.values()).names


def read_rows(path: Path, request: ReadRequest) -> pl.DataFrame:
    """Typed interactions of a table, see :func:`edgewise.data.readers.cleaning.clean`."""
    kind = table_kind(path)
    log, form = request.log, request.form
    layout = None
    if kind not in ("parquet", "jsonl"):
        layout = find_layout(path, log, form, request.columns.values())
    names = available_columns(path, request) if layout is None else layout.names
    columns = map_columns(names, by_place(names, request.columns), path.name)
    extra = {f"\0{number}": name for number, name in enumerate(_where(path, names, request))}
    wanted = {**columns, **extra}
    if layout is not None:
        found, lines = read_delimited(layout, wanted.values(), log, request.limit)
        series = {ours: found[theirs] for ours, theirs in wanted.items()}
    elif kind == "parquet":
        series, lines = parquet.read_parquet(path, wanted, request.limit)
    else:
        series, lines = jsonlines.read_json(path, wanted, log, form.encoding, request.limit)
    series, lines = _kept(series, extra, lines, path, request)
    series, lines = _spread_lists(series, lines, path, request)
    _tell(path, names, columns, request)
    return clean(
        {ours: series[ours] for ours in columns},
        lines,
        path,
        log,
        sources=columns,
        keep_na=form.keep_na,
        time_format=form.time_format,
    )


def _where(path: Path, names: Sequence[str], request: ReadRequest) -> list[str]:
    for column in request.where:
        if column not in names:
            raise DataError(
                f"{path.name}: --where {column}=...: there is no such column; the columns are "
                f"{', '.join(names)}"
            )
    return list(request.where)


def _kept(
    series: dict[str, pl.Series],
    extra: Mapping[str, str],
    lines: np.ndarray,
    path: Path,
    request: ReadRequest,
) -> tuple[dict[str, pl.Series], np.ndarray]:
    """The rows that ``--where`` keeps."""
    kept = np.ones(len(lines), dtype=bool)
    for key, column in extra.items():
        text = as_text(series[key], f"{path.name}: column {column!r}").str.strip_chars()
        fits = text.is_in(list(request.where[column])).fill_null(False).to_numpy()
        if not fits.any() and len(fits):
            seen = text.drop_nulls().value_counts(sort=True)[text.name][:10].to_list()
            raise ConfigError(
                f"--where {column}={','.join(request.where[column])}: no row of {path.name} has "
                f"it; the column holds {', '.join(map(repr, seen))}"
            )
        kept &= fits
    if kept.all():
        return series, lines
    first = int(lines[np.argmin(kept)])
    request.log.report(Kind.WHERE, path, first, "", int((~kept).sum()))
    mask = pl.Series(kept)
    return {name: values.filter(mask) for name, values in series.items()}, lines[kept]


def _spread_lists(
    series: dict[str, pl.Series], lines: np.ndarray, path: Path, request: ReadRequest
) -> tuple[dict[str, pl.Series], np.ndarray]:
    """Texts of lists, such as ``[10, 11]``, as a row an item, with the lists beside them."""
    items = series["item_id"]
    listed = items.drop_nulls()
    if items.dtype != pl.String or listed.is_empty() or not listed.str.contains(_LIST).all():
        return series, lines
    request.log.warn(f"{path.name}: column of items holds lists: a row was read for each item")
    frame = pl.DataFrame([*(s.alias(name) for name, s in series.items()), pl.Series("\0", lines)])
    frame = frame.with_columns(
        pl.Series(name, [flatten(value) for value in frame[name]], pl.List(pl.String))
        for name in series
        if name == "item_id" or frame[name].str.contains(_LIST).fill_null(False).all()
    )
    columns = [name for name in series if isinstance(frame.schema[name], pl.List)]
    try:
        frame = frame.explode(columns)
    except PolarsError:
        raise DataError(
            f"{path.name}: the lists of a row differ in length ({', '.join(columns)})"
        ) from None
    return {name: frame[name] for name in series}, frame["\0"].to_numpy()


def _tell(
    path: Path, names: Sequence[str], columns: Mapping[str, str], request: ReadRequest
) -> None:
    """Warn of what is not there, and note what is not used."""
    log = request.log
    unused = [name for name in names if name not in columns.values() and name not in request.where]
    log.left(path, unused)
    if "timestamp" not in columns:
        log.warn(
            f"{path.name}: no column of times was read, so the order of the rows is taken for "
            "their order in time; name one with --column timestamp=COLUMN"
            + (f" (not used: {', '.join(unused)})" if unused else "")
        )
    kind = kind_column(unused)
    if kind is not None:
        log.warn(
            f"{path.name}: rows of every {kind!r} count alike; keep some with --where {kind}=VALUE"
        )


def _is_about_items(names: Sequence[str]) -> bool:
    found = set(guess_columns(names, items=True))
    return "item_id" in found and len(found) > 1


def find_tables(folder: Path) -> tuple[Path, Path | None] | None:
    """The table of interactions of a folder, and the one about items, by names and columns.

    Raises:
        DataError: several tables could be the one of interactions.
    """
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    tables = [path for path in files if Path(plain_name(path)).suffix.lower() in SUFFIXES]
    named = {path.name.split(".")[0]: path for path in tables}
    if "interactions" in named:
        return named["interactions"], named.get("items")
    quiet = ReadRequest(folder)
    rows, items = [], []
    for path in tables:
        try:
            names = available_columns(path, quiet)
        except (DataError, ConfigError):
            continue
        if {"user_id", "item_id"} <= set(guess_columns(names)):
            rows.append(path)
        elif _is_about_items(names):
            items.append(path)
    if not rows:
        return None
    likely = [path for path in rows if any(word in path.name.lower() for word in _ROW_WORDS)]
    if len(rows) > 1 and len(likely) != 1:
        listed = ", ".join(path.name for path in rows)
        raise DataError(f"{folder.name}: several tables of interactions ({listed}); name one")
    return (likely or rows)[0], items[0] if len(items) == 1 else None
