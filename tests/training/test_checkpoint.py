"""Checkpoints: whole or not at all, nothing pickled, damage noticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, load_model, save_file
from tests.kills import every_kill
from tests.seals import edit
from tests.training.conftest import (
    Data,
    Regression,
    changed,
    equal_weights,
    make_rows,
    train_one,
    weights,
)

from edgewise.errors import ModelFolderError
from edgewise.training.checkpoint import BestWeights, load_optimizer, optimizer_state, save_network


@pytest.fixture
def folder(config, tmp_path) -> Path:
    """A run of two epochs of four, cut short."""
    with pytest.raises(KeyboardInterrupt):
        train_one(Regression(), Data(stop_before=15), config, seed=0, folder=tmp_path)
    return tmp_path


def resume(folder: Path, config, model=None):
    model = model or Regression()
    train_one(model, Data(), config, seed=0, folder=folder, resume=True)
    return model


def test_it_holds_safetensors_and_json_alone(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = sorted(path.name for path in files if "edgewise" not in path.parts)
    assert names == [
        "best.safetensors",
        "generators-0.safetensors",
        "model.json",
        "model.safetensors",
        "optimizer.safetensors",
    ]
    about = json.loads((folder / "only" / "checkpoint" / "model.json").read_text())
    assert about["settings"]["progress"]["step"] == 14


def test_frozen_buffers_are_not_in_it(folder):
    saved = load_file(folder / "only" / "checkpoint" / "model.safetensors")
    assert set(saved) == set(weights(Regression()))


def test_a_progress_without_a_validation_yet_is_valid_json(config, tmp_path):
    early = changed(config, checkpoint_minutes=0)
    with pytest.raises(KeyboardInterrupt):
        train_one(Regression(), Data(30, stop_before=25), early, seed=0, folder=tmp_path)
    text = (tmp_path / "only" / "checkpoint" / "model.json").read_text()
    assert "Infinity" not in text
    assert json.loads(text)["settings"]["progress"]["best"] is None


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "optimizer.safetensors",
        "best.safetensors",
        "generators-0.safetensors",
        "model.json",
    ],
)
def test_damage_is_noticed(folder, config, name, damage):
    damage(folder / "only" / "checkpoint" / name)
    with pytest.raises(ModelFolderError, match=r"cannot resume .*start anew without resuming"):
        resume(folder, config)


def test_another_models_checkpoint_is_refused(folder, config):
    class Wider(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.more = torch.nn.Parameter(torch.zeros(3))

    with pytest.raises(ModelFolderError, match="cannot resume"):
        resume(folder, config, Wider())


def test_another_number_of_processes_is_refused(folder, config):
    path = folder / "only" / "checkpoint" / "model.json"
    edit(path, lambda about: about["settings"].update(num_processes=2), seal=True)
    with pytest.raises(ModelFolderError, match="written by 2 processes, and now there are 1"):
        resume(folder, config)


@pytest.mark.parametrize("step", [10**12, 29, -1, 1.5, True, None])
def test_a_step_that_the_training_does_not_have_is_refused(folder, config, step):
    path = folder / "only" / "checkpoint" / "model.json"

    def change(about):
        about["settings"]["progress"]["step"] = step

    edit(path, change, seal=True)
    wanted = f"progress.step = {step}: a whole number from 0 to 28 is wanted"
    with pytest.raises(ModelFolderError, match=f"cannot resume from .*{wanted}"):
        resume(folder, config)


def test_an_edited_step_is_named(folder, config):
    path = folder / "only" / "checkpoint" / "model.json"
    edit(path, lambda about: about["settings"]["progress"].update(step=1))
    with pytest.raises(ModelFolderError, match=r"model\.json: changed .*: settings\.progress"):
        resume(folder, config)


def test_equal_weights_are_equal_bytes(tmp_path):
    def saved(number: int) -> bytes:
        torch.manual_seed(0)
        first = torch.nn.Linear(2, 2, bias=False)
        network = torch.nn.ModuleDict({"a": first})
        for name in "bcdefghijk":  # eleven names of one weight
            network[name] = torch.nn.Linear(2, 2, bias=False)
            network[name].weight = first.weight
        save_network(network, tmp_path / str(number))
        for p in network.parameters():
            p.data.zero_()
        load_model(network, tmp_path / str(number))
        assert network["k"].weight.abs().sum() > 0
        return (tmp_path / str(number)).read_bytes()

    assert len({saved(number) for number in range(6)}) == 1


def test_what_a_kill_left_behind_a_finished_stage_is_removed(config, tmp_path):
    whole = Regression()
    train_one(whole, Data(), config, seed=0, folder=tmp_path)
    for name in ("checkpoint.old", "checkpoint.next"):
        shutil.copytree(tmp_path / "only" / "checkpoint", tmp_path / "only" / name)
    assert equal_weights(resume(tmp_path, config), whole)
    left = {path.name for path in (tmp_path / "only").iterdir() if path.name != "edgewise"}
    assert left == {"checkpoint"}


def test_a_run_killed_at_any_change_of_files_resumes(config, tmp_path):
    whole, short = Regression(), changed(config, epochs=2)
    place, states = tmp_path / "run", tmp_path / "states"
    place.mkdir()
    with every_kill(place, states):
        train_one(whole, Data(), short, seed=0, folder=place)
    found = sorted(states.iterdir())
    assert len(found) > 10
    for state in found:
        assert equal_weights(resume(state, short), whole)
        left = {path.name for path in (state / "only").iterdir() if path.name != "edgewise"}
        assert left == {"checkpoint"}


def test_a_run_killed_between_the_renames_resumes_from_the_old_one(folder, config):
    whole = Regression()
    train_one(whole, Data(), config, seed=0)
    (folder / "only" / "checkpoint").rename(folder / "only" / "checkpoint.old")
    assert equal_weights(resume(folder, config), whole)


def test_a_run_killed_while_writing_resumes_from_the_last_one(folder, config):
    whole = Regression()
    train_one(whole, Data(), config, seed=0)
    shutil.copytree(folder / "only" / "checkpoint", folder / "only" / "checkpoint.next")
    cut(folder / "only" / "checkpoint.next" / "model.safetensors")
    assert equal_weights(resume(folder, config), whole)
    left = {path.name for path in (folder / "only").iterdir() if path.name != "edgewise"}
    assert left == {"checkpoint"}


def test_the_optimizer_moves_on_as_if_never_saved(tmp_path):
    def step(model, optimizer, seed):
        optimizer.zero_grad()
        model(make_rows(seed, 5)).backward()
        optimizer.step()

    model = Regression(dropout=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, betas=(0.8, 0.95))
    step(model, optimizer, 0)
    names = [name for name, _ in model.named_parameters()]
    tensors, rest = optimizer_state(optimizer, names)
    save_file(tensors, tmp_path / "state")
    rest = json.loads(json.dumps(rest))
    twin = Regression(dropout=0)
    twin.load_state_dict(model.state_dict())
    other = torch.optim.AdamW(twin.parameters(), lr=0.7)
    load_optimizer(other, names, tmp_path / "state", rest)
    assert other.param_groups[0]["betas"] == (0.8, 0.95)
    assert "never_used" not in rest["numbers"]
    step(model, optimizer, 1)
    step(twin, other, 1)
    assert equal_weights(model, twin)


def test_best_weights_come_back(tmp_path):
    model = Regression()
    best = BestWeights(model)
    before = weights(model)
    best.keep()
    save_file(best.whole(), tmp_path / "best")
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1)
    other = BestWeights(model)
    other.put_back()
    assert not torch.equal(weights(model)["never_used"], before["never_used"])
    other.load(tmp_path / "best")
    other.put_back()
    assert all(torch.equal(w, before[name]) for name, w in weights(model).items())
