"""Data sets grow without moving a number, and every earlier state can be cut out again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.kills import every_kill

from edgewise import Dataset
from edgewise.data.growing import append_file
from edgewise.data.importing import ImportOptions
from edgewise.errors import DataError

OLD = {
    "user_id": ["a", "a", "b", "b", "c"],
    "item_id": ["x", "y", "x", "z", "y"],
    "timestamp": [10, 30, 10, 20, 50],
    "rating": [5.0, 4.0, 3.0, 2.0, 1.0],
}
NEW = {
    "user_id": ["a", "d", "b", "d", "a", "a"],
    "item_id": ["z", "new", "x", "x", "y", "z"],
    "timestamp": [20, 60, 10, 55, 30, 20],
}
ITEMS = {
    "item_id": ["x", "new", "shelf"],
    "title": ["another title", "A new one", "Nobody has it"],
    "categories": [["P"], ["P", "Q"], []],
}


@pytest.fixture
def old() -> Dataset:
    return Dataset.from_frame(OLD, {"item_id": ["x", "y"], "title": ["An X", ""]}, name="shop")


@pytest.fixture
def grown(old) -> Dataset:
    return old.append(NEW, ITEMS)


def told(dataset: Dataset) -> dict[str, list[tuple[str, int]]]:
    """Each user's items and times, in order."""
    rows, found = dataset.interactions, {}
    for user, item, time in zip(rows.user_index, rows.item_index, rows.timestamp, strict=True):
        found.setdefault(dataset.users.ids[user], []).append((dataset.items.ids[item], int(time)))
    return found


def test_rows_join_their_users_in_order_of_time(grown):
    assert told(grown) == {
        "a": [("x", 10), ("z", 20), ("y", 30)],
        "b": [("x", 10), ("z", 20)],
        "c": [("y", 50)],
        "d": [("x", 55), ("new", 60)],
    }
    (state,) = grown.grown_from
    assert (state.rows_read, state.rows_appended, state.rows_there) == (6, 3, 3)
    assert (state.interactions, state.users, state.items) == (5, 3, 3)
    assert np.isnan(grown.interactions.rating).sum() == 3, "the new rows have none"


def test_ids_keep_their_numbers_and_new_ones_follow_no_order_of_appearance(old, grown):
    assert grown.users.ids == (*old.users.ids, "d")
    assert grown.items.ids[:3] == old.items.ids and set(grown.items.ids[3:]) == {"new", "shelf"}
    many = {"user_id": ["a"] * 40, "item_id": [f"n{n:02}" for n in range(40)]}
    many["timestamp"] = list(range(100, 140))
    backwards = {name: column[::-1] for name, column in many.items()}
    first, second = old.append(many), old.append(backwards)
    assert first.items.ids == second.items.ids, "the numbers tell nothing of rows"
    assert list(first.items.ids[3:]) != sorted(first.items.ids[3:])


def test_what_is_known_of_items_stays_and_is_counted(old, grown):
    x, new = (grown.items.index_of(raw) for raw in ("x", "new"))
    assert grown.catalog.title[x] == "An X" and grown.catalog.categories[x] == ()
    assert grown.catalog.title[new] == "A new one" and grown.catalog.categories[new] == ("P", "Q")
    assert grown.grown_from[0].items_different == 1
    assert any("1 of 3 items told of are known" in words for words in grown.grown_from[0].warnings)
    assert "shelf" not in old.append(NEW, ITEMS, cold_items="drop").items.ids


def test_earlier_states_can_be_cut_out(old, grown, tmp_path):
    again = grown.append({"user_id": ["c", "e"], "item_id": ["w", "x"], "timestamp": [1, 2]})
    more = again.append(items={"item_id": ["v"], "title": ["Last"]})
    more.save(tmp_path / "data")
    loaded = Dataset.load(tmp_path / "data")
    assert loaded.grown_from == more.grown_from and loaded.checksum == more.checksum
    for before in (old, grown, again):
        found = loaded.earlier(before.checksum)
        assert found.checksum == before.checksum and found.grown_from == before.grown_from
        assert found.users == before.users and found.items == before.items
        assert told(found) == told(before) and found.catalog == before.catalog
    assert loaded.earlier(old.checksum[:12]).interactions.appended is None
    assert loaded.earlier(loaded.checksum) is loaded
    with pytest.raises(DataError, match=r"never had the checksum 0{12}: its earlier states are"):
        loaded.earlier("0" * 64)
    assert "grown=3 times" in repr(loaded)


def test_an_altered_earlier_state_is_refused(old, grown):
    rows = grown.interactions
    ratings = np.where(np.arange(len(rows)) == 0, np.float32(1.5), rows.rating)
    altered = replace(grown, interactions=replace(rows, rating=ratings))
    with pytest.raises(DataError, match="altered since"):
        altered.earlier(old.checksum)


def test_a_data_set_that_never_grew_is_written_as_before(old, tmp_path):
    old.save(tmp_path / "data")
    columns = pl.read_parquet(tmp_path / "data" / "interactions.parquet").columns
    assert "appended" not in columns
    assert "grown_from" not in (tmp_path / "data" / "dataset.json").read_text()


def test_without_times_rows_come_behind_and_pairs_count_once():
    rows = {"user_id": ["a", "a", "b"], "item_id": ["x", "y", "x"]}
    grown = Dataset.from_frame(rows).append(
        {"user_id": ["a", "b", "a"], "item_id": ["z", "x", "w"], "timestamp": [1, 2, 3]}
    )
    items = [grown.items.ids[item] for item in grown.interactions.item_index]
    users = [grown.users.ids[user] for user in grown.interactions.user_index]
    of_a = [item for user, item in zip(users, items, strict=True) if user == "a"]
    assert of_a == ["x", "y", "z", "w"] and len(items) == 5
    assert grown.grown_from[0].rows_there == 1
    assert any("timestamp: not kept" in words for words in grown.grown_from[0].warnings)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"user_id": ["a"], "item_id": ["x"]}, "has no times"),
        ({"user_id": ["a"], "item_id": ["x"], "timestamp": [10]}, "nothing in it is new"),
        ({"user_id": ["a"], "timestamp": [10]}, "no column 'item_id'"),
        ({"user_id": [""], "item_id": ["x"], "timestamp": [10]}, "row 0"),
    ],
)
def test_what_cannot_be_appended_is_refused(old, rows, message):
    with pytest.raises(DataError, match=message):
        old.append(rows)


def test_rows_out_of_order_are_refused(old):
    rows = old.interactions
    mixed = replace(old, interactions=replace(rows, timestamp=-rows.timestamp))
    with pytest.raises(DataError, match="do not stand in order of time"):
        mixed.append(NEW)


@pytest.fixture
def files(old, tmp_path):
    """The data set's folder, a file of rows and one of items."""
    folder, rows, items = (tmp_path / name for name in ("data", "new.csv", "items.jsonl"))
    old.save(folder)
    pl.DataFrame(NEW).write_csv(rows)
    pl.DataFrame(ITEMS).write_ndjson(items)
    return folder, rows, items


def test_files_are_appended_once(old, grown, files):
    folder, rows, items = files
    found = append_file(folder, rows, ImportOptions(metadata=items))
    assert found.checksum == grown.checksum == Dataset.load(folder).checksum
    (state,) = found.grown_from
    assert (state.source, state.items_source) == ("new.csv", "items.jsonl")
    assert len(state.sha256) == len(state.items_sha256) == 64
    assert {each["field"] for each in state.reading["fields"]} >= {"user_id", "timestamp", "title"}
    renamed = rows.rename(rows.with_name("other.csv"))
    with pytest.raises(DataError, match=r"other\.csv: was appended to 'shop' before, on 20"):
        append_file(folder, renamed)
    assert Dataset.load(folder).checksum == grown.checksum


def test_items_alone_and_bad_rows(old, files):
    folder, rows, items = files
    alone = append_file(folder, None, ImportOptions(metadata=items))
    assert len(alone.interactions) == 5 and alone.num_items == 5
    with pytest.raises(DataError, match="was appended"):
        append_file(folder, None, ImportOptions(metadata=items))
    with pytest.raises(DataError, match="nothing to append"):
        append_file(folder, None)
    rows.write_text("user_id,item_id,timestamp\n,x,5\nb,y,70\n")
    with pytest.raises(DataError, match=r"new\.csv, line 2: empty id"):
        append_file(folder, rows)
    (*_, state) = append_file(folder, rows, ImportOptions(on_bad_rows="skip")).grown_from
    assert state.bad_rows == {"empty id": 1} and state.rows_appended == 1


def test_a_kill_leaves_the_old_data_or_the_new(old, grown, files, tmp_path):
    folder, rows, items = files
    with every_kill(tmp_path, tmp_path.with_name("states")):
        append_file(folder, rows, ImportOptions(metadata=items))
    found = [
        Dataset.load(state / "data").checksum
        for state in sorted(tmp_path.with_name("states").iterdir())
    ]
    assert set(found) == {old.checksum, grown.checksum} or set(found) == {old.checksum}
    assert found == sorted(found, key=[old.checksum, grown.checksum].index), "never back again"
