"""Rows appended on the command line, and a run that is asked about them at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgewise.data.dataset import Dataset


def _flat(output: str) -> str:
    return " ".join(output.split())


@pytest.fixture
def grown(edgewise, shop: Path, tmp_path: Path) -> Path:
    """A copy of the shop with a new user, a new item and newer rows."""
    folder = Path(shutil.copytree(shop, tmp_path / "grown"))
    dataset = Dataset.load(folder)
    newest, ids = int(dataset.interactions.timestamp.max()), dataset.items.ids
    rows = [("newcomer", raw) for raw in (*ids[:3], "brush")] + [(dataset.users.ids[0], "brush")]
    lines = [f"{user},{item},{newest + 86_400 * 2}" for user, item in rows]
    (tmp_path / "new.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines, ",x,1"]))
    (tmp_path / "items.csv").write_text("item_id,title\nbrush,A brush\n")
    more = ("--items", tmp_path / "items.csv", "--on-bad-rows", "skip")
    result = edgewise("data", "append", folder, tmp_path / "new.csv", *more)
    assert result.exit_code == 0, result.output
    words = [line.replace("│", " ").split() for line in result.output.splitlines()]
    assert ["before", "628", "60", "96"] in words and ["now", "633", "61", "97"] in words
    assert ["read", "6", "1"] in words and ["new", "5", "1", "1"] in words
    assert ["left", "out:", "empty", "id", "1"] in words
    assert ["left", "out:", "there", "already", "0"] in words
    assert f"checksum {Dataset.load(folder).checksum[:12]}" in result.output
    return folder


def test_a_file_is_appended_once_and_states_are_listed(edgewise, shop, grown, tmp_path):
    again = edgewise("data", "append", grown, tmp_path / "new.csv", "--on-bad-rows", "skip")
    assert again.exit_code == 2 and "was appended to 'demo' before, on" in _flat(again.output)
    info = edgewise("data", "info", grown).output
    assert Dataset.load(shop).checksum[:12] in info and "new.csv and items.csv" in info
    assert "None of the filters" in _flat(edgewise("data", "append", "--help").output)
    renamed = edgewise("data", "append", grown, "--metadata", "x")
    assert "--metadata is called --items now" in _flat(renamed.output)


def test_a_run_is_asked_about_grown_data(edgewise, popular_run, grown, tmp_path):
    lists = edgewise("recommend", popular_run, "--users", "newcomer", "-k", 3, "--data", grown)
    assert lists.exit_code == 0 and "newcomer" in lists.output
    unknown = edgewise("recommend", popular_run, "--users", "newcomer")
    assert unknown.exit_code == 2 and "newcomer" in unknown.output
    asked = ("evaluate", popular_run, "--task", "sequential", "--data", grown)
    measured = edgewise(*asked, "--per-user", tmp_path / "rows")
    assert measured.exit_code == 0, measured.output
    assert "days old" in _flat(measured.output)
    assert "5 rows, 1 users and 1 items have come since" in _flat(measured.output)
    page, run = tmp_path / "page.html", shutil.copytree(popular_run, tmp_path / "run")
    assert edgewise("report", run, "--data", grown, "--out", page).exit_code == 0
    assert "5 rows, 1 users and 1 items have come since" in page.read_text()
