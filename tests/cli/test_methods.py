"""Commands that work for every method, tried on one that learns in no time, and on GraphGPT."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
from tests.fake_method import FAKE

from edgewise.cli.fitting import Wish, fit
from edgewise.errors import ConfigError
from edgewise.models.registry import METHODS, training_sections
from edgewise.runs import open_run
from edgewise.runs.run import read_info
from edgewise.runs.spec import resolve_config

GRAPH_GPT = "edgewise.models.graph_gpt"


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setitem(METHODS, FAKE.name, FAKE)


def wish(shop, out, method="fake", config=None, split=None, split_seed=None):
    return Wish(method, out, shop, None, config, [], split, split_seed)


def train(asked, **options):
    fit(asked, **({"resume": False, "force": False, "quiet": True} | options))


@pytest.fixture
def fake_run(fake, shop, tmp_path):
    train(wish(shop, tmp_path / "run", split="ratio", split_seed=5))
    return tmp_path / "run"


def test_the_plan_names_the_method(fake, shop, tmp_path, capsys):
    train(wish(shop, tmp_path / "run"), quiet=False)
    printed = capsys.readouterr().out
    assert "plan: Fake" in printed and "1,234 parameters" in printed
    assert "next: edgewise evaluate" in printed


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


def test_a_task_that_was_not_trained_is_refused(edgewise, fake_run, monkeypatch, tmp_path):
    refused = edgewise("evaluate", fake_run, "--task", "explanation")
    assert refused.exit_code == 2
    assert "was not trained for it, only for direct, sequential" in refused.output
    monkeypatch.setattr("tests.fake_method.Fake.score_candidates", None)
    raw = edgewise("evaluate", fake_run, "--task", "sequential", "--no-rerank")
    assert raw.exit_code == 2 and "--no-rerank: Fake never ranks seen items" in raw.output


@pytest.mark.parametrize("task", ["direct", "sequential"])
def test_recommending_by_an_untrained_task_is_refused(edgewise, fake_run, monkeypatch, task, shop):
    other = {"direct": "sequential", "sequential": "direct"}[task]
    whole = FAKE.model(FAKE.default_config())
    monkeypatch.setattr(type(whole), "tasks", (other,), raising=False)
    monkeypatch.setattr(type(whole), "__init__", _without_tasks(type(whole)))
    file = fake_run / "items.txt"
    file.write_text(open_run(fake_run).dataset.items.ids[0])
    given = ("--candidates", file) if task == "direct" else ()
    result = edgewise("recommend", fake_run, "--all", "--task", task, *given)
    assert result.exit_code == 2
    assert f"--task {task}: {fake_run} was not trained for it, only for {other}" in result.output


def _without_tasks(kind):
    original = kind.__init__

    def init(self, config=0):
        original(self, config)
        del self.tasks

    return init


def test_resuming_by_another_methods_command_is_refused(edgewise, fake_run):
    for method in ("elmrec", "graph-gpt"):
        result = edgewise("fit", method, "--out", fake_run, "--resume")
        assert result.exit_code == 2
        assert f"holds a run of Fake: go on with 'edgewise fit fake --out {fake_run}" in " ".join(
            result.output.split()
        )


def test_a_file_tells_the_split_and_must_not_contradict(fake, shop, tmp_path):
    file = tmp_path / "row.toml"
    file.write_text(
        'method = "fake"\nsplit = "ratio"\nsplit_seed = 3\nseeds = [1]\n[data]\nk_core = 5'
    )
    train(wish(shop, tmp_path / "run", config=file))
    info = read_info(tmp_path / "run")
    assert (info.method_name, info.split_kind, info.split_seed) == ("fake", "ratio", 3)
    train(wish(shop, tmp_path / "same", config=file, split="ratio", split_seed=3))
    with pytest.raises(ConfigError, match="--split time contradicts 'ratio' in"):
        train(wish(shop, tmp_path / "other", config=file, split="time"))
    with pytest.raises(ConfigError, match="--split-seed 0 contradicts 3 in"):
        train(wish(shop, tmp_path / "other", config=file, split_seed=0))
    with pytest.raises(ConfigError, match="fit elmrec contradicts method = 'fake' in"):
        train(wish(shop, tmp_path / "other", "elmrec", config=file))
    assert not (tmp_path / "other").exists()


def test_demo_refuses_an_unknown_method_before_it_starts(edgewise, tmp_path):
    result = edgewise("demo", "--out", tmp_path / "demo", "--method", "graphgpt")
    assert result.exit_code == 2 and "Did you mean 'graph-gpt'?" in result.output
    assert not (tmp_path / "demo").exists()


@pytest.fixture(scope="module")
def gpt_run(edgewise, shop, tmp_path_factory):
    if find_spec(GRAPH_GPT) is None or find_spec(f"{GRAPH_GPT}.recommender") is None:
        pytest.skip(f"{GRAPH_GPT}.recommender is not written yet")
    folder = tmp_path_factory.mktemp("gpt") / "run"
    sections = training_sections(resolve_config("tiny", method="graph-gpt"))
    short = [word for path in sections for word in ("--set", f"{path}.epochs=1")]
    # Reviews alone: a content stage of 60 users' worth, not of the whole catalogue's.
    brief = [
        w
        for name in ("contents", "second_order", "events")
        for w in ("--set", f"content.{name}=false")
    ]
    preset = ("--preset", "tiny", *short, *brief)
    result = edgewise("fit", "graph-gpt", "--data", shop, "--out", folder, *preset)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_graph_gpt_tells_its_plan_stage_by_stage(gpt_run):
    folder, printed = gpt_run
    config = read_info(folder).config
    plan = printed.partition("trained for")[0]
    assert "plan: Graph-attentive GPT-2" in plan and "parameters" in plan
    assert all(stage in plan for stage in config.stages)
    assert list(json.loads((folder / "curves.json").read_text())["stages"]) == list(config.stages)


def test_graph_gpt_is_evaluated_and_asked(edgewise, gpt_run):
    folder, _ = gpt_run
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
    told = json.loads(explained.output)["text"]
    assert (told is not None) == ("explanation" in run.tasks)


def test_graph_gpt_refuses_what_it_cannot(edgewise, gpt_run, shop, tmp_path):
    folder, _ = gpt_run
    raw = edgewise("evaluate", folder, "--task", "sequential", "--no-rerank")
    assert raw.exit_code == 2 and "never ranks seen items" in raw.output
    wrong = ("--set", "attention.delta=2")
    result = edgewise("fit", "graph-gpt", "--data", shop, "--out", tmp_path / "r", *wrong)
    assert result.exit_code == 2 and "delta" in result.output
    assert not (tmp_path / "r").exists()


def test_graph_gpt_has_a_demo(edgewise, gpt_run, tmp_path):
    out = tmp_path / "demo"
    result = edgewise("demo", "--out", out, "--quick", "--method", "graph-gpt")
    assert result.exit_code == 0, result.output
    page = (out / "report.html").read_text()
    assert "<h1>Graph-attentive GPT-2 on" in page and "edgewise fit graph-gpt" in page
    assert "T5 language model" not in page
    assert page.count("data:image/png;base64,") == 4
    assert "own words for users and items" in " ".join(page.split())
