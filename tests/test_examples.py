"""The scripts in ``examples/`` run, and what they print is right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def output_of(name: str, folder: Path) -> str:
    """What a script prints, run in an empty folder."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES} == {"own_table.py", "compare_methods.py"}


def test_readers_are_shown_books_of_their_taste(tmp_path: Path) -> None:
    shown = output_of("own_table.py", tmp_path)
    lists = re.findall(r"(reader-\d|new user)\W+book-(\d)-\d+", shown)
    assert len(lists) == 15
    assert {(who, taste) for who, taste in lists} == {
        ("reader-0", "0"),
        ("reader-1", "1"),
        ("new user", "0"),
    }
    assert "the same lists after loading: True" in shown
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """HitRate@10 of each method, as printed."""
    shown = output_of("compare_methods.py", tmp_path_factory.mktemp("compared"))
    rows = re.findall(r"^(\S.*?)  +(\d\.\d+) \((\d\.\d+) to (\d\.\d+)\)", shown, re.MULTILINE)
    assert all(float(low) <= float(mean) <= float(high) for _, mean, low, high in rows)
    return {name: float(mean) for name, mean, _, _ in rows}


def test_five_methods_are_set_side_by_side(table: dict[str, float]) -> None:
    assert len(table) == 5


def test_habits_of_the_shop_are_found_by_those_who_look(table: dict[str, float]) -> None:
    assert min(table["EASE"], table["SASRec"]) > table["Popularity"]
