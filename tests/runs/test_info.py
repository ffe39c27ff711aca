"""``run.json`` keeps the method, and older ones are still read."""

from __future__ import annotations

import json

import pytest

from edgewise.errors import ModelFolderError
from edgewise.runs.run import DataInfo, RunInfo, read_info
from edgewise.runs.spec import resolve_config


@pytest.fixture
def info(fake):
    config = resolve_config("tiny", None, ["taste=rare", "seed=4"], method="fake")
    return RunInfo(config, DataInfo("data/x", "x", "0" * 64), "ratio", 2, "fake")


def changed(info, folder, **values):
    info.write(folder)
    about = json.loads((folder / "run.json").read_text()) | values
    left = {key: value for key, value in about.items() if value is not None}
    (folder / "run.json").write_text(json.dumps(left))
    return folder


def test_it_reads_back_equal(info, tmp_path):
    info.write(tmp_path)
    assert read_info(tmp_path) == info
    assert read_info(tmp_path).method.label == "Fake"


def test_an_older_run_without_a_method_is_elmrecs(tmp_path):
    info = RunInfo(resolve_config("tiny"), DataInfo("data/x", "x", "0" * 64))
    folder = changed(info, tmp_path, kind="elmrec", method=None)
    assert "method" not in json.loads((folder / "run.json").read_text())
    assert read_info(folder) == info
    assert read_info(folder).method.name == "elmrec"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "fakee"}, "no such method: 'fakee'. Did you mean 'fake'"),
        ({"method": "elmrec"}, "unknown configuration key 'taste'"),
        ({"kind": "elmrec"}, "not written by this version"),
        ({"kind": "something"}, "not written by this version"),
        ({"version": 2}, "not written by this version"),
        ({"split": None}, "'split'"),
    ],
)
def test_what_cannot_be_trusted_is_refused(info, tmp_path, values, message):
    with pytest.raises(ModelFolderError, match=message):
        read_info(changed(info, tmp_path, **values))
