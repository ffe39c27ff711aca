"""Groups of users, worked out by hand in a small world."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgewise.data.dataset import Interactions
from edgewise.data.splits import Split, leave_one_out, with_cold_items
from edgewise.errors import EdgewiseError
from edgewise.evaluation.evaluate import evaluate_sequential
from edgewise.evaluation.groups import groups_of, groups_table, user_labels
from edgewise.evaluation.report import read_report

# Train rows are all but the last two of each user; the validation item is told before the test.
WORLD = [
    [0, 1, 2, 3],  # train 0 > 1; told ..., 2; target 3
    [2, 3, 4, 1],  # train 2 > 3; told ..., 4; target 1
    [3, 5, 1, 5],  # train 3 > 5; told ..., 1; target 5
    [1, 4, 5, 3, 0, 3, 0, 1, 2, 5],  # train 1 4 5 3 0 3 0 1; told ..., 2; target 5
    [0, 1],  # too short to be held out
]
EXPECTED = {
    # Of users 0 to 4, as names; None where nothing is held out.
    "history": ["2-3", "2-3", "2-3", "8+", None],
    # Train rows: 0 four times, 1 four, 2 once, 3 four (users 1, 2 and twice 3), 4 once, 5 twice.
    "popularity": ["1-4", "1-4", "1-4", "1-4", None],
    # Steps 0>1, 2>3, 3>5, 1>4, 4>5, 5>3, 3>0, 0>3. 2>3 is seen; 4>1 is not, nor is 4>5>1;
    # 1>5 by 1>4>5; 2>5 by 2>3>5.
    "transition": ["seen", "new", "two hops", "two hops", None],
}


@pytest.fixture
def world(make_dataset) -> Split:
    return leave_one_out(make_dataset(WORLD, 40))


@pytest.mark.parametrize("by", EXPECTED)
def test_groups_worked_by_hand(world, by):
    names, label = user_labels(world, "test", by, world.known_before("test"))
    assert [names[n] if n >= 0 else None for n in label] == EXPECTED[by]


def test_the_popularity_of_items_in_steps(make_dataset):
    """Items 0, 1, 2, 3 have 0, 1, 5 and 20 train rows."""
    train = [*[[9, 3]] * 15, *[[2, 3]] * 5, [1, 9], [8, 9], [8, 9], [8, 9]]
    ends = [*[[7, 6]] * 20, [7, 0], [7, 1], [7, 2], [7, 3]]
    rows = [[*row, *end] for row, end in zip(train, ends, strict=True)]
    split = leave_one_out(make_dataset(rows, 10))
    names, label = user_labels(split, "test", "popularity", split.known_before("test"))
    assert [names[n] for n in label[-4:]] == ["0", "1-4", "5-19", "20+"]


def test_no_train_row_and_no_history(world):
    user_3 = world.train.take(np.flatnonzero(world.train.user_index != 3))
    bare = Split(world.dataset, user_3, world.valid, world.test, "time")
    names, label = user_labels(bare, "test", "history", bare.known_before("test"))
    assert names[label[3]] == "no train row"
    names, label = user_labels(bare, "valid", "transition", bare.known_before("valid"))
    assert names[label[3]] == "no history"


def test_users_with_targets_of_several_groups_are_mixed(make_dataset):
    """User 0 has item 0 (two train rows) and item 5 (none) held out, user 1 item 1 and item 2."""
    dataset = make_dataset([[3, 0, 5], [0, 1, 2], [0, 1, 2]], 6)
    rows = dataset.interactions

    def of(places: list[int]) -> Interactions:
        return rows.take(np.array(places, dtype=np.int64))

    split = Split(dataset, of([0, 3, 6, 7, 8]), of([]), of([1, 2, 4, 5]), "ratio")
    names, label = user_labels(split, "test", "popularity", split.known_before("test"))
    assert [names[label[0]], names[label[1]], label[2]] == ["mixed", "1-4", -1]


def test_means_of_groups_add_up_and_are_kept(world, scripted, tmp_path):
    """The model knows the target of user 0, and puts that of user 1 second."""
    scores = np.tile(np.linspace(0, 1, 40), (5, 1))
    scores[0, 3] = 2.0
    scores[1, [7, 1]] = 3.0, 2.0
    report = evaluate_sequential(scripted(scores), world, ks=(1, 2))
    groups = groups_of(report, world, "transition")
    assert [(group.name, group.num_users) for group in groups] == [
        ("seen", 1),
        ("two hops", 2),
        ("new", 1),
    ]
    seen, two_hops, new = (group.metrics for group in groups)
    assert seen["HitRate@1"].mean == 1 and new["HitRate@1"].mean == 0
    assert new["NDCG@2"].mean == pytest.approx(1 / np.log2(3))
    # Users 2 and 3 have had item 5 before, so that it cannot be listed.
    assert two_hops["HitRate@2"].mean == 0
    report.groups["transition"] = groups  # type: ignore[index]
    table = groups_table({"Scripted": report}, "transition")
    assert table.row_count == 6  # HitRate and NDCG of three groups
    report.save(tmp_path / "r.json", tmp_path / "r.parquet")
    kept = json.loads((tmp_path / "r.json").read_text())["groups"]["transition"]
    assert [each["name"] for each in kept] == ["seen", "two hops", "new"]
    assert kept[0]["metrics"]["HitRate@1"]["mean"] == 1
    assert read_report(tmp_path / "r.json").groups["transition"] == groups


def test_cold_groups_are_those_of_the_split(make_dataset):
    rows = [[a % 20, (a + 7) % 20, (a + 3) % 20, (a + 11) % 20] for a in range(20)]
    split = leave_one_out(make_dataset(rows, 20))
    with pytest.raises(EdgewiseError, match="--cold-items"):
        user_labels(split, "test", "cold", split.known_before("test"))
    split = with_cold_items(split, 0.4)
    names, label = user_labels(split, "test", "cold", split.known_before("test"))
    is_cold = split.cold_items()[split.test.item_index]
    assert [names[n] for n in label[split.test.user_index]] == [
        "cold" if cold else "warm" for cold in is_cold
    ]


def test_lists_of_some_items_alone(make_dataset):
    """Among items 1, 4 and 7 user 0's target stands second; user 1's is none of them."""
    split = leave_one_out(make_dataset([[0, 2, 3, 4], [0, 3, 2, 5]], 9))
    scores = np.tile(np.arange(9.0), (2, 1))

    class Allowing:
        tasks = ("sequential",)

        def recommend(self, users, k=10, *, histories=None, exclude_seen=True, allow=None):
            from edgewise.data.item_lists import Recommendations

            best = [allow[np.argsort(-scores[user][allow])][:k] for user in users]
            return Recommendations.from_lists(
                users, best, [scores[user][row] for user, row in zip(users, best, strict=True)]
            )

    items = np.isin(np.arange(9), [1, 4, 7])
    report = evaluate_sequential(Allowing(), split, ks=(1, 2), items=items)
    assert report.num_users == 1
    assert (report.metrics["HitRate@1"].mean, report.metrics["HitRate@2"].mean) == (0, 1)
    assert report.settings["candidates_mean"] == 3
    assert report.settings["chance"]["HitRate@2"] == pytest.approx(2 / 3)
