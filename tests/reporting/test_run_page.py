"""The page of a run: any method has one, and what it tells of itself stands in it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.fake_method import FAKE, Fake, FakeConfig

from edgewise.config import MethodConfig
from edgewise.data.synthetic import make_demo_shop
from edgewise.evaluation.report import RankingReport
from edgewise.evaluation.statistics import Estimate
from edgewise.models.registry import METHODS
from edgewise.recommender import ScoreShare
from edgewise.reporting.run_page import (
    explanation_examples,
    metrics_table,
    run_page,
    shelves,
    user_examples,
)
from edgewise.runs.evaluate import Conditions, evaluate_task
from edgewise.runs.run import Run
from edgewise.runs.spec import DataInfo, RunSpec
from edgewise.runs.train import train

pytest.importorskip("matplotlib")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of a method that tells nothing of itself."""
    monkeypatch.setitem(METHODS, FAKE.name, FAKE)
    dataset = make_demo_shop(3, num_users=40, num_items=96)
    spec = RunSpec(FAKE.name, FakeConfig(), DataInfo.of(dataset, tmp_path / "data"))
    return train(spec, tmp_path / "run", dataset=dataset)


def page_of(run: Run) -> str:
    results = [evaluate_task(run, task, Conditions()) for task in run.tasks]
    return run_page(run, results, user_examples(run), explanation_examples(run))


def test_a_method_that_tells_nothing_has_a_page(run):
    page = page_of(run)
    assert f"<h1>Fake on {run.dataset.name}</h1>" in page
    assert "Fake has learned from who bought what. This page" in page
    assert page.count("data:image/png;base64,") == 2 and "<picture>" in page
    assert "How does it explain?" not in page and "What does it know" not in page
    assert "edgewise fit fake" in page and page.count('class="card"') == 3
    outside = re.findall(r'(?:src|href|srcset)="(?!data:)', page) + re.findall(r"https?://", page)
    assert outside == [] and "<script" not in page


def test_what_learns_at_once_has_a_page_without_curves(run):
    spec = replace(run.spec, method_name="popularity", config=MethodConfig())
    page = page_of(train(spec, run.folder.parent / "popular", dataset=run.dataset))
    assert "<h1>Popularity on" in page and "How did it learn?" not in page
    assert "data:image" not in page and '<th class="number">difference</th>' not in page


def test_what_a_method_tells_of_itself_stands_in_the_page(run, monkeypatch):
    num_nodes = run.dataset.num_users + run.dataset.num_items
    vectors = np.random.default_rng(0).normal(size=(num_nodes, 8)).astype(np.float32)
    monkeypatch.setattr(Fake, "summary", "It counts <everything>.", raising=False)
    monkeypatch.setattr(Fake, "node_vectors", lambda self: vectors, raising=False)
    monkeypatch.setattr(Fake, "node_vectors_summary", "they are noise", raising=False)
    page = page_of(run)
    assert "It counts &lt;everything&gt;. This page" in page
    assert "<b>After</b> training,\nthey are noise." in page
    assert page.count("data:image/png;base64,") == 4
    assert sorted(p.name for p in (run.folder / "maps").iterdir()) == ["items.png", "users.png"]


def test_weights_and_reasons_of_lists_stand_in_the_page(run, monkeypatch):
    share = ScoreShare("texts", 1.0, 1.0, "titles <like>", ((3, 1.0),))
    monkeypatch.setattr(Fake, "learned_rows", lambda self: (("texts", "0.50 ± 0.10"),))
    monkeypatch.setattr(
        Fake, "score_shares", lambda self, user, items, histories=None: [(share,)] * len(items)
    )
    page = page_of(run)
    assert "<tr><th>texts</th><td>0.50 ± 0.10</td></tr>" in page
    title = run.dataset.item_label(3)
    assert page.count(f"100 % texts: titles &lt;like&gt; &#34;{title}&#34;") == 3 * 5
    assert "Below each item stands the strongest part of its score." in page


def test_without_parts_the_page_is_silent_of_them(run):
    page = page_of(run)
    assert "What does its score consist of?" not in page and "strongest part" not in page


def test_the_page_says_how_tables_fit_a_telephone(run):
    page = page_of(run)
    assert 'content="width=device-width, initial-scale=1"' in page
    assert '<th class="number">difference</th>' in page
    (narrow,) = re.findall(r"@media \(max-width: 40rem\) \{(.*)\}\n", page, flags=re.DOTALL)
    # Intervals stand below their figures and may wrap, so that the last column is on the screen.
    assert (
        "table.metrics .small { display: block; font-size: .72rem; white-space: normal; }" in narrow
    )


def report(values: list[float], metric: str) -> RankingReport:
    rows = pl.DataFrame({"user_index": range(len(values)), metric: values})
    mean = float(np.mean(values))
    return RankingReport(rows, {metric: Estimate(mean, mean - 0.1, mean + 0.1)}, len(values), {})


@pytest.mark.parametrize(("metric", "sure"), [("HitRate@5", True), ("PopularShare@5", False)])
def test_a_difference_beyond_chance_is_green_where_more_is_better(metric, sure):
    table = metrics_table({"A": report([1.0] * 30, metric), "B": report([0.0] * 30, metric)})
    assert table["systems"] == ["A", "B"] and table["has_differences"]
    (row,) = table["rows"]
    assert row["cells"][0] == {"text": "1.000", "interval": "0.900 to 1.100"}
    assert row["difference"] == {"text": "+1.000", "interval": "+1.000 to +1.000", "sure": sure}


def test_shelves_are_the_first_level_on_which_items_differ(run):
    names = shelves(run.dataset)
    assert len(names) == run.dataset.num_items and len(set(names)) > 1
