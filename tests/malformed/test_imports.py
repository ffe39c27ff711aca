"""Damaged sources: one line that names the file, or the rows that can be used."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.malformed.conftest import ROWS, guarded
from tests.malformed.mutations import DEEP, ESCAPES, LONG_NUMBER, any_file

FRAME = pl.DataFrame(ROWS)
LONG = "x" * 140_000


def write(path: Path, frame: pl.DataFrame) -> None:
    """A frame in the format that the file's name tells."""
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".jsonl":
        frame.write_ndjson(path)
    else:
        frame.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")


def imported(path: Path, tmp_path: Path, *more: object) -> None:
    """Import it, by both ways of treating bad rows; what is refused leaves no folder."""
    for bad_rows in ("error", "skip"):
        out = tmp_path / f"out-{bad_rows}"
        words = ("--out", out, "--on-bad-rows", bad_rows, *more)
        done = guarded("data", "import", path, *words, names=path.name)
        assert done.status == 0 or not out.exists()


DAMAGES = dict(any_file(cuts=2, flips=2))
FORMATS = ("csv", "tsv", "jsonl", "parquet")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("ending", FORMATS)
def test_damaged_files(tmp_path, ending, damage):
    path = tmp_path / f"rows.{ending}"
    write(path, FRAME)
    DAMAGES[damage](path)
    imported(path, tmp_path)


def row(**changes: object) -> bytes:
    return json.dumps(ROWS[0] | changes).encode() + b"\n"


HEAD = b"user_id,item_id,timestamp\n"
TEXTS = {
    "long-field.csv": HEAD + f"u1,{LONG},1\n".encode(),
    "long-header.csv": LONG.encode() + b",item_id\nu1,i1\n",
    "cr-only.csv": HEAD.replace(b"\n", b"\r") + b"u1,i1,1\ru2,i2,2\r",
    "nul.csv": HEAD + b"u1,i\x001,1\n",
    "nul-row.csv": HEAD + b"\x00\x00\x00\n",
    "short-not-utf-8.csv": HEAD + b"u1,i1,1\n\xff\nu2,i2,2\n",
    "latin-1.csv": HEAD + "é,i1,1\n".encode("latin-1"),
    "utf-16.csv": (HEAD + b"u1,i1,1\n").decode().encode("utf-16"),
    "escapes.csv": HEAD + f"{ESCAPES},[/],1\n".encode(),
    "escape-header.csv": f"user_id,item_id,{ESCAPES}\nu1,i1,1\n".encode(),
    "quote.csv": HEAD + b'"u1,i1,1\n' * 50,
    "digits.csv": HEAD + f"u1,i1,{LONG_NUMBER}\n".encode(),
    "infinite.csv": HEAD + b"u1,i1,inf\nu1,i2,nan\nu1,i3,1e999\n",
    "far-time.csv": HEAD + b"u1,i1,99999999999999999999\nu1,i2,-99999999999\n",
    "wide.csv": HEAD + b"u1" + b",x" * 5000 + b"\n",
    "twice.csv": b"user_id,user_id,item_id\nu1,u2,i1\n",
    "header-only.csv": HEAD,
    "deep.jsonl": row() + b'{"user_id": ' + b"[" * DEEP + b"\n",
    "deep-closed.jsonl": b'{"user_id": ' + b"[" * 5000 + b"]" * 5000 + b', "item_id": "i"}\n',
    "id-list.jsonl": row(item_id=["i1"]),
    "id-object.jsonl": row(user_id={"a": 1}),
    "id-null.jsonl": row(user_id=None),
    "id-true.jsonl": row(user_id=True),
    "id-float.jsonl": row(item_id=1.5),
    "asin-list.jsonl": b'{"reviewerID": "u1", "asin": ["a"], "unixReviewTime": 1}\n',
    "asin-object.jsonl": b'{"reviewerID": "u1", "asin": {"a": 1}, "unixReviewTime": 1}\n',
    "time-object.jsonl": row(timestamp={"$date": 1}),
    "time-text.jsonl": row(timestamp="yesterday"),
    "digits.jsonl": b'{"user_id": "u", "item_id": ' + LONG_NUMBER.encode() + b"}\n",
    "nan.jsonl": b'{"user_id": "u", "item_id": "i", "timestamp": NaN}\n',
    "infinite.jsonl": b'{"user_id": "u", "item_id": "i", "timestamp": 1e999}\n',
    "half.jsonl": b'{"user_id": "\\ud800", "item_id": "i"}\n',
    "nul.jsonl": b'{"user_id": "a\\u0000b", "item_id": "i"}\n',
    "lists.jsonl": b"[1]\n3\nnull\n",
    "array.jsonl": b"[" + row().strip() + b"]\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(TEXTS[name])
    imported(path, tmp_path)


NUMBER = pl.int_range(pl.len())
COLUMNS = {
    "times": NUMBER.cast(pl.Time).alias("timestamp"),
    "durations": NUMBER.cast(pl.Duration).alias("timestamp"),
    "dates": NUMBER.cast(pl.Int32).cast(pl.Date).alias("timestamp"),
    "datetimes": NUMBER.cast(pl.Datetime("ns", "UTC")).alias("timestamp"),
    "id-times": NUMBER.cast(pl.Time).alias("item_id"),
    "id-durations": NUMBER.cast(pl.Duration).alias("item_id"),
    "id-lists": pl.concat_list("item_id").alias("item_id"),
    "id-structs": pl.struct("item_id").alias("item_id"),
    "id-binary": pl.col("item_id").cast(pl.Binary).alias("item_id"),
    "id-nulls": pl.lit(None).alias("user_id"),
    "id-floats": (NUMBER / 3).alias("user_id"),
    "id-decimals": NUMBER.cast(pl.Decimal(20, 2)).alias("user_id"),
    "id-categories": pl.col("user_id").cast(pl.Categorical).alias("user_id"),
    "rating-text": pl.lit("good").alias("rating"),
    "rating-lists": pl.concat_list(pl.lit(1.0)).alias("rating"),
    "rating-nan": pl.lit(float("nan")).alias("rating"),
    "rating-infinite": pl.lit(float("inf")).alias("rating"),
    "no-rows": pl.col("user_id"),
}


@pytest.mark.parametrize("change", COLUMNS)
def test_columns_of_parquet(tmp_path, change):
    path = tmp_path / "rows.parquet"
    frame = FRAME.with_columns(COLUMNS[change])
    write(path, frame.clear() if change == "no-rows" else frame)
    imported(path, tmp_path)


METADATA = {
    "empty": b"",
    "junk": bytes(range(256)) * 9,
    "deep": b"[" * DEEP,
    "list-id": b'{"item_id": ["i1"], "title": "a"}\n',
    "object-title": b'{"item_id": "i1", "title": {"a": 1}}\n',
    "asin-list": b'{"asin": ["i1"], "title": "a"}\n',
    "asin-object": b'{"asin": {"a": 1}, "title": "a"}\n',
    "categories": b'{"asin": "i1", "categories": [[1, null, {}]]}\n',
    "categories-text": b'{"item_id": "i1", "categories": 3}\n',
    "long": b'{"item_id": "i1", "title": "' + LONG.encode() + b'"}\n',
    "nul": b'{"item_id": "i1", "title": "a\\u0000"}\n',
    "half": b'{"item_id": "i1", "title": "\\udc00"}\n',
    "escape": json.dumps({"item_id": "i1", "title": ESCAPES}).encode(),
    "no-id": b'{"title": "a"}\n',
    "digits": b'{"item_id": "i1", "title": ' + LONG_NUMBER.encode() + b"}\n",
    "python": b"{'asin': 'i1', 'title': 'a', 'x': " + b"(" * 5000 + b"}\n",
}


@pytest.mark.parametrize("name", METADATA)
def test_files_about_items(tmp_path, name):
    source, path = tmp_path / "rows.csv", tmp_path / "items.jsonl"
    write(source, FRAME)
    path.write_bytes(METADATA[name])
    for bad_rows in ("error", "skip"):
        out = tmp_path / f"out-{bad_rows}"
        words = ("--out", out, "--metadata", path, "--on-bad-rows", bad_rows)
        guarded("data", "import", source, *words, names="items.jsonl")


OPTIONS = [
    ("--format", "[/]"),
    ("--column", "user_id"),
    ("--column", "x=y"),
    ("--column", "user_id=999999999999999999999"),
    ("--column", f"user_id={LONG_NUMBER}"),
    ("--on-bad-rows", "[/]"),
    ("--min-rating", "nan"),
    ("--duplicates", "[/]"),
    ("--max-users", "0"),
    ("--max-users", "-1"),
    ("--k-core", "-1"),
    ("--k-core", str(10**30)),
    ("--id-order", "[/]"),
    ("--out", "/dev/null/x"),
    ("--out", "/dev/null"),
    ("--metadata", "/"),
    ("--seed", "-1"),
    ("--seed", str(2**64)),
    ("--name", ESCAPES),
    ("--name", ""),
    ("--name", LONG),
    ("--min-rating", "inf"),
]


@pytest.mark.parametrize(("option", "value"), OPTIONS, ids=lambda text: ascii(text)[:20])
def test_options_of_import(tmp_path, option, value):
    source = tmp_path / "rows.csv"
    write(source, FRAME)
    given = {"--out": tmp_path / "out"} | {option: value}
    guarded("data", "import", source, *[word for pair in given.items() for word in pair])
