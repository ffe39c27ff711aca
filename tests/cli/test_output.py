"""Lists go where they are sent, in every format, whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import threading
from io import StringIO

import polars as pl
import pytest
from rich.console import Console

from edgewise import locks
from edgewise.cli.output import choose_format, examples, list_table, open_sink, warn
from edgewise.errors import ConfigError, LockedError

COLUMNS = ("user_id", "item_id", "rank", "score", "title")
FIRST = pl.DataFrame(
    [("u1", "i1", 1, 2.5, "Tea"), ("u1", "i2", 2, 1.5, "Ü, é")], COLUMNS, orient="row"
)
THEN = pl.DataFrame([("u3", "i1", 1, 0.5, "Tea")], COLUMNS, orient="row")


def send(form, out):
    """Two parts; nobody recommends anything to u2."""
    with open_sink(form, out) as add:
        add(["u1", "u2"], FIRST)
        add(["u3"], THEN)


@pytest.mark.parametrize(
    ("asked", "out", "form"),
    [
        (None, None, "table"),
        ("json", None, "json"),
        (None, "lists.parquet", "parquet"),
        (None, "lists.csv", "csv"),
        (None, "lists.CSV", "csv"),
        ("csv", "lists.csv", "csv"),
        ("json", "lists.txt", "json"),
    ],
)
def test_a_format_is_asked_for_or_told_by_the_files_name(tmp_path, asked, out, form):
    assert choose_format(asked, out and tmp_path / out) == form


@pytest.mark.parametrize(
    ("asked", "out", "message"),
    [
        ("jsn", None, r"--format jsn: no such format. Did you mean 'json'\?"),
        ("parquet", None, "name it with --out"),
        ("csv", "lists.parquet", r"--out .*lists\.parquet and --format csv do not agree"),
        ("table", "lists.csv", "do not agree"),
        (None, "lists.txt", "choose what to write with --format"),
    ],
)
def test_formats_that_do_not_go_are_refused(tmp_path, asked, out, message):
    with pytest.raises(ConfigError, match=message):
        choose_format(asked, out and tmp_path / out)


def test_parts_become_one_file(tmp_path):
    for form in ("json", "csv", "parquet"):
        send(form, tmp_path / f"lists.{form}")
    whole = pl.concat([FIRST, THEN])
    assert pl.read_parquet(tmp_path / "lists.parquet").equals(whole)
    rows = list(csv.DictReader(StringIO((tmp_path / "lists.csv").read_text(encoding="utf-8"))))
    assert [row["title"] for row in rows] == ["Tea", "Ü, é", "Tea"]
    lists = json.loads((tmp_path / "lists.json").read_text(encoding="utf-8"))
    assert {each["user_id"]: len(each["items"]) for each in lists} == {"u1": 2, "u2": 0, "u3": 1}
    assert lists[0]["items"][1] == {"item_id": "i2", "rank": 2, "score": 1.5, "title": "Ü, é"}


def test_no_lists_are_still_a_file(tmp_path):
    with open_sink("json", tmp_path / "lists.json"):
        pass
    assert json.loads((tmp_path / "lists.json").read_text()) == []


def test_a_table_a_user_is_printed(capsys):
    send("table", None)
    printed = capsys.readouterr().out
    assert printed.index("u1") < printed.index("Ü, é") < printed.index("u2") < printed.index("u3")
    assert "2.500" in printed


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
def test_what_fails_leaves_no_file(tmp_path, form):
    out = tmp_path / f"lists.{form}"
    with pytest.raises(RuntimeError), open_sink(form, out) as add:
        add(["u3"], THEN)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_small_things(capsys):
    assert examples("edgewise a", "edgewise b") == "Examples:\n\n  edgewise a\n\n  edgewise b"
    warn("careful")
    assert capsys.readouterr().err == "warning: careful\n"
    console = Console(width=60)
    with console.capture() as captured:
        console.print(list_table("title", [("1", "a")], ("rank", "item")))
    assert "rank" in captured.get() and "title" in captured.get()


def test_two_commands_never_write_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.05)
    path, refused = tmp_path / "lists.csv", []

    def second() -> None:
        try:
            with open_sink("csv", path):
                pass
        except LockedError as error:
            refused.append(str(error))

    with open_sink("csv", path) as add:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        add(["u1"], pl.DataFrame({"user_id": ["u1"], "item_id": ["i1"]}))
    assert len(refused) == 1 and f"lists.csv: process {os.getpid()} (" in refused[0]
    assert path.read_text() == "user_id,item_id\nu1,i1\n"
    assert list(tmp_path.iterdir()) == [path]
