"""A result that was changed by hand, or measured on other data, is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgewise.errors import EdgewiseError
from edgewise.evaluation.evaluate import evaluate_direct
from edgewise.evaluation.protocols import HONEST
from edgewise.evaluation.report import load_report, load_rows, sealed
from edgewise.models.popularity import Popularity


@pytest.fixture
def file(small_split, tmp_path) -> Path:
    """A report with its users beside it."""
    path = tmp_path / "direct-test.json"
    report = evaluate_direct(Popularity().fit(small_split), small_split, num_negatives=9)
    report.save(path, path.with_suffix(".parquet"))
    return path


@pytest.fixture
def combined(file, tmp_path) -> Path:
    """As ``edgewise evaluate --json`` writes it, without what does not matter here."""
    report = json.loads(file.read_text())
    report.pop("seal")
    run = {"data": {"checksum": report["settings"]["data_checksum"]}}
    values = {"protocol": report["protocol"], "run": run, "results": {"direct": {"Pop": report}}}
    path = tmp_path / "all" / "run.json"
    path.parent.mkdir()
    path.write_text(json.dumps(sealed(values)))
    return path


def edit(path: Path, change) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values, indent=2))


def test_what_was_written_is_read(file, combined, small_split):
    single, whole = load_report(file, small_split.dataset), load_report(combined)
    assert single.is_sealed and single.protocol == whole.protocol == HONEST
    assert whole.data_checksum == single.data_checksum is not None
    assert list(single.results["direct"]) == ["direct-test"]
    report = whole.results["direct"]["Pop"]
    assert report["metrics"] == single.results["direct"]["direct-test"]["metrics"]
    assert len(load_rows(file.with_suffix(".parquet"), report)) == report["num_users"] == 40


def better(values):
    values["metrics"]["HitRate@10"]["mean"] += 0.01


def fewer_negatives(values):
    values["settings"]["num_negatives"] = 99


def other_data(values):
    values["settings"]["data_checksum"] = "0" * 64


def other_protocol(values):
    values["protocol"]["name"] = "temporal"


def new_key(values):
    values["note"] = "tuned"


@pytest.mark.parametrize("change", [better, fewer_negatives, other_data, other_protocol, new_key])
def test_any_change_by_hand_is_refused(file, change):
    edit(file, change)
    with pytest.raises(EdgewiseError, match=r"direct-test\.json: its content is not what was seal"):
        load_report(file)
    with pytest.raises(EdgewiseError, match="not what was sealed"):
        load_report(file, allow_unsealed=True)


def test_a_figure_deep_inside_is_noticed(combined):
    edit(combined, lambda values: better(values["results"]["direct"]["Pop"]))
    with pytest.raises(EdgewiseError, match="not what was sealed"):
        load_report(combined)


def test_layout_of_the_file_is_free(file):
    file.write_text(json.dumps(json.loads(file.read_text()), sort_keys=True))
    load_report(file)


def test_a_seal_that_was_taken_off_is_missed(file):
    edit(file, lambda values: values.pop("seal"))
    for allow in (False, True):
        with pytest.raises(EdgewiseError, match="its seal was removed"):
            load_report(file, allow_unsealed=allow)


def test_files_older_than_seals_are_taken_only_on_request(file):
    def age(values):
        for key in ("seal", "protocol", "rows_sha256"):
            values.pop(key)

    edit(file, age)
    with pytest.raises(EdgewiseError, match=r"has no seal.*--allow-unsealed"):
        load_report(file)
    report = load_report(file, allow_unsealed=True)
    assert not report.is_sealed and report.protocol == HONEST


def test_foreign_data_are_refused(file, combined, make_dataset, tmp_path):
    foreign = make_dataset([[0, 1, 2, 3]] * 4, 5)
    foreign.save(tmp_path / "foreign")
    for path in (file, combined):
        for data in (foreign, tmp_path / "foreign", "f" * 64):
            with pytest.raises(EdgewiseError, match=r"\.json: measured on other data"):
                load_report(path, data)


def test_the_data_are_known_by_object_folder_and_checksum(file, small_split, tmp_path):
    small_split.dataset.save(tmp_path / "data")
    checksum = load_report(file).data_checksum
    for data in (small_split.dataset, tmp_path / "data", str(tmp_path / "data"), checksum):
        load_report(file, data)


def test_users_that_were_changed_are_refused(file):
    rows = file.with_suffix(".parquet")
    users = pl.read_parquet(rows)
    users.with_columns(pl.lit(0.25).alias("NDCG@10")).write_parquet(rows)
    with pytest.raises(EdgewiseError, match=r"direct-test\.parquet: these are not the rows"):
        load_report(file)


def test_a_figure_that_was_sealed_anew_does_not_fit_its_users(file):
    values = json.loads(file.read_text())
    better(values)
    file.write_text(json.dumps(sealed(values)))
    with pytest.raises(EdgewiseError, match=r"HitRate@10 of these rows is .* the figure was chan"):
        load_report(file)


def test_missing_and_damaged_rows(file, combined, tmp_path):
    report = load_report(file).results["direct"]["direct-test"]
    with pytest.raises(EdgewiseError, match="cannot be read"):
        load_rows(tmp_path / "none.parquet", report)
    (tmp_path / "half.parquet").write_bytes(b"PAR1")
    with pytest.raises(EdgewiseError, match="cannot be read"):
        load_rows(tmp_path / "half.parquet", report)


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"kind": "edgewise run"}', '{"metrics": {}}'])
def test_what_is_no_result_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(EdgewiseError, match=r"x\.json: (cannot be read|no result)"):
        load_report(tmp_path / "x.json")
    with pytest.raises(EdgewiseError, match="cannot be read"):
        load_report(tmp_path / "gone.json")


def test_committed_results_are_read_as_they_are():
    root = Path(__file__).parents[2] / "results"
    files = [path for path in root.rglob("*.json") if "run" in json.loads(path.read_text())]
    assert files, "results/ holds measured runs"
    for path in files:
        report = load_report(path, allow_unsealed=True)
        assert report.data_checksum and report.results
        assert np.isfinite(
            [
                m["mean"]
                for t in report.results.values()
                for s in t.values()
                for m in s["metrics"].values()
            ]
        ).all()
