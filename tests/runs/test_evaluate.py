"""A run of any method is measured under its own name and its own protocol."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.fake_method import registered
from tests.seals import edit

from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation.evaluate import evaluate_direct
from edgewise.evaluation.report import is_sealed
from edgewise.runs import open_run
from edgewise.runs.evaluate import (
    Conditions,
    cautions,
    evaluate_run,
    evaluate_task,
    measurable_tasks,
    result_document,
    save_result,
    write_document,
)
from edgewise.runs.train import train
from edgewise.runs.user_figures import read_user_figures, user_figures_file


@pytest.fixture(scope="module")
def ratio(spec, data, tmp_path_factory):
    """A run that holds out several rows of a user."""
    folder = tmp_path_factory.mktemp("ratio") / "run"
    with registered():
        return train(replace(spec, split_kind="ratio", split_seed=1), folder, dataset=data[0])


def test_several_held_out_rows_are_measured_by_recall(ratio, tmp_path):
    conditions = Conditions(ks=(20, 40))
    result = evaluate_task(ratio, "sequential", conditions)
    ours, popularity = result.reports["Fake"], result.reports["Popularity"]
    assert list(result.reports) == ["Fake", "Popularity"]
    assert {"Recall@20", "Recall@40", "NDCG@40", "HitRate@20", "MRR@20"} <= ours.metrics.keys()
    assert ours.metrics == popularity.metrics, "the fake method is popularity"
    assert ours.settings["masked"] == "train and validation items"
    first, *_ = save_result(result, ratio, conditions, tmp_path)
    assert json.loads(first.read_text())["metrics"]["Recall@20"]["mean"] > 0


def test_only_what_is_asked_for_is_measured(ratio):
    asked = Conditions("valid", ks=(100,), metrics=("NDCG",), max_users=10)
    for task in ("direct", "sequential"):
        report = evaluate_task(ratio, task, asked).reports["Fake"]
        accuracy = {name for name in report.metrics if not name.startswith(("Cov", "Popular"))}
        assert accuracy == {"NDCG@100"}
    assert report.settings["masked"] == "train items"
    with pytest.raises(ConfigError, match=r"'NDGC'.*Did you mean 'NDCG'"):
        evaluate_task(ratio, "direct", Conditions(metrics=("NDGC",)))


def test_a_task_that_was_not_trained_is_refused(run):
    with pytest.raises(ConfigError, match="was not trained for it, only for direct, sequential"):
        evaluate_task(run, "explanation", Conditions())


def test_lists_may_hold_seen_items_where_asked(run):
    report = evaluate_task(run, "sequential", Conditions(allow_seen=True)).reports["Fake"]
    assert report.settings["allow_seen"] is True
    (path, *_) = save_result(
        evaluate_task(run, "sequential", Conditions("valid", allow_seen=True)),
        run,
        Conditions("valid", allow_seen=True),
    )
    assert path == run.folder / "evaluation" / "sequential-valid-allow-seen.json"
    assert "## Metrics: sequential, valid allow seen" in card_of(run)


def test_all_tasks_at_once_are_kept_and_told(run):
    told = []
    results = evaluate_run(run, Conditions(max_users=9), on_result=told.append)
    assert told == results
    assert (
        [each.task for each in results]
        == measurable_tasks(run, "test")
        == [
            "direct",
            "sequential",
        ]
    )
    names = sorted(path.name for path in (run.folder / "evaluation").glob("*.json"))
    assert names == [
        f"{task}-test{end}.json" for task in ("direct", "sequential") for end in ("-popularity", "")
    ]
    (only,) = evaluate_run(run, Conditions(), ["direct"], folder=run.folder.parent / "other")
    assert only.task == "direct" and (run.folder.parent / "other" / "direct-test.json").is_file()


def card_of(run):
    return (run.folder / "model" / "README.md").read_text()


def test_the_model_card_holds_the_conditions_and_then_the_metrics(run):
    card = card_of(run)
    for words in ("| data | demo: 60 users, 96 items", "| protocol | honest v1 |", "## Licence",
                  "| split | leave-one-out, seed 0 |", run.spec.data.checksum,
                  "data's own terms apply"):  # fmt: skip
        assert words in card
    assert "license: other" in card.split("---")[1] and "NDCG" not in card
    report = evaluate_run(run, Conditions())[0].reports["Fake"]
    card = card_of(run)
    assert "## Metrics: direct, test" in card and "## Metrics: sequential, test" in card
    assert "Protocol honest v1, 60 users or pairs." in card
    assert f"| NDCG@10 | {report.metrics['NDCG@10'].mean:.4f} |" in card
    again = evaluate_run(run, Conditions(max_users=7), ["direct"])
    assert card_of(run).count("## Metrics: direct, test") == 1 and "7 users" in card_of(run)
    assert "## Licence" in card_of(run) and len(again[0].reports["Fake"].rows) == 7
    assert open_run(run.folder).label == "Fake", "the card may be changed"


def test_a_document_tells_everything_and_is_sealed(run):
    result = evaluate_task(run, "direct", Conditions())
    values = result_document(run, [result], "audit: none", "edgewise evaluate r")
    assert values["run"] == run.info.to_dict() and values["command"] == "edgewise evaluate r"
    assert list(values["learning"]) == ["first", "second"] and is_sealed(values)
    assert list(values["results"]["direct"]) == ["Fake", "Popularity"]


def test_a_document_stands_beside_its_users(run, tmp_path):
    results = [evaluate_task(run, task, Conditions()) for task in ("direct", "sequential")]
    file = tmp_path / "figures" / "row.json"
    write_document(file, run, results, "audit: none", "edgewise evaluate r")
    values = json.loads(file.read_text())
    for result in results:
        for number, (name, report) in enumerate(result.reports.items()):
            told = values["results"][result.task][name]
            assert 0 < told["answer_seconds"] <= told["seconds"] + 0.01
            beside = user_figures_file(file), values["users_sha256"]
            users = read_user_figures(*beside, result.task, number)
            assert users is not None and users["NDCG@10"].equals(report.rows["NDCG@10"])
    assert is_sealed(values)


# Users whose validation rows fitted weights.


@pytest.fixture
def mixing(run, monkeypatch):
    """The run, as if rows of every second user had fitted its weights."""
    chosen = np.unique(run.split.valid.user_index)[::2].astype(np.int64)
    monkeypatch.setattr(type(run.model), "fitted_on_valid", lambda self: chosen)
    return run


@pytest.mark.parametrize("task", ["direct", "sequential"])
def test_rows_that_fitted_weights_are_not_measured(mixing, task):
    result = evaluate_task(mixing, task, Conditions("valid"))
    fitted = mixing.model.fitted_on_valid()
    others = np.setdiff1d(mixing.split.valid.user_index, fitted)
    for report in result.reports.values():
        assert report.rows["user_index"].to_list() == others.tolist()
        assert report.settings["users_fitted_on"] == len(fitted) == 30
    said = "30 validation users whose rows fitted the weights of the priors are left out"
    assert said in cautions(result)
    sample = evaluate_task(mixing, task, Conditions("valid", max_users=9)).reports["Fake"]
    assert len(sample.rows) == 9 and not set(sample.rows["user_index"]) & set(fitted)


def test_on_test_rows_everybody_is_measured(mixing):
    result = evaluate_task(mixing, "direct", Conditions())
    assert len(result.reports["Fake"].rows) == 60 and "fitted" not in str(cautions(result))
    assert "users_fitted_on" not in result.reports["Fake"].settings


def test_what_is_left_out_is_told_in_the_card_and_known_to_the_model_alone(mixing):
    save_result(evaluate_task(mixing, "direct", Conditions("valid")), mixing, Conditions("valid"))
    assert "Note: 30 validation users whose rows fitted the weights" in card_of(mixing)
    alone = evaluate_direct(mixing.model, mixing.split, "valid")
    assert alone.num_users == 30 and alone.settings["users_fitted_on"] == 30


def test_nobody_left_to_be_measured_is_refused(mixing):
    with pytest.raises(EdgewiseError, match="fitted on the rows of all of them"):
        evaluate_direct(mixing.model, mixing.split, "valid", users=mixing.model.fitted_on_valid())


# Its protocol.


def test_reports_of_the_run_and_its_baseline_say_that_they_leak(released):
    for task in ("direct", "sequential"):
        result = evaluate_task(open_run(released.folder), task, Conditions())
        for values in result.to_dict().values():
            assert next(iter(values)) == "warning"
            assert values["protocol"]["name"] == "elmrec-released"
            assert values["settings"]["data_checksum"] == released.spec.data.checksum
    assert "| protocol | elmrec-released v1 (leaks: see docs/protocols.md) |" in card_of(released)


def test_the_protocol_gives_what_nobody_asks_for(released):
    report = evaluate_task(released, "direct", Conditions()).reports["Fake"]
    assert [*report.metrics] == ["HitRate@5", "HitRate@10", "NDCG@5", "NDCG@10"]
    asked = Conditions(ks=(3,), metrics=("MRR",), num_negatives=7)
    report = evaluate_task(released, "direct", asked).reports["Fake"]
    assert [*report.metrics] == ["MRR@3"] and report.settings["num_negatives"] == 7


def test_a_run_of_another_version_is_opened_but_not_measured(run):
    edit(run.folder / "run.json", lambda about: about["protocol"].update(version=0), seal=True)
    opened = open_run(run.folder)
    with pytest.raises(ConfigError, match="fitted under honest v0"):
        evaluate_task(opened, "direct", Conditions())
