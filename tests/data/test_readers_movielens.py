"""MovieLens in its three shapes, as small files of the same layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.data.readers import detect_format, read
from edgewise.data.readers.raw import ReadRequest
from edgewise.data.readers.read_log import ReadLog
from edgewise.errors import DataError

ROWS = [("196", "242", 3.0, 881250949), ("186", "302", 3.5, 891717742)]


def make_100k(folder: Path) -> None:
    (folder / "u.data").write_text("196\t242\t3\t881250949\n186\t302\t3.5\t891717742\n")
    flags = "|".join("1" if place in (5, 8) else "0" for place in range(19))
    film = f"242|Les Misérables (1995)|01-Jan-1995||http://x|{flags}\n"
    (folder / "u.item").write_bytes(film.encode("latin-1"))


def make_1m(folder: Path, encoding: str = "latin-1") -> None:
    (folder / "ratings.dat").write_text("196::242::3::881250949\n186::302::3.5::891717742\n")
    film = "242::Les Misérables (1995)::Comedy|Drama\n"
    (folder / "movies.dat").write_bytes(film.encode(encoding))


def make_latest(folder: Path) -> None:
    text = "userId,movieId,rating,timestamp\n196,242,3.0,881250949\n186,302,3.5,891717742\n"
    (folder / "ratings.csv").write_text(text)
    films = "movieId,title,genres\n242,Les Misérables (1995),Comedy|Drama\n"
    (folder / "movies.csv").write_text(films, encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "ratings"),
    [
        (make_100k, "u.data"),
        (make_1m, "ratings.dat"),
        (lambda folder: make_1m(folder, "utf-8"), "ratings.dat"),
        (make_latest, "ratings.csv"),
    ],
)
def test_each_release(tmp_path: Path, make, ratings: str) -> None:
    make(tmp_path)
    assert detect_format(tmp_path) == detect_format(tmp_path / ratings) == "movielens"
    for source in (tmp_path, tmp_path / ratings):
        raw = read(ReadRequest(source))
        assert raw.rows.select("user_id", "item_id", "rating", "timestamp").rows() == ROWS
        assert raw.items.select("item_id", "title", "categories").rows() == [
            ("242", "Les Misérables (1995)", ["Comedy", "Drama"])
        ]


def test_ratings_alone(tmp_path: Path) -> None:
    make_1m(tmp_path)
    (tmp_path / "movies.dat").unlink()
    raw = read(ReadRequest(tmp_path))
    assert raw.files == ("ratings.dat",)
    assert raw.items.is_empty()


def test_ratings_csv_without_films_is_a_plain_table(tmp_path: Path) -> None:
    make_latest(tmp_path)
    (tmp_path / "movies.csv").unlink()
    assert detect_format(tmp_path / "ratings.csv") == "csv"


def test_bad_rows(tmp_path: Path) -> None:
    make_1m(tmp_path)
    with (tmp_path / "ratings.dat").open("a") as file:
        file.write("1::2::bad::3\n1::2::3\n")
    with pytest.raises(DataError, match=r"ratings\.dat, line 4: missing field"):
        read(ReadRequest(tmp_path))
    bad = ReadLog(skip=True)
    assert read(ReadRequest(tmp_path, bad)).rows.height == 2
    assert bad.counts == {"missing field": 1, "unparsable rating": 1}


def test_bad_films(tmp_path: Path) -> None:
    make_1m(tmp_path)
    (tmp_path / "movies.dat").write_text("242::Fine::Drama\n243;Wrong;Drama\n")
    with pytest.raises(DataError, match=r"movies\.dat, line 2: .*243;Wrong"):
        read(ReadRequest(tmp_path))


def test_films_without_genre_and_films_from_elsewhere(tmp_path: Path) -> None:
    make_latest(tmp_path)
    other = tmp_path / "other.csv"
    other.write_text("movieId,title,genres\n242,One,(no genres listed)\n302,Two,Drama\n")
    raw = read(ReadRequest(tmp_path, metadata=other))
    assert raw.items.select("title", "categories").rows() == [("One", []), ("Two", ["Drama"])]
    with pytest.raises(DataError, match=r"--metadata .*nowhere\.csv: there is no such file"):
        read(ReadRequest(tmp_path, metadata=tmp_path / "nowhere.csv"))


def test_no_ratings(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no MovieLens ratings here; .*u\.data"):
        read(ReadRequest(tmp_path), "movielens")
