"""RecBole's atomic files."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.data.readers import detect_format, read
from edgewise.data.readers.raw import ReadRequest
from edgewise.errors import DataError

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ROWS = 'u"1\ti1\t4.0\t881250949.0\nu2\ti2\t5\t8.91e8\n'
ITEM = "item_id:token\tmovie_title:token_seq\tclass:token_seq\ni1\tToy Story\tAnimation Comedy\n"


def test_folder_and_file(tmp_path: Path) -> None:
    (tmp_path / "ml.inter").write_text(INTER + ROWS)
    (tmp_path / "ml.item").write_text(ITEM)
    for source in (tmp_path, tmp_path / "ml.inter"):
        assert detect_format(source) == "recbole"
        raw = read(ReadRequest(source))
        assert raw.files == ("ml.inter", "ml.item")
        assert raw.rows.select("user_id", "item_id", "rating", "timestamp").rows() == [
            ('u"1', "i1", 4.0, 881250949),
            ("u2", "i2", 5.0, 891000000),
        ]
        assert raw.items.select("item_id", "title", "categories").rows() == [
            ("i1", "Toy Story", ["Animation", "Comedy"])
        ]


@pytest.mark.parametrize("text", ["['Hair Care', 'Oil']", '["Hair Care", "Oil"]', "Hair Care|Oil"])
def test_categories_with_spaces(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.inter").write_text(INTER + ROWS)
    (tmp_path / "x.item").write_text(f"item_id:token\tcategories:token_seq\ni1\t{text}\n")
    assert read(ReadRequest(tmp_path)).items["categories"].to_list() == [["Hair Care", "Oil"]]


def test_columns_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text("session:token\titem_id:token\ns\ti\n")
    raw = read(ReadRequest(tmp_path, columns={"user_id": "session"}))
    assert raw.rows.rows() == [("s", "i")]
    with pytest.raises(DataError, match=r"x\.inter: no column for user_id"):
        read(ReadRequest(tmp_path))


def test_items_from_another_table(tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text(INTER + ROWS)
    (tmp_path / "films.csv").write_text("item_id,title\ni1,One\n")
    raw = read(ReadRequest(tmp_path, metadata=tmp_path / "films.csv"))
    assert raw.items["title"].to_list() == ["One"]


def test_header_without_types(tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text("user_id\titem_id\nu\ti\n")
    request = ReadRequest(tmp_path)
    assert read(request).rows.rows() == [("u", "i")]
    assert request.log.warnings[0] == "x.inter: the columns have no types; all are read as text"


def test_header_with_some_types(tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text("user_id\titem_id:token\nu\ti\n")
    with pytest.raises(DataError, match=r"x\.inter, line 1: column 'user_id' has no type"):
        read(ReadRequest(tmp_path))


def test_bad_row(tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text(INTER + ROWS + "u3\ti3\tmany\t5\n")
    with pytest.raises(DataError, match=r"x\.inter, line 4: unparsable rating"):
        read(ReadRequest(tmp_path))


def test_several_or_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no RecBole \.inter file"):
        read(ReadRequest(tmp_path), "recbole")
    for name in ("a.inter", "b.inter"):
        (tmp_path / name).write_text(INTER + ROWS)
    with pytest.raises(DataError, match=r"several \.inter files \(a\.inter, b\.inter\)"):
        read(ReadRequest(tmp_path))
