"""``edgewise fit METHOD --from RUN``: what is told, recorded, resumed and refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from tests.contracts.checkerboard import checkerboard
from tests.growth import MORE_USERS, grown

from edgewise.errors import ModelFolderError
from edgewise.files import file_checksum
from edgewise.models.sasrec import SASRec
from edgewise.runs.run import FINISHED, TRAINING, open_run, read_info
from edgewise.runs.starting import open_start
from edgewise.seals import seal_fields

from .conftest import fitted

QUICK = ("--set", "training.epochs=1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The data before and after they grew, and a run on the first."""
    place = tmp_path_factory.mktemp("from")
    old = checkerboard().split.dataset
    old.save(place / "old")
    grown(old, apart=False).save(place / "grown")
    fitted(place / "run", "sasrec", place / "old", "--preset", "tiny", *QUICK)
    return place


@pytest.fixture(scope="module")
def warm(folders):
    """The warm start, and what it printed."""
    more = ("--from", folders / "run", "--start-share", "0.5")
    return fitted(folders / "warm", "sasrec", folders / "grown", *more)


def words(result) -> str:
    return " ".join(result.output.split())


def test_it_tells_and_records_where_it_starts(warm, folders):
    folder, printed = warm
    for told in ("starts from", "parameters of the model of checkerboard", f"{MORE_USERS} users"):
        assert told in printed
    about = json.loads((folder / "run.json").read_text())
    checksum = file_checksum(folders / "run" / "model" / "model.json")
    started = {"folder": str(folders / "run"), "checksum": checksum, "share": 0.5}
    assert about["started_from"] == started
    assert about["config"] == json.loads((folders / "run" / "run.json").read_text())["config"]
    assert (
        f"| started from | {folders / 'run'}, model {checksum[:12]}"
        in (folder / "model" / "README.md").read_text()
    )
    run = open_run(folder)
    assert len(run.model.data.users) == 48 + MORE_USERS
    assert "started_from" not in json.loads((folders / "run" / "run.json").read_text())


def test_it_is_the_warm_start_of_the_model(warm, folders):
    run = open_run(warm[0])
    older = SASRec.from_pretrained(folders / "run" / "model")
    again = SASRec(run.config).fit(run.split, start_from=older, start_share=0.5)
    assert isinstance(run.model, SASRec)
    weights = (each.network.item_table() for each in (again, run.model))
    assert torch.equal(*weights)


def test_it_resumes(warm, folders, edgewise, tmp_path):
    folder = tmp_path / "warm"
    shutil.copytree(warm[0], folder)
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(seal_fields({**about, "status": TRAINING})))
    shutil.rmtree(folder / "model")
    other = edgewise("fit", "sasrec", "--out", folder, "--resume", "--from", tmp_path / "another")
    assert other.exit_code and "--from" in words(other) and "differ" in words(other)
    result = edgewise("fit", "sasrec", "--out", folder, "--resume")
    assert result.exit_code == 0, result.output
    assert read_info(folder).status == FINISHED
    weights = "model/model.safetensors"
    assert (folder / weights).read_bytes() == (warm[0] / weights).read_bytes()


def test_what_cannot_be_started_from_is_refused(folders, edgewise, tmp_path):
    old, larger, run = (folders / name for name in ("old", "grown", "run"))
    other = tmp_path / "other"
    checkerboard(num_users=20).split.dataset.save(other)
    to = ("--out", tmp_path / "out")
    cases = [
        (("fit", "gru4rec", "--data", larger, *to), "a run of sasrec, and gru4rec is to be"),
        (("fit", "sasrec", "--data", other, *to), "not 'checkerboard' grown: user 20 was 'u20'"),
        (("fit", "sasrec", "--data", old, "--out", run, "--force"), "--out is the same run"),
        (("fit", "sasrec", "--data", larger, *to, "--set", "hidden_size=8"), "hidden_size = 8"),
        (("fit", "sasrec", "--data", larger, *to, "--preset", "paper"), "may change in a warm"),
    ]
    for command, told in cases:
        result = edgewise(*command, "--from", run)
        assert result.exit_code and told in words(result), result.output
        assert not (tmp_path / "out").exists()
    alone = edgewise("fit", "sasrec", "--data", larger, *to, "--start-share", "0.5")
    assert alone.exit_code and "--start-share needs --from" in words(alone)
    wrong = edgewise("fit", "sasrec", "--data", larger, *to, "--from", run, "--start-share", "2")
    assert wrong.exit_code and "--start-share 2: above 0" in words(wrong)
    missing = edgewise("fit", "sasrec", "--data", larger, *to, "--from", tmp_path / "nothing")
    assert missing.exit_code and "is no run folder" in words(missing)


def test_a_run_that_was_shown_held_out_rows_starts_no_honest_one(folders, edgewise, tmp_path):
    leaking = fitted(
        tmp_path / "leaking",
        "popularity",
        _with_source_numbers(tmp_path),
        "--protocol",
        "elmrec-released",
        "--edge-share",
        "0.8",
    )[0]
    command = ("fit", "popularity", "--data", folders / "grown", "--out", tmp_path / "out")
    result = edgewise(*command, "--from", leaking, "--protocol", "honest")
    assert result.exit_code and "its weights know them" in words(result)


def _with_source_numbers(place):
    dataset = checkerboard().split.dataset
    replace(dataset, source={**dataset.source, "item_numbers": "source"}).save(place / "source")
    return place / "source"


def test_a_method_that_counts_says_that_it_counts_anew(folders):
    run = fitted(folders / "ease", "ease", folders / "old", "--preset", "tiny")[0]
    printed = fitted(folders / "ease-warm", "ease", folders / "grown", "--from", run)[1]
    assert "nothing to take over: all is counted anew" in printed


def test_a_run_that_was_fitted_again_is_another_start(warm, folders, tmp_path):
    spec = read_info(warm[0]).spec
    assert spec.started_from is not None
    start = replace(spec.started_from, checksum="0" * 64)
    with pytest.raises(ModelFolderError, match="fitted again since"):
        open_start(replace(spec, started_from=start))
