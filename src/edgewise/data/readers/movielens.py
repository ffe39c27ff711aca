"""MovieLens as it is handed out: 100K, 1M, 10M and the csv releases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from edgewise.data.readers.cleaning import clean
from edgewise.data.readers.delimited import Layout, read_delimited
from edgewise.data.readers.raw import RawTable, ReadRequest, item_frame, no_items
from edgewise.data.readers.read_log import ReadLog
from edgewise.data.readers.sources import read_lines
from edgewise.data.readers.tables import read_metadata, read_rows
from edgewise.errors import DataError

FIELDS = ("user_id", "item_id", "rating", "timestamp")
# The columns of u.item from the sixth on.
GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
NO_GENRE = ("unknown", "(no genres listed)")
# The parts of 100K that are handed out for training and testing.
PARTS = tuple(f"u{n}.{part}" for n in "12345ab" for part in ("base", "test"))
LAYOUTS = {"u.data": "u.item", "ratings.dat": "movies.dat", "ratings.csv": "movies.csv"}


def find_ratings(source: Path) -> Path | None:
    """The rating file of a MovieLens folder, or the file itself where it is one."""
    if source.is_dir():
        files = (source / name for name, movies in LAYOUTS.items() if _both(source, name, movies))
        return next(files, None)
    known = source.name in ("u.data", "ratings.dat", *PARTS)
    return source if known or _both(source.parent, source.name, "movies.csv") else None


def read(request: ReadRequest) -> RawTable:
    """Read the ratings, and the films where their file is there.

    Raises:
        DataError: there is no rating file, or a row cannot be used.
    """
    ratings = find_ratings(request.path)
    if ratings is None or not ratings.is_file():
        raise DataError(
            f"{request.path}: no MovieLens ratings here; they are called {', '.join(LAYOUTS)}"
        )
    movies = request.metadata or ratings.with_name(LAYOUTS.get(ratings.name, "u.item"))
    rows = read_rows(ratings, request) if ratings.suffix == ".csv" else _rows(ratings, request)
    items = _items(movies, request) if movies.is_file() else no_items()
    files = (ratings.name, movies.name) if movies.is_file() else (ratings.name,)
    return RawTable(rows, items, layout=f"movielens {ratings.name}", files=files)


def _both(folder: Path, ratings: str, movies: str) -> bool:
    if ratings == "ratings.csv":
        return (folder / ratings).is_file() and (folder / movies).is_file()
    return ratings in LAYOUTS and (folder / ratings).is_file()


def _rows(path: Path, request: ReadRequest) -> pl.DataFrame:
    separator = "::" if path.suffix == ".dat" else "\t"
    layout = Layout(path, separator, FIELDS, 0, None, None, request.form.encoding)
    request.log.layouts[path.name] = str(layout)
    found, lines = read_delimited(layout, FIELDS, request.log, request.limit)
    sources = {name: f"{place}" for place, name in enumerate(FIELDS, start=1)}
    return clean(found, lines, path, request.log, sources=sources)


def _items(path: Path, request: ReadRequest) -> pl.DataFrame:
    if path.name == "u.item":
        return item_frame(_flagged_items(path))
    if path.name == "movies.dat":
        return item_frame(_dat_items(path))
    genre = pl.element()
    return read_metadata(path, request).with_columns(
        pl.col("categories").list.filter(~genre.is_in(NO_GENRE))
    )


def _flagged_items(path: Path) -> Iterator[dict[str, object]]:
    for fields in _fields(path, "|", at_least=2):
        flags = zip(GENRES, fields[5:], strict=False)
        yield _item(fields[0], fields[1], [genre for genre, flag in flags if flag == "1"])


def _dat_items(path: Path) -> Iterator[dict[str, object]]:
    for fields in _fields(path, "::", at_least=3):
        yield _item(fields[0], fields[1], fields[2].split("|"))


def _item(item_id: str, title: str, genres: list[str]) -> dict[str, object]:
    known = [genre for genre in genres if genre not in NO_GENRE]
    return {"item_id": item_id, "title": title, "categories": known, "brand": "", "description": ""}


def _fields(path: Path, separator: str, *, at_least: int) -> Iterator[list[str]]:
    # The releases before 10M are written in Latin-1, the later ones in UTF-8.
    try:
        lines = list(read_lines(path, ReadLog(), "utf-8"))
    except DataError:
        lines = list(read_lines(path, ReadLog(), "latin-1"))
    for number, line in lines:
        fields = line.split(separator)
        if len(fields) < at_least:
            raise DataError(f"{path.name}, line {number}: {at_least} fields wanted: {line!r}")
        yield fields
