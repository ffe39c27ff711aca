"""Scripts of the documentation's tables."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def load(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """A script of ``experiments/``, whose neighbours are imported from its folder."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    for neighbour in ("measured", name):
        monkeypatch.delitem(sys.modules, neighbour, raising=False)
    return importlib.import_module(name)


def write_result(folder: Path, name: str, ours: float, popular: float, seconds: float) -> None:
    def report(value: float) -> dict[str, Any]:
        return {"num_users": 1234, "metrics": {"Recall@20": {"mean": value, "low": 0, "high": 1}}}

    training = {stage: {"epochs": count} for stage, count in {"content": 3, "events": 10}.items()}
    config = {"stages": ["content", "events"], "training": training}
    run = {"training_seconds": seconds, "config": config}
    learning = {"content": {"epochs": 3}, "events": {"epochs": 7}}
    systems = {"Graph-attentive GPT-2": report(ours), "Popularity": report(popular)}
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"run": run, "learning": learning, "results": {"sequential": systems}}
    path.write_text(json.dumps(result))


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
        ["full", "0.2000 ± 0.1000", "3", "3 + 7", "3", "1,234"],
        ["single", "0.2500", "1", "3 + 7", "1", "1,234"],
        ["missing", "not run"],
        ["popularity", "0.0500", "", "", "", "1,234"],
    ]
    assert results.unasked() == ["ablation/gifts/full-seedless.json"]
    nothing = tables.variants(measured.Results(tmp_path / "none"), names, ["Recall@20"])
    assert [row[1] for row in nothing[1:]] == ["not run"] * 4


def test_a_table_of_a_paper_shows_what_was_measured(monkeypatch, tmp_path):
    tables, measured = (load(monkeypatch, name) for name in ("paper_tables", "measured"))
    assert tables.is_paper_table("elmrec/table-4") and not tables.is_paper_table("direct-beauty")
    results = measured.Results(tmp_path)
    assert tables.paper_table("elmrec/table-4", results) == "not run" and results.asked == set()
