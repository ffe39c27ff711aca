"""Ids as they are typed and as files hold them; which ids of a data set are meant."""

from __future__ import annotations

import json
import time

import polars as pl
import pytest

from edgewise.cli.ids import IdFinder, for_everybody, given_ids, read_ids
from edgewise.data.dataset import Vocabulary
from edgewise.errors import ConfigError, UnknownIdError

IDS = ("1", "2", "3.0", "100000", "Papers, Please", "Dota 2", "  spaced", 'Sid "Civ" V', "a\\b")
ITEMS = IdFinder(Vocabulary((*IDS, '"q"', "007", "x=y", "-dash", "A", "A, B", "B"), "item"))


def found(*values: str) -> list[str]:
    return ITEMS.known(given_ids("--history", values, ITEMS))


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (["1,2"], ["1", "2"]),
        (["1", "2,1"], ["1", "2"]),
        ([" 1 , 2 ,"], ["1", "2"]),
        (["Papers, Please"], ["Papers, Please"]),
        (["Papers, Please,Dota 2"], ["Papers, Please", "Dota 2"]),
        (["1,Papers\\, Please,Dota 2"], ["1", "Papers, Please", "Dota 2"]),
        (['1, "Papers, Please",Dota 2'], ["1", "Papers, Please", "Dota 2"]),
        (["  spaced,1"], ["  spaced", "1"]),
        (['Sid "Civ" V,x=y,a\\b'], ['Sid "Civ" V', "x=y", "a\\b"]),
        (['"q"'], ['"q"']),
        (["A, B"], ["A, B"]),
        (["A,B"], ["A", "B"]),
        (["-dash,007"], ["-dash", "007"]),
        (["1.0,2.00"], ["1", "2"]),
        (["3"], ["3.0"]),
        (["1e+05"], ["100000"]),
    ],
)
def test_ids_that_are_typed(values, ids):
    assert found(*values) == ids


def test_a_history_may_have_an_item_twice():
    typed = given_ids("--history", ["1,2,1"], ITEMS)
    assert ITEMS.known(typed) == ["1", "2"] and ITEMS.known(typed, once=False) == ["1", "2", "1"]


def test_a_number_that_is_read_as_another_spelling_is_said(capsys):
    found("1.0,2.0", "Dota 2 ", "  spaced")
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "warning: --history: '1.0' is read as the item '1' (and 1 more)"
    found("1", '"2"', " Papers, Please")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["7", "1.5", "1e999999999", "NaN", "inf", "Papers", "-1", "0x1"])
def test_what_no_id_is_like_is_unknown(text):
    assert ITEMS.find(text) is None


def test_unknown_ids_are_refused_with_their_place_and_what_to_do(tmp_path, capsys):
    finder = IdFinder(Vocabulary(("u1", "u2", "u3", "u4"), "user"), hint="Ask somebody.")
    file = tmp_path / "users.txt"
    file.write_text("u1\n\nzzz\nyyy\n")
    given = given_ids("--users", [str(file)], finder)
    with pytest.raises(UnknownIdError) as error:
        finder.known(given)
    message = str(error.value)
    assert message.startswith(f"{file}:3: unknown user id 'zzz'")
    assert "Some that it has: u1, u2, u3." in message and "(and 1 more)" in message
    assert message.endswith("Ask somebody.")
    lenient = IdFinder(finder.vocabulary, skip_unknown=True)
    assert lenient.known(given) == ["u1"]
    assert "skipped: unknown user id 'zzz', 'yyy'" in capsys.readouterr().err


def test_many_unknown_ids_are_skipped_in_no_time(capsys):
    finder = IdFinder(Vocabulary(tuple(f"u{n}" for n in range(20_000))), skip_unknown=True)
    start = time.process_time()
    typed = given_ids("--users", [",".join(f"x{n}" for n in range(20_000))], finder)
    assert finder.known(typed) == [] and time.process_time() - start < 2
    assert "(and 19,997 more)" in capsys.readouterr().err


TABLES = {
    "list.txt": "1,Papers, Please\n",
    "index.csv": ',movieId\n0,1.0\n1,"Papers, Please"\n',
    "lines.txt": "1\n\nPapers, Please\n",
    "quoted.txt": '"1"\r\n"Papers, Please"\r\n',
    "marked.txt": "\ufeff1\nPapers, Please",
    "header.txt": "item_id\n1\nPapers, Please\n",
    "lines.csv": '1\n"Papers, Please"\n',
    "header.csv": '"movieId"\n1\n"Papers, Please"\n',
    "columns.csv": 'rank,ASIN,title\n1,1.0,"a, b"\n2,"Papers, Please",c\n',
    "columns.tsv": 'item_id\ttitle\n1\t19" screen\nPapers, Please\t"x\n',
    "semicolons.csv": "item id;price\n1;2,5\nPapers, Please;3,0\n",
    "numbers.json": '[1, "Papers, Please"]',
    "floats.json": '[1.0, "Papers, Please"]',
    "records.json": '[{"item_id": 1, "score": 0.5}, {"item_id": "Papers, Please"}]',
    "lines.jsonl": '1\n\n{"item": "Papers, Please"}\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_files_of_ids(tmp_path, name):
    file = tmp_path / name
    file.write_text(TABLES[name], encoding="utf-8", newline="")
    assert found(str(file)) == ["1", "Papers, Please"]


def test_a_parquet_file_of_ids(tmp_path):
    file = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": [1.0, 2.0], "score": [0.5, None]}).write_parquet(file)
    assert found(str(file)) == ["1", "2"]


BY_USER = {
    "a.csv": "user_id,item_id,score\nu1,1,0.3\nu1,2,0.1\nu2,1,0.2\n",
    "b.csv": "userId,movieId\nu1,1\nu1,2\nu2,1\n",
    "a.json": '{"u1": [1, "2"], "u2": ["1"]}',
    "b.json": '[{"user": "u1", "item": 1}, {"user": "u1", "item": 2}, {"user": "u2", "item": 1}]',
    "c.json": '[{"user_id": "u1", "items": [{"item_id": "1"}, {"item_id": "2"}]}, '
    '{"user_id": "u2", "items": [{"item_id": "1"}]}]',
}


@pytest.mark.parametrize("name", BY_USER)
def test_candidates_by_user(tmp_path, name):
    file = tmp_path / name
    file.write_text(BY_USER[name])
    rows = read_ids(file, "item")
    assert [(row.user, row.id) for row in rows] == [("u1", "1"), ("u1", "2"), ("u2", "1")]
    with pytest.raises(ConfigError, match=r"--exclude: .*several users \(u1, u2\)"):
        for_everybody("--exclude", rows)
    if "json" not in name:
        assert [row.id for row in read_ids(file, "user")] == ["u1", "u1", "u2"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "a.txt: no item ids in this file"),
        ("a.txt", " \n\n", "a.txt: no item ids in this file"),
        ("a.csv", "item_id\n", "a.csv: no item ids in this file"),
        ("a.csv", "user_id,item_id\n", "a.csv: no item ids in this file"),
        ("a.json", "[]", "a.json: no item ids in this file"),
        ("a.json", "{}", "a.json: no item ids in this file"),
        ("a.csv", "name,what\n1,2\n", r"a.csv:1: the first line, 'name,what', names no column"),
        ("a.csv", "user_id,price\n1,2\n", "a.csv:1: no column of item ids; .* user_id, price"),
        ("a.csv", "user_id\n1\n", "a.csv:1: 'user_id' names a column of other ids"),
        ("a.csv", "user_id,item_id\nu1,\n", "a.csv:2: the item is missing"),
        ("a.csv", "user_id,item_id\n,i1\n", "a.csv:2: the user is missing"),
        ("a.csv", "user_id,item_id\nu1,i1\nu1,i2,i3\n", "a.csv:3: 3 values, .* names 2 columns"),
        ("a.csv", 'user_id,item_id\nu1,"i1\nu1,i2\n', "a.csv:3: unexpected end of data"),
        ("a.json", "[", "a.json: not valid JSON"),
        ("a.json", "[1, NaN]", "a.json: not valid JSON .NaN is no number"),
        ("a.json", "[1, null]", "a.json, entry 2: None is no id"),
        ("a.json", "[true]", "a.json, entry 1: True is no id"),
        ("a.json", '{"u": [[1]]}', r"a.json, entry 1 of 'u': \['1'\] is no id"),
        ("a.json", '{"u": 1}', "a.json: a list of item ids is wanted"),
        ("a.json", '"i1"', "a.json: a list of item ids is wanted, or an object"),
        ("a.jsonl", "1\n[\n", "a.jsonl:2: not valid JSON"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, text, message):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_ids(file, "item")


def test_other_encodings_are_named(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("Café\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"a\.txt: not UTF-8 text .*save it as UTF-8"):
        read_ids(file, "item")


def test_an_id_goes_before_a_file_and_a_file_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1").write_text("2\n")
    assert found("1") == ["1"]
    with pytest.raises(ConfigError, match=r"--history old\.csv: no such file, and no item id"):
        found("old.csv")
    with pytest.raises(ConfigError, match="a list of user ids is wanted"):
        (tmp_path / "u.json").write_text(json.dumps({"u1": [1]}))
        read_ids(tmp_path / "u.json", "user")
