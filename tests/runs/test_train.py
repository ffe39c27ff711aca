"""Training into a run folder: nothing of the test part goes in, everything of the run comes out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.fake_method import Fake

from edgewise.config import MethodConfig
from edgewise.data.dataset import Interactions
from edgewise.data.splits import Split
from edgewise.errors import ConfigError, DataError
from edgewise.evaluation.protocols import ELMREC_RELEASED, HONEST, parts_under
from edgewise.runs import open_run
from edgewise.runs.run import TRAINING, read_info
from edgewise.runs.train import _by_user_and_time, handed_over, read_log, train

COLUMNS = ("user_index", "item_index", "timestamp", "review")


def test_training_never_sees_a_test_row(spec, data, tmp_path, monkeypatch):
    handed: list[Split] = []
    fit = Fake.fit

    def remember(self, split, **options):
        handed.append(split)
        return fit(self, split, **options)

    monkeypatch.setattr(Fake, "fit", remember)
    dataset, _ = data
    fitted = train(spec, tmp_path / "run", dataset=dataset)
    assert [len(split.test) for split in handed] == [0]
    assert len(handed[0].dataset.interactions) == len(dataset.interactions) - 60
    assert len(handed[0].valid) == len(fitted.split.test) == 60


def test_the_plan_is_told_and_the_data_set_is_found(spec, tmp_path):
    told = []
    run = train(spec, tmp_path / "run", on_plan=told.append)
    assert [plan.num_parameters for plan in told] == [1234]
    assert run.dataset.checksum == spec.data.checksum
    assert open_run(tmp_path / "run").spec == run.spec == spec


def test_the_folder_keeps_the_log_and_the_curves(run):
    log = json.loads((run.folder / "training-log.json").read_text())
    assert log["rows"]["test"] == 0 and log["validations"] == {"first": 2, "second": 2}
    found = read_log(run.folder)
    assert found is not None and found.to_dict() == log
    curves = json.loads((run.folder / "curves.json").read_text())
    assert [curves[stage]["seconds"] for stage in ("first", "second")] == [2.0, 3.0]
    assert read_log(run.folder.parent) is None


def test_the_plan_is_told_first_then_the_audit_then_it_trains(spec, data, tmp_path, monkeypatch):
    told = []

    def refuse(self, split):
        assert (tmp_path / "run" / "audit.json").is_file()
        told.append("training")
        raise KeyboardInterrupt

    monkeypatch.setattr(Fake, "fit_scores", refuse)
    with pytest.raises(KeyboardInterrupt):
        train(
            spec,
            tmp_path / "run",
            dataset=data[0],
            on_plan=lambda plan: told.append("plan"),
            on_audit=lambda found: told.append("audit"),
        )
    assert told == ["plan", "audit", "training"]
    assert read_info(tmp_path / "run").status == TRAINING, "it can be gone on with"


def test_what_is_refused_before_the_first_step_leaves_nothing(spec, data, tmp_path, monkeypatch):
    def refuse(self, split, **options):
        raise DataError("nothing to learn from")

    monkeypatch.setattr(Fake, "fit", refuse)
    with pytest.raises(DataError, match="nothing to learn from"):
        train(spec, tmp_path / "run", dataset=data[0])
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused_leaves_the_run_that_was_to_be_replaced(spec, data, run, monkeypatch):
    def refuse(self, split, **options):
        raise DataError("nothing to learn from")

    monkeypatch.setattr(Fake, "fit", refuse)
    with pytest.raises(DataError, match="nothing to learn from"):
        train(spec, run.folder, dataset=data[0], force=True)
    assert open_run(run.folder).info.status == "finished"


@pytest.mark.parametrize("error", [DataError, RuntimeError])
def test_what_fails_with_nothing_to_go_on_with_leaves_nothing(
    spec, data, tmp_path, monkeypatch, error
):
    def fail(self, split):
        raise error("a bad batch")

    monkeypatch.setattr(Fake, "fit_scores", fail)
    with pytest.raises(error, match="a bad batch"):
        train(spec, tmp_path / "run", dataset=data[0])
    assert list(tmp_path.iterdir()) == []


def test_what_fails_after_a_checkpoint_can_be_gone_on_with(spec, data, tmp_path, monkeypatch):
    def fail(self, split):
        (tmp_path / "run" / "training" / "checkpoint").mkdir(parents=True)
        raise DataError("a bad batch")

    monkeypatch.setattr(Fake, "fit_scores", fail)
    with pytest.raises(DataError, match="a bad batch"):
        train(spec, tmp_path / "run", dataset=data[0])
    monkeypatch.undo()
    run = train(spec, tmp_path / "run", dataset=data[0], resume=True)
    assert open_run(tmp_path / "run").info.status == run.info.status == "finished"


def test_a_run_that_stands_there_is_replaced_only_with_leave(spec, data, run):
    with pytest.raises(ConfigError, match="a finished run is there"):
        train(spec, run.folder, dataset=data[0])
    other = replace(spec, split_seed=3)
    assert train(other, run.folder, dataset=data[0], force=True).spec == other
    assert read_info(run.folder).spec.split_seed == 3


def test_another_data_set_is_refused_before_a_file_is_written(spec, tmp_path):
    asked = replace(spec, data=replace(spec.data, checksum="0" * 64))
    with pytest.raises(DataError, match="not the data the run was fitted on"):
        train(asked, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


# What is handed over.


def test_the_data_set_that_is_handed_over_has_no_test_row_either(data):
    dataset, _ = data
    for protocol, kind in ((HONEST, "ratio"), (HONEST, "time"), (ELMREC_RELEASED, None)):
        split = parts_under(protocol, dataset, kind)
        handed = handed_over(split)
        rows = handed.dataset.interactions
        assert len(rows) == len(split.train) + len(split.valid) < len(dataset.interactions)
        order = np.lexsort((rows.timestamp, rows.user_index))
        assert (order == np.arange(len(rows))).all()
        given = [keys_of(part) for part in (split.train, split.valid)]
        assert sorted(keys_of(rows)) == sorted(given[0] + given[1])
        assert handed.dataset.items is dataset.items and handed.dataset.users is dataset.users
        assert handed.dataset.catalog is dataset.catalog
        if split.text_rows is not None:
            assert handed.text_rows is not None and not len(handed.text_rows.test)
            assert len(handed.text_rows.train) == len(split.text_rows.train)


def test_data_without_times_or_texts_are_handed_over(data):
    dataset, _ = data
    rows = dataset.interactions
    bare = replace(dataset, interactions=Interactions(rows.user_index, rows.item_index))
    handed = handed_over(parts_under(HONEST, bare, "leave-one-out")).dataset.interactions
    assert (np.diff(handed.user_index) >= 0).all() and handed.review is None
    assert len(handed) == len(rows) - 60


def keys_of(rows):
    return list(zip(*(list(getattr(rows, name)) for name in COLUMNS), strict=True))


def test_what_learns_at_once_took_time_and_threads_too(spec, data, tmp_path):
    at_once = replace(spec, method_name="popularity", config=MethodConfig())
    info = train(at_once, tmp_path / "run", dataset=data[0]).info
    assert info.training_seconds > 0 and info.machine["threads"] >= 1


@pytest.mark.parametrize("scale", [1, 2**40, None])
def test_rows_are_ordered_by_user_and_time(scale):
    rng = np.random.default_rng(0)
    users, times = rng.integers(0, 5000, 300), rng.integers(-9, 9, 300)
    scaled = None if scale is None else times * scale  # the largest fit no single number
    rows = Interactions(users.astype(np.int32), users.astype(np.int32), scaled)
    expected = sorted(range(300), key=lambda n: (users[n], 0 if scale is None else times[n], n))
    assert _by_user_and_time(rows).tolist() == expected
    nothing = rows.take(np.empty(0, dtype=np.int64))
    assert _by_user_and_time(nothing).tolist() == []
