"""A table by one command, with real processes on a small shop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewise.data.dataset import Dataset

TABLE = """
preset = "tiny"
seeds = [0, 1]
prompts = { tasks = ["direct"], num_negatives = 20 }
training.epochs = 1
evaluation.negatives = 30

[datasets.shop]

[rows.full]
"""


@pytest.fixture
def project(shop, tmp_path, monkeypatch) -> Path:
    """A project folder with one table of one cell and the shop's ratings as raw data."""
    (tmp_path / "configs/paper").mkdir(parents=True)
    (tmp_path / "configs/paper/table-1.toml").write_text(TABLE)
    raw = tmp_path / "raw" / "shop"
    raw.mkdir(parents=True)
    rows = Dataset.load(shop).interactions
    pairs = zip(rows.user_index.tolist(), rows.item_index.tolist(), strict=True)
    lines = [f"u{user},i{item},{place}" for place, (user, item) in enumerate(pairs)]
    (raw / "ratings.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def reproduce(edgewise):
    """``edgewise reproduce`` on the project's own tables."""
    return lambda *arguments: edgewise("reproduce", *arguments, "--configs", "configs")


def test_a_cell_from_raw_data_to_its_figures(edgewise, reproduce, project):
    asked = ("paper/table-1", "--raw-data", "raw", "--seeds", 1)
    source = '[datasets.shop]\ndata.source = "shop/ratings.csv"\n'
    (project / "configs/paper/table-1.toml").write_text(TABLE.replace("[datasets.shop]", source))
    made = reproduce(*asked)
    assert made.exit_code == 0, made.output
    assert "1 made, 0 were there, 0 failed" in made.output
    result = json.loads((project / "results/paper/table-1/shop/full-seed0.json").read_text())
    assert result["run"]["data"]["folder"] == "runs/data/shop-shop-ratings.csv"
    assert result["run"]["config"]["seed"] == 0 and result["run"]["machine"]["peak_memory_mb"] > 0
    assert result["results"]["direct"]["ELMRec"]["metrics"]["HitRate@10"]["mean"] > 0
    assert {"seal", "versions", "protocol", "command"} <= result.keys()
    log = (project / "runs/logs/paper/table-1/shop/full-seed0.log").read_text()
    assert [line.split()[2] for line in log.splitlines() if line.startswith("$")] == [
        *("data", "fit", "evaluate"),
    ]
    again = reproduce(*asked)
    assert again.exit_code == 0 and "0 made, 1 were there" in again.output
    compared = edgewise("compare", "results/paper/table-1", "--format", "csv")
    assert compared.exit_code == 0, compared.output
    assert "paper/table-1,shop,direct,full,full,HitRate@10,honest," in compared.output


def test_what_fails_is_listed_and_ends_with_code_1(reproduce, project):
    (project / "raw/shop/ratings.csv").write_text("nothing,of,use\n1,2,3\n")
    result = reproduce("paper", "--raw-data", "raw")
    assert result.exit_code == 1
    assert "0 made, 0 were there, 2 failed" in result.output
    assert "failed: paper/table-1/shop/full-seed0: " in result.output
    assert "full-seed1.log)" in result.output or "full-seed0.log)" in result.output


def test_a_dry_run_prints_commands_and_runs_none(reproduce, project):
    result = reproduce("paper/table-1", "--dry-run", "--protocol", "temporal")
    assert result.exit_code == 0, result.output
    assert [line.split()[1] for line in result.output.splitlines()] == [
        *("data", "fit", "evaluate", "fit", "evaluate"),
    ]
    assert result.output.count("--protocol temporal") == 2
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paper/tabel-1"], "Did you mean 'paper/table-1'"),
        (["paper", "--method", "fulll"], "Did you mean 'full'"),
        (["paper", "--protocol", "honset"], "--protocol: no such protocol: 'honset'"),
        (["paper", "--raw-data", "nowhere"], "--raw-data nowhere: no such folder"),
        (["paper", "--experiments", "mine"], "--experiments is called --configs now"),
    ],
)
def test_impossible_wishes(reproduce, project, arguments, message):
    result = reproduce(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_folder_without_tables(edgewise, project):
    result = edgewise("reproduce", "paper", "--configs", "nowhere")
    assert result.exit_code == 2 and "nowhere: no tables there; name the folder" in result.output


def test_the_papers_tables_need_no_clone(edgewise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = edgewise("reproduce", "elmrec/table-4", "--dry-run", "--seeds", 1)
    assert result.exit_code == 0, result.output
    verbs = [line.split()[1] for line in result.output.splitlines()]
    assert sorted(verbs) == ["data", *["evaluate"] * 4, *["fit"] * 3]
