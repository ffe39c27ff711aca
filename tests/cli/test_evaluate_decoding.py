"""A run measured as it decodes otherwise, its users kept where they are asked for."""

from __future__ import annotations

import json

import polars as pl


def test_decoding_can_change_and_is_recorded(edgewise, run, tmp_path):
    asked = (
        "evaluate",
        run,
        "--task",
        "sequential",
        "--max-users",
        9,
        "--json",
        tmp_path / "r.json",
    )
    changed = ("--set", "decoding.num_beams=3", "--per-user", tmp_path / "users")
    result = edgewise(*asked, *changed)
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["run"]["config"]["decoding"]["num_beams"] == 3
    assert content["machine"]["peak_memory_mb"] > 50
    users = pl.read_parquet(tmp_path / "users" / "sequential-test.parquet")
    assert len(users) == 9
    assert json.loads((run / "run.json").read_text())["config"]["decoding"]["num_beams"] == 20


def test_what_training_has_used_cannot_change(edgewise, run):
    result = edgewise("evaluate", run, "--set", "training.epochs=3")
    assert result.exit_code == 2
    assert "only decoding.* can change after training; fit again" in result.output
    wrong = edgewise("evaluate", run, "--set", "decoding.num_beam=3")
    assert wrong.exit_code == 2 and "Did you mean 'num_beams'" in wrong.output
