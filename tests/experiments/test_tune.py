"""A search is checked before anything is trained, looks at validation rows alone, and goes on."""

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
)
from edgewise.models.registry import METHODS
from edgewise.runs import train as training
from edgewise.runs.evaluate import evaluate_task
from edgewise.runs.spec import DataInfo

optuna = pytest.importorskip("optuna")
from optuna.distributions import (  # noqa: E402
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

WHOLE = """
preset = "tiny"
objective = "direct/NDCG@10"

[training]
epochs = 1

[space."whole_words.direct_alpha"]
low = 1.0
high = 10.0
log = true

[space."graph.rank"]
choices = [16, 32]

[space."prompts.max_history"]
low = 5
high = 20
step = 5
"""


@pytest.fixture
def read(tmp_path):
    def read(text, method="elmrec", assignments=()):
        file = tmp_path / "space.toml"
        file.write_text(text)
        return read_space(file, method, assignments)

    return read


def test_everything_is_read(read):
    space = read(WHOLE, assignments=["seed=3"])
    assert (space.task, space.metric, space.k) == ("direct", "NDCG@10", 10)
    assert (space.objective, space.direction) == ("direct/NDCG@10", "maximize")
    assert (space.base.training.epochs, space.base.seed) == (1, 3)
    assert space.distributions == {
        "whole_words.direct_alpha": FloatDistribution(1.0, 10.0, log=True),
        "graph.rank": CategoricalDistribution((16, 32)),
        "prompts.max_history": IntDistribution(5, 20, step=5),
    }


def test_the_settings_of_a_trial(read):
    space = read(WHOLE)
    values = {"whole_words.direct_alpha": 2.5, "graph.rank": 16, "prompts.max_history": 10}
    config = space.settings(values)
    assert (config.whole_words.direct_alpha, config.graph.rank) == (2.5, 16)
    assert config.training.epochs == 1


def test_the_loss_is_searched_downwards(read):
    space = read('preset = "tiny"\n[space."graph.rank"]\nlow = 8\nhigh = 32\n')
    assert (space.task, space.objective, space.direction) == ("", "loss", "minimize")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"graph.rank"', '"graph.rnak"', "no such setting. Did you mean 'graph.rank'"),
        ("low = 5\n", "", "give low and high, or choices"),
        ("low = 5\n", "low = 50\n", "low=50, high=20"),
        ("step = 5", "stpe = 5", "unknown key 'stpe'. Did you mean 'step'"),
        ("choices = [16, 32]", "choices = [16, 32]\nlow = 1", "choices stand alone"),
        ("choices = [16, 32]", "choices = []", "choices is empty"),
        ("log = true", "log = true\nstep = 1.0", "`step` is not supported when `log` is true"),
        ("low = 1.0", "low = 0.0", 'direct_alpha"]: `low'),
        ("direct/NDCG@10", "drect/NDCG@10", "Did you mean 'direct'"),
        ("direct/NDCG@10", "direct/NDGC@10", "Did you mean 'NDCG'"),
        ("epochs = 1", "epoch = 1", "Did you mean 'epochs'"),
        ("choices = [16, 32]", 'choices = ["many"]', "graph.rank = 'many': int is wanted"),
        ("high = 20", "high = 20.5", "prompts.max_history = 20.5: int is wanted"),
        ("direct/NDCG@10", "direct/NDCG@0", "lists of at least 1 item"),
        ("direct/NDCG@10", "direct/NDCG", 'write "loss", or as "direct/NDCG@10"'),
        ('"direct/NDCG@10"', "3", "objective = 3: write"),
        ("low = 1.0", 'low = "a"', "direct_alpha\"]: low = 'a': a number is wanted"),
        ("low = 5", "low = true", "low = True: a number is wanted"),
        ("high = 10.0", "high = inf", "high = inf: a number is wanted"),
        ("log = true", 'log = "yes"', "log = 'yes': true or false is wanted"),
        ("step = 5", "step = 0", 'max_history"]: `step'),
        ("step = 5", "step = 2.5", "step = 2.5: between whole numbers"),
        ("choices = [16, 32]", "choices = 5", "choices = 5: a list is wanted"),
        ('preset = "tiny"', "preset = 3", "preset = 3: the name of a preset is wanted"),
        ("epochs = 1", "epochs = 0", "training.epochs = 0: must be at least 1"),
        ("epochs = 1", '[prompts]\ntasks = ["sequential"]', "objective: 'direct' is not among"),
        (
            "choices = [16, 32]",
            """low = 8
high = 9
[space."prompts.tasks"]
choices = [["direct"], ["sequential"]]""",
            "tasks\"]: 'direct' is not among",
        ),
        ('preset = "tiny"', 'preset = "tiny"\nmethod = "graph-gpt"', "contradicts 'tune elmrec'"),
    ],
)
def test_mistakes(read, old, new, message):
    assert old in WHOLE
    with pytest.raises(ConfigError, match=r"space\.toml: ") as caught:
        read(WHOLE.replace(old, new, 1))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "space = 3\n", "space = {}\n"])
def test_nothing_to_search(read, text):
    with pytest.raises(ConfigError, match=r"space\.toml: nothing to search"):
        read(f'preset = "tiny"\n{text}')


def test_the_trained_tasks_may_be_searched_where_each_choice_has_the_objective(read):
    searched = '[space."prompts.tasks"]\nchoices = [["direct"], ["direct", "sequential"]]\n'
    text = 'preset = "tiny"\nobjective = "direct/NDCG@10"\n'
    space = read(f'{text}[prompts]\ntasks = ["sequential"]\n{searched}')
    assert space.task == "direct"
    values = optuna.create_study().ask(dict(space.distributions)).params
    assert space.settings(values).prompts.tasks in (("direct",), ("direct", "sequential"))


def test_a_method_without_a_choice_of_tasks(read):
    text = 'objective = "sequential/NDCG@10"\n[space."backbone.dropout"]\nlow = 0.0\nhigh = 0.5\n'
    assert read(f'preset = "tiny"\n{text}', method="graph-gpt").task == "sequential"


FAKES = """
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
    monkeypatch.setattr(training, "draw_curves", lambda *_: None)  # a picture a trial
    dataset = make_demo_shop(3, num_users=60, num_items=96)
    dataset.save(tmp_path / "shop")
    file = tmp_path / "space.toml"
    file.write_text(FAKES)
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
    trial = open_study(search, file).ask(dict(search.space.distributions))
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
    file.write_text(FAKES.replace('objective = "sequential/HitRate@10"', ""))
    study = run(replace(search, space=read_space(file, "fake")), 1)
    # The fake method's last stage has validation losses 2 and 1.
    assert study.best_value == 1.0


def test_a_study_of_something_else_is_refused(search, tmp_path):
    run(search, 1)
    file = tmp_path / "space.toml"
    file.write_text(FAKES.replace("high = 9", "high = 8"))
    with pytest.raises(ConfigError, match=r"belongs to another search \(space differ\)"):
        run(replace(search, space=read_space(file, "fake")), 2)
    data = replace(search.data, checksum="0" * 64)
    with pytest.raises(ConfigError, match=r"\(data differ\)"):
        run(replace(search, data=data), 2)
