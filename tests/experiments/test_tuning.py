"""A search looks at validation rows alone, and goes on where it was stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.fake_method import FAKE

from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError, DataError, EdgewiseError, TrainingError
from edgewise.experiments import tune as tuning
from edgewise.experiments.tune import (
    Search,
    best_settings,
    finished_trials,
    open_study,
    read_space,
    run_search,
    suggested,
)
from edgewise.models.registry import METHODS
from edgewise.runs.evaluate import evaluate_task
from edgewise.runs.run import DataInfo

pytest.importorskip("optuna")
SPACE = """
preset = "tiny"
objective = "sequential/HitRate@10"

[space.taste]
choices = ["popular", "rare"]

[space."training.first.epochs"]
low = 1
high = 9
"""


@pytest.fixture
def search(tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, FAKE.name, FAKE)
    dataset = make_demo_shop(3, num_users=60, num_items=96)
    dataset.save(tmp_path / "shop")
    file = tmp_path / "space.toml"
    file.write_text(SPACE)
    data = DataInfo.of(dataset, tmp_path / "shop")
    return Search(read_space(file, "fake"), dataset, data, tmp_path / "trials")


def run(search, num_trials, seen=None):
    told = seen if seen is not None else []
    file = search.folder / "study.jsonl"
    return run_search(search, file, num_trials, lambda *trial: told.append(trial))


def test_trials_are_judged_on_validation_rows(search, monkeypatch):
    parts: list[str] = []

    def watched(run, task, conditions):
        parts.append(conditions.part)
        return evaluate_task(run, task, conditions)

    monkeypatch.setattr(tuning, "evaluate_task", watched)
    seen: list[tuple] = []
    study = run(search, 3, seen)
    assert parts == ["valid"] * 3 and [number for number, *_ in seen] == [0, 1, 2]
    assert study.best_value == max(found for *_, found in seen)
    best = best_settings(search, study)
    assert best.taste == study.best_params["taste"]
    assert best.training.first.epochs == study.best_params["training.first.epochs"]


def test_a_search_goes_on_to_the_number_asked_for(search):
    run(search, 2)
    seen: list[tuple] = []
    assert len(finished_trials(run(search, 5, seen))) == 5 and len(seen) == 3
    assert len(finished_trials(run(search, 5, seen))) == 5 and len(seen) == 3


def test_a_trial_that_was_stopped_comes_first_with_its_values_once(search, monkeypatch):
    original = tuning._judged

    def stopped(search, values):
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "_judged", stopped)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(search, 1)
    monkeypatch.setattr(tuning, "_judged", original)
    first, second, third, *more = run(search, 3).trials
    assert [first.state.name, second.state.name, third.state.name] == ["FAIL", "FAIL", "COMPLETE"]
    assert first.params == second.params == third.params
    assert len(more) == 2 and more[0].params != first.params


def test_a_trial_that_fails_does_not_end_the_search(search, monkeypatch):
    original, calls = tuning._judged, []

    def diverges_once(search, values):
        calls.append(values)
        if len(calls) == 2:
            raise TrainingError("the training loss is nan at step 3")
        return original(search, values)

    monkeypatch.setattr(tuning, "_judged", diverges_once)
    seen: list[tuple] = []
    study = run(search, 3, seen)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert [isinstance(found, EdgewiseError) for *_, found in seen] == [False, True, False]
    assert "nan at step 3" in str(seen[1][2])
    assert len(finished_trials(run(search, 3))) == 3


def test_other_errors_do(search, monkeypatch):
    def full(search, values):
        raise OSError("no space left on device")

    monkeypatch.setattr(tuning, "_judged", full)
    with pytest.raises(OSError, match="no space left"):
        run(search, 2)


def test_data_without_validation_rows_are_refused_before_a_trial(search):
    rows = search.dataset.interactions
    first = np.unique(rows.user_index, return_index=True)[1]
    bare = replace(search.dataset, interactions=rows.take(first))
    seen: list[tuple] = []
    with pytest.raises(DataError, match="no row is held out for validation"):
        run(replace(search, dataset=bare), 2, seen)
    with pytest.raises(ConfigError, match="unknown split 'ratoi'"):
        run(replace(search, split_kind="ratoi"), 2, seen)
    assert not seen and not search.folder.exists()


def test_a_trial_that_was_killed_comes_first_too(search):
    file = search.folder / "study.jsonl"
    study = open_study(file, "maximize", search.about(), search.seed)
    trial = study.ask()
    for each in search.space.ranges:
        suggested(trial, each)
    again = run(search, 1).trials[1]
    assert again.params == trial.params and again.state.name == "COMPLETE"


def test_the_same_seed_draws_the_same_values(search, tmp_path):
    values = [t.params for t in run(search, 3).trials]
    other = replace(search, folder=tmp_path / "other")
    assert [t.params for t in run(other, 3).trials] == values
    third = replace(search, folder=tmp_path / "third", seed=1)
    assert [t.params for t in run(third, 3).trials] != values


def test_the_loss_as_the_objective(search, tmp_path):
    file = tmp_path / "loss.toml"
    file.write_text(SPACE.replace('objective = "sequential/HitRate@10"', ""))
    study = run(replace(search, space=read_space(file, "fake")), 1)
    # The fake method's last stage has validation losses 2 and 1.
    assert study.best_value == 1.0


def test_a_study_of_something_else_is_refused(search, tmp_path):
    run(search, 1)
    file = tmp_path / "space.toml"
    file.write_text(SPACE.replace("high = 9", "high = 8"))
    with pytest.raises(ConfigError, match=r"belongs to another search \(space differ\)"):
        run(replace(search, space=read_space(file, "fake")), 2)
    data = replace(search.data, checksum="0" * 64)
    with pytest.raises(ConfigError, match=r"\(data differ\)"):
        run(replace(search, data=data), 2)
