"""Learning curves of one stage or several, kept and drawn."""

from __future__ import annotations

import json
import struct

import pytest
from tests.fake_method import Fake, curves

from edgewise.runs.contract import stages_of
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


def test_stages_are_the_models_own_or_one_without_a_name():
    model = Fake()
    assert stages_of(model) == {"": Curves()}
    model.curves = curves(1.0, "direct")
    assert stages_of(model) == {"": model.curves}
    model.stage_curves = {"a": curves(2.0, "x"), "b": model.curves}
    assert stages_of(model) == model.stage_curves


def test_several_stages_read_back_and_the_last_stands_in_front(tmp_path):
    stages = {"content": curves(2.0, "text"), "events": curves(3.0, "items")}
    write_curves(tmp_path, stages)
    assert read_curves(tmp_path) == stages
    found = learning(tmp_path)
    assert list(found) == ["content", "events"]
    losses = [entry["total"] for entry in stages["events"].valid_loss]
    assert found["events"] == {
        "epochs": len(losses),
        "train_loss": stages["events"].train_loss[-1][1],
        "valid_loss": losses[-1],
        "best_valid_loss": min(losses),
    }
    values = json.loads((tmp_path / "curves.json").read_text())
    assert values["seconds"] == 3.0 and list(values["stages"]) == ["content", "events"]


def test_one_stage_is_written_as_it_always_was(tmp_path):
    alone = curves(2.0, "direct")
    write_curves(tmp_path, {"": alone})
    assert json.loads((tmp_path / "curves.json").read_text()) == json.loads(
        json.dumps(alone.to_dict())
    )
    assert read_curves(tmp_path) == {"": alone}


def test_a_run_without_validation_has_no_best_loss_yet(tmp_path):
    write_curves(tmp_path, {"": Curves()})
    assert read_curves(tmp_path) == {"": Curves()}


def test_every_stage_has_a_row_of_its_own(tmp_path):
    pytest.importorskip("matplotlib")
    one = {"content": curves(2.0, "text")}
    three = one | {"events": curves(3.0, "sequential"), "predictive": Curves()}
    assert height(curves_png(three)) == 3 * height(curves_png(one))
    draw_curves(three, tmp_path / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    assert curves_png(three, "dark") != curves_png(three, "light")
