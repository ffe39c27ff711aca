"""Batches: the model's lists, whole after every kill, refused where they are others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.kills import every_kill, left_overs, told_files
from typer.testing import CliRunner, Result

from edgewise.cli.main import app
from edgewise.data.dataset import histories_of
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError, DataError, UnknownIdError
from edgewise.runs.run import Run, open_run
from edgewise.serving import batch_shards
from edgewise.serving.batch import Batch, read_batch, write_batch
from edgewise.serving.batch_shards import ShardOptions, ShardWriter
from edgewise.serving.version import model_version

COLUMNS = ["user_id", "item_id", "score", "rank"]
USERS, ITEMS = 60, 96


def edgewise(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a shop and two runs."""
    folder = tmp_path_factory.mktemp("batch")
    make_demo_shop(3, num_users=USERS, num_items=ITEMS).save(folder / "shop")
    for method in ("item-knn", "popularity"):
        done = edgewise("fit", method, "--data", folder / "shop", "--out", folder / method)
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> Run:
    return open_run(place / "item-knn")


@pytest.fixture(scope="module")
def whole(run: Run, place: Path) -> Batch:
    """Five items for everybody, 25 users a shard."""
    return write_batch(run, place / "whole", k=5, users_per_shard=25)


def expected(run: Run, users: Any = None, k: int = 5, **asked: Any) -> pl.DataFrame:
    """What the model answers to all at once."""
    rows = histories_of(USERS, run.dataset.interactions)
    users = run.dataset.users.ids if users is None else users
    return run.model.recommend(users, k, histories=rows, **asked).to_frame().select(COLUMNS)


def lists(batch: Batch) -> pl.DataFrame:
    return batch.lists().collect()


# What is written


def test_the_lists_are_the_model_s(whole, run):
    found = lists(whole)
    assert found.columns == COLUMNS
    assert found.schema == pl.Schema(batch_shards.COLUMNS)
    assert found.equals(expected(run))
    assert found["user_id"].unique(maintain_order=True).to_list() == list(run.dataset.users.ids)


def test_the_manifest_tells_where_they_come_from(whole, run):
    told = json.loads((whole.folder / "manifest.json").read_text())
    assert told["status"] == "finished"
    assert told["model"]["version"] == model_version(run.folder)
    assert told["data"]["checksum"] == run.dataset.checksum
    assert told["vocabularies"]["items_sha256"] == run.dataset.items.checksum
    assert [part["users"] for part in told["shards"]] == [25, 25, 10]
    assert told["counts"] == {
        **{"users": USERS, "rows": 5 * USERS, "cold_users": 0, "short_lists": 0},
        "shards": 3,
    }
    assert told["versions"]["edgewise"] and told["settings"]["k"] == 5
    assert sorted(path.name for path in whole.folder.iterdir()) == [
        *("manifest.json", "part-00000.parquet", "part-00001.parquet", "part-00002.parquet"),
    ]
    assert (
        repr(whole)
        == f"Batch({model_version(run.folder)}: 60 users, 300 rows, 3 of 3 shards, finished)"
    )


def test_some_users_in_their_order_and_what_may_be_listed(run, tmp_path):
    users, items = ["u0007", "u0003", "u0011"], run.dataset.items.ids
    users = [run.dataset.users.ids[n] for n in (7, 3, 11)]
    brand = run.dataset.catalog.brand[0]
    asked: dict[str, Any] = {"allow": items[:60], "deny": items[4:6], "filters": {"brand": brand}}
    found = write_batch(run, tmp_path / "b", users, k=9, exclude_seen=False, **asked)
    assert lists(found).equals(expected(run, users, 9, exclude_seen=False, **asked))
    brands = dict(zip(items, run.dataset.catalog.brand, strict=True))
    assert {brands[item] for item in lists(found)["item_id"]} == {brand}
    assert found.counts["short_lists"] == 3
    assert len(lists(write_batch(run, tmp_path / "none", []))) == 0


def test_processes_write_the_same(whole, run, tmp_path):
    written = write_batch(run.folder, tmp_path / "b", k=5, users_per_shard=25, workers=2)
    assert told_files(written.folder) == told_files(whole.folder)


# Kills


def test_after_every_kill_the_same_files_come_out(whole, run, tmp_path):
    folder, states = tmp_path / "in" / "b", tmp_path / "states"
    folder.mkdir(parents=True)
    with every_kill(folder, states):
        write_batch(run, folder, k=5, users_per_shard=25)
    killed = sorted(states.iterdir())
    assert len(killed) > 10
    for state in killed:
        written = write_batch(run, state, k=5, users_per_shard=25)
        assert told_files(state) == told_files(whole.folder)
        assert not left_overs(state) and written.kept <= 3


CODE = """
import os, signal, sys
from edgewise.serving import batch
batch._SAVED_EVERY = -1
def told(done, total):
    if done >= 30:
        os.kill(os.getpid(), signal.SIGKILL)
batch.write_batch(sys.argv[1], sys.argv[2], k=5, users_per_shard=4, on_progress=told)
"""


def test_a_killed_process_is_gone_on_from(run, tmp_path):
    once = write_batch(run, tmp_path / "once", k=5, users_per_shard=4)
    command = [sys.executable, "-c", CODE, str(run.folder), str(tmp_path / "b")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = read_batch(tmp_path / "b")
    assert not before.finished and 4 <= len(before.shards) < 15
    with pytest.raises(DataError, match=r"of 15 shards are written; run the same"):
        before.lists()
    after = write_batch(run, tmp_path / "b", k=5, users_per_shard=4)
    assert after.kept == len(before.shards)
    assert told_files(after.folder) == told_files(once.folder)


@pytest.mark.parametrize("damage", ["missing", "truncated", "altered"])
def test_a_damaged_shard_alone_is_written_again(whole, run, tmp_path, damage):
    made = write_batch(run, tmp_path / "b", k=5, users_per_shard=25)
    path = made.folder / "part-00001.parquet"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-9] if damage == "truncated" else content[:-9] + b"x" * 9)
    (fault,) = read_batch(made.folder).faults()
    assert "part-00001.parquet" in fault
    assert write_batch(run, made.folder, k=5, users_per_shard=25).kept == 2
    assert told_files(made.folder) == told_files(whole.folder)


# Other batches


def test_another_batch_is_refused_and_replaced_by_force(whole, run, place, tmp_path):
    made = write_batch(run, tmp_path / "b", k=5, users_per_shard=10)
    told = told_files(made.folder)
    with pytest.raises(ConfigError, match=r"settings.k \(5 there, 6 asked\).*--force"):
        write_batch(run, made.folder, k=6, users_per_shard=10)
    with pytest.raises(ConfigError, match=r"model.version .*item-knn-.*popularity-"):
        write_batch(place / "popularity", made.folder, k=5, users_per_shard=10)
    with pytest.raises(ConfigError, match=r"settings.users \(.all. there, 2 ids"):
        write_batch(run, made.folder, [0, 1], k=5, users_per_shard=10)
    assert told_files(made.folder) == told
    write_batch(run, made.folder, k=5, users_per_shard=25, force=True)
    assert told_files(made.folder) == told_files(whole.folder)


def test_what_is_no_batch_stays(run, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(ConfigError, match="something else is there"):
            write_batch(run, tmp_path / "b", force=force)
    with pytest.raises(DataError, match=r"no batch \(manifest.json is missing\)"):
        read_batch(tmp_path / "b")


def test_an_edited_manifest_is_refused(run, tmp_path):
    made = write_batch(run, tmp_path / "b", k=5)
    path = made.folder / "manifest.json"
    path.write_text(path.read_text().replace('"k": 5', '"k": 7'))
    with pytest.raises(DataError, match=r"changed after it was written: settings.k"):
        read_batch(made.folder)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"k": 0}, "k = 0"),
        ({"workers": 0}, "workers = 0"),
        ({"users_per_shard": 0}, "users_per_shard = 0"),
        ({"engine": "spark"}, "choose local or ray"),
        ({"users": [3, 3]}, "1 of them are there more than once"),
        ({"filters": {"brand": "Nobody & Sons"}}, "no item has 'Nobody & Sons'"),
    ],
)
def test_wrong_options_are_told_before_anything_is_written(run, tmp_path, asked, told):
    with pytest.raises(ConfigError, match=told):
        write_batch(run, tmp_path / "b", **asked)
    with pytest.raises(UnknownIdError, match="nobody"):
        write_batch(run, tmp_path / "b", ["nobody"])
    assert not (tmp_path / "b").exists()


# The store of a service


@dataclass
class Store:
    """As much of a store as a batch needs."""

    people: dict[str, Any]
    lists: dict[tuple[str, str], Any] = field(default_factory=dict)

    def person(self, user_id: str) -> Any:
        return self.people.get(user_id, SimpleNamespace(seen=0, forgotten=False, events=()))

    def put_lists(self, version: str, rows: Iterator[tuple[str, Any]]) -> None:
        self.lists |= {(version, user_id): row for user_id, row in rows}


def test_events_of_a_service_count_and_its_store_gets_the_lists(run, tmp_path, monkeypatch):
    ids = run.dataset.users.ids
    best = expected(run, [ids[0]], 3)["item_id"].to_list()
    rows = run.dataset.interactions
    last = np.flatnonzero(rows.user_index == 0)[-1]
    told = run.dataset.items.ids[rows.item_index[last]], int(rows.timestamp[last])
    bought = [
        SimpleNamespace(item_id=item, kind=kind, timestamp=time)
        for item, kind, time in (
            (best[0], "purchase", 2_000_000_000),
            ("unknown", "purchase", 2_000_000_001),
            (best[1], "dismiss", 2_000_000_002),
            (told[0], "purchase", told[1]),  # which the data set has as well
        )
    ]
    people = {
        ids[0]: SimpleNamespace(seen=3, forgotten=False, events=bought),
        ids[1]: SimpleNamespace(seen=7, forgotten=True, events=bought[:1]),
    }
    store = Store(people)
    monkeypatch.setattr(batch_shards, "open_store", lambda url: store)
    url = "redis://user:secret@host:6379/2"
    found = write_batch(run, tmp_path / "b", ids[:3], k=4, cache=url)
    assert "secret" not in (found.folder / "manifest.json").read_text()
    version, history = model_version(run.folder), histories_of(USERS, run.dataset.interactions)
    kept = {user_id: row for (of, user_id), row in store.lists.items() if of == version}
    assert [kept[user].seen for user in ids[:3]] == [3, 7, 0]
    rows = lists(found)
    for user in ids[:3]:
        own = rows.filter(pl.col("user_id") == user)
        assert [*kept[user].items] == [*zip(own["item_id"], own["score"], strict=True)]
    place = run.dataset.items.index_of(best[0])
    newer = [np.append(history[0], place), np.array([place])]
    told = run.model.recommend_new(newer, 4, deny=[best[1]]).to_frame()
    (first,) = (told.filter(pl.col("user_id") == "new user 1"),)
    assert [item for item, _ in kept[ids[0]].items] == first["item_id"].to_list()
    forgotten = run.model.recommend_new(newer[1:], 4).to_frame()
    assert [item for item, _ in kept[ids[1]].items] == forgotten["item_id"].to_list()
    assert lists(found).filter(pl.col("user_id") == ids[2]).equals(expected(run, [ids[2]], 4))


def test_an_event_that_the_data_set_has_been_told_of_counts_once(run, tmp_path):
    rows, ids = run.dataset.interactions, run.dataset.items.ids
    writer = ShardWriter(ShardOptions(str(run.folder)), tmp_path, run)
    (own,) = np.nonzero(rows.user_index == 4)
    events = [
        SimpleNamespace(item_id=ids[rows.item_index[n]], kind="purchase", timestamp=time)
        for n, time in ((own[0], int(rows.timestamp[own[0]])), (own[1], 2_000_000_000))
    ]
    had, dismissed = writer._events_of(4, events)
    assert had.tolist() == [rows.item_index[own[1]]] and not len(dismissed)
    assert len(writer._events_of(-1, events)[0]) == 2, "nothing is known of somebody else"


# The command


@pytest.mark.parametrize("ending", ["txt", "csv", "parquet", "jsonl"])
def test_the_command_reads_users_of_files(run, place, tmp_path, ending):
    ids = [run.dataset.users.ids[n] for n in (9, 2, 40)]
    path, out = tmp_path / f"users.{ending}", tmp_path / "b"
    table = pl.DataFrame({"user_id": [*ids, ids[0]]})
    if ending == "parquet":
        table.write_parquet(path)
    elif ending == "jsonl":
        table.write_ndjson(path)
    elif ending == "csv":
        table.with_columns(note=pl.lit("a, b")).write_csv(path)
    else:
        path.write_text("\n".join([*ids, "", ids[0]]))
    done = edgewise("batch", run.folder, "--users", path, "-k", 5, "--out", out)
    assert done.exit_code == 0, done.output
    assert "1 ids were there more than once" in done.output
    assert f"3 users, 15 rows in 1 shards; model {model_version(run.folder)}" in done.output
    assert lists(read_batch(out)).equals(expected(run, ids))
    checked = edgewise("batch", run.folder, "--out", out, "--check")
    assert checked.exit_code == 0 and "all as they were written" in checked.output
    other = edgewise("batch", place / "popularity", "--out", out, "--check")
    assert other.exit_code == 2 and "the lists are of the model item-knn-" in other.output
    (out / "part-00000.parquet").unlink()
    broken = edgewise("batch", run.folder, "--out", out, "--check")
    assert broken.exit_code == 2 and "part-00000.parquet is missing" in broken.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--users", "nowhere.txt"], "--users nowhere.txt: no such file; give 'all'"),
        (["--engine", "spark"], "--engine spark: no such engine"),
        (["--filter", "brand"], "write it as NAME=VALUE"),
        (["--filter", "colour=red"], "items have no such attribute"),
        (["--exclude", "nothing"], "unknown item id 'nothing'"),
        (["-k", "0"], "-k 0"),
    ],
)
def test_the_command_says_what_is_wrong(run, tmp_path, options, told):
    done = edgewise("batch", run.folder, "--out", tmp_path / "b", *options)
    assert done.exit_code == 2 and told in " ".join(done.output.split())


# Ray


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra ray)")
def test_a_killed_ray_worker_loses_and_doubles_nothing(whole, run, tmp_path):
    psutil = pytest.importorskip("psutil")
    killed: list[int] = []

    def told(done: int, total: int) -> None:
        if killed or done == total:
            return
        for process in psutil.Process().children(recursive=True):
            if "_Actor" in " ".join(process.cmdline()):
                process.kill()
                killed.append(done)
                return

    written = write_batch(
        run.folder,
        tmp_path / "b",
        k=5,
        users_per_shard=2,
        engine="ray",
        workers=2,
        on_progress=told,
    )
    assert killed and killed[0] < USERS - 12, "work was left when the worker died"
    assert lists(written).equals(lists(whole))
    assert written.counts == {**whole.counts, "shards": 30}
    assert not os.environ.get("RAY_ADDRESS")


def test_without_ray_the_message_tells_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'edgewise\[ray\]'"):
        write_batch(run, tmp_path / "b", engine="ray")
