"""Evaluation from the command line is the protocol's, on the data of the run and no other."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from edgewise.data.dataset import load_dataset, save_dataset
from edgewise.evaluation.evaluate import evaluate_direct
from edgewise.runs import open_run


@pytest.fixture(scope="module")
def evaluated(edgewise, run, tmp_path_factory) -> tuple[Path, str]:
    """A copy of the run with everything evaluated, the copy's ``--json`` file, what was printed."""
    folder = Path(shutil.copytree(run, tmp_path_factory.mktemp("evaluated") / "run"))
    file = folder / "all.json"
    result = edgewise("evaluate", folder, "--json", file, "--max-users", 20, "-k", 5, "-k", 10)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_every_task_stands_beside_a_baseline(evaluated):
    folder, printed = evaluated
    for word in ("ELMRec", "Popularity", "Most frequent text", "HitRate@10", "BLEU-1"):
        assert word in printed
    combined = json.loads((folder / "all.json").read_text())
    assert list(combined["results"]) == ["direct", "sequential", "explanation"]
    assert list(combined["results"]["direct"]) == ["ELMRec", "Popularity"]
    assert combined["results"]["direct"]["ELMRec"]["seconds"] > 0
    assert combined["run"]["config"]["training"]["epochs"] == 1
    assert combined["command"].split()[0] == "edgewise"
    assert combined["versions"] and combined["machine"]


def test_results_are_kept_user_by_user(evaluated):
    folder, _ = evaluated
    report = json.loads((folder / "evaluation" / "direct-test.json").read_text())
    users = pl.read_parquet(folder / "evaluation" / "direct-test.parquet")
    assert len(users) == report["num_users"] == 20
    assert users["HitRate@10"].mean() == pytest.approx(report["metrics"]["HitRate@10"]["mean"])
    assert (folder / "evaluation" / "direct-test-popularity.json").is_file()
    assert (folder / "evaluation" / "explanation-test.parquet").is_file()


def test_the_numbers_are_the_protocols_own(evaluated):
    folder, _ = evaluated
    run = open_run(folder)
    expected = evaluate_direct(run.model, run.split, "test", max_users=20).metrics
    found = json.loads((folder / "evaluation" / "direct-test.json").read_text())["metrics"]
    assert {name: value["mean"] for name, value in found.items()} == pytest.approx(
        {name: value.mean for name, value in expected.items()}
    )


def test_raw_lists_may_hold_seen_items(edgewise, evaluated):
    folder, _ = evaluated
    result = edgewise("evaluate", folder, "--task", "sequential", "--no-rerank", "--split", "valid")
    assert result.exit_code == 0, result.output
    raw = json.loads((folder / "evaluation" / "sequential-valid-no-rerank.json").read_text())
    assert raw["settings"]["allow_seen"] is True
    run = open_run(folder)
    known = run.split.known_before("valid")
    users = run.split.valid.user_index
    lists = run.without_reranking().model.recommend(users, 90, histories=known)
    seen = [
        item in known[user] for user, item in zip(lists.user_index, lists.item_index, strict=True)
    ]
    assert any(seen)
    assert run.model.config.decoding.rerank  # the opened run itself is as it was


def test_the_papers_metrics_when_asked(edgewise, evaluated):
    folder, _ = evaluated
    asked = ("--metric", "Recall", "--metric", "NDCG", "--k", 20, "-k", 40, "--k", 100)
    result = edgewise("evaluate", folder, "--task", "direct", "--max-users", 9, *asked)
    assert result.exit_code == 0, result.output
    for name in ("Recall@20", "Recall@40", "NDCG@100"):
        assert name in result.output
    assert "HitRate" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "Recal"], "Did you mean 'Recall'"),
        (["--task", "directt"], "Did you mean 'direct'?"),
        (["--split", "tests"], "Did you mean 'test'?"),
        (["-k", "0"], "0"),
    ],
)
def test_impossible_wishes(edgewise, run, arguments, message):
    result = edgewise("evaluate", run, *arguments)
    assert result.exit_code == 2
    assert result.output.startswith("error: ") and message in result.output


def test_another_data_set_is_refused(edgewise, run, shop, tmp_path):
    dataset = load_dataset(shop)
    items = dataset.interactions.item_index.copy()
    items[0] = (items[0] + 1) % dataset.num_items
    altered = replace(dataset, interactions=replace(dataset.interactions, item_index=items))
    save_dataset(altered, tmp_path / "altered")
    result = edgewise("evaluate", run, "--data", tmp_path / "altered")
    assert result.exit_code == 2
    assert "not the data the run was fitted on" in result.output


def test_a_data_set_that_moved_is_asked_for(edgewise, run, tmp_path):
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    about = json.loads((folder / "run.json").read_text())
    about["data"]["folder"] = str(tmp_path / "gone")
    (folder / "run.json").write_text(json.dumps(about))
    result = edgewise("evaluate", folder)
    assert result.exit_code == 2 and "--data" in result.output


@pytest.mark.parametrize("damage", ["truncate", "alter", "remove", "foreign"])
def test_a_damaged_model_is_refused(edgewise, run, tmp_path, damage):
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    weights = folder / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    if damage == "truncate":
        weights.write_bytes(content[: len(content) // 2])
    elif damage == "alter":
        weights.write_bytes(content)
    elif damage == "remove":
        weights.unlink()
    else:
        about = folder / "model" / "model.json"
        about.write_text(about.read_text().replace('"elmrec"', '"popularity"'))
    result = edgewise("evaluate", folder)
    assert result.exit_code == 2
    assert result.output.startswith("error: ") and str(folder / "model") in result.output


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"kind": "edgewise run", "version": 1}', '{"kind": "x", "version": 1}']
)
def test_a_damaged_run_json_is_refused(edgewise, run, tmp_path, text):
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    (folder / "run.json").write_text(text)
    result = edgewise("evaluate", folder)
    assert result.exit_code == 2 and "run.json" in result.output
