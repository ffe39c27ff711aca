"""A run of any method is fitted, opened and measured under its own name."""

from __future__ import annotations

import json

import pytest

from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError, ModelFolderError
from edgewise.runs import open_run
from edgewise.runs.evaluate import Conditions, evaluate_task, save_result
from edgewise.runs.run import DataInfo, RunInfo, prepare_folder
from edgewise.runs.spec import resolve_config
from edgewise.runs.train import fit_run


@pytest.fixture
def run(fake, tmp_path):
    dataset = make_demo_shop(0, num_users=30, num_items=60)
    dataset.save(tmp_path / "data")
    data = DataInfo.of(dataset, tmp_path / "data")
    info = RunInfo(resolve_config("tiny", method="fake"), data, "ratio", 1, "fake")
    prepare_folder(tmp_path / "run", info)
    told = []
    run = fit_run(tmp_path / "run", info, dataset, on_plan=told.append)
    assert [plan.num_parameters for plan in told] == [1234]
    return run


def test_it_is_opened_as_what_it_was_fitted_as(run):
    assert run.label == "Fake" and run.tasks == ["direct", "sequential"]
    assert run.info.training_seconds == 5.0, "of both stages"
    opened = open_run(run.folder)
    assert (opened.label, opened.tasks, opened.config) == ("Fake", run.tasks, run.config)
    assert (run.folder / "config.toml").read_text().startswith('method = "fake"\n')
    assert (run.folder / "curves.png").is_file()


def test_an_unfinished_run_names_its_own_command(run):
    path = run.folder / "run.json"
    path.write_text(path.read_text().replace("finished", "training"))
    with pytest.raises(ModelFolderError, match=r"edgewise fit fake --out .* --resume"):
        open_run(run.folder)


def test_several_held_out_rows_are_measured_by_recall(run):
    conditions = Conditions(ks=(20, 40))
    result = evaluate_task(run, "sequential", conditions)
    ours, popularity = result.reports["Fake"], result.reports["Popularity"]
    assert list(result.reports) == ["Fake", "Popularity"]
    assert {"Recall@20", "Recall@40", "NDCG@40", "HitRate@20", "MRR@20"} <= ours.metrics.keys()
    assert ours.metrics == popularity.metrics, "the fake method is popularity"
    assert ours.settings["masked"] == "train and validation items"
    first, *_ = save_result(result, run.folder / "evaluation", conditions)
    assert json.loads(first.read_text())["metrics"]["Recall@20"]["mean"] > 0


def test_only_what_is_asked_for_is_measured(run):
    asked = Conditions("valid", ks=(100,), metrics=("NDCG",), max_users=10)
    for task in ("direct", "sequential"):
        report = evaluate_task(run, task, asked).reports["Fake"]
        accuracy = {name for name in report.metrics if not name.startswith(("Cov", "Popular"))}
        assert accuracy == {"NDCG@100"}
    assert report.settings["masked"] == "train items"
    with pytest.raises(ConfigError, match=r"'NDGC'.*Did you mean 'NDCG'"):
        evaluate_task(run, "direct", Conditions(metrics=("NDGC",)))


def test_a_task_that_was_not_trained_is_refused(run):
    with pytest.raises(ConfigError, match="was not trained for it, only for direct, sequential"):
        evaluate_task(run, "explanation", Conditions())


def test_a_method_that_does_not_rerank_cannot_leave_it_out(run):
    with pytest.raises(ConfigError, match="--no-rerank: Fake never ranks seen items"):
        evaluate_task(run, "sequential", Conditions(rerank=False))
