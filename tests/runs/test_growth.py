"""Runs whose data have grown open on all of it, and are measured on what they do not know."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.fake_method import FAKE, FakeConfig

from edgewise.data.dataset import Dataset, histories_of
from edgewise.errors import DataError
from edgewise.evaluation.report import load_report
from edgewise.models.grown import Grown
from edgewise.runs.audit import Depth, audit_run
from edgewise.runs.evaluate import (
    Conditions,
    cautions,
    evaluate_run,
    evaluate_task,
    saved_result,
    write_document,
)
from edgewise.runs.explain import explain_pair
from edgewise.runs.predict import Predictor
from edgewise.runs.run import Run, load_run_data, open_run
from edgewise.runs.spec import DataInfo, RunSpec
from edgewise.runs.train import train

DAY = 86_400


def growing(dataset: Dataset) -> Dataset:
    """Newer rows of ten users, rows of the past of ten others, a new user and a new item."""
    newest, ids = int(dataset.interactions.timestamp.max()), dataset.items.ids
    rows = [(dataset.users.ids[u], ids[(7 * u) % 96], newest + 2 * DAY + u) for u in range(10)]
    rows += [(dataset.users.ids[u], ids[(5 * u) % 96], 10 + u) for u in range(10, 20)]
    rows += [("newcomer", raw, newest + 3 * DAY) for raw in (*ids[:3], "new")]
    users, items, times = zip(*rows, strict=True)
    label = dataset.item_label(0)
    return dataset.append(
        {"user_id": users, "item_id": items, "timestamp": times},
        {"item_id": ["new"], "title": [f"{label} again"]},
    )


def told(rows) -> list[tuple[int, int, int]]:
    return list(zip(rows.user_index, rows.item_index, rows.timestamp, strict=True))


@pytest.fixture(scope="module")
def both(data, tmp_path_factory) -> tuple[Dataset, Dataset, Path]:
    """The data set before and after, and the folder of the grown one."""
    folder = tmp_path_factory.mktemp("grown") / "shop"
    after = growing(data[0])
    after.save(folder)
    return data[0], after, folder


@pytest.fixture(scope="module")
def fit(both, tmp_path_factory):
    """Fits a run on the data before, once for each method and split; its data have grown since."""
    runs: dict[tuple[str, str], Path] = {}

    def make(method: str = FAKE.name, split: str = "leave-one-out") -> Path:
        if (method, split) not in runs:
            before, _, grown = both
            place = tmp_path_factory.mktemp("fitted")
            before.save(place / "data")
            config = FakeConfig() if method == FAKE.name else _config(method)
            about = DataInfo.of(before, place / "data")
            spec = RunSpec(method, config, about, split_kind=split, split_seed=3)
            train(spec, place / "run", dataset=before)
            shutil.rmtree(place / "data")
            shutil.copytree(grown, place / "data")
            runs[method, split] = place / "run"
        return runs[method, split]

    return make


def _config(method: str):
    from edgewise.models.registry import find_method

    return find_method(method).preset_config("tiny")


def test_a_run_opens_on_what_its_data_have_grown_to(both, fit):
    before, after, _ = both
    folder = fit()
    opened = open_run(folder)
    assert isinstance(opened.model, Grown) and opened.dataset.checksum == after.checksum
    growth = opened.growth
    assert (growth.rows, growth.users, growth.items) == (24, 1, 1)
    newest = max(int(growth.fitted.train.timestamp.max()), int(growth.fitted.valid.timestamp.max()))
    last = int(after.interactions.timestamp.max())
    assert growth.days == pytest.approx((last - newest) / DAY, abs=0.01) and growth.days >= 3
    fitted = opened.as_fitted()
    assert fitted.dataset.checksum == before.checksum and fitted.growth is None
    assert load_run_data(opened.spec.data).checksum == before.checksum
    assert told(fitted.split.test) == told(open_run(folder).growth.fitted.test)
    (answer,) = Predictor(opened, k=96).users(["newcomer", before.users.ids[0]])
    rows = histories_of(after.num_users, after.interactions)
    for user in ("newcomer", before.users.ids[0]):
        listed = answer.lists.filter(answer.lists["user_id"] == user)["item_id"]
        seen = {after.items.ids[i] for i in rows[after.users.index_of(user)]}
        assert len(listed) and not set(listed) & seen
    assert "nobody else bought it" in explain_pair(opened, "newcomer", "new").reason
    assert "bought by" in explain_pair(opened, "newcomer", both[0].items.ids[50]).reason


def test_ungrown_data_open_as_ever(run, data):
    opened = open_run(run.folder)
    assert opened.growth is None and not isinstance(opened.model, Grown) and not opened.notes
    assert opened.as_fitted() is opened
    report = evaluate_task(opened, "sequential", Conditions()).reports["Fake"]
    assert "growth" not in report.settings


def test_other_data_are_refused_and_the_way_to_grow_is_told(run, both, tmp_path):
    other = replace(both[1], grown_from=())
    other.save(tmp_path / "other")
    with pytest.raises(DataError, match=r"not the data the run was fitted on.*'edgewise data app"):
        open_run(run.folder, tmp_path / "other")


def test_an_altered_earlier_state_is_refused(run, both, tmp_path):
    after, rows = both[1], both[1].interactions
    ratings = np.where(np.arange(len(rows)) == 3, np.float32(0.5), rows.rating)
    replace(after, interactions=replace(rows, rating=ratings)).save(tmp_path / "altered")
    with pytest.raises(DataError, match="altered since"):
        open_run(run.folder, tmp_path / "altered")


@pytest.mark.parametrize("split", ["leave-one-out", "ratio", "time"])
def test_held_out_rows_that_the_model_knows_count_as_known(both, fit, split):
    after = both[1]
    opened = open_run(fit(split=split))
    known = {*told(opened.growth.fitted.train), *told(opened.growth.fitted.valid)}
    plain = opened.spec.split(after)
    for part in ("valid", "test"):
        expected = [row for row in told(plain.held_out(part)) if row not in known]
        assert told(opened.split.held_out(part)) == expected
        left_out = len(plain.held_out(part)) - len(expected)
        assert opened.growth.left_out[part] == left_out
    parts = (opened.split.train, opened.split.valid, opened.split.test)
    rows = [row for part in parts for row in told(part)]
    assert sorted(rows) == sorted(told(after.interactions))
    train_rows = opened.split.train
    for user in range(after.num_users):
        times = train_rows.timestamp[train_rows.user_index == user]
        assert (np.diff(times) >= 0).all()
    if split == "ratio":
        assert sum(opened.growth.left_out.values()) > 0, "it is drawn anew"


def test_back_dated_rows_make_validation_rows_known(both, fit):
    """Users without a newer row keep their last row, which nobody has seen, for the test."""
    opened = open_run(fit())
    before = opened.growth.fitted
    assert opened.growth.left_out["test"] == 0
    assert opened.growth.left_out["valid"] == 60 - 10, "those of users with newer rows moved on"
    later = [row for row in told(opened.split.valid) if row[0] < 60]
    assert set(later) <= set(told(before.test)) and len(later) == 10


def test_reports_tell_the_age_of_the_model(both, fit, tmp_path):
    folder = fit(split="ratio")
    opened = open_run(folder)
    (result, *_) = evaluate_run(opened, Conditions(part="test"), ["sequential"])
    settings = result.reports["Fake"].settings
    assert settings["growth"] == {
        "days": opened.growth.days,
        "rows": 24,
        "users": 1,
        "items": 1,
        "left_out": opened.growth.left_out["test"],
    }
    words = cautions(result)[0]
    assert "24 rows, 1 users and 1 items have come since" in words
    assert f"{opened.growth.left_out['test']} held-out rows" in words
    write_document(tmp_path / "all.json", opened, [result], "none", "")
    values = json.loads((tmp_path / "all.json").read_text())
    assert values["growth"]["fitted_on_checksum"] == both[0].checksum
    assert load_report(tmp_path / "all.json").data_checksum == both[1].checksum
    checksums = (both[0].checksum, both[1].checksum)
    found = [saved_result(folder, "Fake", "sequential", data=each) for each in checksums]
    assert found[0] is None and found[1] is not None


def test_an_audit_looks_at_what_was_fitted(both, fit):
    folder = fit()
    evaluate_run(open_run(folder), Conditions(part="valid"), ["sequential"])
    for depth in (Depth(fast=True), Depth()):
        made = audit_run(folder, depth=depth)
        assert made.conditions["data_checksum"] == both[0].checksum
        assert "no leak" in made.headline()


def test_a_grown_run_is_asked_as_it_was_fitted(fit, both):
    opened: Run = open_run(fit("item-knn"))
    before = opened.as_fitted()
    users = np.arange(5)
    known = before.split.known_before("test")
    found = before.model.recommend(users, 5, histories=known)
    assert (found.item_index < both[0].num_items).all()
