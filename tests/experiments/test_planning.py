"""The commands that are left say truly what is left, and none of them makes a false figure."""

from __future__ import annotations

import shlex

import pytest

from edgewise.experiments.grid import Selection, find_cells
from edgewise.experiments.runner import commands_of, plan_work
from edgewise.runs.run import FILE, FINISHED, DataInfo, RunInfo
from edgewise.runs.spec import resolve_config

USERS = {"HitRate@10": [0.0, 1.0]}
DATA = DataInfo("runs/data/shop", "shop", "a" * 64)


@pytest.fixture
def left(layout, write_config):
    """The commands for a row ``a``, with the words of its configuration."""

    def commands(text="", *, force=False, **choice):
        write_config("t/shop/a", f'preset = "tiny"\n{text}')
        work = plan_work(find_cells(layout, ["t"], Selection(**choice)), layout)
        return commands_of(work, layout, force=force)

    return commands


@pytest.fixture
def imported(layout):
    (layout.runs / "data/shop").mkdir(parents=True)


def stand(layout, *changes, status=FINISHED):
    info = RunInfo(resolve_config("tiny", assignments=changes), DATA, status=status)
    info.write(layout.runs / "t/shop/a")


def verbs(lines):
    return [shlex.split(line)[1] for line in lines]


def test_everything_from_the_start_and_then_nothing(left, write_result):
    assert verbs(left()) == ["data", "fit", "evaluate"]
    write_result("t/shop/a", USERS)
    assert left() == []


@pytest.mark.usefixtures("imported")
def test_a_fitted_run_is_only_measured(layout, left):
    stand(layout)
    assert verbs(left()) == ["evaluate"]


@pytest.mark.usefixtures("imported")
def test_an_unfinished_training_is_resumed_first(layout, left):
    stand(layout, status="training")
    fit, evaluate = map(shlex.split, left())
    assert fit[:4] == ["edgewise", "fit", "elmrec", "--resume"] and evaluate[1] == "evaluate"


@pytest.mark.usefixtures("imported")
def test_a_run_of_other_settings_is_told_and_never_measured(layout, left, write_result):
    stand(layout)
    write_result("t/shop/a", USERS)
    changed = "[training]\nepochs = 3\n"
    (line,) = left(changed)
    start = f"# {layout.runs}/t/shop/a holds a run of other settings (training.epochs (10, now 3))"
    assert line == f"{start}: the same with --force replaces it"
    fit, evaluate = map(shlex.split, left(changed, force=True))
    assert "--force" in fit and evaluate[1] == "evaluate"


@pytest.mark.usefixtures("imported")
def test_a_run_that_cannot_be_read_is_told(layout, left):
    stand(layout)
    (layout.runs / "t/shop/a" / FILE).write_text("{")
    (line,) = left()
    assert line.startswith("# ") and "run.json cannot be read" in line


@pytest.mark.parametrize("kind", ['kind = "data"\n', 'kind = "vectors"\nrounds = [1]\n'])
def test_cells_without_a_model_are_left_as_others_are(layout, left, kind):
    imported, described = map(shlex.split, left(kind))
    assert imported[1:3] == ["data", "import"]
    assert described[:3] == ["edgewise", "reproduce", "t"]
    options = dict(zip(described[3::2], described[4::2], strict=True))
    assert options == {
        **{"--dataset": "shop", "--method": "a", "--data": str(layout.raw)},
        **{f"--{name}": str(getattr(layout, name)) for name in ("experiments", "results", "runs")},
    }
