"""Tables: csv, tsv, Parquet and JSON lines, the guesses about their columns, and bad rows."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewise.data.readers import detect_format, read
from edgewise.data.readers.raw import RawTable, ReadRequest
from edgewise.data.readers.read_log import ReadLog
from edgewise.errors import ConfigError, DataError

CSV = "user_id,item_id,timestamp,rating\nu1,a,10,5\nu2,b,20,\nu1,b,15,3.5\n"


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def read_all(path: Path, *, skip: bool = False, **columns: str) -> tuple[RawTable, ReadLog]:
    bad = ReadLog(skip=skip)
    return read(ReadRequest(path, bad, columns)), bad


def test_csv_keeps_source_order_and_types(tmp_path: Path) -> None:
    raw, _ = read_all(write(tmp_path / "log.csv", CSV))
    assert raw.rows["user_id"].to_list() == ["u1", "u2", "u1"]
    assert raw.rows["item_id"].to_list() == ["a", "b", "b"]
    assert raw.rows["timestamp"].to_list() == [10, 20, 15]
    assert raw.rows["rating"].to_list() == [5.0, None, 3.5]
    assert raw.rows.schema["timestamp"] == pl.Int64
    assert raw.rows.schema["rating"] == pl.Float32
    assert raw.items.is_empty()


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.tsv", "x.tsv.gz", "x.parquet", "x.jsonl"])
def test_every_table_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    expected, _ = read_all(write(tmp_path / "reference.csv", CSV))
    path = tmp_path / name
    frame = pl.read_csv(CSV.encode())
    if name.endswith(".parquet"):
        frame.write_parquet(path)
    elif name.endswith(".jsonl"):
        frame.write_ndjson(path)
    else:
        write(path, CSV if ".csv" in name else CSV.replace(",", "\t"))
    raw, _ = read_all(path)
    assert raw.rows.equals(expected.rows)
    assert raw.layout == detect_format(path) == name.split(".")[1]


@pytest.mark.parametrize(
    ("user", "item", "time", "stars"),
    [
        ("userId", "movieId", "timestamp", "rating"),
        ("reviewerID", "asin", "unixReviewTime", "overall"),
        ("user", "item", "Date", "stars"),
        ("User-ID", "Product ID", "created_at", "Score"),
    ],
)
def test_columns_are_guessed(tmp_path: Path, user: str, item: str, time: str, stars: str) -> None:
    text = f"{stars},junk,{time},{item},{user}\n4,x,7,i,u\n"
    raw, _ = read_all(write(tmp_path / "log.csv", text))
    assert raw.rows.row(0, named=True) == {
        "user_id": "u",
        "item_id": "i",
        "timestamp": 7,
        "rating": 4.0,
    }


def test_columns_can_be_named_and_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "user_id,who,item,time\nx,u,i,garbage\n")
    raw, _ = read_all(path, user_id="who", timestamp="")
    assert raw.rows.to_dicts() == [{"user_id": "u", "item_id": "i"}]


def test_columns_by_place_mean_no_header(tmp_path: Path) -> None:
    path = write(tmp_path / "ratings.csv", "u1,i1,5.0,100\nu2,i2,4.0,200\n")
    raw, _ = read_all(path, user_id="1", item_id="2", rating="3", timestamp="4")
    assert raw.rows.to_dict(as_series=False) == {
        "user_id": ["u1", "u2"],
        "item_id": ["i1", "i2"],
        "rating": [5.0, 4.0],
        "timestamp": [100, 200],
    }


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "person,item\nu,i\n")
    with pytest.raises(DataError, match=r"log\.csv: no column for user_id; .* person, item"):
        read_all(path)
    with pytest.raises(DataError, match="there is no column 'persn'"):
        read_all(path, user_id="persn")
    with pytest.raises(ConfigError, match=r"unknown field 'user'.*Did you mean 'user_id'"):
        read_all(path, user="person")


BAD_CSV = [
    ("u1,a\n", "missing field"),
    ("u1,a,1,2,3\n", "extra field"),
    (",a,1,2\n", "empty id"),
    ("u1,  ,1,2\n", "empty id"),
    ("u1,a,soon,2\n", "unparsable time"),
    ("u1,a,,2\n", "missing field"),
    ("u1,a,1,good\n", "unparsable rating"),
    ("u1,NULL,1,2\n", "empty id"),
    (b"u\xff,a,1,2\n", "wrong encoding"),
    ('u1,"a" b,1,2\n', "unclosed quote"),
]


@pytest.mark.parametrize(("line", "kind"), BAD_CSV)
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_bad_csv_rows(tmp_path: Path, line: str | bytes, kind: str, ending: str) -> None:
    line = line.encode() if isinstance(line, str) else line
    head = b'user_id,item_id,timestamp,rating\nu1,a,1,5\n"u\n2",b,2,4\n\n'
    path = write(tmp_path / f"log.{ending}", head + line + b"u3,c,3,3\n")
    with pytest.raises(DataError, match=rf"log\.{ending}, line 6: {kind}.*--on-bad-rows skip"):
        read_all(path)
    raw, bad = read_all(path, skip=True)
    assert raw.rows["user_id"].to_list() == ["u1", "u\n2", "u3"]
    assert bad.counts == {kind: 1}


def test_a_row_counts_once_and_kinds_are_told_apart(tmp_path: Path) -> None:
    text = "user_id,item_id,timestamp\n,,soon\nu,a,soon\nu,a,late\nu,a,1\nu\n"
    raw, bad = read_all(write(tmp_path / "log.csv", text), skip=True)
    assert bad.counts == {"empty id": 1, "unparsable time": 2, "missing field": 1}
    assert raw.rows.height == 1


def test_first_bad_row_is_the_one_named(tmp_path: Path) -> None:
    text = "user_id,item_id,rating\nu,a,1\nu,a,bad\n,a,2\n"
    with pytest.raises(DataError, match="line 3: unparsable rating"):
        read_all(write(tmp_path / "log.csv", text))


def test_a_quote_inside_a_field_hides_no_line(tmp_path: Path) -> None:
    text = 'user_id,item_id,review\nu,12" single,x\nv,b,"two\nlines, ""so"""\nw,,z\n'
    path = write(tmp_path / "log.csv", text)
    with pytest.raises(DataError, match="line 5: empty id: user_id='w'"):
        read_all(path)
    raw, _ = read_all(path, skip=True)
    assert raw.rows["item_id"].to_list() == ['12" single', "b"]
    assert raw.rows["review"].to_list() == ["x", 'two\nlines, "so"']


def test_progress_is_for_terminals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "log.csv", CSV)
    monkeypatch.setattr("edgewise.data.readers.sources.LONG_FILE", 0)
    read_all(path)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert read_all(path)[0].rows.height == 3
    assert "reading log.csv" in capsys.readouterr().err


def test_bad_row_in_a_late_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewise.data.readers.sources.CHUNK", 64)
    lines = [f"u{n},i{n},{n}" for n in range(200)]
    lines[150] = "u150,i150,never"
    path = write(tmp_path / "log.csv", "user_id,item_id,timestamp\n" + "\n".join(lines))
    with pytest.raises(DataError, match="line 152: unparsable time: user_id='u150'"):
        read_all(path)
    raw, _ = read_all(path, skip=True)
    assert raw.rows["user_id"].to_list() == [f"u{n}" for n in range(200) if n != 150]


def test_truncated_gzip(tmp_path: Path) -> None:
    lines = [f"u{n * 7919 % 10007},i{n * 104729 % 9973},{n}" for n in range(5000)]
    path = write(tmp_path / "log.csv.gz", "\n".join(["user_id,item_id,timestamp", *lines]))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"log\.csv\.gz, line \d+: damaged archive"):
        read_all(path)
    raw, bad = read_all(path, skip=True)
    assert bad.counts == {"damaged archive": 1}
    kept = raw.rows.select(pl.concat_str(pl.all().cast(pl.String), separator=",")).to_series()
    assert 1000 < len(kept) < 5000
    assert kept.to_list() == lines[: len(kept)]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_gzip_truncated_before_its_first_line_ends(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"log.{kind}.gz", '{"user_id": "u", "item_id": "i", "timestamp": 3}')
    path.write_bytes(path.read_bytes()[:12])
    with pytest.raises(DataError, match=rf"log\.{kind}\.gz, line 1: damaged archive"):
        read_all(path)


def test_unpacked_file_that_kept_its_gz_name(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_text(CSV)
    assert read_all(path)[0].rows.height == 3


def test_gzip_of_several_members_and_padding(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    head, *rest = CSV.splitlines(keepends=True)
    path.write_bytes(gzip.compress(head.encode()) + gzip.compress("".join(rest).encode()) + b"\0\0")
    assert read_all(path)[0].rows.height == 3


def test_altered_gzip(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv.gz", CSV)
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged archive"):
        read_all(path)


BAD_JSON = [
    ('{"user_id": "u", "item_id": ', "wrong JSON"),
    ('["u", "a"]', "wrong JSON"),
    ('{"user_id": "u", "timestamp": 1}', "missing field"),
    ('{"user_id": null, "item_id": "a", "timestamp": 1}', "missing field"),
    ('{"user_id": "", "item_id": "a", "timestamp": 1}', "empty id"),
    ('{"user_id": "u", "item_id": "a", "timestamp": "x"}', "unparsable time"),
    ('{"user_id": "u", "item_id": "a", "timestamp": 1, "rating": "x"}', "unparsable rating"),
    ('{"user_id": "\\ud800", "item_id": "a", "timestamp": 1}', "wrong encoding"),
    (b'{"user_id": "\xff", "item_id": "a", "timestamp": 1}', "wrong encoding"),
]


@pytest.mark.parametrize(("line", "kind"), BAD_JSON)
def test_bad_json_rows(tmp_path: Path, line: str | bytes, kind: str) -> None:
    line = line.encode() if isinstance(line, str) else line
    good = {"user_id": 1, "item_id": "b", "timestamp": 5, "rating": 4, "text": 'says "ü"'}
    lines = [json.dumps(good).encode(), b"", line, json.dumps(good).encode()]
    path = write(tmp_path / "log.jsonl", b"\n".join(lines))
    with pytest.raises(DataError, match=rf"log\.jsonl, line 3: {kind}"):
        read_all(path)
    raw, bad = read_all(path, skip=True)
    assert bad.counts == {kind: 1}
    expected = {"user_id": "1", "item_id": "b", "timestamp": 5, "rating": 4.0, "review": 'says "ü"'}
    assert raw.rows.to_dicts() == [expected, expected]


def test_parquet_types(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    moment = datetime(2020, 1, 2, 3, 4, 5)
    pl.DataFrame(
        {
            "user_id": [1, 2],
            "item_id": [7.0, None],
            "date": [moment, moment],
            "review": [None, "fine"],
        }
    ).write_parquet(path)
    with pytest.raises(DataError, match="line 2: missing field"):
        read_all(path)
    raw, _ = read_all(path, skip=True)
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    assert raw.rows.rows() == [("1", "7", seconds, "")]


def test_damaged_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_all(write(tmp_path / "log.parquet", b"PAR1 no more"))


def test_items_beside_interactions(tmp_path: Path) -> None:
    write(tmp_path / "interactions.csv", CSV)
    write(tmp_path / "items.csv", "item,name,brand,genres\na,A tale,Acme,Old|New\na,Again,,\n")
    raw, _ = read_all(tmp_path)
    assert raw.files == ("interactions.csv", "items.csv")
    assert raw.items.to_dicts() == [
        {
            "item_id": "a",
            "title": "A tale",
            "brand": "Acme",
            "categories": ["Old", "New"],
            "description": "",
        }
    ]


@pytest.mark.parametrize("name", ["meta.jsonl", "meta.parquet"])
def test_metadata_by_name(tmp_path: Path, name: str) -> None:
    table = pl.DataFrame({"asin": ["a", ""], "title": ["T", "U"], "category": [["x", "y"], None]})
    path = tmp_path / name
    table.write_ndjson(path) if name.endswith("jsonl") else table.write_parquet(path)
    source = write(tmp_path / "log.csv", CSV)
    with pytest.raises(DataError, match=rf"{name}, line 2: empty id"):
        read(ReadRequest(source, metadata=path))
    raw = read(ReadRequest(source, ReadLog(skip=True), metadata=path))
    assert raw.items["categories"].to_list() == [["x", "y"]]


def test_detection_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot tell the format.*--format \(csv, tsv"):
        detect_format(write(tmp_path / "log.xyz", b"\0\1\2\3"))
    with pytest.raises(DataError, match="cannot tell the format of this folder"):
        detect_format(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        read(ReadRequest(tmp_path / "nowhere.csv"))
    with pytest.raises(ConfigError, match="Did you mean 'parquet'"):
        read(ReadRequest(tmp_path / "log.xyz"), "parket")


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n \n"])
def test_an_empty_file_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"log\.csv: the file is empty"):
        read_all(write(tmp_path / "log.csv", content))


def test_header_alone_gives_no_rows(tmp_path: Path) -> None:
    raw, _ = read_all(write(tmp_path / "log.csv", "user_id,item_id\n"))
    assert raw.rows.is_empty()


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=8)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6))
def test_any_text_survives_csv(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    frame = pl.DataFrame(
        {
            "user_id": [f"u{left}u" for left, _ in pairs],
            "item_id": [f"i{right}i" for _, right in pairs],
            "review": [left + right for left, right in pairs],
        }
    )
    path = tmp_path / "log.csv"
    frame.write_csv(path, quote_style="always")
    raw, _ = read_all(path)
    assert raw.rows.equals(frame)
