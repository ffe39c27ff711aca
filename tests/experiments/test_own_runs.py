"""Own runs side by side: the same users, tested pair by pair, or refused with what to do."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import EdgewiseError
from edgewise.evaluation.protocols import TEMPORAL
from edgewise.experiments.own_runs import compare_runs
from edgewise.experiments.tables import FORMATS
from edgewise.models.registry import find_method
from edgewise.runs.evaluate import Conditions, evaluate_run
from edgewise.runs.spec import DataInfo, RunSpec
from edgewise.runs.train import train


def make(folder: Path, method: str, shop_seed: int = 3, evaluated: bool = True, **changes) -> Path:
    dataset = make_demo_shop(shop_seed, num_users=50, num_items=120)
    config = find_method(method).config_class()
    spec = RunSpec(method, config, DataInfo.of(dataset, folder / "data"))
    run = train(replace(spec, **changes), folder, dataset=dataset)
    if evaluated:
        evaluate_run(run, Conditions())
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Evaluated runs of EASE and popularity on one shop."""
    place = tmp_path_factory.mktemp("own")
    return {name: make(place / name, name) for name in ("ease", "popularity")}


@pytest.fixture
def copied(runs, tmp_path) -> Path:
    """A copy of the run of popularity, to be measured anew."""
    return Path(shutil.copytree(runs["popularity"], tmp_path / "copy"))


def test_differences_are_of_the_same_users(runs):
    figures = compare_runs(list(runs.values()), tasks=["direct"]).figures
    row = figures.filter(metric="NDCG@10", method=str(runs["popularity"])).row(0, named=True)
    mine, theirs = (
        pl.read_parquet(folder / "evaluation" / "direct-test.parquet").sort("user_id")["NDCG@10"]
        for folder in runs.values()
    )
    each = (mine - theirs).to_numpy()
    assert row["difference"] == pytest.approx(each.mean())
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    half = 1.96 * each.std() / np.sqrt(len(each))
    assert row["difference_high"] - row["difference"] == pytest.approx(half, rel=0.25)
    assert 0 < row["p_users"] <= row["p_holm"] <= 1
    assert row["label"] == f"Popularity ({runs['popularity']})" and row["users"] == 50
    assert set(figures["task"]) == {"direct"} and set(figures["origin"]) == {"honest"}


def test_all_tasks_and_a_baseline_only_once(runs):
    comparison = compare_runs(list(runs.values()), reference=str(runs["popularity"]))
    figures = comparison.figures
    assert figures["task"].unique(maintain_order=True).to_list() == ["direct", "sequential"]
    assert figures["method"].n_unique() == 2, "popularity is a run itself"
    assert set(figures["reference"]) == {str(runs["popularity"])}
    shares = figures.filter(pl.col("metric").str.contains("PopularShare|Coverage"))
    assert set(shares["place"]) == {0} and shares["difference"].null_count() == len(shares)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_shows_both(runs, form):
    text = FORMATS[form](compare_runs(list(runs.values())))
    names = [f"{label} ({runs[name]})" for name, label in
             (("ease", "EASE"), ("popularity", "Popularity"))]  # fmt: skip
    assert all(name.replace("_", r"\_") in text or name in text for name in names)
    assert "papers print" not in text and "committed configuration" not in text
    assert "not yet" not in text
    if form == "html":
        assert "<h1>Own runs on demo</h1>" in text


def test_a_baseline_stands_last(runs, tmp_path):
    other = Path(shutil.copytree(runs["ease"], tmp_path / "other"))
    figures = compare_runs([runs["ease"], other]).figures
    labels = figures["label"].unique(maintain_order=True).to_list()
    assert labels == [f"EASE ({runs['ease']})", f"EASE ({other})", "Popularity"]
    same = figures.filter(method=str(other)).drop_nulls("difference")
    assert set(same["difference"]) == {0} and set(same["p_users"]) == {1}


def test_runs_measured_otherwise_are_refused(runs, tmp_path, copied):
    def refused(*folders: object, **asked) -> str:
        with pytest.raises(EdgewiseError) as error:
            compare_runs([str(folder) for folder in folders], **asked)
        return str(error.value)

    ease = runs["ease"]
    assert "name at least two runs" in refused(ease)
    assert "name at least two runs" in refused(ease, ease)
    other = make(tmp_path / "shop", "popularity", shop_seed=4)
    assert "the data set is demo (checksum" in refused(ease, other)
    timed = make(tmp_path / "time", "popularity", protocol=TEMPORAL, split_kind="time")
    assert "the protocol is {'name': 'honest'" in refused(ease, timed)
    ratio = make(tmp_path / "ratio", "popularity", split_kind="ratio")
    assert "the split is leave-one-out for the one and ratio" in refused(ease, ratio)
    bare = make(tmp_path / "bare", "popularity", evaluated=False)
    assert f"{bare}: not evaluated; run 'edgewise evaluate {bare}' first" in refused(ease, bare)
    told = refused(ease, copied, part="valid")
    assert f"only on test rows; run 'edgewise evaluate {ease} --part valid'" in told
    assert "Did you mean" in refused(ease, copied, reference=f"{ease}x")
    assert "--task direkt" in refused(ease, copied, tasks=["direkt"])
    (copied / "evaluation" / "direct-test.json").unlink()
    told = refused(ease, copied, tasks=["direct"])
    assert f"run 'edgewise evaluate {copied} --task direct'" in told
    kept = compare_runs([ease, copied])
    assert set(kept.figures["task"]) == {"sequential"}
    assert f"edgewise evaluate {copied} --task direct" in kept.tables["runs"].paper.notes[0]


def test_a_sample_of_users_is_not_set_beside_all(runs, copied):
    from edgewise.runs.run import open_run

    dataset = make_demo_shop(3, num_users=50, num_items=120)
    dataset.save(copied / "data")
    evaluate_run(open_run(copied, copied / "data"), Conditions(max_users=20), ["direct"])
    with pytest.raises(EdgewiseError, match="number of users is all for the one and 20"):
        compare_runs([runs["ease"], copied])
