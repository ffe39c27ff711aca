"""Lists for known users, for somebody new, for given candidates; texts and what speaks for them."""

from __future__ import annotations

import csv
import json
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgewise.cli.recommend import read_candidates
from edgewise.data.dataset import histories_of
from edgewise.errors import ConfigError
from edgewise.models.registry import load_model
from edgewise.runs import open_run


@pytest.fixture(scope="module")
def opened(run):
    return open_run(run)


def test_a_table_of_titles(edgewise, run, opened):
    user = opened.dataset.users.ids[0]
    result = edgewise("recommend", run, "--users", user, "-k", 3)
    assert result.exit_code == 0, result.output
    best = opened.model.recommend(
        np.array([0]), 3, histories=histories_of(60, opened.dataset.interactions)
    )
    for item in best.item_index:
        assert opened.dataset.catalog.title[item] in result.output
    assert user in result.output


def test_users_may_follow_each_other_or_stand_in_a_file(edgewise, run, opened, tmp_path):
    first, second = opened.dataset.users.ids[:2]
    file = tmp_path / "users.txt"
    file.write_text(f"{first}\n\n{second}\n")
    asked = [
        ("--users", first, second),
        ("--users", first, "--users", second),
        ("--users-file", file),
    ]
    answers = [edgewise("recommend", run, *users, "--format", "json").output for users in asked]
    assert answers[0] == answers[1] == answers[2]
    lists = json.loads(answers[0])
    assert [row["user_id"] for row in lists] == [first, second]
    assert [item["rank"] for item in lists[0]["items"]] == list(range(1, 11))


def test_nothing_the_user_has_is_recommended(edgewise, run, opened, tmp_path):
    out = tmp_path / "lists.parquet"
    result = edgewise("recommend", run, "--all", "-k", 4, "--out", out)
    assert result.exit_code == 0, result.output
    frame = pl.read_parquet(out)
    assert frame.columns == ["user_id", "item_id", "rank", "score", "title"]
    assert len(frame) == 60 * 4 and frame["user_id"].n_unique() == 60
    rows = opened.dataset.interactions
    taken = set(zip(rows.user_index.tolist(), rows.item_index.tolist(), strict=True))
    users = opened.dataset.users.indices_of(frame["user_id"].to_list()).tolist()
    items = opened.dataset.items.indices_of(frame["item_id"].to_list()).tolist()
    assert not taken & set(zip(users, items, strict=True))


def test_formats_agree(edgewise, run, opened, tmp_path):
    user = opened.dataset.users.ids[5]
    asked = ("recommend", run, "--users", user, "-k", 4)
    table = list(csv.DictReader(StringIO(edgewise(*asked, "--format", "csv").output)))
    lists = json.loads(edgewise(*asked, "--format", "json").output)
    out = tmp_path / "lists.csv"
    assert edgewise(*asked, "--out", out).exit_code == 0
    assert [row["item_id"] for row in table] == [row["item_id"] for row in lists[0]["items"]]
    assert list(csv.DictReader(StringIO(out.read_text()))) == table


def test_somebody_new(edgewise, run, opened):
    ids = opened.dataset.items.ids
    asked = ("recommend", run, "--history", f"{ids[7]}, {ids[3]}", "--format", "json")
    (answer,) = json.loads(edgewise(*asked).output)
    expected = opened.model.recommend_new([np.array([7, 3])], 10)
    assert [item["item_id"] for item in answer["items"]] == [ids[i] for i in expected.item_index]
    assert not {ids[7], ids[3]} & {item["item_id"] for item in answer["items"]}
    assert answer["user_id"] == "new user"


@pytest.mark.parametrize("kind", ["lines", "json", "csv", "json by user"])
def test_given_candidates_are_ranked(edgewise, run, opened, tmp_path, kind):
    items, user = list(opened.dataset.items.ids[10:16]), opened.dataset.users.ids[2]
    file = tmp_path / ("items.json" if "json" in kind else "items.csv")
    texts = {
        "lines": "\n".join(items),
        "json": json.dumps(items),
        "csv": "user_id,item_id\n" + "\n".join(f"{user},{item}" for item in items),
        "json by user": json.dumps({user: items}),
    }
    file.write_text(texts[kind])
    asked = ("recommend", run, "--users", user, "--task", "direct", "--candidates", file)
    (answer,) = json.loads(edgewise(*asked, "--format", "json").output)
    assert {item["item_id"] for item in answer["items"]} == set(items)
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


def test_candidates_for_somebody_new(edgewise, run, opened, tmp_path):
    ids = opened.dataset.items.ids
    file = tmp_path / "items.txt"
    file.write_text("\n".join(ids[:5]))
    asked = ("recommend", run, "--history", ids[9], "--candidates", file, "-k", 2)
    (answer,) = json.loads(edgewise(*asked, "--format", "json").output)
    assert len(answer["items"]) == 2
    assert {item["item_id"] for item in answer["items"]} <= set(ids[:5])


def test_unknown_ids_are_refused_or_skipped(edgewise, run, opened):
    user = opened.dataset.users.ids[0]
    wrong = user + "x"
    result = edgewise("recommend", run, "--users", wrong, user)
    assert result.exit_code == 2
    assert f"unknown user id '{wrong}'" in result.output and user in result.output
    assert "--skip-unknown" in result.output
    skipped = edgewise(
        "recommend", run, "--users", wrong, user, "--skip-unknown", "--format", "csv"
    )
    assert skipped.exit_code == 0
    assert f"unknown user id '{wrong}'" in skipped.stderr and "warning" in skipped.stderr
    assert skipped.stdout.count(user) == 10
    item = opened.dataset.items.ids[0]
    result = edgewise("recommend", run, "--history", f"{item}x")
    assert result.exit_code == 2 and item in result.output
    nothing = edgewise("recommend", run, "--history", f"{item}x", "--skip-unknown")
    assert nothing.exit_code == 2 and "no known item" in nothing.output


@pytest.mark.parametrize("task", ["direct", "sequential"])
def test_recommending_by_an_untrained_task_is_refused(edgewise, fake_run, task):
    other = {"direct": "sequential", "sequential": "direct"}[task]
    about = fake_run / "model" / "model.json"
    values = json.loads(about.read_text())
    values["settings"]["tasks"] = [other]
    about.write_text(json.dumps(values))
    file = fake_run / "items.txt"
    file.write_text(open_run(fake_run).dataset.items.ids[0])
    given = ("--candidates", file) if task == "direct" else ()
    result = edgewise("recommend", fake_run, "--all", "--task", task, *given)
    assert result.exit_code == 2
    assert f"--task {task}: {fake_run} was not trained for it, only for {other}" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say for whom"),
        (["--users", "u1", "--all"], "say for whom"),
        (["stray", "--all"], "unexpected 'stray'"),
        (["--all", "-k", "0"], "-k 0"),
        (["--all", "--format", "parquet"], "--out"),
        (["--all", "--format", "jsn"], "Did you mean 'json'?"),
        (["--all", "--out", "lists.txt"], "--format"),
        (["--all", "--task", "direct"], "--candidates"),
        (["--all", "--task", "sequental"], "Did you mean 'sequential'?"),
        (["--users-file", "none.txt"], "none.txt: No such file"),
    ],
)
def test_impossible_wishes(edgewise, run, arguments, message):
    result = edgewise("recommend", run, *arguments)
    assert result.exit_code == 2
    assert result.output.startswith("error: ") and message in result.output


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "user,item\n1,2\n", "user_id,item_id"),
        ("a.csv", "user_id,item_id\nu1,\n", "a.csv:2"),
        ("a.csv", "user_id,item_id\nu1,i1\nu1,i2,i3\n", "a.csv:3"),
        ("a.json", "[1, 2]", "as strings"),
        ("a.json", "[", "not valid JSON"),
        ("a.txt", "\n", "no candidates"),
    ],
)
def test_unreadable_candidates(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_candidates(tmp_path / name)


def test_a_failed_command_leaves_no_file(edgewise, run, opened, tmp_path):
    out = tmp_path / "lists.csv"
    edgewise("recommend", run, "--users", "nobody", "--out", out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["elmrec", "graph-gpt"])
def test_the_folder_of_a_model_is_complete(request, tmp_path, method):
    folder = request.getfixturevalue({"elmrec": "run", "graph-gpt": "gpt_run"}[method])
    folder = folder if method == "elmrec" else folder[0]
    moved = Path(shutil.copytree(folder / "model", tmp_path / "moved"))
    for file in moved.rglob("*"):
        assert file.is_dir() or str(folder.parent).encode() not in file.read_bytes(), file
    model, opened = load_model(moved), open_run(folder)
    user, item = opened.dataset.users.ids[3], opened.dataset.items.ids[5]
    frame = model.recommend([user], k=4).to_frame()
    assert frame.equals(opened.model.recommend([user], k=4).to_frame())
    assert frame["user_id"].to_list() == [user] * 4 and all(frame["title"])
    assert model.recommend_new([[item]], k=2).to_frame()["user_id"].to_list() == ["new user"] * 2
    assert model.explain([(user, item)]) == opened.model.explain([(user, item)])


# Explanations: a text, and the items of the history that speak.


@pytest.fixture(scope="module")
def pair(run) -> tuple[str, str]:
    opened = open_run(run)
    row = opened.split.test.take([0])
    return (
        opened.dataset.users.ids[row.user_index[0]],
        opened.dataset.items.ids[row.item_index[0]],
    )


def test_the_text_and_the_shares(edgewise, run, pair):
    user, item = pair
    result = edgewise("explain", run, "--user", user, "--item", item, "--format", "json")
    found = json.loads(result.output)
    opened = open_run(run)
    users, items = opened.dataset.users, opened.dataset.items
    assert found["text"] == opened.model.explain([(users.index_of(user), items.index_of(item))])[0]
    assert found["text"]
    shares = [row["share"] for row in found["items"]]
    assert sum(shares) == pytest.approx(1) and shares == sorted(shares, reverse=True)
    train = opened.split.train
    mine = set(train.item_index[train.user_index == users.index_of(user)].tolist())
    assert {items.index_of(row["item_id"]) for row in found["items"]} <= mine


def test_the_table_names_titles(edgewise, run, pair):
    result = edgewise("explain", run, "--user", pair[0], "--item", pair[1])
    assert result.exit_code == 0
    assert "%" in result.output and "what speaks for it" in result.output


def test_unknown_ids_name_the_nearest(edgewise, run, pair):
    user, item = pair
    wrong_user = edgewise("explain", run, "--user", user + "x", "--item", item)
    wrong_item = edgewise("explain", run, "--user", user, "--item", item + "x")
    assert (wrong_user.exit_code, wrong_item.exit_code) == (2, 2)
    assert f"Close ids: {user}" in wrong_user.output
    assert item in wrong_item.output.partition("Close ids: ")[2]
