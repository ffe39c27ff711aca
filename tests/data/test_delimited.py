"""Delimited text: separators, headers, quotes and encodings are looked at, told, and never guessed
away."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from edgewise.data.readers import read
from edgewise.data.readers.raw import Form, ReadRequest
from edgewise.data.readers.read_log import ReadLog
from edgewise.errors import ConfigError, DataError

ROWS = [("u1", "i1", "5"), ("u2", "i2", "4"), ("u1", "i2", "3")]
TEXT = "user_id,item_id,rating\nu1,i1,5\nu2,i2,4\nu1,i2,3\n"


def rows_of(path: Path, *, skip: bool = False, columns: dict | None = None, **form):
    request = ReadRequest(path, ReadLog(skip=skip), columns or {}, form=Form(**form))
    table = read(request).rows
    names = [name for name in ("user_id", "item_id", "rating", "review") if name in table.columns]
    return table.select(names).rows(), request.log


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", " ", "::"])
@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.txt", "r.dat"])
def test_separators_are_sniffed(tmp_path: Path, separator: str, name: str) -> None:
    found, log = rows_of(write(tmp_path / name, TEXT.replace(",", separator)))
    assert found == [("u1", "i1", 5.0), ("u2", "i2", 4.0), ("u1", "i2", 3.0)]
    told = {" ": "space", "\t": "tab"}.get(separator, repr(separator))
    assert log.layouts[name].startswith(f"separator {told}, names in line 1")


def test_a_separator_may_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", TEXT.replace(",", "~"))
    with pytest.raises(DataError, match=r"one column only.*--separator"):
        rows_of(path)
    assert len(rows_of(path, separator="~")[0]) == 3
    with pytest.raises(ConfigError, match="--separator ~~: give one character"):
        rows_of(path, separator="~~")


def test_places_mean_no_header_unless_the_first_line_holds_names(tmp_path: Path) -> None:
    places = {"user_id": "1", "item_id": "2"}
    found, _ = rows_of(write(tmp_path / "r.csv", "2,1,5\n3,1,4\n"), columns=places)
    assert found == [("2", "1"), ("3", "1")]
    found, log = rows_of(write(tmp_path / "r.csv", "user_id,item_id\nu1,i1\n"), columns=places)
    assert found == [("u1", "i1")]
    assert log.warnings[0].startswith("r.csv: line 1 holds names and is left out")
    path = write(tmp_path / "r.csv", "2,1,5\n3,1,4\n")
    with pytest.raises(
        DataError, match=r"looks like a row: .* --column user_id=1 --column item_id=2"
    ):
        rows_of(path)
    found, _ = rows_of(path, columns={"user_id": "2", "item_id": "1"}, header=True)
    assert found == [("3", "1")]


def test_a_quote_in_tsv_is_a_character(tmp_path: Path) -> None:
    text = 'user_id\titem_id\treview\nu1\ti1\t"Best ever\nu2\ti2\tok\nu3\ti"3\tfine"\n'
    found, _ = rows_of(write(tmp_path / "r.tsv", text))
    assert found == [("u1", "i1", '"Best ever'), ("u2", "i2", "ok"), ("u3", 'i"3', 'fine"')]


def test_a_tsv_whose_fields_all_stand_in_quotes(tmp_path: Path) -> None:
    text = '"user_id"\t"item_id"\n"u1"\t"i\t1"\n'
    assert rows_of(write(tmp_path / "r.tsv", text))[0] == [("u1", "i\t1")]


@pytest.mark.parametrize(
    ("rows", "line", "kept"),
    [
        # Never closed; closed in the middle of a later field; closed by another stray one.
        ('u1,i1,ok\nu2,i2,"Best\nu3,i3,ok\nu4,i4,ok\n', 3, ["u1", "u3", "u4"]),
        ('u1,i1,ok\nu2,i2,"Best\nu3,i3,5" wide\nu4,i4,ok\n', 3, ["u1", "u3", "u4"]),
        ('u1,i1,"A\nu2,i2,ok\nu3,i3,"B\nu4,i4,ok\n', 2, ["u2", "u4"]),
        ('u1,i1,"A\nu2,i2,ok\nu3,i3,27"\nu4,i4,ok\n', 2, ["u2", "u4"]),
    ],
)
def test_an_unclosed_quote_swallows_no_row(
    tmp_path: Path, rows: str, line: int, kept: list
) -> None:
    path = write(tmp_path / "r.csv", "user_id,item_id,review\n" + rows)
    with pytest.raises(DataError, match=rf"r\.csv, line {line}: unclosed quote: .*--quote none"):
        rows_of(path)
    found, log = rows_of(path, skip=True)
    users = [row[0] for row in found]
    assert set(kept) <= set(users)
    assert len(users) + sum(log.counts.values()) == 4
    assert len(rows_of(path, quote="none")[0]) == 4


def test_single_quotes_around_every_field(tmp_path: Path) -> None:
    text = "'user_id','item_id'\n'u1','it''s'\n"
    assert rows_of(write(tmp_path / "r.csv", text))[0] == [("u1", "it's")]


def test_comments_in_front_of_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / "out.txt", "% bip weighted\n% 2 2\n1 7 5\n2 8 4\n")
    found, log = rows_of(path, columns={"user_id": "1", "item_id": "2"})
    assert found == [("1", "7"), ("2", "8")]
    assert "lines up to 2 begin with % or #" in log.warnings[0]
    found, _ = rows_of(write(tmp_path / "r.csv", "#user_id,item_id\nu1,#1\n"))
    assert found == [("u1", "#1")]


def test_what_spreadsheets_write_in_front(tmp_path: Path) -> None:
    text = "sep=;\nuser_id;item_id;rating\nu1;i1;3,5\n"
    assert rows_of(write(tmp_path / "r.csv", text))[0] == [("u1", "i1", 3.5)]


@pytest.mark.parametrize(
    "head", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x80\x04\x95", b"\x93NUMPY"]
)
def test_files_of_other_programs_are_named(tmp_path: Path, head: bytes) -> None:
    with pytest.raises(DataError, match=r"r\.csv: an? .*; (unpack|save)"):
        rows_of(write(tmp_path / "r.csv", head + bytes(range(256))))


def test_texts_over_several_lines_are_read(tmp_path: Path) -> None:
    text = 'user_id,item_id,review\nu1,i1,"one\ntwo, three\n\nfour"\nu2,i2,x\n'
    found, _ = rows_of(write(tmp_path / "r.csv", text))
    assert [row[2] for row in found] == ["one\ntwo, three\n\nfour", "x"]


def test_a_backslash_before_a_quote(tmp_path: Path) -> None:
    text = 'user_id,item_id,review\nu1,i1,"said \\"wow\\", left"\nu2,i2,x\n'
    found, log = rows_of(write(tmp_path / "r.csv", text))
    assert found[0][2] == 'said "wow", left'
    assert "escape '\\'" in log.layouts["r.csv"]


def test_long_fields_keep_the_lines_right(tmp_path: Path) -> None:
    long = "x" * 140_000
    text = f'user_id,item_id,rating,review\nu1,i1,5,"{long}\n{long}"\nu2,i2,4,y\nu3,i3,bad,z\n'
    with pytest.raises(DataError, match="line 5: unparsable rating"):
        rows_of(write(tmp_path / "r.csv", text))


def test_a_repeated_header_is_left_out_and_told(tmp_path: Path) -> None:
    found, log = rows_of(write(tmp_path / "r.csv", TEXT + TEXT))
    assert len(found) == 6
    assert log.counts == {"repeated header line": 1}
    assert log.warnings[0] == "r.csv, line 5: the header stands there once more; left out"


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    assert len(rows_of(write(tmp_path / "r.csv", TEXT.replace("\n", end)))[0]) == 3


def test_a_carriage_return_inside_a_line(tmp_path: Path) -> None:
    found, log = rows_of(write(tmp_path / "r.tsv", "user_id\titem_id\nu\r1\ti1\nu2\ti2\n"))
    assert found == [("u 1", "i1"), ("u2", "i2")]
    assert "carriage returns inside lines" in log.warnings[0]


def pack_zip(data: bytes, path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.csv", data)
    return path.read_bytes()


@pytest.mark.parametrize("end", ["gz", "bz2", "xz", "zst", "zip"])
def test_archives(tmp_path: Path, end: str) -> None:
    path, data = tmp_path / f"r.csv.{end}", TEXT.encode() * 50
    pack = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
        "zip": lambda data: pack_zip(data, path),
    }[end]
    packed = pack(data)
    assert len(rows_of(write(path, packed))[0]) == 150
    with pytest.raises(DataError, match=rf"r\.csv\.{end}.*(damaged|zip)"):
        rows_of(write(path, packed[: len(packed) // 2]))


def test_an_archive_of_several_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("b.csv", TEXT)
    with pytest.raises(DataError, match=r"holds 2 files \(a\.csv, b\.csv\); unpack it"):
        rows_of(tmp_path / "r.zip")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_encodings_that_say_what_they_are(tmp_path: Path, encoding: str) -> None:
    text = TEXT.replace("u1", "ül")
    assert rows_of(write(tmp_path / "r.csv", text.encode(encoding)))[0][0][0] == "ül"


@pytest.mark.parametrize("skip", [False, True])
def test_other_encodings_are_asked_for(tmp_path: Path, skip: bool) -> None:
    path = write(
        tmp_path / "r.csv", TEXT.replace("u", "ü").replace("üser", "user").encode("cp1252")
    )
    with pytest.raises(DataError, match=r"r\.csv, line 2: .*--encoding cp1252"):
        rows_of(path, skip=skip)
    assert rows_of(path, encoding="cp1252")[0][0][0] == "ü1"
    with pytest.raises(ConfigError, match="--encoding nonsense: there is no such encoding"):
        rows_of(path, encoding="nonsense")


def test_single_lines_in_another_encoding_are_bad_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", TEXT.encode() + b"\xff\n" + TEXT.encode())
    with pytest.raises(DataError, match="line 5: wrong encoding: byte 1 of the line is not UTF-8"):
        rows_of(path)
    found, log = rows_of(path, skip=True)
    assert len(found) == 6
    assert log.counts["wrong encoding"] == 1


def test_decimal_commas(tmp_path: Path) -> None:
    text = 'user_id,item_id,rating\nu1,i1,"3,5"\nu2,i1,"4"\n'
    assert [row[2] for row in rows_of(write(tmp_path / "r.csv", text))[0]] == [3.5, 4.0]


def test_rows_of_one_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", "user,item,event\nu1,i1,view\nu1,i2,buy\nu2,i1,buy\n")
    request = ReadRequest(path)
    assert read(request).rows.height == 3
    assert any("--where event=VALUE" in text for text in request.log.warnings)
    request = ReadRequest(path, where={"event": ("buy",)})
    assert read(request).rows.height == 2
    assert request.log.counts == {"left out by --where": 1}
    with pytest.raises(
        ConfigError, match=r"no row of r\.csv has it; the column holds 'buy', 'view'"
    ):
        read(ReadRequest(path, where={"event": ("sale",)}))
    with pytest.raises(
        DataError, match="there is no such column; the columns are user, item, event"
    ):
        read(ReadRequest(path, where={"kind": ("buy",)}))
