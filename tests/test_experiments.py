"""Experiments: a configuration file says how its row is imported, fitted, measured and shown."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
ROW = """
method = "graph-gpt"
preset = "tiny"
split = "ratio"
seeds = [1, 2]

[data]
source = "raw/gifts"
min_rating = 4
k_core = 5

[evaluation]
tasks = ["sequential"]
metrics = ["Recall", "NDCG"]
ks = [20, 100]
"""


def load(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """A script of ``experiments/``, whose neighbours are imported from its folder."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    for neighbour in ("measured", name):
        monkeypatch.delitem(sys.modules, neighbour, raising=False)
    return importlib.import_module(name)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Gives the commands that the runner would call for a configuration's text."""
    runner = load(monkeypatch, "run")
    called: list[list[str]] = []
    monkeypatch.setattr(runner, "edgewise", lambda *words: called.append([*map(str, words)]))

    def commands_of(text: str, **given: Any) -> list[list[str]]:
        config = tmp_path / "experiments" / "ablation" / "gifts" / "full.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(text)
        folders = {"data": tmp_path / "raw-data", "runs": tmp_path / "runs"}
        options = {"max_users": None, "no_rerank": False, **folders, **given}
        for row in runner.rows_of(config):
            runner.run_one(row, argparse.Namespace(**options))
        return called

    return commands_of


def test_a_row_of_two_seeds(commands, tmp_path):
    imported, fitted, measured, *second = commands(ROW)
    runs, data = tmp_path / "runs", tmp_path / "runs/data/gifts-raw-gifts-min_rating-4-k_core-5"
    source = tmp_path / "raw-data" / "raw" / "gifts"
    options = ["--name", "gifts", "--min-rating", "4.0", "--k-core", "5"]
    assert imported == ["data", "import", str(source), *options, "--out", str(data)]
    assert fitted[:4] == ["fit", "graph-gpt", "--data", str(data)]
    assert fitted[6:] == ["--set", "seed=1", "--out", str(runs / "ablation/gifts/full-seed1")]
    lists = ["--task", "sequential", "--metric", "Recall", "--metric", "NDCG", "-k", "20"]
    assert measured[:2] == ["evaluate", str(runs / "ablation/gifts/full-seed1")]
    assert measured[2:-1] == [*lists, "-k", "100", "--json"]
    assert measured[-1].endswith("results/ablation/gifts/full-seed1.json")
    assert second[1][-1] == str(runs / "ablation/gifts/full-seed2")


def test_a_row_that_says_nothing_is_elmrecs_as_it_always_was(commands, tmp_path):
    imported, fitted, measured, raw = commands('preset = "tiny"\n', max_users=9, no_rerank=True)
    runs = tmp_path / "runs"
    source, data = str(tmp_path / "raw-data" / "gifts"), str(runs / "data" / "gifts")
    assert imported == ["data", "import", source, "--out", data]
    assert fitted[:5] == ["fit", "elmrec", "--data", data, "--config"]
    assert fitted[-2:] == ["--out", str(runs / "ablation/gifts/full")]
    assert measured[2:5] == ["--max-users", "9", "--json"]
    assert measured[-1].endswith("results/ablation/gifts/full.json")
    assert raw[2:6] == ["--task", "sequential", "--max-users", "9"]
    assert raw[6] == "--no-rerank" and raw[-1].endswith("/full-no-rerank.json")


def test_what_is_there_is_not_made_again(commands, tmp_path):
    (tmp_path / "runs/data/gifts").mkdir(parents=True)
    (tmp_path / "runs/ablation/gifts/full").mkdir(parents=True)
    resumed, _ = commands('method = "graph-gpt"\n')
    place = str(tmp_path / "runs/ablation/gifts/full")
    assert resumed == ["fit", "graph-gpt", "--resume", "--out", place]
    (tmp_path / "runs/ablation/gifts/full/model").mkdir()
    assert [words[0] for words in commands('method = "graph-gpt"\n')[2:]] == ["evaluate"]


def write_result(folder: Path, name: str, ours: float, popular: float, seconds: float) -> None:
    def report(value: float) -> dict[str, Any]:
        return {"num_users": 1234, "metrics": {"Recall@20": {"mean": value, "low": 0, "high": 1}}}

    training = {stage: {"epochs": count} for stage, count in {"content": 3, "events": 10}.items()}
    config = {"stages": ["content", "events"], "training": training}
    run = {"training_seconds": seconds, "config": config}
    systems = {"Graph-attentive GPT-2": report(ours), "Popularity": report(popular)}
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"run": run, "results": {"sequential": systems}}))


def test_rows_of_several_seeds_are_means_with_deviations(monkeypatch, tmp_path):
    tables, measured = (load(monkeypatch, name) for name in ("seeded_tables", "measured"))
    for seed, (value, minutes) in {0: (0.1, 2), 1: (0.2, 3), 10: (0.3, 4)}.items():
        write_result(tmp_path, f"ablation/gifts/full-seed{seed}", value, 0.05, 60 * minutes)
    write_result(tmp_path, "ablation/gifts/full-seedless", 0.9, 0.9, 60)
    write_result(tmp_path, "ablation/gifts/single", 0.25, 0.05, 60)
    results = measured.Results(tmp_path)
    names = {name: f"ablation/gifts/{name}" for name in ("full", "single", "missing")}
    rows = tables.variants(results, names, ["Recall@20"])
    assert rows == [
        ["variant", "Recall@20", "seeds", "epochs", "training, minutes", "users"],
        ["full", "0.2000 ± 0.1000", "3", "3 + 10", "3", "1,234"],
        ["single", "0.2500", "1", "3 + 10", "1", "1,234"],
        ["missing", "not run"],
        ["popularity", "0.0500", "", "", "", "1,234"],
    ]
    assert results.unasked() == ["ablation/gifts/full-seedless.json"]
    nothing = tables.variants(measured.Results(tmp_path / "none"), names, ["Recall@20"])
    assert [row[1] for row in nothing[1:]] == ["not run"] * 4
