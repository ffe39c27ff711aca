"""Run folders are complete, repeatable and never overwritten by accident."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from edgewise.runs.run import FINISHED, TRAINING, read_info
from edgewise.runs.spec import resolve_config

WEIGHTS = "model/model.safetensors"
SHORT = (
    *("--preset", "tiny", "--set", "prompts.tasks=sequential,direct"),
    *("--set", "training.batch_size=16", "--set", "training.epochs=6"),
    *("--set", "training.checkpoint_minutes=0.0001"),
)


def test_the_run_folder_tells_everything(run, shop):
    about = json.loads((run / "run.json").read_text())
    assert (about["kind"], about["method"]) == ("edgewise run", "elmrec")
    assert (about["status"], about["seed"]) == (FINISHED, 0)
    assert about["data"]["folder"] == str(shop)
    assert about["data"]["checksum"] == json.loads((shop / "dataset.json").read_text())["checksum"]
    assert about["split"] == {"kind": "leave-one-out", "seed": 0}
    assert about["training_seconds"] > 0
    assert {"torch", "transformers", "edgewise"} <= about["versions"].keys()
    assert about["machine"]["cores"] >= 1 and about["machine"]["processor"]
    assert (run / "training" / "checkpoint").is_dir()
    assert json.loads((run / "curves.json").read_text())["valid_loss"]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(run.parent.glob(".*.partial")) + list(run.glob("**/.*.partial"))


def test_config_toml_is_the_whole_config(run):
    config = read_info(run).config
    assert config.training.epochs == 1 and config.prompts.num_negatives == 30
    assert resolve_config(file=run / "config.toml") == config
    assert tomllib.loads((run / "config.toml").read_text())["graph"]["num_folds"] == 10


def test_the_plan_comes_first(edgewise, shop, tmp_path):
    result = edgewise("fit", "elmrec", "--data", shop, "--out", tmp_path / "r", *SHORT[:4],
                      "--set", "training.epochs=1")  # fmt: skip
    assert result.exit_code == 0, result.output
    plan = result.output.partition("trained for")[0]
    assert "60 users" in plan and "parameters" in plan and str(tmp_path / "r") in plan
    assert "explanation" not in plan


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "training.epoch=3"], "'training.epoch'. Did you mean 'epochs'?"),
        (["--set", "trainin.epochs=3"], "Did you mean 'training'?"),
        (["--set", "graph.features=spectrall"], "Did you mean 'spectral'?"),
        (["--set", "training.epochs"], "not of the form key=value"),
        (["--preset", "tinny"], "Did you mean 'tiny'?"),
        (["--split", "leave-one"], "Did you mean 'leave-one-out'?"),
        (["--data", "no/such/folder"], "no/such/folder: no data set folder"),
        (["--config", "no-such.toml"], "no-such.toml"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    edgewise, shop, tmp_path, arguments, message
):
    out = tmp_path / "run"
    data = [] if "--data" in arguments else ["--data", shop]
    result = edgewise("fit", "elmrec", "--out", out, *data, *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not out.exists()


def test_data_is_asked_for(edgewise, tmp_path):
    assert "--data is missing" in edgewise("fit", "elmrec", "--out", tmp_path / "run").output


def test_preset_then_file_then_set(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('preset = "tiny"\nseed = 4\n[training]\nepochs = 7\nbatch_size = 8\n')
    config = resolve_config(None, file, ["training.batch_size=9"])
    assert (config.backbone.name, config.seed) == ("tiny", 4)
    assert (config.training.epochs, config.training.batch_size) == (7, 9)


def test_a_preset_may_not_contradict_the_file(edgewise, shop, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('preset = "tiny"\n')
    wanted = ("--config", file, "--preset", "cpu")
    result = edgewise("fit", "elmrec", "--data", shop, "--out", tmp_path / "r", *wanted)
    assert result.exit_code == 2 and "contradicts preset = 'tiny'" in result.output


def test_settings_that_fit_only_together_may_come_in_any_order():
    wanted = ["decoding.explanation_beams=10", "decoding.explanation_groups=5"]
    assert resolve_config("tiny", None, wanted) == resolve_config("tiny", None, wanted[::-1])


def test_a_finished_run_is_not_overwritten(edgewise, run, shop):
    before = (run / "run.json").read_bytes()
    result = edgewise("fit", "elmrec", "--data", shop, "--out", run)
    assert result.exit_code == 2
    assert "a finished run is there" in result.output and "--force" in result.output
    again = edgewise("fit", "elmrec", "--out", run, "--resume")
    assert again.exit_code == 0 and "nothing to resume" in again.output
    assert (run / "run.json").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(edgewise, shop, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    result = edgewise("fit", "elmrec", "--data", shop, "--out", tmp_path, "--force")
    assert result.exit_code == 2 and "something else is there" in result.output
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_resume_names_what_differs(edgewise, run, shop, tmp_path):
    unfinished = _unfinished_copy(run, tmp_path)
    wanted = ("--set", "training.epochs=2", "--split", "ratio")
    result = edgewise("fit", "elmrec", "--out", unfinished, "--resume", *wanted)
    assert result.exit_code == 2
    assert "training.epochs (1, now 2), --split (leave-one-out, now ratio)" in result.output
    told = edgewise("fit", "elmrec", "--data", shop, "--out", unfinished)
    assert told.exit_code == 2 and "unfinished run is there; go on with --resume" in told.output


def test_an_unfinished_run_is_not_evaluated(edgewise, run, tmp_path):
    result = edgewise("evaluate", _unfinished_copy(run, tmp_path))
    assert result.exit_code == 2 and "--resume" in result.output


def test_a_killed_run_resumes_to_the_same_weights(edgewise, shop, tmp_path):
    """Training killed at any moment goes on to the very bits of a run that nobody stopped."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, "-m", "edgewise.cli.main", "fit", "elmrec", "--data", str(shop)]
    process = subprocess.Popen(
        [*command, "--out", str(killed), *SHORT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    _kill_in_training(process, killed / "training" / "checkpoint")
    assert read_info(killed).status == TRAINING
    assert not (killed / "model").exists()
    resumed = edgewise("fit", "elmrec", "--data", shop, "--out", killed, "--resume", *SHORT)
    assert resumed.exit_code == 0, resumed.output
    result = edgewise("fit", "elmrec", "--data", shop, "--out", whole, *SHORT)
    assert result.exit_code == 0, result.output
    weights = [load_file(folder / WEIGHTS) for folder in (killed, whole)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        assert weight.tobytes() == weights[1][name].tobytes(), name
    curves = [json.loads((folder / "curves.json").read_text()) for folder in (killed, whole)]
    assert curves[0]["valid_loss"] == curves[1]["valid_loss"]


def _kill_in_training(process: subprocess.Popen, checkpoint: Path) -> None:
    """Wait for the first checkpoint, then SIGKILL; fails if the run was over before."""
    deadline = time.monotonic() + 300
    while not checkpoint.exists():
        assert process.poll() is None, process.stdout.read().decode()  # type: ignore[union-attr]
        assert time.monotonic() < deadline, "no checkpoint within five minutes"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def _unfinished_copy(run: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(run, tmp_path / "copy"))
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace(FINISHED, TRAINING))
    return folder
