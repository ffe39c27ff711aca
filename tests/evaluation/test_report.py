"""Reports on disk, their seals, and systems side by side."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from edgewise.errors import EdgewiseError
from edgewise.evaluation.evaluate import evaluate_direct
from edgewise.evaluation.protocols import HONEST, find_protocol
from edgewise.evaluation.report import (
    RankingReport,
    TextReport,
    check_seal,
    comparison_table,
    is_sealed,
    load_report,
    load_rows,
    paired_differences,
    rows_digest,
    sealed,
)
from edgewise.evaluation.statistics import Estimate, bootstrap_mean
from edgewise.models.popularity import Popularity


@pytest.fixture
def report() -> RankingReport:
    users = pl.DataFrame({"user_index": [0, 1], "user_id": ["a", "b"], "NDCG@5": [1.0, 0.5]})
    metrics = {"NDCG@5": Estimate(0.75, 0.5, 1.0), "Coverage@5": Estimate(0.25)}
    return RankingReport(users, metrics, 2, {"task": "direct", "part": "test"})


def test_saved_reports_read_back(report, tmp_path):
    report.save(tmp_path / "deep" / "r.json", tmp_path / "deep" / "r.parquet")
    values = json.loads((tmp_path / "deep" / "r.json").read_text())
    check_seal(values, "r.json")
    assert values.pop("seal") and values.pop("rows_sha256") == rows_digest(report.per_user)
    assert values == {
        "protocol": {"name": "honest", "version": 1},
        "num_users": 2,
        "settings": {"task": "direct", "part": "test"},
        "metrics": {
            "NDCG@5": {"mean": 0.75, "low": 0.5, "high": 1.0},
            "Coverage@5": {"mean": 0.25, "low": None, "high": None},
        },
    }
    assert pl.read_parquet(tmp_path / "deep" / "r.parquet").equals(report.per_user)
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["r.json", "r.parquet"]


def test_a_protocol_that_leaks_is_the_first_thing_a_report_says(report, tmp_path):
    leaking = replace(report, protocol=find_protocol("elmrec-released"))
    leaking.save(tmp_path / "r.json")
    first, *_ = json.loads((tmp_path / "r.json").read_text()).items()
    assert first == ("warning", leaking.protocol.warning)
    first_line = (tmp_path / "r.json").read_text().splitlines()[1]
    assert first_line.strip().startswith('"warning": "LEAKS: figures under elmrec-released v1')
    assert "warning" not in report.to_dict()


def test_parquet_is_optional_and_texts_save_too(tmp_path):
    pairs = pl.DataFrame({"user_index": [0], "item_index": [3], "text": ["ok"]})
    TextReport(pairs, {"BLEU-1": Estimate(12.0)}, 1, {}).save(tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())["num_pairs"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]


def test_a_failed_save_leaves_the_older_file(report, tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    report.save(path)
    before = path.read_text()

    def full_disk(self, target):
        target.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    with pytest.raises(OSError, match="no space"):
        report.save(path, tmp_path / "r.parquet")
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_not_a_number_is_not_written(report, tmp_path):
    report.metrics["NDCG@5"] = Estimate(float("nan"))
    with pytest.raises(ValueError, match="JSON compliant"):
        report.save(tmp_path / "r.json")
    assert not list(tmp_path.iterdir())


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=4)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
NESTED = st.recursive(LEAVES, lambda x: st.lists(x) | st.dictionaries(TEXTS, x), max_leaves=4)
VALUES = st.dictionaries(TEXTS.filter(lambda key: key != "seal"), NESTED, max_size=4)


@settings(max_examples=50)
@given(VALUES)
def test_it_holds_after_any_way_of_writing(values):
    written = sealed(values)
    assert {key: value for key, value in written.items() if key != "seal"} == values
    for text in (json.dumps(written), json.dumps(written, indent=2, sort_keys=True)):
        check_seal(json.loads(text), "file")


@settings(max_examples=50)
@given(VALUES, VALUES)
def test_it_holds_for_no_other_values(values, others):
    if json.dumps(values, sort_keys=True) != json.dumps(others, sort_keys=True):
        with pytest.raises(EdgewiseError, match="not what was sealed"):
            check_seal(others | {"seal": sealed(values)["seal"]}, "file")


@pytest.mark.parametrize(
    "seal", [None, "x", {}, {"algorithm": "sha256"}, {"algorithm": "md5", "digest": "0" * 64}]
)
def test_a_foreign_seal_is_refused(seal):
    with pytest.raises(EdgewiseError, match=r"^results/x\.json: .*Measure the run again"):
        check_seal({"a": 1, "seal": seal}, "results/x.json")


def test_sealing_again_replaces_the_seal():
    once = sealed({"a": 1})
    assert is_sealed(once) and not is_sealed({"a": 1})
    assert sealed(once) == once
    changed = sealed({**once, "a": 2})
    assert changed != once
    check_seal(changed, "file")
    assert list(changed)[-1] == "seal"


def table() -> pl.DataFrame:
    return pl.DataFrame({"user_index": [0, 1], "user_id": ["a", "bc"], "NDCG@5": [1.0, 0.5]})


@pytest.mark.parametrize(
    "other",
    [
        table().with_columns(pl.lit(0.5).alias("NDCG@5")),
        table().with_columns(user_id=pl.Series(["ab", "c"])),
        table().rename({"NDCG@5": "NDCG@6"}),
        table().reverse(),
        table().head(1),
        table().drop("user_id"),
        table().with_columns(pl.col("user_index").cast(pl.Float64)),
    ],
)
def test_any_change_of_rows_changes_their_digest(other):
    assert rows_digest(table()) == rows_digest(table())
    assert rows_digest(other) != rows_digest(table())


def test_a_digest_survives_parquet(tmp_path):
    rows = table().with_columns(pl.col("user_index").cast(pl.Int32), third=1 / 3)
    rows.write_parquet(tmp_path / "rows.parquet")
    assert rows_digest(pl.read_parquet(tmp_path / "rows.parquet")) == rows_digest(rows)


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


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "temporall", "protocol.name: no such protocol: 'temporall'. Did you mean 'temp"),
        ("name", None, "protocol.name is null"),
        ("version", "1", "protocol.version is '1'"),
        ("version", True, "protocol.version is True"),
        ("edge_share", "half", "protocol.edge_share is 'half'"),
    ],
)
def test_a_protocol_that_there_is_not_is_refused_though_it_is_sealed(file, field, value, message):
    def change(values):
        values["protocol"][field] = value
        values.update(sealed(values))

    edit(file, change)
    with pytest.raises(EdgewiseError, match=rf"direct-test\.json: {re.escape(message)}"):
        load_report(file)


def test_a_result_has_one_protocol(combined):
    def change(values):
        values["run"]["protocol"] = {"name": "temporal", "version": 1}
        values.update(sealed(values))

    edit(combined, change)
    with pytest.raises(
        EdgewiseError, match=r"protocol is honest v1, but run\.protocol is temporal"
    ):
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
    with pytest.raises(EdgewiseError, match=r"x\.json: .*'edgewise evaluate RUN --json FILE'"):
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


def ranking(values: np.ndarray, **settings) -> RankingReport:
    users = pl.DataFrame({"user_index": np.arange(len(values)), "NDCG@5": values})
    metrics = {"NDCG@5": bootstrap_mean(values), "Coverage@5": Estimate(0.125)}
    conditions = {"task": "direct", "part": "test", "num_negatives": 99, **settings}
    return RankingReport(users, metrics, len(values), conditions)


def printed(*args, **kwargs) -> str:
    console = Console(width=160, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(comparison_table(*args, **kwargs))
    return capture.get()


def test_protocols_do_not_mix_and_leaks_are_named(model, popularity):
    released = find_protocol("elmrec-released")
    leaking = replace(model, protocol=released)
    with pytest.raises(EdgewiseError, match=r"under honest v1, the other under elmrec-released v1"):
        paired_differences(popularity, leaking)
    assert "protocol: honest v1" in printed({"a": model})
    caption = " ".join(printed({"a": leaking}).split())
    assert "protocol: elmrec-released v1 (LEAKS)" in caption


@pytest.fixture
def popularity() -> RankingReport:
    return ranking(np.linspace(0, 0.5, 60))


@pytest.fixture
def model() -> RankingReport:
    return ranking(np.linspace(0, 0.5, 60) + 0.25)


def test_paired_differences(model, popularity):
    differences = paired_differences(model, popularity)
    assert list(differences) == ["NDCG@5"], "coverage belongs to no user"
    estimate = differences["NDCG@5"]
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((0.25, 0.25, 0.25))


def test_users_are_paired_by_index_not_by_row(model, popularity):
    turned = replace(popularity, per_user=popularity.per_user.reverse())
    assert paired_differences(model, turned)["NDCG@5"].low == pytest.approx(0.25)


def test_table_prints_both_with_intervals_and_difference(model, popularity):
    text = printed({"ELMRec": model, "popularity": popularity}, title="Beauty")
    for part in ("Beauty", "ELMRec", "popularity", "difference", "num_negatives: 99", "60 users"):
        assert part in text
    low, high = model.metrics["NDCG@5"].low, model.metrics["NDCG@5"].high
    assert f"0.5000 ({low:.4f} to {high:.4f})" in text
    assert "+0.2500 (+0.2500 to +0.2500)" in text
    (coverage,) = [line for line in text.splitlines() if "Coverage@5" in line]
    assert coverage.count("0.1250") == 2
    assert "to" not in coverage


def test_three_systems_have_no_difference_column(model, popularity):
    text = printed({"a": model, "b": model, "popularity": popularity})
    assert "difference" not in text


def test_text_reports_in_percent():
    pairs = pl.DataFrame({"user_index": [0], "item_index": [1]})
    text = TextReport(pairs, {"BLEU-1": Estimate(12.345, 10.0, 14.0)}, 1, {"task": "explanation"})
    assert "12.35 (10.00 to 14.00)" in printed({"ELMRec": text}).replace("12.34 ", "12.35 ")


def test_different_conditions_are_not_compared(model):
    other = ranking(np.zeros(60), num_negatives=999)
    with pytest.raises(EdgewiseError, match="num_negatives is 99 for the one and 999"):
        comparison_table({"a": model, "b": other})


def test_different_users_are_not_compared(model):
    with pytest.raises(EdgewiseError, match="a and b measured different users"):
        comparison_table({"a": model, "b": ranking(np.zeros(59)), "c": model})


def test_nothing_to_compare():
    with pytest.raises(EdgewiseError, match="no reports"):
        comparison_table({})


def test_reports_show_their_means(model):
    first, ndcg, coverage = repr(model).splitlines()
    assert first == (
        "RankingReport(task: direct, part: test, num_negatives: 99, 60 users, protocol: honest v1)"
    )
    estimate = model.metrics["NDCG@5"]
    assert ndcg == f"  NDCG@5      0.5000 ({estimate.low:.4f} to {estimate.high:.4f})"
    assert coverage == "  Coverage@5  0.1250"
