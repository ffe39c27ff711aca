"""Columns of rows that wait until somebody reads them."""

import pickle
import shutil

import numpy as np
import polars as pl
import pytest

from edgewise.data.dataset import Dataset
from edgewise.data.interactions import COLUMNS, Interactions, Later, StoredRows
from edgewise.data.synthetic import make_demo_shop


def waiting(rows: Interactions) -> set[str]:
    """Names of the columns that nobody has read."""
    return {name for name, value in vars(rows).items() if isinstance(value, Later)}


@pytest.fixture
def folder(tmp_path):
    make_demo_shop(num_users=30).save(tmp_path / "shop")
    return tmp_path / "shop"


def test_a_loaded_data_set_has_read_who_took_what_and_reads_the_rest_when_asked(folder):
    written, rows = make_demo_shop(num_users=30).interactions, Dataset.load(folder).interactions
    assert waiting(rows) == {"timestamp", "rating", "review", "summary"}
    assert repr(rows) == repr(written) and len(rows) == len(written)
    assert waiting(rows) == {"timestamp", "rating", "review", "summary"}, "its repr reads none"
    for name in ("user_index", "item_index", "timestamp", "rating"):
        found, expected = getattr(rows, name), getattr(written, name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert rows.timestamp is rows.timestamp, "it is read once"
    assert rows.review is not None and written.review is not None
    assert rows.review.to_list() == written.review.to_list()
    assert rows.appended is None and waiting(rows) == {"summary"}


def test_what_takes_the_place_of_a_data_set_changes_nothing_of_one_that_is_open(folder):
    expected = make_demo_shop(num_users=30).interactions.timestamp
    opened = Dataset.load(folder)
    make_demo_shop(num_users=40, seed=1).save(folder, force=True)
    np.testing.assert_array_equal(opened.interactions.timestamp, expected)
    opened = Dataset.load(folder)
    shutil.rmtree(folder)
    times = opened.interactions.timestamp
    assert times is not None and len(times) == len(opened.interactions)


def test_columns_longer_than_what_is_read_at_once(folder, monkeypatch):
    monkeypatch.setattr("edgewise.data.interactions._ROWS_AT_ONCE", 7)
    stored = StoredRows(folder / "interactions.parquet")
    table = pl.read_parquet(folder / "interactions.parquet")
    assert stored.height == len(table) and not any(stored.null_counts.values())
    for name in ("user_index", "timestamp"):
        np.testing.assert_array_equal(stored.numbers(name), table[name].to_numpy())


def test_a_part_is_what_taking_its_rows_gives(folder):
    rows = Dataset.load(folder).interactions
    marks = np.random.default_rng(0).integers(0, 3, len(rows)).astype(np.int8)
    for which in range(3):
        part, expected = rows.part(marks, which), rows.take(np.flatnonzero(marks == which))
        assert waiting(part) == set(rows.columns) and part.columns == expected.columns
        for copied in (pickle.loads(pickle.dumps(part)), part):
            for name in COLUMNS:
                found, wanted = getattr(copied, name), getattr(expected, name)
                if isinstance(wanted, pl.Series):
                    assert found.to_list() == wanted.to_list()
                else:
                    np.testing.assert_array_equal(found, wanted)
    assert len(rows.part(marks, 5)) == 0
