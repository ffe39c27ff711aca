"""Amazon reviews and metadata in the layouts of three years."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from edgewise.data.readers import detect_format, read
from edgewise.data.readers.amazon_metadata import category_path, find_metadata, plain_text
from edgewise.data.readers.raw import ReadRequest
from edgewise.data.readers.read_log import ReadLog
from edgewise.errors import ConfigError, DataError

REVIEW_2014 = {
    "reviewerID": "A1",
    "asin": "B1",
    "helpful": [0, 0],
    "reviewText": "It&#39;s good &amp; loud",
    "overall": 5.0,
    "summary": "Loud",
    "unixReviewTime": 1393545600,
    "reviewTime": "02 28, 2014",
}
REVIEW_2018 = {**REVIEW_2014, "verified": True, "overall": 4.0}
REVIEW_2023 = {
    "rating": 3.0,
    "title": "So so",
    "text": "Meh",
    "asin": "B1-red",
    "parent_asin": "B1",
    "user_id": "A1",
    "timestamp": 1588687728923,
}
META_2014 = (
    "{'asin': 'B1', 'title': 'Bob\\'s \"Horn\"', 'brand': 'Toot', 'description': 'A horn.',"
    " 'categories': [['Music', 'Brass'], ['Toys']]}"
)
META_2018 = {
    "asin": "B1",
    "title": "Horn &amp; Co",
    "brand": "Toot",
    "description": ["A horn.", "Brass."],
    "category": ["Music", "Music", "Brass"],
}
META_2023 = {
    "parent_asin": "B1",
    "title": "Horn",
    "store": "Toot",
    "description": ["A horn."],
    "categories": ["Music", "Brass"],
}


def pack(path: Path, *lines: object) -> Path:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_2014(tmp_path: Path) -> None:
    pack(tmp_path / "reviews_Horns_5.json.gz", REVIEW_2014)
    pack(tmp_path / "meta_Horns.json.gz", META_2014, {"asin": "B9", "title": "Not reviewed"})
    assert detect_format(tmp_path) == "amazon"
    raw = read(ReadRequest(tmp_path))
    assert raw.layout == "amazon-2014"
    assert raw.files == ("reviews_Horns_5.json.gz", "meta_Horns.json.gz")
    assert raw.rows.to_dicts() == [
        {
            "user_id": "A1",
            "item_id": "B1",
            "timestamp": 1393545600,
            "rating": 5.0,
            "review": "It's good & loud",
            "summary": "Loud",
        }
    ]
    assert raw.items.to_dicts() == [
        {
            "item_id": "B1",
            "title": 'Bob\'s "Horn"',
            "brand": "Toot",
            "categories": ["Music", "Brass"],
            "description": "A horn.",
        }
    ]


def test_2018_finds_metadata_beside_the_file(tmp_path: Path) -> None:
    reviews = pack(tmp_path / "Horns_5.json.gz", REVIEW_2018, REVIEW_2018)
    pack(tmp_path / "meta_Horns.json.gz", META_2018)
    assert detect_format(reviews) == "amazon"
    raw = read(ReadRequest(reviews))
    assert raw.layout == "amazon-2018"
    assert raw.rows.height == 2
    item = raw.items.row(0, named=True)
    assert item["title"] == "Horn & Co"
    assert item["description"] == "A horn. Brass."
    assert item["categories"] == ["Music", "Brass"]


def test_2023_counts_milliseconds_and_parents(tmp_path: Path) -> None:
    reviews = pack(tmp_path / "Horns.jsonl.gz", REVIEW_2023)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    metadata = pack(elsewhere / "items.jsonl", META_2023)
    assert read(ReadRequest(reviews)).items.is_empty()
    raw = read(ReadRequest(reviews, metadata=metadata))
    assert raw.layout == "amazon-2023"
    assert raw.rows.to_dicts() == [
        {
            "user_id": "A1",
            "item_id": "B1",
            "timestamp": 1588687728,
            "rating": 3.0,
            "review": "Meh",
            "summary": "So so",
        }
    ]
    assert raw.items["brand"].to_list() == ["Toot"]


def test_optional_keys_may_be_absent(tmp_path: Path) -> None:
    bare = {key: REVIEW_2014[key] for key in ("reviewerID", "asin", "unixReviewTime")}
    raw = read(ReadRequest(pack(tmp_path / "r.json", REVIEW_2014, bare)))
    assert raw.rows["rating"].to_list() == [5.0, None]
    assert raw.rows["review"].to_list() == ["It's good & loud", ""]


def test_literals_are_not_run(tmp_path: Path) -> None:
    reviews = pack(tmp_path / "r.json", REVIEW_2014)
    metadata = pack(tmp_path / "m.json", META_2014, "{'asin': __import__('os').getcwd()}")
    with pytest.raises(DataError, match=r"m\.json, line 2: wrong JSON"):
        read(ReadRequest(reviews, metadata=metadata))
    bad = ReadLog(skip=True)
    assert read(ReadRequest(reviews, bad, metadata=metadata)).items.height == 1
    assert bad.item_counts == {"wrong JSON": 1}


def test_metadata_from_a_table(tmp_path: Path) -> None:
    reviews = pack(tmp_path / "r.json", REVIEW_2014)
    metadata = pack(tmp_path / "m.csv", "asin,title", "B1,Horn")
    assert read(ReadRequest(reviews, metadata=metadata)).items["title"].to_list() == ["Horn"]


def test_metadata_without_an_id(tmp_path: Path) -> None:
    reviews = pack(tmp_path / "r.json", REVIEW_2014)
    metadata = pack(tmp_path / "m.json", {"title": "nameless"})
    with pytest.raises(DataError, match=r"m\.json, line 1: missing field"):
        read(ReadRequest(reviews, metadata=metadata))


def test_titles_that_are_page_scripts_are_dropped(tmp_path: Path) -> None:
    reviews = pack(tmp_path / "r.json", REVIEW_2018)
    script = {**META_2018, "title": "var aPageStart = (new Date()).getTime();"}
    raw = read(ReadRequest(reviews, metadata=pack(tmp_path / "m.json", script)))
    assert raw.items["title"].to_list() == [""]


def test_several_review_files_must_be_told_apart(tmp_path: Path) -> None:
    pack(tmp_path / "Horns_5.json.gz", REVIEW_2018)
    pack(tmp_path / "Drums_5.json.gz", REVIEW_2018)
    with pytest.raises(DataError, match=r"several review files \(Drums_5.json.gz, Horns_5"):
        read(ReadRequest(tmp_path))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "r.json", {"user_id": "u", "item_id": "i"})
    assert detect_format(path) == "jsonl"
    with pytest.raises(DataError, match="no Amazon reviews here"):
        read(ReadRequest(path), "amazon")
    with pytest.raises(ConfigError, match="amazon has fixed columns"):
        read(ReadRequest(path, columns={"user_id": "u"}), "amazon")


@pytest.mark.parametrize(
    ("reviews", "metadata"),
    [
        ("reviews_X_5.json.gz", "meta_X.json.gz"),
        ("X_5.json.gz", "meta_X.json.gz"),
        ("X.jsonl.gz", "meta_X.jsonl.gz"),
        ("X.jsonl", "meta_X.jsonl.gz"),
        ("X_5.json", "meta_Y.json"),
    ],
)
def test_find_metadata(tmp_path: Path, reviews: str, metadata: str) -> None:
    (tmp_path / metadata).touch()
    found = find_metadata(tmp_path / reviews)
    assert found == (None if "Y" in metadata else tmp_path / metadata)


def test_texts_and_paths() -> None:
    assert plain_text(None) == plain_text([]) == ""
    assert plain_text([" a\n b ", None, "&lt;c"]) == "a b <c"
    assert category_path(None) == category_path([]) == category_path([[]]) == []
    assert category_path("Music") == ["Music"]
    assert category_path([["A", "B"], ["C"]]) == ["A", "B"]


def test_real_musical_instruments(real_data: Path) -> None:
    raw = read(ReadRequest(real_data / "musical_instruments"))
    assert raw.layout == "amazon-2014"
    assert raw.rows.height == 10_261
    assert raw.rows["user_id"].n_unique() == 1_429
    assert raw.rows["item_id"].n_unique() == 900
    assert raw.rows.row(0, named=True)["summary"] == "good"
    assert set(raw.rows["rating"].unique()) == {1.0, 2.0, 3.0, 4.0, 5.0}


def test_real_gift_cards(real_data: Path) -> None:
    raw = read(ReadRequest(real_data / "gift_cards"))
    assert raw.layout == "amazon-2018"
    assert raw.rows.height == 2_972
    assert raw.rows["user_id"].n_unique() == 458
    assert raw.rows["item_id"].n_unique() == 148
    assert raw.rows.select("user_id", "item_id").n_unique() == 2_965
    assert set(raw.items["item_id"]) == set(raw.rows["item_id"])
