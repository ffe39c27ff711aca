"""From a source to a data set: numbering, order, filters, and nothing half done."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from edgewise.data.dataset import Dataset
from edgewise.data.filters import Filters
from edgewise.data.importing import ImportOptions, import_dataset, read_dataset
from edgewise.errors import ConfigError, DataError

HEADER = "user_id,item_id,timestamp,rating,review\n"
LINES = [
    "ann,x,30,5,late\n",
    "bob,y,10,4,\n",
    "ann,y,10,,first\n",
    "ann,z,10,3,second\n",
    "bob,x,10,2,tie\n",
]


def write_csv(folder: Path, lines: list[str] = LINES, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(HEADER + "".join(lines))
    return path


def rows_of(dataset: Dataset, user: str) -> list[str]:
    rows = dataset.interactions
    mine = rows.user_index == dataset.users.index_of(user)
    return [dataset.items.ids[item] for item in rows.item_index[mine]]


def test_rows_stand_by_user_then_time_then_source_order(tmp_path: Path) -> None:
    dataset = read_dataset(write_csv(tmp_path))
    rows = dataset.interactions
    assert (np.diff(rows.user_index) >= 0).all()
    assert rows_of(dataset, "ann") == ["y", "z", "x"]
    assert rows_of(dataset, "bob") == ["y", "x"]
    assert rows.user_index.dtype == rows.item_index.dtype == np.int32
    assert rows.timestamp is not None and rows.timestamp.dtype == np.int64
    assert rows.rating is not None and rows.rating.dtype == np.float32
    assert rows.review is not None
    ann = rows.user_index == dataset.users.index_of("ann")
    np.testing.assert_array_equal(rows.rating[ann], [np.nan, 3, 5])
    assert rows.review.filter(ann).to_list() == ["first", "second", "late"]
    assert rows.summary is None


def test_ties_are_shuffled_and_nothing_else_is(tmp_path: Path) -> None:
    """Forty rows of one day and one later row of a user: the later one stays last."""
    lines = [f"ann,i{n:02},10,3,\n" for n in range(40)] + ["ann,last,20,3,\n", "bob,i05,5,1,\n"]
    path = write_csv(tmp_path, lines)
    source = [f"i{n:02}" for n in range(40)]
    asked = [ImportOptions(shuffle_ties=True, seed=seed) for seed in (1, 1, 2)]
    plain, *shuffled = (read_dataset(path, each) for each in (ImportOptions(seed=1), *asked))
    assert rows_of(plain, "ann")[:-1] == source
    one, again, other = (rows_of(dataset, "ann") for dataset in shuffled)
    assert one == again != other and one[:-1] != source
    assert sorted(one[:-1]) == source and one[-1] == other[-1] == "last"
    assert shuffled[0].source["shuffle_ties"] is True and "shuffle_ties" not in plain.source
    assert shuffled[0].checksum != plain.checksum
    with pytest.raises(DataError, match="--shuffle-ties: the source has no times"):
        read_dataset(path, ImportOptions(shuffle_ties=True, columns={"timestamp": ""}))


def test_numbers_do_not_depend_on_row_order(tmp_path: Path) -> None:
    lines = [f"u{n % 17},i{n % 31},{n},3,\n" for n in range(200)]
    one = read_dataset(write_csv(tmp_path, lines))
    random.Random(0).shuffle(lines)
    two = read_dataset(write_csv(tmp_path, lines, "other.csv"))
    assert one.users == two.users
    assert one.items == two.items
    assert list(one.items.ids) != sorted(one.items.ids)
    assert one.checksum == two.checksum
    three = read_dataset(tmp_path / "log.csv", ImportOptions(seed=1))
    assert three.items != one.items
    assert set(three.items.ids) == set(one.items.ids)


def test_numbering_follows_the_rows_that_are_left(tmp_path: Path) -> None:
    dataset = read_dataset(
        write_csv(tmp_path), ImportOptions(filters=Filters(min_rating=4, duplicates="keep"))
    )
    assert set(dataset.items.ids) == {"x", "y"}
    assert set(dataset.users.ids) == {"ann", "bob"}
    assert rows_of(dataset, "ann") == ["x"]
    assert rows_of(dataset, "bob") == ["y"]
    assert len(dataset.catalog) == 2


def test_duplicates_keep_the_last_in_time(tmp_path: Path) -> None:
    lines = ["u,a,30,1,third\n", "u,a,10,1,first\n", "u,a,20,1,second\n", "u,b,25,1,other\n"]
    path = write_csv(tmp_path, lines)

    def reviews(duplicates: str) -> list[str]:
        options = ImportOptions(filters=Filters(duplicates=duplicates))  # pyright: ignore
        review = read_dataset(path, options).interactions.review
        assert review is not None
        return review.to_list()

    assert reviews("last") == ["other", "third"]
    assert reviews("first") == ["first", "other"]
    assert reviews("keep") == ["first", "second", "other", "third"]


def test_source_says_how_it_came_about(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [*LINES, "ann,x\n"])
    options = ImportOptions(on_bad_rows="skip", filters=Filters(k_core=2))
    dataset = import_dataset(path, tmp_path / "set", options)
    assert dataset.name == "log"
    assert dataset.source["format"] == "csv"
    assert dataset.source["files"] == ["log.csv"]
    assert dataset.source["rows_read"] == 6
    assert dataset.source["bad_rows"] == {"missing field": 1}
    steps = dataset.source["filters"]
    assert isinstance(steps, list)
    assert [step["name"] for step in steps] == ["duplicates", "k-core"]
    assert steps[1]["before"] == {"rows": 5, "users": 2, "items": 3}
    assert steps[1]["after"] == {"rows": 4, "users": 2, "items": 2}
    assert Dataset.load(tmp_path / "set").source == dataset.source
    assert str(tmp_path) not in (tmp_path / "set" / "dataset.json").read_text()


@pytest.mark.parametrize("line", ["ann,x\n", "ann,x,soon,1,\n"])
def test_a_failed_import_leaves_nothing(tmp_path: Path, line: str) -> None:
    path = write_csv(tmp_path, [*LINES, line])
    with pytest.raises(DataError, match=r"log\.csv, line 7"):
        import_dataset(path, tmp_path / "set")
    assert [entry.name for entry in tmp_path.iterdir()] == ["log.csv"]


def test_a_taken_folder_is_refused_before_reading(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").touch()
    with pytest.raises(DataError, match="something else is there"):
        import_dataset(tmp_path / "nowhere.csv", tmp_path / "set")


def test_a_data_set_folder_is_no_source(tmp_path: Path) -> None:
    import_dataset(write_csv(tmp_path), tmp_path / "set")
    with pytest.raises(DataError, match="this is a data set folder already"):
        read_dataset(tmp_path / "set")


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no usable rows"):
        read_dataset(write_csv(tmp_path, []))
    with pytest.raises(DataError, match=r"no usable rows \(left out: 1 missing field\)"):
        read_dataset(write_csv(tmp_path, ["x\n"]), ImportOptions(on_bad_rows="skip"))


COLUMNS = {
    "customer": [7, 7, 9, 9, 9],
    "item_id": ["a", " b", "b", "c", "a"],
    "timestamp": [30, 10, 10, 10, 20],
    "rating": [5.0, float("nan"), 1.0, 2.5, 4.0],
    "review": ["late", "", "first", None, "x"],
    "clicks": [1, 2, 3, 4, 5],
}
ITEMS = {
    "item_id": ["a", "b"],
    "title": ["A", None],
    "categories": [["Toys", "Dolls"], []],
}
CUSTOMER = {"user_id": "customer"}


@pytest.mark.parametrize("make", [pl.DataFrame, pl.LazyFrame, pa.table, dict])
def test_a_table_in_memory_is_numbered_as_its_file_is(tmp_path: Path, make) -> None:
    pl.DataFrame(COLUMNS).with_columns(pl.col("rating").fill_nan(None)).write_csv(
        tmp_path / "log.csv"
    )
    items = pl.DataFrame(ITEMS).with_columns(pl.col("categories").list.join("|"))
    items.write_csv(tmp_path / "items.csv")
    options = ImportOptions(columns=CUSTOMER, metadata=tmp_path / "items.csv", seed=4)
    read = read_dataset(tmp_path / "log.csv", options)
    made = Dataset.from_frame(make(COLUMNS), make(ITEMS), columns=CUSTOMER, name="mine", seed=4)
    assert made.checksum == read.checksum
    assert made.users == read.users and set(made.users.ids) == {"7", "9"}
    assert set(made.items.ids) == {"a", "b", "c"}
    assert made.name == "mine" and made.source["format"] == "frame"
    assert rows_of(made, "9") == ["b", "c", "a"]


def test_a_table_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(COLUMNS)
    table["timestamp"] = pandas.to_datetime(table["timestamp"], unit="s")
    made = Dataset.from_frame(table, pandas.DataFrame(ITEMS), columns=CUSTOMER)
    assert made.checksum == Dataset.from_frame(COLUMNS, ITEMS, columns=CUSTOMER).checksum


def test_ids_in_floating_point_are_whole_numbers() -> None:
    made = Dataset.from_frame({"user_id": [1.0, 2.0], "item_id": ["x", "y"]})
    assert set(made.users.ids) == {"1", "2"}
    assert made.interactions.timestamp is None
    assert made.catalog.title == ("", "")


def test_filters_of_a_table() -> None:
    table = {"user_id": ["u", "u"], "item_id": ["a", "a"]}
    assert len(Dataset.from_frame(table).interactions) == 1
    kept = Dataset.from_frame(table, filters=Filters(duplicates="keep"))
    assert len(kept.interactions) == 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"who": [1], "what": [2]},
            r"no column 'user_id' and 'item_id'; the columns are who, what",
        ),
        ({"user_id": [None], "item_id": [2]}, "interactions, row 0 .* missing field: user_id=None"),
        ({"user_id": [1, 1], "item_id": ["a", " "]}, "interactions, row 1 .* empty id"),
        ({"user_id": [1], "item_id": [[2]]}, "column 'item_id': ids cannot be of type List"),
        ({"user_id": [], "item_id": []}, "the table has no rows"),
        ("log.csv", "'log.csv' is the name of a file, not a table"),
        (3, "a int cannot be read as a table"),
    ],
)
def test_impossible_tables(table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Dataset.from_frame(table)


def test_impossible_columns_of_a_table() -> None:
    with pytest.raises(DataError, match=r"no column 'buyer'; the columns are customer, item_id"):
        Dataset.from_frame(COLUMNS, columns={"user_id": "buyer"})
    with pytest.raises(DataError, match=r"items: no column 'item_id'; the columns are title"):
        Dataset.from_frame(COLUMNS, {"title": ["A"]}, columns=CUSTOMER)
    with pytest.raises(ConfigError, match=r"unknown field 'user'\. Did you mean 'user_id'\?"):
        Dataset.from_frame(COLUMNS, columns={"user": "customer"})


def make_p5(folder: Path) -> Path:
    maps = '{"id2user": {"1": "U9", "2": "U3"}, "id2item": {"1": "I7", "2": "I2", "3": "I5"}}'
    (folder / "datamaps.json").write_text(maps)
    (folder / "sequential.txt").write_text("1 1 2\n2 3 1\n")
    (folder / "items.jsonl").write_text('{"asin": "I5", "title": "Five", "categories": []}\n')
    return folder


def test_source_numbers_are_kept(tmp_path: Path) -> None:
    dataset = read_dataset(make_p5(tmp_path), ImportOptions(item_numbers="source"))
    assert dataset.users.ids == ("U9", "U3")
    assert dataset.items.ids == ("I7", "I2", "I5")
    assert dataset.interactions.user_index.tolist() == [0, 0, 1, 1]
    assert dataset.interactions.item_index.tolist() == [0, 1, 2, 0]
    assert dataset.catalog.title == ("", "", "Five")
    assert dataset.source["item_numbers"] == "source"
    assert read_dataset(tmp_path).name == tmp_path.name


def test_source_numbers_and_filters_that_leave_gaps(tmp_path: Path) -> None:
    options = ImportOptions(item_numbers="source", filters=Filters(max_users=1))
    with pytest.raises(ConfigError, match=r"--id-order source keeps .* --max-users 1 leaves"):
        read_dataset(make_p5(tmp_path), options)
    with pytest.raises(ConfigError, match=r"only P5 folders .* this source is csv"):
        read_dataset(write_csv(tmp_path), ImportOptions(item_numbers="source"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on_bad_rows": "ignore"}, "--on-bad-rows ignore: must be error or skip"),
        ({"item_numbers": "random"}, "--id-order random: must be shuffled or source"),
    ],
)
def test_impossible_options(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ImportOptions(**settings)


@pytest.mark.parametrize(
    ("name", "duplicates", "rows", "users", "items"),
    [
        ("beauty", "last", 198_502, 22_363, 12_101),
        ("toys", "last", 167_597, 19_412, 11_924),
        ("musical_instruments", "last", 10_261, 1_429, 900),
        ("gift_cards", "keep", 2_972, 458, 148),
        ("gift_cards", "last", 2_965, 458, 148),
    ],
)
def test_real_data(
    real_data: Path, tmp_path: Path, name: str, duplicates: str, rows: int, users: int, items: int
) -> None:
    options = ImportOptions(filters=Filters(duplicates=duplicates))  # pyright: ignore
    dataset = import_dataset(real_data / name, tmp_path / name, options)
    assert (len(dataset.interactions), dataset.num_users, dataset.num_items) == (rows, users, items)
    assert replace(Dataset.load(tmp_path / name)).checksum == dataset.checksum
    times = dataset.interactions.timestamp
    if times is not None:
        same_user = np.diff(dataset.interactions.user_index) == 0
        assert (np.diff(times)[same_user] >= 0).all()


def test_real_five_core_is_a_fixed_point(real_data: Path) -> None:
    options = ImportOptions(filters=Filters(k_core=5))
    dataset = read_dataset(real_data / "musical_instruments", options)
    assert (len(dataset.interactions), dataset.num_users, dataset.num_items) == (10_261, 1_429, 900)
