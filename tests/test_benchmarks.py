"""What ``benchmarks/two_processes.py`` reads of the runs that it has made."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from edgewise.files import write_text
from edgewise.training.curves import Curves, write_curves

pytest.importorskip("matplotlib")
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "two_processes.py"


def test_both_runs_are_read_and_drawn(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("two_processes", SCRIPT)
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "PICTURE", tmp_path / "images" / "curves.png")
    about = dict.fromkeys(("seed", "data", "split", "versions", "machine", "config"), 0)
    for number, name in enumerate(("one", "two")):
        folder = tmp_path / script.PLACE / name
        losses = [{"step": 20, "loss": 2.0 + number, "direct": 2.0 + number}]
        curves = Curves(20, 0, 2.0, 1.5, [(10, 4.0), (20, 3.0)], losses)
        write_curves(folder, {"training": curves})
        write_text(folder / "run.json", json.dumps(about))
    result = script.measured()
    assert {name: run["seconds"] for name, run in result["runs"].items()} == {
        "one": 1.5,
        "two": 1.5,
    }
    assert [run["valid"][0]["loss"] for run in result["runs"].values()] == [2.0, 3.0]
    script.draw(result)
    assert script.PICTURE.read_bytes().startswith(b"\x89PNG")
