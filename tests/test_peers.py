"""What is given to RecBole, what is read back from it, and one quick comparison where it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgewise.data.dataset import Dataset
from edgewise.data.splits import leave_one_out
from edgewise.evaluation.evaluate import evaluate_sequential

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers"
HISTORIES = {"ann": "abcde", "bob": "bcda", "cat": "ea"}


@pytest.fixture
def split():
    rows = [(user, item) for user, items in HISTORIES.items() for item in items]
    columns = {"user_id": [u for u, _ in rows], "item_id": [i for _, i in rows]}
    return leave_one_out(Dataset.from_frame(columns | {"timestamp": list(range(len(rows)))}))


@pytest.fixture
def export(monkeypatch):
    monkeypatch.syspath_prepend(PEERS)
    return __import__("export")


def written(folder: Path, split, part: str) -> list[list[str]]:
    """The rows of a part in the users' own ids."""
    _, *rows = (folder / "peer" / f"peer.{part}.inter").read_text().splitlines()
    users, items = split.dataset.users.ids, split.dataset.items.ids
    cells = [row.split("\t") for row in rows]
    return [
        [users[int(user)], *("".join(items[int(i)] for i in cell.split()) for cell in rest)]
        for user, *rest in cells
    ]


def test_pairs_are_written(tmp_path, split, export):
    settings = export.write_atomic(split, tmp_path, None)
    assert settings["load_col"] == {"inter": ["user_id", "item_id"]}
    train = {(user, item) for user, item in written(tmp_path, split, "train")}
    of_each = {"ann": "abc", "bob": "bc", "cat": "ea"}
    assert train == {(user, item) for user, items in of_each.items() for item in items}
    assert sorted(written(tmp_path, split, "valid")) == [["ann", "d"], ["bob", "d"]]
    assert sorted(written(tmp_path, split, "test")) == [["ann", "e"], ["bob", "a"]]


def test_histories_are_cut_as_recbole_cuts_them(tmp_path, split, export):
    settings = export.write_atomic(split, tmp_path, 2)
    assert settings["MAX_ITEM_LIST_LENGTH"] == 2
    rows = [["ann", "b", "a"], ["ann", "c", "ab"], ["bob", "c", "b"], ["cat", "a", "e"]]
    assert sorted(written(tmp_path, split, "train")) == rows
    assert sorted(written(tmp_path, split, "valid")) == [["ann", "d", "bc"], ["bob", "d", "bc"]]
    assert sorted(written(tmp_path, split, "test")) == [["ann", "e", "cd"], ["bob", "a", "cd"]]


def test_attributes_are_written(tmp_path, export):
    columns = {"user_id": list("aabb"), "item_id": list("xyxz"), "timestamp": [1, 2, 3, 4]}
    items = {"item_id": list("xyz"), "categories": [["Soap"], ["Soap", "Oil"], ["Oil"]]}
    described = leave_one_out(Dataset.from_frame(columns, items=items))
    settings = export.write_atomic(described, tmp_path, 5, min_items=2)
    assert settings["load_col"]["item"] == ["item_id", "attributes"]
    head, *rows = (tmp_path / "peer" / "peer.item").read_text().splitlines()
    assert head == "item_id:token\tattributes:token_seq"
    names = described.dataset.items.ids
    found = {names[int(item)]: cell.split() for item, cell in (row.split("\t") for row in rows)}
    # Two names, by their numbers: x has one of them, z the other, y both.
    assert len(found["x"]) == len(found["z"]) == 1 and found["x"] != found["z"]
    assert sorted(found["y"]) == sorted(found["x"] + found["z"])


def test_lists_of_others_are_scored_by_our_metrics(split, export):
    number = {item: index for index, item in enumerate(split.dataset.items.ids)}
    users = [split.dataset.users.ids.index(user) for user in ("bob", "ann")]
    # Bob has b, c and d, of whose list e comes first and a, held out, second; Ann's e is no item.
    items = np.array([[number[i] for i in "dbeca"], [number[i] for i in "abcde"]])
    scores = np.array([[5.0, 4, 3, 2, 1], [5, 4, 3, 2, -np.inf]])
    lists = export.ImportedLists(np.array(users), items, scores)
    listed = lists.recommend(np.array(users[:1]), 1, histories=split.known_before("test"))
    assert listed.item_index.tolist() == [number["e"]]
    bob = np.array(users[:1])
    report = evaluate_sequential(lists, split, users=bob, ks=(1, 2), metrics=("HitRate", "MRR"))
    means = {name: each.mean for name, each in report.metrics.items()}
    assert means["HitRate@1"] == 0 and means["HitRate@2"] == 1 and means["MRR@2"] == 0.5


def test_the_part_is_of_popular_items_and_of_users_who_have_many(monkeypatch):
    monkeypatch.syspath_prepend(PEERS)
    accuracy = __import__("accuracy")
    rows = {"ann": "abcdez", "bob": "abcde", "cat": "abcdy", "dan": "abc"}
    pairs = [(user, item) for user, items in rows.items() for item in items]
    columns = {"user_id": [u for u, _ in pairs], "item_id": [i for _, i in pairs]}
    items = {"item_id": list("abcdeyz"), "title": list("ABCDEYZ"), "brand": list("1112223")}
    dataset = Dataset.from_frame(columns | {"timestamp": list(range(len(pairs)))}, items)
    part = accuracy.part_of(dataset, 5)
    assert sorted(part.users.ids) == ["ann", "bob"] and sorted(part.items.ids) == list("abcde")
    brands = dict(zip(part.items.ids, part.catalog.brand, strict=True))
    assert brands == {"a": "1", "b": "1", "c": "1", "d": "2", "e": "2"}
    histories = leave_one_out(part).known_before("valid")
    for user, name in enumerate(part.users.ids):
        assert "".join(part.items.ids[item] for item in histories[user]) == rows[name][:3]


def test_evaluations_are_compared_by_medians(monkeypatch):
    monkeypatch.syspath_prepend(PEERS)
    evaluation = __import__("evaluation")

    def told(*seconds):
        rest = {"count": 12, "peak_bytes": 5}
        return [{"seconds": 2 * s, "processor_seconds": s, **rest} for s in seconds]

    found = evaluation.figures(told(1.0, 2.0, 9.0), told(6.0, 8.0, 100.0))
    assert (found["users"], found["rounds"], found["ours_bytes"]) == (12, 3, 5)
    assert (found["ours_users_a_second"], found["recbole_users_a_second"]) == (6.0, 1.5)
    assert (found["times"], found["times_by_the_clock"]) == (4.0, 4.0)


def test_methods_without_gradients_are_compared(tmp_path):
    default = ROOT / ".libraries" / "bin" / "python"
    python = Path(os.environ.get("EDGEWISE_LIBRARIES_PYTHON", default))
    if not python.exists():
        pytest.skip(
            "no environment with implicit and RecTools: 'make peers', or name its interpreter in "
            "EDGEWISE_LIBRARIES_PYTHON"
        )
    file = tmp_path / "libraries.json"
    command = [sys.executable, str(PEERS / "libraries.py"), "--quick", "--python", str(python)]
    subprocess.run([*command, "--methods", "cosine", "--json", str(file)], check=True)
    figures = json.loads(file.read_text())["cosine"]
    assert figures["ours_fit_seconds"] > 0 and figures["theirs_recommend_seconds"] > 0
    # The same neighbours by the same cosine, but for how equal ones are ordered.
    assert figures["ours_NDCG@10"] == pytest.approx(figures["theirs_NDCG@10"], abs=0.01)


def test_both_packages_are_compared(tmp_path):
    default = ROOT / ".peers" / "bin" / "python"
    python = Path(os.environ.get("EDGEWISE_PEERS_PYTHON", default))
    if not python.exists():
        pytest.skip(
            "no environment with RecBole: 'make peers', or name its interpreter in "
            "EDGEWISE_PEERS_PYTHON"
        )
    file = tmp_path / "peers.json"
    command = [sys.executable, str(PEERS / "compare.py"), "--quick", "--recbole", str(python)]
    subprocess.run([*command, "--models", "lightgcn", "--json", str(file)], check=True)
    figures = json.loads(file.read_text())["lightgcn"]
    assert figures["ours_batches"] == figures["recbole_batches"] > 0
    assert figures["ours_seconds"] > 0 and figures["recbole_seconds"] > 0
    # RecBole's own figure of its lists, rounded to four digits, is ours.
    assert figures["recbole_NDCG@10"] == pytest.approx(figures["recbole_told_ndcg@10"], abs=6e-5)
