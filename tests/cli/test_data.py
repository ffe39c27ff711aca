"""``edgewise data`` from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgewise.cli.data import app, parse_columns
from edgewise.data.dataset import Dataset
from edgewise.errors import ConfigError, DataError

CSV = "reviewer,item,time,stars\n" + "".join(
    f"u{user},i{item},{user + item},{1 + (user + item) % 5}\n"
    for user in range(6)
    for item in range(6)
)


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(CSV)
    return path


def test_import_and_info(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    options = ["--column", "user_id=reviewer", "--min-rating", "3", "--k-core", "3"]
    printed = run("import", source, "--out", out, *options, "--name", "hand")
    assert "min-rating 3" in printed
    assert "k-core 3" in printed
    dataset = Dataset.load(out)
    assert dataset.interactions.rating is not None
    assert dataset.interactions.rating.min() == 3
    assert "hand" in run("info", out)
    found = json.loads(run("info", out, "--json"))
    assert found["interactions"] == len(dataset.interactions)
    assert found["users"] == dataset.num_users == 6


def test_info_plot(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run("import", source, "--out", tmp_path / "set", "--column", "user_id=reviewer")
    run("info", tmp_path / "set", "--plot", tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_bad_rows_are_printed(source: Path, tmp_path: Path) -> None:
    source.write_text(CSV + "u,i,soon,1\nu,i\n")
    words = ["import", source, "--out", tmp_path / "set", "--column", "user_id=reviewer"]
    with pytest.raises(DataError, match=r"log\.csv, line 39"):
        run(*words)
    assert not (tmp_path / "set").exists()
    printed = run(*words, "--on-bad-rows", "skip")
    assert "left out: missing field" in printed
    assert "left out: unparsable time" in printed


def test_an_import_tells_what_each_field_was_read_from(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    printed = run("import", source, "--out", out, "--column", "user_id=reviewer")
    for told in ("timestamp", "stars", "numbers from 0 to 10", "separator ','", "leaves out 0"):
        assert told in " ".join(printed.split())
    assert "reviewer" in run("info", out)
    source = Dataset.load(out).source
    assert {"table": "interactions", "field": "rating", "column": "stars", "form": "numbers"} in (
        source["fields"]
    )
    assert any("lie in 1970" in warning for warning in source["warnings"])


def test_a_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    printed = run("import", source, "--dry-run", "--column", "user_id=reviewer")
    assert "some rows" in printed
    assert "wrote nothing" in printed
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(ConfigError, match="--out is missing"):
        run("import", source)


def test_users_and_items_are_listed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,title\ni3,Red [hot] lipstick\ni9,Unsold\n")
    out = tmp_path / "set"
    words = ["--column", "user_id=reviewer", "--metadata", tmp_path / "items.csv"]
    run("import", source, "--out", out, *words)
    assert "6 of 6 users" in run("users", out)
    printed = run("items", out, "--search", "LIPSTICK")
    assert "Red [hot] lipstick" in printed
    assert "1 of 7 items" in printed
    with pytest.raises(DataError, match="--search zzz: none of 7 items has it"):
        run("items", out, "--search", "zzz")


def test_force(source: Path, tmp_path: Path) -> None:
    words = ["import", source, "--out", tmp_path / "set", "--column", "user_id=reviewer"]
    run(*words)
    with pytest.raises(DataError, match="--force"):
        run(*words)
    run(*words, "--force", "--max-users", "2")
    assert Dataset.load(tmp_path / "set").num_users == 2


def test_demo(tmp_path: Path) -> None:
    printed = run("demo", "--out", tmp_path / "one", "--seed", "3")
    assert "same-day ties" in printed
    run("demo", "--out", tmp_path / "two", "--seed", "3")
    run("demo", "--out", tmp_path / "three", "--seed", "4")
    sums = [Dataset.load(tmp_path / name).checksum for name in ("one", "two", "three")]
    assert sums[0] == sums[1] != sums[2]


@pytest.mark.parametrize("pairs", [["user_id=a,item_id=b"], ["user_id=a", "user_id=b"]])
def test_pairs_that_say_two_things(pairs: list[str]) -> None:
    with pytest.raises(ConfigError, match="give"):
        parse_columns(pairs)


def test_column_pairs() -> None:
    assert parse_columns(["user_id=a=b", "timestamp="]) == {"user_id": "a=b", "timestamp": ""}
    with pytest.raises(ConfigError, match="--column user_id: write FIELD=COLUMN"):
        parse_columns(["user_id"])


def test_data_code_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, edgewise.cli.data, edgewise.data.describe, edgewise.data.readers;"
        "print(sorted({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
