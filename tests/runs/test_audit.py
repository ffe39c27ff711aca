"""Audits of runs: what training was handed, what was measured, what stands beside the run."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.fake_method import Fake

from edgewise.data.item_lists import Recommendations
from edgewise.errors import EdgewiseError, ModelFolderError
from edgewise.evaluation.protocols import ELMREC_RELEASED, HONEST
from edgewise.evaluation.report import sealed
from edgewise.runs.audit import Depth, audit_dataset, audit_run, saved_headline
from edgewise.runs.evaluate import Conditions, evaluate_task, save_result

FAST = Depth(fast=True)


def finding_of(found, check):
    (finding,) = (finding for finding in found.findings if finding.check == check)
    return finding


def test_fit_keeps_the_audit_and_the_log(run):
    values = json.loads((run.folder / "audit.json").read_text())
    assert (values["verdict"], values["checks"]) == ("no leak found", "fast")
    assert values["protocol"]["name"] == "honest" and values["data"] == "demo"
    log = json.loads((run.folder / "training-log.json").read_text())
    assert log["rows"]["test"] == 0 and log["validations"] == {"first": 2, "second": 2}
    assert saved_headline(run.folder).startswith("audit (fast checks): no leak in")


def test_a_run_is_clean(run):
    save_result(evaluate_task(run, "direct", Conditions()), run, Conditions())
    found = audit_run(run.folder)
    assert not found.leaks
    verdicts = {finding.check: finding.verdict for finding in found.findings}
    for check in ("epoch-choice", "metric-pairs", "repeated-items", "padded-lists"):
        assert verdicts[check] == "ok"
    measured = finding_of(found, "metric-pairs")
    # Its own and popularity's.
    assert list(map(str, measured.measurements)) == ["impossible 0 of 2"]
    sealed = finding_of(found, "sealed-figures")
    assert (sealed.verdict, str(sealed.measurements[0])) == ("ok", "changed files 0 of 2")
    assert found.conditions["method"] == "Fake" and found.conditions["checks"] == "all"


def test_a_log_that_tells_of_test_rows_is_found(run):
    path = run.folder / "training-log.json"
    log = json.loads(path.read_text())
    log["rows"]["test"] = 60
    path.write_text(json.dumps(log))
    assert finding_of(audit_run(run.folder, depth=FAST), "epoch-choice").verdict == "leak"


def test_lists_that_repeat_items_are_found(run, monkeypatch):
    def twice(self, users, k=10, *, histories=None, **filters):
        rows = [np.array([3, 3])] * len(users)
        return Recommendations.from_lists(users, rows, [np.array([2.0, -np.inf])] * len(users))

    monkeypatch.setattr(Fake, "recommend", twice)
    found = audit_run(run.folder)
    assert finding_of(found, "repeated-items").measurements[0].value == 0.5
    assert finding_of(found, "padded-lists").measurements[1].value == 0.5
    assert {finding.check for finding in found.leaks} == {"repeated-items", "padded-lists"}


def test_a_figure_changed_by_hand_is_found(run):
    save_result(evaluate_task(run, "direct", Conditions()), run, Conditions())
    path = run.folder / "evaluation" / "direct-test.json"
    values = json.loads(path.read_text())
    values["metrics"]["HitRate@10"]["mean"] = 0.98
    path.write_text(json.dumps(values))
    found = audit_run(run.folder, depth=FAST)
    finding = finding_of(found, "metric-pairs")
    assert finding.verdict == "leak" and "direct-test, ranks 6-10" in finding.meaning
    assert finding_of(found, "sealed-figures").verdict == "leak"


def test_validation_figures_of_rows_that_fitted_weights_are_found(run, monkeypatch):
    assert finding_of(audit_run(run.folder), "mixing-rows").verdict == "not applicable"
    conditions = Conditions("valid")
    save_result(evaluate_task(run, "sequential", conditions), run, conditions)
    fitted = np.unique(run.split.valid.user_index)[:7].astype(np.int64)
    monkeypatch.setattr(Fake, "fitted_on_valid", lambda self: fitted)
    finding = finding_of(audit_run(run.folder), "mixing-rows")  # measured before it was known
    assert finding.verdict == "leak" and "sequential-valid" in finding.meaning
    assert finding.measurements[0].value == 14, "of the run and of popularity"
    save_result(evaluate_task(run, "sequential", conditions), run, conditions)
    assert finding_of(audit_run(run.folder), "mixing-rows").verdict == "ok"
    checks = {each.check for each in audit_run(run.folder, depth=FAST).findings}
    assert "mixing-rows" not in checks, "fast checks load no model"


@pytest.fixture
def measured(run):
    """The file of the run's own figures, whose rows stand beside it."""
    save_result(evaluate_task(run, "direct", Conditions()), run, Conditions())
    return run.folder / "evaluation" / "direct-test.json"


def sealed_of(folder):
    return finding_of(audit_run(folder, depth=FAST), "sealed-figures")


def test_a_figure_that_a_ranking_could_have_is_found_by_its_seal(run, measured):
    values = json.loads(measured.read_text())
    for estimate in values["metrics"].values():
        estimate["mean"] *= 0.999
    measured.write_text(json.dumps(values))
    finding = sealed_of(run.folder)
    assert finding.verdict == "leak" and str(measured) in finding.meaning
    assert str(finding.measurements[0]) == "changed files 1 of 2"
    bare = {name: value for name, value in values.items() if name != "seal"}
    measured.write_text(json.dumps(bare))
    assert "its seal was removed" in sealed_of(run.folder).meaning


def test_changed_rows_of_users_are_found(run, measured):
    rows = pl.read_parquet(measured.with_suffix(".parquet"))
    rows.with_columns(pl.lit(1.0).alias("HitRate@10")).write_parquet(
        measured.with_suffix(".parquet")
    )
    finding = sealed_of(run.folder)
    assert finding.verdict == "leak" and "direct-test.parquet" in finding.meaning


def test_texts_are_sealed_too_and_results_older_than_seals_are_told(run, measured):
    values = json.loads(measured.read_text())
    old = {key: values[key] for key in ("settings", "metrics")}
    measured.write_text(json.dumps(old))
    finding = sealed_of(run.folder)
    assert finding.verdict == "warning" and "direct-test" in finding.meaning
    texts = {"settings": {"task": "explanation"}, "metrics": {"BLEU-1": {"mean": 2.0}}}
    file = measured.with_name("explanation-test.json")
    file.write_text(json.dumps(sealed(texts) | {"num_pairs": 9}))
    finding = sealed_of(run.folder)
    assert finding.verdict == "leak" and "explanation-test.json" in finding.meaning


def test_a_damaged_file_is_named(run):
    path = run.folder / "evaluation" / "direct-test.json"
    path.parent.mkdir()
    path.write_text("{}")
    with pytest.raises(EdgewiseError, match=r"direct-test\.json: settings is missing"):
        audit_run(run.folder, depth=FAST)
    path.unlink()
    for name, check in (("training-log.json", audit_run), ("audit.json", saved_headline)):
        (run.folder / name).write_text("{")
        with pytest.raises(ModelFolderError, match=f"{name}: not valid JSON"):
            check(run.folder)


def test_runs_older_than_audits_say_so(run):
    for name in ("training-log.json", "audit.json"):
        (run.folder / name).unlink()
    assert "edgewise audit --run" in saved_headline(run.folder)
    finding = finding_of(audit_run(run.folder, depth=FAST), "epoch-choice")
    assert finding.verdict == "warning"


def test_a_data_set_under_two_protocols(data):
    dataset, _ = data
    assert not audit_dataset(dataset, HONEST, depth=FAST).leaks
    found = audit_dataset(dataset, ELMREC_RELEASED, depth=FAST)
    assert {"graph-edges", "text-pairs"} <= {finding.check for finding in found.leaks}
    assert found.conditions["split"] == {"kind": "leave-one-out", "seed": 0}


def test_a_split_by_time_has_no_later_events(data):
    dataset, _ = data
    found = audit_dataset(dataset, HONEST, "time", depth=FAST)
    assert finding_of(found, "later-events").verdict == "ok"
    without = replace(dataset, interactions=replace(dataset.interactions, timestamp=None))
    with pytest.raises(EdgewiseError, match="no timestamps"):
        audit_dataset(without, HONEST, "time", depth=FAST)
