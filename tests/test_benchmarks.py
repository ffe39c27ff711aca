"""What benchmarks read of the commands that they run and of the runs that they have made."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from edgewise.data.importing import read_dataset
from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.evaluation.evaluate import evaluate_direct, evaluate_sequential
from edgewise.files import write_text
from edgewise.models.graph_gpt.recommender import GraphGPT
from edgewise.runs.train import handed_over
from edgewise.training.curves import Curves, write_curves

FOLDER = Path(__file__).parents[1] / "benchmarks"


def script_of(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec and spec.loader
    script = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look there
    spec.loader.exec_module(script)
    return script


def test_large_data_are_made_and_commands_are_timed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    large = script_of("large")
    large.made_elsewhere(tmp_path / "log.csv", large.Sizes(3000, 300, 20))
    data = str(tmp_path / "data")
    imported = large.timed(["data", "import", str(tmp_path / "log.csv"), "--out", data])
    assert set(imported) == {"seconds", "processor_seconds", "peak_bytes"}
    counts = json.loads((tmp_path / "data" / "dataset.json").read_text())["counts"]
    assert counts["users"] == 300 and counts["interactions"] > 1000
    command = ["fit", "popularity", "--data", data, "--out", str(tmp_path / "run")]
    fitted = large.timed(command, training=True)
    assert 0 < fitted["plan_seconds"] <= fitted["audit_seconds"], "the plan comes first"
    assert fitted["peak_bytes"] > 2**20
    with pytest.raises(SystemExit, match=r"data info .* failed:\n(.|\n)*no data set"):
        large.timed(["data", "info", str(tmp_path)])


def test_a_made_up_log_is_as_large_and_as_skewed_as_it_says(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [str(FOLDER), *sys.path])
    made_up = script_of("made_up")
    monkeypatch.setattr(made_up, "_BLOCK", 500)
    sizes = made_up.Sizes.of_scale(0.02)
    assert (sizes.rows, sizes.users, sizes.items) == (60_000, 2_000, 400)
    tables = []
    for name in ("log.csv", "log.parquet", "again.csv"):
        made_up.write_log(tmp_path / name, sizes, seed=3)
        read = pl.read_parquet if name.endswith("parquet") else pl.read_csv
        tables.append(read(tmp_path / name).cast({"rating": pl.Int8}))
    assert tables[0].equals(tables[1]) and tables[0].equals(tables[2])
    made_up.write_log(tmp_path / "other.csv", sizes, seed=4)
    assert not pl.read_csv(tmp_path / "other.csv").equals(tables[0])
    log = tables[0]
    lengths = log["user_id"].value_counts()["count"]
    assert len(log) == 60_000 and len(lengths) == 2_000 and lengths.min() >= 3
    assert lengths.mean() == 30 and lengths.median() < 25, "log-normal: a long tail"
    items = log["item_id"].value_counts(sort=True)["count"]
    assert items[: len(items) // 100].sum() > 0.05 * len(log), "1 % of the items, 5 % of the rows"
    ordered = log.sort("user_id", "timestamp", maintain_order=True)
    steps = ordered.select(
        "item_id", after=pl.col("item_id").shift(-1).over("user_id")
    ).drop_nulls()
    usual = steps.group_by("item_id").agg(pl.col("after").mode().first().alias("usual"))
    found = steps.join(usual, on="item_id").select((pl.col("after") == pl.col("usual")).mean())
    assert 0.25 < found.item() < 0.5, "every fourth row is what usually comes next"


def test_growth_is_the_line_through_the_smallest_and_the_largest_scale(monkeypatch):
    monkeypatch.setattr("sys.path", [str(FOLDER), *sys.path])
    script_of("made_up")
    scale = script_of("scale")
    figures = {
        f"audit_{size}": {
            "rows": size * 1_000_000,
            "users": size * 1000,
            "processor_seconds": 3.6 * size,
            "peak_bytes": 2**30 + size * 2**20,
        }
        for size in (1, 10, 3)
    }
    found = scale.with_growth(figures)["audit"]
    assert found["growth"] == pytest.approx(1)
    assert found["billion_hours"] == pytest.approx(1)
    assert found["billion_bytes"] == pytest.approx(2**30 + 1000 * 2**20)
    assert found["billion_machines"] == 1
    assert set(scale.with_growth({"audit_1": figures["audit_1"]})) == {"audit_1"}


def test_both_runs_are_read_and_drawn(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script = script_of("two_processes")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "PICTURE", tmp_path / "images" / "curves.png")
    about = dict.fromkeys(("seed", "data", "split", "versions", "machine", "config"), 0)
    for number, name in enumerate(("one", "two")):
        folder = tmp_path / script.PLACE / name
        losses = [{"step": 20, "loss": 2.0 + number, "direct": 2.0 + number}]
        curves = Curves(20, 0, 2.0, 1.5, [(10, 4.0), (20, 3.0)], losses)
        write_curves(folder, {"training": curves})
        write_text(folder / "run.json", json.dumps(about))
    result = script.measured()
    assert {name: run["seconds"] for name, run in result["runs"].items()} == {
        "one": 1.5,
        "two": 1.5,
    }
    assert [run["valid"][0]["loss"] for run in result["runs"].values()] == [2.0, 3.0]
    script.draw(result)
    assert script.PICTURE.read_bytes().startswith(b"\x89PNG")


def test_the_cut_of_warm_starts_is_data_that_have_grown(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    script = script_of("warm_start")
    before, grown = script.cut(make_demo_shop(0, num_users=200, num_items=96))
    assert before.users.ids == grown.users.ids[: before.num_users]
    assert before.items.ids == grown.items.ids[: before.num_items]
    assert before.num_users < grown.num_users == 200 and before.num_items < grown.num_items
    rows, more = (each.interactions.by_user(200).lengths for each in (before, grown))
    assert (rows <= more).all() and rows[: before.num_users].min() >= script.FEWEST
    first = grown.interactions.take(before_rows(rows, more))
    assert (first.item_index == before.interactions.item_index).all()
    sizes = {name: int(chosen.sum()) for name, chosen in script.groups(before, grown).items()}
    assert sizes["all"] == sizes["unchanged"] + sizes["grown"] + sizes["new"] == 200
    assert min(sizes.values()) > 10


def before_rows(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The places of each user's first rows."""
    starts = np.cumsum(new) - new
    return np.concatenate([start + np.arange(n) for start, n in zip(starts, old, strict=True)])


class Answering:
    """Stands in for the service: answers what it is told to."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.told = answer

    async def post(self, path: str, **_: Any) -> httpx.Response:
        return httpx.Response(200, json=self.told)

    get = post


def a_list(*items: str, version: str = "old") -> dict[str, Any]:
    listed = [{"item_id": item} for item in items]
    return {"source": "model", "model_version": version, "items": listed}


TEN = [f"i{n}" for n in range(10)]


@pytest.mark.parametrize(
    ("answer", "blame"),
    [
        (a_list(*TEN), None),
        (a_list(*TEN[:9], "had"), "u1 has {'had'} already"),
        (a_list(*TEN[:9], "bought"), "u1 has {'bought'} already"),
        (a_list(*TEN[:9], "i0"), "10 items, 9 different"),
        (a_list(*TEN[:9]), "9 items"),
        (a_list(*TEN[:9], "made-up"), "{'made-up'} do not exist"),
        (a_list(*TEN, version="new"), "version new, not {'old'}"),
    ],
)
def test_wrong_lists_of_a_service_are_seen(answer, blame, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    faults = script_of("service/faults")
    shop = faults.Shop({"u1": ["had"]}, "old", events={"u1": ["bought"]})
    tally = faults.Tally()
    client = faults.Client(Answering(answer), shop, tally, [*TEN, "had", "bought"], 0)
    asyncio.run(client.look("u1"))
    assert tally.wrong == [] if blame is None else blame in tally.wrong[0]


@pytest.mark.parametrize(("kept", "lost"), [(["had", "bought"], 0), (["had"], 1)])
def test_lost_events_of_a_service_are_counted(kept, lost, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    faults = script_of("service/faults")
    shop = faults.Shop({"u1": ["had"]}, "old", events={"u1": ["bought"]})
    tally = faults.Tally()
    history = {"items": [{"item_id": item} for item in kept]}
    asyncio.run(faults.check_logs(Answering(history), shop, tally))
    assert tally.counts["lost events"] == lost and len(tally.wrong) == lost


def test_the_ablation_of_priors_has_the_figures_of_the_evaluation(monkeypatch):
    """All priors, and none: its sums in one go against the model's own lists."""
    monkeypatch.syspath_prepend(FOLDER)
    script = script_of("prior_ablation")
    split = leave_one_out(make_demo_shop(0, num_users=90, num_items=60))
    settings = "stages=['sequence']", "training.sequence.epochs=1", "priors.new_items=false"
    model = GraphGPT.from_preset("tiny", settings).fit(handed_over(split))
    run = SimpleNamespace(model=model, split=split, dataset=split.dataset)
    found = script.of_run(run, [], users=50, fitted_on=2500)
    assert {"all", "without gate", "300 neighbours", "relearned"} < set(found)
    assert "two models" not in found

    def agree(name: str) -> None:
        for task, measure in (("full", evaluate_sequential), ("among_99", evaluate_direct)):
            told = measure(model, split, "test", ks=(10,), max_users=50).metrics
            for metric in ("HitRate@10", "NDCG@10"):
                assert found[name][f"{task}_{metric}"] == pytest.approx(told[metric].mean)

    agree("all")
    model.mixture = None
    agree(script.LANGUAGE_MODEL)


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra ray)")
def test_files_cleaned_by_ray_are_those_cleaned_by_polars(tmp_path, monkeypatch):
    import ray

    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("PYTHONPATH", f"{FOLDER}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    script = script_of("preprocessing")
    files = script.write_files(tmp_path, 3, 200)
    script.by_polars(files, tmp_path / "polars.parquet")
    script.start_ray(2)
    try:
        script.by_ray(files, tmp_path / "ray.parquet")
    finally:
        ray.shutdown()
    rows = [
        pl.read_parquet(tmp_path / f"{way}.parquet").sort("timestamp") for way in ("polars", "ray")
    ]
    raw = pl.concat([pl.read_csv(file) for file in files])
    wanted = raw.filter(pl.col("stars") >= 3, pl.col("user") != "")
    assert rows[0].equals(rows[1]) and len(rows[0]) == len(wanted)
    dataset = read_dataset(tmp_path / "ray.parquet")
    assert dataset.num_users == wanted["user"].n_unique()
