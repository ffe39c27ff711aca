"""Writers killed between any two changes of files: nothing is lost, the next command goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.kills import every_kill, left_overs, told_files

from edgewise.config import updated
from edgewise.data.dataset import Dataset
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import DataError
from edgewise.models.popularity import Popularity
from edgewise.runs.run import is_run, open_run, read_info
from edgewise.runs.spec import DataInfo, RunSpec
from edgewise.runs.train import train


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Dataset, Path]:
    """As small as a shop can be."""
    folder = tmp_path_factory.mktemp("kills") / "shop"
    dataset = make_demo_shop(3, num_users=8, num_items=48)
    dataset.save(folder)
    return dataset, folder


@pytest.fixture(autouse=True)
def one_audit(monkeypatch, popular, data):
    """The same of the same data, each time."""
    from edgewise.runs import audit

    found = audit.audit_before_fit(popular, popular.split(data[0]))
    monkeypatch.setattr(audit, "audit_before_fit", lambda spec, split: found)


@pytest.fixture
def popular(data) -> RunSpec:
    """What is fitted at once."""
    return RunSpec("popularity", Popularity.Config(), DataInfo.of(*data))


def killed(folder: Path, states: Path) -> list[Path]:
    """The copies of a folder, each in a folder of its own where it has its name again."""
    found = sorted(states.iterdir())
    assert found, "something was written"
    return [state / folder.name for state in found]


def finished(folder: Path, spec: RunSpec, dataset: Dataset) -> dict[str, bytes]:
    """What the next command makes of it, as a person would: go on where there is a run."""
    run = train(spec, folder, dataset=dataset, resume=is_run(folder))
    assert open_run(folder).spec == run.spec == spec
    assert left_overs(folder.parent) == []
    return told_files(folder / "model")


def test_a_new_run(popular, data, tmp_path):
    place = tmp_path / "runs"
    place.mkdir()
    with every_kill(place, tmp_path / "states"):
        train(popular, place / "run", dataset=data[0])
    whole = told_files(place / "run" / "model")
    states = killed(place / "run", tmp_path / "states")
    for state in states:
        assert finished(state, popular, data[0]) == whole
    assert len(states) > 15


def test_a_new_run_in_an_empty_folder(popular, data, tmp_path):
    place = tmp_path / "runs"
    (place / "run").mkdir(parents=True)
    with every_kill(place, tmp_path / "states"):
        train(popular, place / "run", dataset=data[0])
    for state in killed(place / "run", tmp_path / "states"):
        if not (state / "audit.json").exists():  # as in any new run from there on
            finished(state, popular, data[0])


def test_a_run_that_is_replaced(popular, data, tmp_path, caplog):
    place = tmp_path / "runs"
    other = replace(popular, config=updated(popular.config, {"seed": 5}))
    train(other, place / "run", dataset=data[0])
    old = told_files(place)
    with every_kill(place, tmp_path / "states"):
        train(popular, place / "run", dataset=data[0], force=True)
    whole = told_files(place / "run" / "model")
    kept = recovered = 0
    for state in killed(place / "run", tmp_path / "states"):
        caplog.clear()
        hidden = not state.exists()
        assert is_run(state), "the old run or the new one, at every moment"
        assert hidden == ("run: recovered" in caplog.text)
        recovered += hidden
        if read_info(state).spec == other:
            kept += 1
            assert told_files(state) == {k[4:]: v for k, v in old.items()}
            train(popular, state, dataset=data[0], force=True)
            assert told_files(state / "model") == whole and not left_overs(state.parent)
        else:
            assert finished(state, popular, data[0]) == whole
    assert recovered == 1 and kept > 3


def test_a_training_that_is_refused(popular, data, tmp_path, monkeypatch):
    def refuse(self, split, **options):
        raise DataError("nothing to learn from")

    place = tmp_path / "runs"
    place.mkdir()
    with monkeypatch.context() as patched, every_kill(place, tmp_path / "states"):
        patched.setattr(Popularity, "fit", refuse)
        with pytest.raises(DataError, match="nothing to learn from"):
            train(popular, place / "run", dataset=data[0])
    for state in killed(place / "run", tmp_path / "states"):
        finished(state, popular, data[0])


@pytest.mark.parametrize("force", [False, True])
def test_a_data_set(data, tmp_path, caplog, force):
    place, new = tmp_path / "data", data[0]
    place.mkdir()
    old = replace(new, interactions=replace(new.interactions, rating=None))
    if force:
        old.save(place / "o")
    with every_kill(place, tmp_path / "states"):
        new.save(place / "o", force=force)
    whole, recovered = told_files(place), 0
    for state in killed(place / "o", tmp_path / "states"):
        caplog.clear()
        if force:
            hidden = not state.exists()
            found = Dataset.load(state)
            assert hidden == ("o: recovered; a command that was replacing it" in caplog.text)
            recovered += hidden
            assert found.checksum in (old.checksum, new.checksum)
        new.save(state, force=force or state.exists())
        assert told_files(state.parent) == whole
    assert recovered == force


def test_a_model_folder(data, popular, tmp_path):
    model = train(popular, tmp_path / "run", dataset=data[0]).model
    place = tmp_path / "models"
    model.save_pretrained(place / "m")
    with every_kill(place, tmp_path / "states"):
        model.save_pretrained(place / "m", card={"more": "words"})
    for state in killed(place / "m", tmp_path / "states"):
        assert Popularity.from_pretrained(state).data.checksum == data[0].checksum
        model.save_pretrained(state)
        assert left_overs(state.parent) == []


def test_kills_at_random_times_leave_the_model_of_an_unkilled_run(tmp_path):
    """Trainings killed at random times and gone on with; ``kill_fits.py`` does as many as asked."""
    script = Path(__file__).with_name("kill_fits.py")
    done = subprocess.run(
        [sys.executable, script, str(tmp_path), "--kills", "4"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] >= 4 and told["equal"] and told["left_overs"] == []
