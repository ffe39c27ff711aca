"""The data set folder: round trip, refusals, damage, and checksums."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.errors import DataError


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
        (lambda text: "[]", "not written by edgewise"),
        (lambda text: text.replace("edgewise data set", "other"), "not written by edgewise"),
        (lambda text: text.replace('schema_version": 1', 'schema_version": 9'), "version 9, this"),
        (lambda text: text.replace('"sha256"', '"sha1"'), "'sha256' is missing"),
    ],
)
def test_damaged_manifest(tmp_path: Path, change, message: str) -> None:
    make_dataset().save(tmp_path / "set")
    path = tmp_path / "set" / "dataset.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=message):
        Dataset.load(tmp_path / "set")
