"""MovieLens as it is handed out: 100K, 1M, 10M and the csv releases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from edgewise.data.readers.bad_rows import BadRows
from edgewise.data.readers.columns import map_columns
from edgewise.data.readers.delimited import read_delimited
from edgewise.data.readers.delimited_layout import Delimited
from edgewise.data.readers.item_tables import read_item_table
from edgewise.data.readers.raw import RawTable, ReadRequest, item_frame, join_rows, no_items
from edgewise.data.readers.streams import read_chunks
from edgewise.data.readers.table_files import delimited_source, table_format
from edgewise.errors import DataError

FIELDS = ("user_id", "item_id", "rating", "timestamp")
# The columns of u.item from the sixth on.
GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
NO_GENRE = ("unknown", "(no genres listed)")
LAYOUTS = {"u.data": "u.item", "ratings.dat": "movies.dat", "ratings.csv": "movies.csv"}


def find_ratings(source: Path) -> Path | None:
    """The rating file of a MovieLens folder, or the file itself where it is one."""
    if source.is_dir():
        files = (source / name for name, movies in LAYOUTS.items() if _both(source, name, movies))
        return next(files, None)
    known = source.name in ("u.data", "ratings.dat")
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
    movies = request.metadata or ratings.with_name(LAYOUTS[ratings.name])
    rows = join_rows(_rows(ratings, request.bad))
    items = _items(movies, request.bad) if movies.is_file() else no_items()
    files = (ratings.name, movies.name) if movies.is_file() else (ratings.name,)
    return RawTable(rows, items, layout=f"movielens {ratings.name}", files=files)


def _both(folder: Path, ratings: str, movies: str) -> bool:
    if ratings == "ratings.csv":
        return (folder / ratings).is_file() and (folder / movies).is_file()
    return ratings in LAYOUTS and (folder / ratings).is_file()


def _rows(path: Path, bad: BadRows) -> Iterator[pl.DataFrame]:
    if path.suffix == ".csv":
        source = delimited_source(path, "csv")
        return read_delimited(source, map_columns(source.names, {}, path.name), bad)
    names, separator = FIELDS, "\t"
    if path.suffix == ".dat":
        # Fields are parted by two colons, so at single ones every other field is empty.
        names, separator = ("user_id", "1", "item_id", "2", "rating", "3", "timestamp"), ":"
    source = Delimited(path, separator, names, header=False, quoted=False)
    return read_delimited(source, {name: name for name in FIELDS}, bad)


def _items(path: Path, bad: BadRows) -> pl.DataFrame:
    if table_format(path):
        genre = pl.element()
        return read_item_table(path, bad).with_columns(
            pl.col("categories").list.filter(~genre.is_in(NO_GENRE))
        )
    return item_frame(_flagged_items(path) if path.name == "u.item" else _dat_items(path))


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
    content = b"".join(read_chunks(path, BadRows()))
    try:
        text = content.decode()
    except UnicodeDecodeError:
        # The releases before 10M are written in Latin-1, the later ones in UTF-8.
        text = content.decode("latin-1")
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split(separator)
        if len(fields) < at_least:
            raise DataError(f"{path.name}, line {number}: {at_least} fields wanted: {line!r}")
        yield fields
