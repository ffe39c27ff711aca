"""A search from the command line ends with settings that ``fit`` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.cli.experiments import SPACE as SHOWN
from edgewise.errors import TrainingError
from edgewise.experiments.tune import read_space

pytest.importorskip("optuna")
SPACE = """
preset = "tiny"
objective = "loss"

[prompts]
tasks = ["direct"]
num_negatives = 10

[training]
epochs = 1

[space."whole_words.direct_alpha"]
low = 0.5
high = 4.0
log = true
"""


@pytest.fixture
def asked(shop, tmp_path) -> list[object]:
    (tmp_path / "space.toml").write_text(SPACE)
    out = ("--out", tmp_path / "tune")
    return ["tune", "elmrec", "--data", shop, "--space", tmp_path / "space.toml", *out]


def test_the_best_settings_can_be_fitted(edgewise, asked, shop, tmp_path):
    result = edgewise(*asked, "--trials", 2)
    assert result.exit_code == 0, result.output
    best = tmp_path / "tune" / "best.toml"
    assert "# loss on validation rows: " in result.output and "best of 2" in result.output
    assert best.read_text() in result.output
    again = edgewise(*asked, "--trials", 2)
    assert again.exit_code == 0 and "trial" not in again.output.replace("tune", "")
    run = tmp_path / "run"
    fitted = edgewise("fit", "elmrec", "--data", shop, "--config", best, "--out", run, "--quiet")
    assert fitted.exit_code == 0, fitted.output
    assert not list((tmp_path / "tune").rglob("*test*")), "something was measured on test rows"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("direct_alpha", "direct_scael"), "Did you mean 'whole_words.direct_alpha'"),
        (("epochs = 1", "epochs = 0"), "training.epochs = 0: must be at least 1"),
    ],
)
def test_mistakes_are_refused_before_training(edgewise, asked, tmp_path, change, message):
    space = tmp_path / "space.toml"
    space.write_text(SPACE.replace(*change))
    result = edgewise(*asked)
    assert result.exit_code == 2 and message in result.output
    assert not Path(tmp_path / "tune").exists()


def test_another_space_needs_another_study(edgewise, asked, tmp_path):
    assert edgewise(*asked, "--trials", 1).exit_code == 0
    space = tmp_path / "space.toml"
    space.write_text(SPACE.replace("high = 4.0", "high = 5.0"))
    result = edgewise(*asked, "--trials", 1)
    assert result.exit_code == 2 and "belongs to another search (space differ)" in result.output


def test_an_unknown_method(edgewise, asked):
    result = edgewise("tune", "elmrek", *asked[2:])
    assert result.exit_code == 2 and "Did you mean 'elmrec'" in result.output


def test_a_failed_trial_is_told(edgewise, asked, monkeypatch):
    from edgewise.experiments import tune as tuning

    original, calls = tuning._judged, []

    def diverges_once(search, values):
        calls.append(values)
        if len(calls) == 1:
            raise TrainingError("the training loss is nan at step 3")
        return original(search, values)

    monkeypatch.setattr(tuning, "_judged", diverges_once)
    result = edgewise(*asked, "--trials", 2)
    assert result.exit_code == 0, result.output
    assert "warning: trial 0 failed with whole_words.direct_alpha = " in result.output
    assert "the training loss is nan at step 3" in result.output
    assert "warning: 1 of 2 trials have finished" in result.output and "best of 1" in result.output


def test_help_shows_sections_in_brackets(edgewise):
    told = " ".join(edgewise("tune", "--help").output.replace("\u2502", " ").split())
    assert '[space."section.key"]' in told


def test_help_shows_a_space_file_that_can_be_read(edgewise, tmp_path):
    told = " ".join(edgewise("tune", "--help").output.replace("\u2502", " ").split())
    for line in SHOWN.splitlines():
        assert " ".join(line.split()) in told
    (tmp_path / "space.toml").write_text(SHOWN)
    space = read_space(tmp_path / "space.toml", "elmrec")
    assert set(space.distributions) == {"whole_words.direct_alpha", "graph.rank"}
    assert space.objective == "direct/NDCG@10"
