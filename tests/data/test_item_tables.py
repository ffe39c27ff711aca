"""Catalogues: whatever form categories have, nothing is lost and nothing is the text of a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.data.importing import ImportOptions, read_dataset
from edgewise.data.readers.item_tables import categories
from edgewise.errors import DataError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", "b", "a"], ["a", "b"]),
        ([["a", "b"], ["c"]], ["a", "b", "c"]),
        ([{"name": "a", "id": 3}, {"name": "b"}], ["a", "b"]),
        ({"fantasy": 10, "fiction": 3}, ["fantasy", "fiction"]),
        ("['a', 'b']", ["a", "b"]),
        ('[["a"], ["b", null]]', ["a", "b"]),
        ("['Action' 'Comedy']", ["Action", "Comedy"]),
        ("[{'id': 1, 'name': 'Drama'}]", ["Drama"]),
        ("[broken", ["[broken"]),
        ("nan", []),
        ("", []),
        (None, []),
        (float("nan"), []),
        (["a", None, "nan"], ["a"]),
    ],
)
def test_categories(value: object, expected: list[str]) -> None:
    assert categories(value) == expected


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\nu1,A\nu1,B\nu2,C\n")
    return path


def import_with(source: Path, items: str, name: str = "items.csv", **options):
    path = source.with_name(name)
    path.write_text(items)
    return read_dataset(source, ImportOptions(metadata=path, **options))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("x, y", "z"), [("x", "y"), ("z",)]),
        (("x|y", "p, q"), [("x", "y"), ("p, q",)]),
        (("x > y", "p|q"), [("x", "y"), ("p|q",)]),
    ],
)
def test_one_mark_parts_the_names_of_a_column(source: Path, cells, expected) -> None:
    dataset = import_with(source, f'item_id,category\nA,"{cells[0]}"\nB,"{cells[1]}"\n')
    found = dict(zip(dataset.items.ids, dataset.catalog.categories, strict=True))
    assert [found["A"], found["B"]] == expected


def test_of_several_rows_the_first_that_says_something(source: Path) -> None:
    dataset = import_with(source, "item_id,title,brand\nA,,Acme\nA,real,Other\n")
    place = dataset.items.index_of("A")
    assert (dataset.catalog.title[place], dataset.catalog.brand[place]) == ("real", "Acme")


def test_items_without_rows_are_kept_as_cold_items(source: Path) -> None:
    text = "sku,title\nA,a\nZ,never sold\n"
    dataset = import_with(source, text)
    assert sorted(dataset.items.ids) == ["A", "B", "C", "Z"]
    assert dataset.source["metadata"] == {"rows": 2, "matched": 1, "cold_items": 1}
    assert "nothing is known of 2 of 3 items" in dataset.source["warnings"]
    assert sorted(import_with(source, text, cold_items="drop").items.ids) == ["A", "B", "C"]


def test_metadata_that_match_no_item_are_refused(source: Path) -> None:
    with pytest.raises(DataError, match=r"none of its 1 item ids \(such as 'X'\).*--item-column"):
        import_with(source, "item_id,title\nX,x\n")


def test_the_column_of_ids_may_be_named_for_items_alone(source: Path) -> None:
    text = "code,title\nA,a\n"
    with pytest.raises(DataError, match="--item-column item_id=COLUMN"):
        import_with(source, text)
    dataset = import_with(source, text, item_columns={"item_id": "code"})
    assert dataset.catalog.title[dataset.items.index_of("A")] == "a"


def test_ids_called_as_in_the_interactions(source: Path) -> None:
    source.write_text("user_id,EAN\nu1,A\nu1,B\n")
    dataset = import_with(source, "EAN,title\nA,a\n", columns={"item_id": "EAN"})
    assert dataset.catalog.title[dataset.items.index_of("A")] == "a"
