"""P5 folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewise.data.readers import detect_format, read
from edgewise.data.readers.raw import ReadRequest
from edgewise.data.readers.read_log import ReadLog
from edgewise.errors import DataError

MAPS = {"id2user": {"1": "U1", "2": "U2"}, "id2item": {"1": "I1", "2": "I2", "3": "I3"}}


def make_folder(folder: Path, lines: str = "1 1 2 3\n2 3 1\n", maps: object = MAPS) -> Path:
    (folder / "sequential.txt").write_text(lines)
    (folder / "datamaps.json").write_text(json.dumps(maps))
    return folder


def test_rows_keep_the_order_of_the_lines(tmp_path: Path) -> None:
    make_folder(tmp_path)
    assert detect_format(tmp_path) == detect_format(tmp_path / "sequential.txt") == "p5"
    raw = read(ReadRequest(tmp_path))
    assert raw.rows.rows() == [
        ("U1", "I1"),
        ("U1", "I2"),
        ("U1", "I3"),
        ("U2", "I3"),
        ("U2", "I1"),
    ]
    assert raw.numbers == (("U1", "U2"), ("I1", "I2", "I3"))
    assert raw.files == ("sequential.txt", "datamaps.json")
    assert read(ReadRequest(tmp_path / "sequential.txt")).rows.equals(raw.rows)


def test_items(tmp_path: Path) -> None:
    make_folder(tmp_path)
    lines = [
        {"asin": "I1", "title": None, "categories": [["A", "B"]]},
        {"asin": "I3", "title": "Three", "categories": []},
    ]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, lines)))
    raw = read(ReadRequest(tmp_path))
    assert raw.items.select("item_id", "title", "categories").rows() == [
        ("I1", "", ["A", "B"]),
        ("I3", "Three", []),
    ]


@pytest.mark.parametrize(
    ("line", "kind"),
    [("3 1", "unknown id: user 3"), ("1 9", "unknown id: item 9"), ("2", "missing field")],
)
def test_bad_lines(tmp_path: Path, line: str, kind: str) -> None:
    make_folder(tmp_path, f"1 1 2\n{line}\n2 3\n")
    with pytest.raises(DataError, match=rf"sequential\.txt, line 2: {kind}"):
        read(ReadRequest(tmp_path))
    bad = ReadLog(skip=True)
    assert read(ReadRequest(tmp_path, bad)).rows.height == 3
    assert bad.counts == {kind.split(":")[0]: 1}


def test_numbers_that_do_not_count_are_no_indices(tmp_path: Path) -> None:
    maps = {"id2user": {"1": "U1"}, "id2item": {"1": "I1", "5": "I5"}}
    raw = read(ReadRequest(make_folder(tmp_path, "1 1 5\n", maps)))
    assert raw.numbers is None


@pytest.mark.parametrize("maps", [[], {"id2user": {}}, {"id2user": 1, "id2item": {}}])
def test_bad_maps(tmp_path: Path, maps: object) -> None:
    with pytest.raises(DataError, match="should hold a JSON object with id2user and id2item"):
        read(ReadRequest(make_folder(tmp_path, maps=maps)))


def test_missing_files(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "datamaps.json").unlink()
    with pytest.raises(DataError, match=r"datamaps\.json: there is no such file"):
        read(ReadRequest(tmp_path))


@pytest.mark.parametrize(
    ("name", "rows", "users", "items"),
    [("beauty", 198_502, 22_363, 12_101), ("toys", 167_597, 19_412, 11_924)],
)
def test_real_folders(real_data: Path, name: str, rows: int, users: int, items: int) -> None:
    raw = read(ReadRequest(real_data / name))
    assert raw.rows.height == rows
    assert raw.rows["user_id"].n_unique() == users
    assert raw.rows["item_id"].n_unique() == items == raw.items.height
    assert raw.numbers is not None
    first = (real_data / name / "sequential.txt").read_text().split("\n", 1)[0].split()
    expected = [raw.numbers[1][int(number) - 1] for number in first[1:]]
    assert raw.rows["item_id"].head(len(expected)).to_list() == expected
