"""Evaluation from the command line is the protocol's, on the data of the run and no other."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from tests.seals import edit

from edgewise.data.dataset import Dataset
from edgewise.errors import EdgewiseError
from edgewise.evaluation.evaluate import evaluate_direct
from edgewise.evaluation.protocols import HONEST, find_protocol
from edgewise.evaluation.report import load_report
from edgewise.runs import open_run

RELEASED = find_protocol("elmrec-released")


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
    assert combined["run"]["config"]["training"]["epochs"] == 2
    assert combined["command"].split()[0] == "edgewise"
    assert combined["versions"] and combined["machine"]
    assert combined["learning"]["training"]["epochs"] == 2


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


def test_the_model_card_holds_the_metrics(evaluated):
    folder, _ = evaluated
    card = (folder / "model" / "README.md").read_text()
    for task in ("direct", "sequential", "explanation"):
        assert f"## Metrics: {task}, test" in card
    report = json.loads((folder / "evaluation" / "direct-test.json").read_text())
    assert f"| NDCG@10 | {report['metrics']['NDCG@10']['mean']:.4f} |" in card
    for words in ("| data | demo:", "| protocol | honest v1 |", "## Licence", "| BLEU-1 |"):
        assert words in card


def test_raw_lists_may_hold_seen_items(edgewise, evaluated):
    folder, _ = evaluated
    asked = ("--task", "sequential", "--include-seen", "--part", "valid", "--max-users", 20)
    result = edgewise("evaluate", folder, *asked)
    assert result.exit_code == 0, result.output
    raw = json.loads((folder / "evaluation" / "sequential-valid-allow-seen.json").read_text())
    assert raw["settings"]["allow_seen"] is True
    run = open_run(folder)
    known = run.split.known_before("valid")
    users = run.split.valid.user_index[:20]
    lists = run.model.recommend(users, 90, histories=known, exclude_seen=False)
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
        (["--part", "tests"], "Did you mean 'test'?"),
        (["--protocol", "honset"], "Did you mean 'honest'?"),
        (["-k", "0"], "0"),
    ],
)
def test_impossible_wishes(edgewise, popular_run, arguments, message):
    result = edgewise("evaluate", popular_run, *arguments)
    assert result.exit_code == 2
    assert result.output.startswith("error: ") and message in result.output


def test_another_data_set_is_refused(edgewise, popular_run, shop, tmp_path):
    dataset = Dataset.load(shop)
    items = dataset.interactions.item_index.copy()
    items[0] = (items[0] + 1) % dataset.num_items
    altered = replace(dataset, interactions=replace(dataset.interactions, item_index=items))
    altered.save(tmp_path / "altered")
    result = edgewise("evaluate", popular_run, "--data", tmp_path / "altered")
    assert result.exit_code == 2
    assert "not the data the run was fitted on" in result.output


def test_a_data_set_that_moved_is_asked_for(edgewise, popular_run, tmp_path):
    folder = Path(shutil.copytree(popular_run, tmp_path / "run"))
    gone = str(tmp_path / "gone")
    edit(folder / "run.json", lambda about: about["data"].update(folder=gone), seal=True)
    result = edgewise("evaluate", folder)
    assert result.exit_code == 2 and "--data" in result.output


@pytest.mark.parametrize("damage", ["truncate", "alter", "remove", "foreign"])
def test_a_damaged_model_is_refused(edgewise, popular_run, tmp_path, damage):
    folder = Path(shutil.copytree(popular_run, tmp_path / "run"))
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
        about.write_text(about.read_text().replace('"popularity"', '"elmrec"'))
    result = edgewise("evaluate", folder)
    assert result.exit_code == 2
    assert result.output.startswith("error: ") and str(folder / "model") in result.output


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"kind": "edgewise run", "version": 3}', '{"kind": "x", "version": 3}']
)
def test_a_damaged_run_json_is_refused(edgewise, popular_run, tmp_path, text):
    folder = Path(shutil.copytree(popular_run, tmp_path / "run"))
    (folder / "run.json").write_text(text)
    result = edgewise("evaluate", folder)
    assert result.exit_code == 2 and "run.json" in result.output


def test_an_unfinished_run_is_not_evaluated(edgewise, popular_run, tmp_path):
    folder = Path(shutil.copytree(popular_run, tmp_path / "run"))
    edit(folder / "run.json", lambda about: about.update(status="training"), seal=True)
    result = edgewise("evaluate", folder)
    assert result.exit_code == 2
    assert f"edgewise fit popularity --out {folder} --resume" in result.output


def test_decoding_can_change_and_is_recorded(edgewise, run, tmp_path):
    asked = (
        "evaluate",
        run,
        "--task",
        "sequential",
        "--max-users",
        9,
        "--json",
        tmp_path / "r.json",
    )
    changed = ("--set", "decoding.num_beams=3", "--per-user", tmp_path / "users")
    result = edgewise(*asked, *changed)
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["run"]["config"]["decoding"]["num_beams"] == 3
    assert content["machine"]["peak_memory_mb"] > 50
    users = pl.read_parquet(tmp_path / "users" / "sequential-test.parquet")
    assert len(users) == 9
    assert json.loads((run / "run.json").read_text())["config"]["decoding"]["num_beams"] == 20


def test_rounded_weights_never_pass_for_others(edgewise, run, tmp_path):
    found = {}
    for weights in ("fp32", "int8"):
        file = tmp_path / f"{weights}.json"
        asked = ("--max-users", 9, "--json", file, "--per-user", tmp_path / "users")
        result = edgewise("evaluate", run, "--weights", weights, *asked)
        assert result.exit_code == 0, result.output
        assert ("rounded to 8-bit integers" in result.output) == (weights == "int8")
        found[weights] = json.loads(file.read_text())
        assert found[weights]["run"]["config"]["decoding"]["weights"] == weights
        for task in ("direct", "sequential"):
            reports = found[weights]["results"][task].values()
            told = [report["settings"].get("weights") for report in reports]
            assert told == [None if weights == "fp32" else "int8"] * 2
        texts = next(iter(found[weights]["results"]["explanation"].values()))
        assert "weights" not in texts["settings"]
    names = {path.stem for path in (tmp_path / "users").glob("sequential-test*.json")}
    assert {"sequential-test", "sequential-test-int8"} <= names
    assert json.loads((run / "run.json").read_text())["config"]["decoding"]["weights"] == "fp32"


@pytest.mark.parametrize("verb", ["evaluate", "recommend", "batch", "serve"])
def test_weights_that_there_are_not(edgewise, run, fake_run, tmp_path, verb):
    more = {"recommend": ("--all",), "batch": ("--out", tmp_path / "lists"), "serve": ("--port", 0)}
    if verb == "serve":
        more["serve"] += ("--store", tmp_path / "store.db")
    for folder, weights, told in (
        (fake_run, "int8", "fake has no matrices that could be rounded"),
        (run, "int4", "choose fp32 or int8"),
    ):
        result = edgewise(verb, folder, "--weights", weights, *more.get(verb, ()))
        assert result.exit_code == 2, result.output
        assert told in " ".join(result.output.split())


def test_what_training_has_used_cannot_change(edgewise, run):
    result = edgewise("evaluate", run, "--set", "training.epochs=3")
    assert result.exit_code == 2
    assert "only decoding.* and priors.relearn can change" in result.output
    wrong = edgewise("evaluate", run, "--set", "decoding.num_beam=3")
    assert wrong.exit_code == 2 and "Did you mean 'num_beams'" in wrong.output


# Any method.


def test_every_verb_reads_the_run(edgewise, fake_run):
    asked = ("-k", 20, "-k", 40, "--json", fake_run / "all.json")
    evaluated = edgewise("evaluate", fake_run, *asked)
    assert evaluated.exit_code == 0, evaluated.output
    for word in ("Fake", "Popularity", "Recall@20", "Recall@40", "masked: train and validation"):
        assert word in evaluated.output
    results = json.loads((fake_run / "all.json").read_text())["results"]
    assert {task: list(systems) for task, systems in results.items()} == {
        "direct": ["Fake", "Popularity"],
        "sequential": ["Fake", "Popularity"],
    }
    run = open_run(fake_run)
    user, item = run.dataset.users.ids[0], run.dataset.items.ids[0]
    assert edgewise("recommend", fake_run, "--users", user).exit_code == 0
    assert edgewise("recommend", fake_run, "--history", item).exit_code == 0
    explained = edgewise("explain", fake_run, "--user", user, "--item", item)
    assert explained.exit_code == 0 and "not trained to explain" in explained.output


def test_a_run_of_the_baseline_stands_alone(edgewise, popular_run, tmp_path):
    asked = ("--json", tmp_path / "all.json", "--per-user", tmp_path / "users")
    result = edgewise("evaluate", popular_run, *asked)
    assert result.exit_code == 0 and "difference" not in result.output, result.output
    results = json.loads((tmp_path / "all.json").read_text())["results"]
    assert [list(systems) for systems in results.values()] == [["Popularity"]] * 2
    assert not list((tmp_path / "users").glob("*-popularity.json"))


def test_a_task_that_was_not_trained_is_refused(edgewise, fake_run):
    refused = edgewise("evaluate", fake_run, "--task", "explanation")
    assert refused.exit_code == 2
    assert "was not trained for it, only for direct, sequential" in refused.output


def test_graph_gpt_is_evaluated_and_asked(edgewise, gpt_run, tmp_path):
    folder = Path(shutil.copytree(gpt_run[0], tmp_path / "run"))
    result = edgewise("evaluate", folder, "--max-users", 10, "-k", 10)
    assert result.exit_code == 0, result.output
    assert "Graph-attentive GPT-2" in result.output and "NDCG@10" in result.output
    run = open_run(folder)
    user, item = run.dataset.users.ids[0], run.dataset.items.ids[0]
    named = edgewise("recommend", folder, "--users", user, "-k", 3, "--format", "json")
    assert len(json.loads(named.output)[0]["items"]) == 3
    new = edgewise("recommend", folder, "--history", item, "-k", 3, "--format", "json")
    assert item not in {row["item_id"] for row in json.loads(new.output)[0]["items"]}
    explained = edgewise("explain", folder, "--user", user, "--item", item, "--format", "json")
    told = json.loads(explained.stdout)["text"]
    assert (told is not None) == ("explanation" in run.tasks)
    raw = ("--task", "sequential", "--include-seen", "--max-users", 5)
    assert edgewise("evaluate", folder, *raw).exit_code == 0


# Protocols.


@pytest.fixture
def released(edgewise, numbered, tmp_path) -> Path:
    """A run under a protocol that leaks."""
    asked = ("--protocol", "elmrec-released", "--quiet")
    made = edgewise("fit", "popularity", "--data", numbered, "--out", tmp_path / "run", *asked)
    assert made.exit_code == 0, made.output
    return tmp_path / "run"


def test_evaluation_says_first_that_it_leaks(edgewise, released):
    result = edgewise("evaluate", released, "--json", released / "all.json")
    assert result.exit_code == 0, result.output
    first = result.output.splitlines()[0]
    assert first == RELEASED.warning_where(has_texts=False) and "texts" not in first
    assert "protocol: elmrec-released v1 (LEAKS)" in " ".join(result.output.split())
    values = json.loads((released / "all.json").read_text())
    assert next(iter(values.items())) == ("warning", RELEASED.warning)
    assert values["protocol"] == values["run"]["protocol"] == RELEASED.to_dict()
    assert next(iter(values["results"]["direct"]["Popularity"])) == "warning"


def test_an_honest_evaluation_has_nothing_to_warn_of(edgewise, popular_run, tmp_path):
    result = edgewise("evaluate", popular_run, "--json", tmp_path / "all.json")
    assert result.exit_code == 0 and "LEAKS" not in result.output
    values = json.loads((tmp_path / "all.json").read_text())
    assert values["protocol"] == HONEST.to_dict()
    assert "warning" not in values and "warning" not in values["results"]["direct"]["Popularity"]


def test_another_protocol_than_the_runs_is_refused(edgewise, released):
    assert edgewise("evaluate", released, "--protocol", "elmrec-released").exit_code == 0
    result = edgewise("evaluate", released, "--protocol", "honest")
    assert result.exit_code == 2
    message = " ".join(result.output.split())
    assert "was fitted under elmrec-released" in message
    assert "edgewise fit popularity --protocol honest" in message
    typo = edgewise("evaluate", released, "--protocol", "honset")
    assert typo.exit_code == 2 and "Did you mean 'honest'?" in typo.output


def test_a_result_that_was_changed_by_hand_is_refused(edgewise, released, numbered):
    file = released / "all.json"
    assert edgewise("evaluate", released, "--json", file).exit_code == 0
    report = load_report(file, numbered)
    assert report.is_sealed and report.protocol == RELEASED
    single = load_report(released / "evaluation" / "direct-test.json")
    assert single.data_checksum == report.data_checksum
    values = json.loads(file.read_text())
    values["results"]["direct"]["Popularity"]["metrics"]["HitRate@10"]["mean"] = 0.99
    file.write_text(json.dumps(values))
    with pytest.raises(EdgewiseError, match="not what was sealed"):
        load_report(file)


def test_short_lists_and_poor_texts_are_said_aloud(evaluated):
    _, printed = evaluated
    words = " ".join(printed.split())
    assert "warning: direct: lists of 20 of 20 users are shorter than asked" in words
    assert "num_negatives: 99 asked, candidates: " in words and "chance" in words
    assert "warning: explanation: these explanations come no closer" in words


def test_a_page_measures_what_was_not_evaluated_and_takes_the_rest(edgewise, fake_run, tmp_path):
    kept = fake_run / "evaluation" / "direct-test.json"
    first = edgewise("report", fake_run)
    assert first.exit_code == 0, first.output
    assert "HitRate@10" in first.output and f"wrote {fake_run / 'report.html'}" in first.output
    page, measured = (fake_run / "report.html").read_text(), kept.stat().st_mtime_ns
    assert "purchases, drawn at random, was hidden" in page and "last purchase" not in page
    assert "Lists of 60 of 60 users are shorter than asked" in page and "once in ten" not in page
    mean = json.loads(kept.read_text())["metrics"]["NDCG@10"]["mean"]
    assert f'<td class="number">{mean:.3f} <span' in page
    again = edgewise("report", fake_run, "--out", tmp_path / "page.html")
    assert again.output == f"wrote {tmp_path / 'page.html'}\n", "nothing was measured anew"
    assert kept.stat().st_mtime_ns == measured and (tmp_path / "page.html").read_text() == page


def test_groups_and_cold_items(edgewise, shop, tmp_path):
    pytest.importorskip("matplotlib")
    folder, file, plot = tmp_path / "run", tmp_path / "all.json", tmp_path / "groups.png"
    cold = ("--cold-items", 0.3, "--split-seed", 2)
    fitted = edgewise("fit", "item-knn", "--data", shop, "--out", folder, *cold)
    assert fitted.exit_code == 0 and "0.3 of the items cold" in fitted.output, fitted.output
    told = json.loads((folder / "run.json").read_text())["split"]
    assert told == {"kind": "leave-one-out", "seed": 2, "cold_items": 0.3}
    asked = ("--task", "sequential", "--by", "history", "--by", "transition")
    result = edgewise("evaluate", folder, *asked, "--json", file, "--plot", plot)
    assert result.exit_code == 0, result.output
    for words in ("by history", "by transition", "two hops", "by cold", "cold among cold items"):
        assert words in result.output
    assert plot.read_bytes().startswith(b"\x89PNG")
    split = open_run(folder).split
    cold_users = int(split.cold_items()[split.test.item_index].sum())
    for report in load_report(file).results["sequential"].values():
        assert list(report["groups"]) == ["history", "transition", "cold"]
        for by in ("history", "transition"):
            assert sum(each["num_users"] for each in report["groups"][by]) == report["num_users"]
        warm, everywhere, alone = report["groups"]["cold"]
        assert everywhere["num_users"] == alone["num_users"] == cold_users
        assert warm["num_users"] == report["num_users"] - cold_users
        assert 0 < alone["chance"]["HitRate@10"] < 1 and alone["metrics"]["HitRate@10"]["mean"] > 0
    result = edgewise("evaluate", folder, "--task", "sequential", "--first-events", 2)
    assert result.exit_code == 0, result.output
    kept = folder / "evaluation" / "sequential-test-first-events-2.json"
    assert json.loads(kept.read_text())["settings"]["first_events"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "hystory"], "Did you mean 'history'?"),
        (["--by", "cold"], "was fitted without --cold-items"),
        (["--first-events", 1], "was fitted without --cold-items"),
        (["--plot", "groups.png"], "name some with --by history"),
        (["--by", "history", "--plot", "groups.pdf"], "end it in .png or .svg"),
    ],
)
def test_groups_that_there_are_not(edgewise, popular_run, arguments, message):
    result = edgewise("evaluate", popular_run, *arguments)
    assert result.exit_code == 2 and message in result.output, result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cold-items", 1.5], "a share between 0 and 1"),
        (["--cold-items", 0.2, "--protocol", "elmrec-released"], "protocol that does not leak"),
    ],
)
def test_cold_items_that_cannot_be(edgewise, shop, tmp_path, arguments, message):
    result = edgewise("fit", "popularity", "--data", shop, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2 and message in result.output, result.output
