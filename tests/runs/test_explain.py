"""Why a user may like an item: counted in train rows; texts only where they are better."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from edgewise.config import MethodConfig
from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.splits import leave_one_out
from edgewise.evaluation.report import TextReport
from edgewise.evaluation.statistics import Estimate
from edgewise.recommender import ScoreShare
from edgewise.runs.evaluate import (
    Conditions,
    TaskResult,
    cautions,
    evaluate_task,
    save_result,
    saved_result,
    worse_texts,
)
from edgewise.runs.explain import explain_pair, score_reason, strongest
from edgewise.runs.run import Run, RunInfo
from edgewise.runs.spec import DataInfo, RunSpec

# Of each user the last two items are held out: u0 has a, b; u1 a, c; u2 b, c; u3 a, c, d; u4 e.
HISTORIES = ["abfg", "acfg", "bcfg", "acdfg", "efg", "z"]
ITEMS = "abcdefgz"


@pytest.fixture
def make_run(tmp_path: Path):
    """A run whose texts are given; None for one that was not trained to explain."""
    users = np.repeat(np.arange(len(HISTORIES)), [len(row) for row in HISTORIES])
    items = np.array([ITEMS.index(item) for row in HISTORIES for item in row])
    review = pl.Series([f"I like the {ITEMS[item]} a lot" for item in items])
    rows = Interactions(users.astype(np.int32), items.astype(np.int32), review=review)
    dataset = Dataset(
        "letters",
        Vocabulary(tuple(f"u{user}" for user in range(len(HISTORIES))), "user"),
        Vocabulary(tuple(ITEMS), "item"),
        rows,
        Catalog.empty(len(ITEMS)),
    )
    info = RunInfo(RunSpec("popularity", MethodConfig(), DataInfo.of(dataset, tmp_path / "data")))

    def make(write) -> Run:
        tasks = ("direct", "sequential") if write is None else ("direct", "explanation")
        explain = None if write is None else lambda pairs: [write(ITEMS[i]) for _, i in pairs]
        told = {"tasks": tasks, "config": MethodConfig(), "ASKED_AT_ONCE": 128}
        model = SimpleNamespace(**told, explain=explain)
        return Run(tmp_path / "run", info, model, dataset, leave_one_out(dataset))  # type: ignore[arg-type]

    return make


@pytest.mark.parametrize(
    ("user", "item", "reason", "shared"),
    [
        # c was taken by u1, u2, u3: a is shared with u1 and u3, b with u2.
        ("u0", "c", "bought by 2 people who also bought a and by 1 person who also bought b",
         {"a": 2, "b": 1}),
        ("u1", "b", "bought by 1 person who also bought a and by 1 person who also bought c",
         {"a": 1, "c": 1}),
        ("u4", "d", "bought by 1 person, none of whom bought anything else that u4 has", {}),
        ("u0", "f", "nobody else bought it in the train rows: the graph has no reason", {}),
    ],
)  # fmt: skip
def test_the_graphs_reason_is_counted_in_train_rows(make_run, user, item, reason, shared):
    found = explain_pair(make_run(None), user, item)
    assert (found.text, found.warning, found.is_trusted) == (None, None, False)
    counted = {each.title.removeprefix("item "): each.shared_users for each in found.items}
    assert counted == shared
    assert found.reason.replace("item ", "") == reason
    assert found.lines()[0].endswith(found.reason)
    assert found.lines()[1] == "(this run was not trained to explain)"
    assert json.loads(json.dumps(found.to_dict()))["reason"] == found.reason


def test_texts_that_are_no_better_stand_behind_the_graph(make_run):
    run = make_run(lambda item: "quite nice")
    found = explain_pair(run, "u0", "c")
    assert found.warning is not None and "the most frequent text" in found.warning
    assert "ROUGE-L 0.00 against" in found.warning and "5 validation pairs" in found.warning
    assert found.lines()[0].endswith(found.reason)
    assert found.lines()[1] == "(the run writes: quite nice)"


def test_texts_that_are_better_stand_alone(make_run):
    found = explain_pair(make_run(lambda item: f"I like the {item} a lot"), "u0", "c")
    assert found.warning is None and found.lines() == [f"{found.title}: I like the c a lot"]


def test_what_was_evaluated_counts_and_is_not_measured_again(make_run):
    good, poor = make_run(lambda item: f"I like the {item} a lot"), make_run(lambda item: "no")
    conditions = Conditions()
    save_result(evaluate_task(good, "explanation", conditions), good, conditions,
                good.folder / "evaluation")  # fmt: skip
    assert explain_pair(poor, "u0", "c").warning is None
    assert not (good.folder / "evaluation" / "explanation-valid.json").exists()


def test_validation_pairs_are_measured_once(make_run):
    poor = make_run(lambda item: "no")
    first = explain_pair(poor, "u0", "c").warning
    assert (poor.folder / "evaluation" / "explanation-valid.json").is_file()
    assert (
        explain_pair(make_run(lambda item: f"I like the {item} a lot"), "u0", "c").warning == first
    )


def test_without_held_out_texts_nothing_is_known_of_their_worth(make_run):
    run = make_run(lambda item: "no")
    rows = replace(run.split.valid, review=pl.Series([""] * len(run.split.valid)))
    found = explain_pair(replace(run, split=replace(run.split, valid=rows)), "u0", "c")
    assert found.warning is not None and "is unknown" in found.warning


# Parts of a score.

PARTS = (
    ScoreShare("transitions", 1.2, 0.6, "people took it after", ((1, 0.7), (0, 0.3))),
    ScoreShare("popularity", -0.4, -0.2, "it is taken often"),
    ScoreShare("language model", 0.36, 0.18, "the language model expects it"),
    ScoreShare("texts", 0.04, 0.02, "titles like", ((0, 1.0),)),
)


def with_parts(make_run, parts=PARTS) -> tuple[Run, list]:
    """A run whose scores have these parts, and the histories that it is asked about."""
    run, asked = make_run(None), []

    def score_shares(user, items, histories):
        asked.append(histories[user].tolist())
        return [parts if asked[-1] else ()] * len(items)

    run.model.score_shares = score_shares
    return run, asked


def test_the_parts_of_a_score_are_told_in_words(make_run):
    run, asked = with_parts(make_run)
    found = score_reason(run, "u0", "c")
    assert asked == [[ITEMS.index(item) for item in "abfg"]] and found.note == ""
    assert found.text().replace("item ", "") == (
        'c: 60 % transitions: people took it after "b" and "a"; 18 % language model: the language '
        "model expects it\n(against it 20 % popularity: it is taken often)"
    )
    values = json.loads(json.dumps(found.to_dict()))
    assert [part["share"] for part in values["parts"]] == [0.6, -0.2, 0.18, 0.02]
    assert values["parts"][0]["items"][0] | {"title": ""} == {
        "item_id": "b", "share": 0.7, "title": "",
    }  # fmt: skip
    assert strongest(found.parts) == found.parts[0].line
    assert strongest([]) == strongest(found.parts[1:2]) == ""


def test_of_an_item_that_the_user_has_it_is_the_score_before(make_run):
    run, asked = with_parts(make_run)
    found = score_reason(run, "u0", "f")
    assert asked == [[0, 1]]
    assert found.note == "u0 has it: this is its score before, after 2 items"
    assert found.text().endswith(f"({found.note})")


@pytest.mark.parametrize(
    ("item", "note"),
    [("a", "nothing is known of u0 before"), ("c", "mixes no item priors")],
)
def test_without_parts_a_note_says_why(make_run, item, note):
    found = score_reason(with_parts(make_run, ())[0], "u0", item)
    assert found.parts == [] and note in found.note


def texts(bleu: float, rouge: float) -> TextReport:
    metrics = {"BLEU-4": Estimate(bleu), "ROUGE-L": Estimate(rouge)}
    return TextReport(pl.DataFrame({"user_index": [0]}), metrics, 1, {"part": "test"})


@pytest.mark.parametrize(
    ("ours", "base", "worse"),
    [
        ((1.0, 9.0), (2.0, 10.0), True),
        ((1.0, 11.0), (2.0, 10.0), True),
        ((3.0, 9.0), (2.0, 10.0), True),
        ((2.0, 10.0), (2.0, 10.0), True),
        ((2.0, 10.1), (2.0, 10.0), False),
        ((3.0, 11.0), (2.0, 10.0), False),
    ],
)
def test_better_is_closer_by_one_measure_and_not_farther_by_the_other(ours, base, worse):
    result = TaskResult("explanation", {"A": texts(*ours), "B": texts(*base)}, {})
    assert (worse_texts(result) is not None) == worse == bool(cautions(result))


def test_a_saved_result_comes_back_as_it_was(make_run):
    run = make_run(lambda item: f"I like the {item} a lot")
    assert saved_result(run.folder, run.label, "explanation") is None
    measured, conditions = evaluate_task(run, "explanation", Conditions()), Conditions()
    save_result(measured, run, conditions, run.folder / "evaluation")
    found = saved_result(run.folder, run.label, "explanation")
    assert found is not None and list(found.reports) == list(measured.reports)
    for mine, theirs in zip(found.reports.values(), measured.reports.values(), strict=True):
        assert mine.rows.equals(theirs.rows) and mine.metrics == theirs.metrics
        assert mine.settings == theirs.settings and mine.protocol == theirs.protocol
