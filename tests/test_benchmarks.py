"""What benchmarks read of the commands that they run and of the runs that they have made."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from edgewise.data.importing import read_dataset
from edgewise.data.synthetic import make_demo_shop
from edgewise.files import write_text
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
    large.write_csv(tmp_path / "log.csv", 3000)
    data = str(tmp_path / "data")
    imported = large.timed(["data", "import", str(tmp_path / "log.csv"), "--out", data])
    assert set(imported) == {"seconds", "processor_seconds", "peak_bytes"}
    counts = json.loads((tmp_path / "data" / "dataset.json").read_text())["counts"]
    assert counts["users"] == 300 and counts["interactions"] > 2000
    command = ["fit", "popularity", "--data", data, "--out", str(tmp_path / "run")]
    fitted = large.timed(command, training=True)
    assert 0 < fitted["plan_seconds"] <= fitted["audit_seconds"], "the plan comes first"
    assert fitted["peak_bytes"] > 2**20
    with pytest.raises(SystemExit, match=r"edgewise data info .* failed:\n(.|\n)*no data set"):
        large.timed(["data", "info", str(tmp_path)])


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
