"""Learning curves of one stage or several, kept and drawn."""

from __future__ import annotations

import json
import struct

import pytest
from tests.fake_method import curves

from edgewise.training.curves import (
    Curves,
    curves_png,
    draw_curves,
    learning,
    read_curves,
    write_curves,
)


def height(png: bytes) -> int:
    """Of a picture in pixels, from its header."""
    return struct.unpack(">I", png[20:24])[0]


def test_several_stages_read_back(tmp_path):
    stages = {"content": curves(2.0, "text"), "events": curves(3.0, "items")}
    write_curves(tmp_path, stages)
    assert read_curves(tmp_path) == stages
    found = learning(tmp_path)
    assert list(found) == ["content", "events"]
    losses = [entry["loss"] for entry in stages["events"].valid]
    assert found["events"] == {
        "epochs": len(losses),
        "train_loss": stages["events"].train_loss[-1][1],
        "validation_metric": "loss",
        "valid": losses[-1],
        "best_valid": min(losses),
    }
    values = json.loads((tmp_path / "curves.json").read_text())
    assert list(values) == ["content", "events"] and values["events"]["seconds"] == 3.0


def test_one_stage_is_written_by_its_name(tmp_path):
    alone = curves(2.0, "direct")
    write_curves(tmp_path, {"training": alone})
    written = json.loads((tmp_path / "curves.json").read_text())
    assert written == {"training": json.loads(json.dumps(alone.to_dict()))}
    assert read_curves(tmp_path) == {"training": alone}


def test_a_run_without_validation_has_no_best_loss_yet(tmp_path):
    write_curves(tmp_path, {"training": Curves()})
    assert read_curves(tmp_path) == {"training": Curves()}
    assert learning(tmp_path)["training"]["best_valid"] is None
    assert Curves().best_epoch is None


def test_what_learns_at_once_has_no_curves(tmp_path):
    write_curves(tmp_path, {})
    assert read_curves(tmp_path) == learning(tmp_path) == {}


def test_the_best_loss_is_the_lowest_and_the_best_metric_the_highest():
    rows = [{"step": 1, "loss": 3.0, "NDCG@10": 0.2}, {"step": 2, "loss": 4.0, "NDCG@10": 0.3}]
    by_loss, by_metric = Curves(valid=rows), Curves(valid=rows, metric="NDCG@10")
    assert by_loss.best_epoch == rows[0] and by_metric.best_epoch == rows[1]
    assert by_loss.is_better(9.0) and by_metric.is_better(0.0), "than nothing"
    by_loss.best, by_metric.best = 3.0, 0.3
    assert by_loss.is_better(2.9) and not by_loss.is_better(3.0)
    assert by_metric.is_better(0.4) and not by_metric.is_better(0.3)


def test_every_stage_has_a_row_of_its_own(tmp_path):
    pytest.importorskip("matplotlib")
    one = {"content": curves(2.0, "text")}
    three = one | {"events": curves(3.0, "sequential"), "predictive": Curves()}
    assert height(curves_png(three)) == 3 * height(curves_png(one))
    draw_curves(three, tmp_path / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    assert curves_png(three, "dark") != curves_png(three, "light")
