"""Explanations: a text, and the items of the history that speak."""

from __future__ import annotations

import json

import pytest

from edgewise.runs import open_run


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
