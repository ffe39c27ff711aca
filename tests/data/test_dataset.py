"""The data set folder: round trip, refusals, damage, and checksums."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.seals import edit

from edgewise import locks
from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.errors import DataError, LockedError
from edgewise.files import file_checksum


def make_dataset(*, full: bool = True) -> Dataset:
    rows = Interactions(np.array([0, 0, 1], np.int32), np.array([1, 0, 1], np.int32))
    if full:
        rows = replace(
            rows,
            timestamp=np.array([5, 6, 7]),
            rating=np.array([5, np.nan, 3], np.float32),
            review=pl.Series("review", ["good", "", "ü"]),
            summary=pl.Series("summary", ["g", "", ""]),
        )
    catalog = Catalog(("T", ""), ("", "B"), (("a", "b"), ()), ("", "d"))
    users, items = Vocabulary(("u1", "u2"), "user"), Vocabulary(("i1", "i2"), "item")
    return Dataset("tiny", users, items, rows, catalog, {"format": "csv", "filters": []})


@pytest.mark.parametrize("full", [True, False])
def test_round_trip(tmp_path: Path, full: bool) -> None:
    dataset = make_dataset(full=full)
    dataset.save(tmp_path / "new" / "set")
    loaded = Dataset.load(tmp_path / "new" / "set")
    for name in ("name", "users", "items", "catalog", "source"):
        assert getattr(loaded, name) == getattr(dataset, name)
    for name in ("user_index", "item_index", "timestamp", "rating", "review", "summary"):
        ours, theirs = getattr(dataset.interactions, name), getattr(loaded.interactions, name)
        assert type(ours) is type(theirs)
        if isinstance(ours, pl.Series):
            assert ours.equals(theirs)
        elif ours is not None:
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
    assert loaded.checksum == dataset.checksum
    assert replace(loaded).checksum == dataset.checksum, "computed anew from what was read"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["set"]


def test_manifest(tmp_path: Path) -> None:
    make_dataset().save(tmp_path / "set")
    manifest = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert manifest["schema_version"] == 1
    assert manifest["counts"] == {"interactions": 3, "users": 2, "items": 2}
    assert manifest["checksum"] == make_dataset().checksum
    assert sorted(manifest["sha256"]) == ["interactions.parquet", "items.parquet", "users.parquet"]


def test_equal_data_give_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_dataset().save(tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_checksum_sees_every_part() -> None:
    dataset = make_dataset()
    rows, catalog = dataset.interactions, dataset.catalog
    assert rows.timestamp is not None and rows.rating is not None and rows.review is not None
    changed = [
        replace(dataset, users=Vocabulary(("u1", "u3"), "user")),
        replace(dataset, items=Vocabulary(("i", "1i2"), "item")),
        replace(dataset, catalog=replace(catalog, title=("", "T"))),
        replace(dataset, catalog=replace(catalog, brand=("B", ""))),
        replace(dataset, catalog=replace(catalog, description=("d", ""))),
        replace(dataset, catalog=replace(catalog, categories=(("a",), ("b",)))),
        replace(dataset, interactions=rows.take(np.array([1, 0, 2]))),
        replace(dataset, interactions=replace(rows, timestamp=rows.timestamp + 1)),
        replace(dataset, interactions=replace(rows, timestamp=None)),
        replace(dataset, interactions=replace(rows, rating=np.nan_to_num(rows.rating))),
        replace(dataset, interactions=replace(rows, review=rows.summary)),
        replace(dataset, interactions=replace(rows, summary=None)),
    ]
    assert len({other.checksum for other in [dataset, *changed]}) == len(changed) + 1


def test_the_checksum_is_computed_once_and_never_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset()
    before = dataset.checksum
    dataset.save(tmp_path / "set")
    without_ratings = replace(dataset.interactions, rating=None)
    assert replace(dataset, interactions=without_ratings).checksum != before
    loaded = Dataset.load(tmp_path / "set")
    assert replace(loaded, interactions=without_ratings).checksum != before
    monkeypatch.setattr("edgewise.data.dataset.hashlib.sha256", lambda: 1 / 0)
    assert dataset.checksum == loaded.checksum == before


def test_repr_fits_on_a_line() -> None:
    dataset = make_dataset()
    assert repr(dataset) == "Dataset(name='tiny', users=2, items=2, rows=3)"
    assert repr(dataset.users) == "Vocabulary(2 users)"
    assert repr(dataset.catalog) == "Catalog(items=2)"
    assert repr(make_dataset(full=False).interactions) == (
        "Interactions(rows=3, columns=user_index, item_index)"
    )


def test_checksum_is_about_content_alone() -> None:
    dataset = make_dataset()
    rating = dataset.interactions.rating
    assert rating is not None
    other = replace(
        dataset,
        name="other",
        source={},
        interactions=replace(dataset.interactions, rating=np.copysign(rating, [1, -1, 1])),
    )
    assert other.checksum == dataset.checksum


def test_checksum_is_stable() -> None:
    # A model run of an older version must recognise its data: this value may not change.
    assert make_dataset().checksum == (
        "ffbfdf2ca17f8a2ce638c74317a52a2b0571217d124f552d2f0dd908329e3a2d"
    )


def test_an_existing_data_set_is_replaced_only_by_force(tmp_path: Path) -> None:
    make_dataset().save(tmp_path / "set")
    with pytest.raises(DataError, match="a data set is there; replace it with --force"):
        make_dataset(full=False).save(tmp_path / "set")
    assert Dataset.load(tmp_path / "set").interactions.rating is not None
    make_dataset(full=False).save(tmp_path / "set", force=True)
    assert Dataset.load(tmp_path / "set").interactions.rating is None
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("content", ["dear diary", '{"kind": "another"}', "[]"])
def test_other_things_are_never_replaced(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "dataset.json").write_text(content)
    for target in (folder, folder / "dataset.json"):
        with pytest.raises(DataError, match="something else is there and stays"):
            make_dataset().save(target, force=True)
    assert (folder / "dataset.json").read_text() == content


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    make_dataset().save(tmp_path / "set")
    assert Dataset.load(tmp_path / "set").num_users == 2


@pytest.mark.parametrize("force", [True, False])
def test_a_failed_save_leaves_things_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    if force:
        make_dataset().save(tmp_path / "set")
    monkeypatch.setattr("edgewise.data.dataset.file_checksum", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_dataset(full=False).save(tmp_path / "set", force=force)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == (["set"] if force else [])
    if force:
        assert Dataset.load(tmp_path / "set").interactions.rating is not None


def test_missing_and_foreign_folders(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match=r"no data set folder .*edgewise data import"):
            Dataset.load(folder)


@pytest.mark.parametrize("name", ["interactions", "users", "items"])
def test_missing_truncated_and_altered_tables(tmp_path: Path, name: str) -> None:
    make_dataset().save(tmp_path / "set")
    path = tmp_path / "set" / f"{name}.parquet"
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:-9], b"", whole[:middle] + b"?" + whole[middle + 1 :]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"{name}\.parquet: truncated or altered"):
            Dataset.load(tmp_path / "set")
    path.unlink()
    with pytest.raises(DataError, match=rf"{name}\.parquet: missing from the data set"):
        Dataset.load(tmp_path / "set")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-20], "damaged"),
        (lambda text: "[]", "holds a list"),
        (lambda text: text.replace("edgewise data set", "other"), "not written by edgewise"),
        (lambda text: text.replace('schema_version": 1', 'schema_version": 9'), "version 9, this"),
        (lambda text: text.replace('"sha256"', '"sha1"'), "sha256 is missing"),
        (lambda text: text.replace("ffbfdf", "000000"), "changed .*: checksum. Import the data"),
        (lambda text: text.replace('"csv"', '"tsv"'), 'source.format = "tsv". Import the data'),
        (lambda text: text.replace('users": 2', 'users": 3'), "counts.users = 3"),
    ],
)
def test_damaged_manifest(tmp_path: Path, change, message: str) -> None:
    make_dataset().save(tmp_path / "set")
    path = tmp_path / "set" / "dataset.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=message):
        Dataset.load(tmp_path / "set")


def write_again(folder: Path, name: str, change, *, seal: bool = True) -> None:
    """Somebody writes another table and makes its checksum and its count right."""
    path = folder / f"{name}.parquet"
    table = change(pl.read_parquet(path))
    table.write_parquet(path)

    def correct(about) -> None:
        about["sha256"][path.name] = file_checksum(path)
        about["counts"][name] = table.height

    edit(folder / "dataset.json", correct, seal=seal)


def put(column: str, value, row: int = 1):
    """A table with another value in one row (of two or three)."""
    return lambda table: table.with_columns(
        pl.when(pl.int_range(pl.len()) == row)
        .then(pl.lit(value, table.schema[column]))
        .otherwise(pl.col(column))
        .alias(column)
    )


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("users", put("user_id", "u1"), "user_id 'u1' stands there more than once"),
        ("items", put("item_id", "i1"), "item_id 'i1' stands there more than once"),
        ("users", put("user_id", None), "user_id is null in row 2"),
        ("items", put("title", None), "title is null in row 2"),
        ("interactions", put("item_index", 2), "item_index 2, but there are 2 items"),
        ("interactions", put("item_index", -1), "item_index -1, but there are 2 items"),
        ("interactions", put("user_index", 7, 2), "user_index 7, but there are 2 users"),
        ("interactions", put("user_index", None), "user_index is null in row 2"),
        ("interactions", put("review", None), "review is null in row 2"),
        ("interactions", lambda table: table.reverse(), "user_index does not rise"),
        ("interactions", lambda table: table.drop("item_index"), "column item_index is missing"),
        ("items", lambda table: table.drop("brand"), "column brand is missing"),
        (
            "interactions",
            lambda table: table.cast({"timestamp": pl.Float64}),
            "timestamp is Float64, not Int64",
        ),
    ],
)
def test_tables_that_no_data_set_has_are_refused(tmp_path: Path, name, change, message) -> None:
    make_dataset().save(tmp_path / "set")
    write_again(tmp_path / "set", name, change)
    with pytest.raises(DataError, match=rf"{name}\.parquet: .*{message}.* Import the data set"):
        Dataset.load(tmp_path / "set")


def test_a_count_must_be_right(tmp_path: Path) -> None:
    make_dataset().save(tmp_path / "set")
    edit(
        tmp_path / "set" / "dataset.json", lambda about: about["counts"].update(users=3), seal=True
    )
    with pytest.raises(DataError, match=r"users\.parquet: 2 rows, .* says counts\.users = 3"):
        Dataset.load(tmp_path / "set")


def test_older_folders_have_no_seal_and_are_hashed_instead(tmp_path: Path) -> None:
    make_dataset().save(tmp_path / "set")
    path = tmp_path / "set" / "dataset.json"
    edit(path, lambda about: about.pop("seal"))
    assert Dataset.load(tmp_path / "set").checksum == make_dataset().checksum
    edit(path, lambda about: about.update(checksum="0" * 64))
    with pytest.raises(DataError, match=r"dataset\.json: checksum is not that of the tables"):
        Dataset.load(tmp_path / "set")


def test_a_vocabulary_has_a_checksum_of_its_ids_in_their_order() -> None:
    # Of the lengths as 8-byte little-endian numbers, then the bytes: 1, 2, "a", "bc".
    expected = hashlib.sha256(b"\1" + bytes(7) + b"\2" + bytes(7) + b"abc").hexdigest()
    assert Vocabulary(("a", "bc")).checksum == expected
    assert len({Vocabulary(ids).checksum for ids in (("a", "bc"), ("bc", "a"), ("ab", "c"))}) == 3


def test_two_imports_into_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_PATIENCE", 0.05)
    found: list[str] = []

    def save() -> None:
        try:
            make_dataset().save(tmp_path / "set", force=True)
        except LockedError as error:
            found.append(str(error))

    with locks.locked(tmp_path / "set"):
        thread = threading.Thread(target=save)
        thread.start()
        thread.join()
    assert len(found) == 1 and f"set: process {os.getpid()} (" in found[0]
    assert list(tmp_path.iterdir()) == []
