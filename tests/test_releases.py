"""What is given to the papers' releases, and the tokenizer that both sides share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from edgewise.data.dataset import Dataset
from edgewise.data.splits import leave_one_out

RELEASES = Path(__file__).parents[1] / "benchmarks" / "releases"
HISTORIES = {"ann": "abcde", "bob": "bcda", "cat": "edcb"}


def split_of(histories):
    rows = [(user, item) for user, items in histories.items() for item in items]
    columns = {"user_id": [u for u, _ in rows], "item_id": [i for _, i in rows]}
    return leave_one_out(Dataset.from_frame(columns | {"timestamp": list(range(len(rows)))}))


@pytest.fixture
def layouts(monkeypatch):
    monkeypatch.syspath_prepend(RELEASES)
    return __import__("layouts")


@pytest.fixture
def turns(monkeypatch):
    monkeypatch.syspath_prepend(RELEASES)
    return __import__("turns")


def test_histories_negatives_and_train_pairs_are_written(tmp_path, layouts):
    layouts.write_p5(split_of(HISTORIES), tmp_path)
    maps = json.loads((tmp_path / "datamaps.json").read_text())
    users, items = maps["id2user"], maps["id2item"]
    lines = (tmp_path / "sequential.txt").read_text().splitlines()
    rows = {users[line.split()[0]]: "".join(items[n] for n in line.split()[1:]) for line in lines}
    assert rows == HISTORIES
    explained = json.loads((tmp_path / "explanation.json").read_text())["train"]
    pairs = {(users[str(each["user"])], items[str(each["item"])]) for each in explained}
    assert pairs == {(user, item) for user, row in HISTORIES.items() for item in row[:-2]}
    for line in (tmp_path / "negative.txt").read_text().splitlines():
        user, *numbers = line.split()
        assert not {items[n] for n in numbers} & {*HISTORIES[users[user]]}


def test_users_with_too_few_rows_are_refused(tmp_path, layouts):
    with pytest.raises(SystemExit, match="4 rows of every user"):
        layouts.write_p5(split_of({**HISTORIES, "dan": "abc"}), tmp_path)


def test_the_matrix_holds_what_is_known_before_the_test(tmp_path, layouts):
    split = split_of(HISTORIES)
    layouts.write_matrix(split, tmp_path)
    found = sp.load_npz(tmp_path / "train_matrix.npz").toarray()
    names = np.array(split.dataset.items.ids)
    rows = {
        user: {*names[row > 0]} for user, row in zip(split.dataset.users.ids, found, strict=True)
    }
    assert rows == {user: {*row[:-1]} for user, row in HISTORIES.items()}


def test_ids_are_spelled_as_t5_spells_them(turns):
    tokenizer = turns.one_tokenizer()
    pieces = tokenizer.tokenize("user_7 item_1234 item_56")
    marked = [("\u2581" + word, "_") for word in ("user", "item", "item")]
    assert pieces == [*marked[0], "7", *marked[1], "12", "34", *marked[2], "56"]
    assert tokenizer("item_12")["input_ids"][-1] == tokenizer.eos_token_id == 1
    assert tokenizer.decode(tokenizer("1234")["input_ids"], skip_special_tokens=True) == "1234"
    assert len(tokenizer) <= turns.VOCABULARY


def test_sides_tell_and_are_heard(monkeypatch, capsys):
    monkeypatch.syspath_prepend(RELEASES.parent)
    sides = __import__("sides")
    monkeypatch.setattr("sys.stdin", iter(["one\n"]))
    sides.answer({"one": lambda: 3})
    names, done = map(sides.told, capsys.readouterr().out.splitlines())
    assert names == ["one"] and done["count"] == 3 and done["seconds"] >= 0
    assert sides.told("a warning of a library\n") is None
