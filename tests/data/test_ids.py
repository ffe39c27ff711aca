"""Ids: one spelling in a data set, whatever the file's type, and nothing that stands for none."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from edgewise.data.importing import ImportOptions, read_dataset
from edgewise.data.readers.raw import Form
from edgewise.errors import DataError


def ids_of(path: Path, **options) -> tuple[list[str], list[str], list[str]]:
    dataset = read_dataset(path, ImportOptions(**options))
    return sorted(dataset.users.ids), sorted(dataset.items.ids), dataset.source["warnings"]


@pytest.mark.parametrize("end", ["csv", "jsonl", "parquet"])
def test_whole_numbers_in_floating_point(tmp_path: Path, end: str) -> None:
    path = tmp_path / f"log.{end}"
    frame = pl.DataFrame({"user_id": [1.0, 2.0, 1.0], "item_id": [10.0, 11.0, 11.0]})
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[end](path)
    (tmp_path / "items.csv").write_text("item_id,title\n10,Ten\n11.0,Eleven\n")
    dataset = read_dataset(path, ImportOptions(metadata=tmp_path / "items.csv"))
    assert sorted(dataset.users.ids) == ["1", "2"]
    titles = dict(zip(dataset.items.ids, dataset.catalog.title, strict=True))
    assert titles == {"10": "Ten", "11": "Eleven"}


def test_a_column_is_read_one_way(tmp_path: Path) -> None:
    """The last batch of a Parquet file has a missing value, which made its ids another spelling."""
    path, count = tmp_path / "log.parquet", 260_000
    users = [float(n % 500) for n in range(count - 1)] + [float("nan")]
    pl.DataFrame({"user_id": users, "item_id": range(count)}).write_parquet(path)
    with pytest.raises(DataError, match="line 260000: missing field: user_id=nan"):
        read_dataset(path)
    users, _, _ = ids_of(path, on_bad_rows="skip")
    assert users == sorted(str(n) for n in range(500))


def test_json_values_that_are_ids_and_those_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rows = [
        (1, 12),
        ("1", 12.0),
        (2, "012"),
        (3, True),
        (4, {"a": 1}),
        (None, 3),
        (5, float("nan")),
    ]
    rows += [({"$oid": "5f"}, ["a", {"$numberLong": "7"}])]
    text = "\n".join(json.dumps({"user_id": u, "item_id": i}) for u, i in rows)
    path.write_text(text)
    with pytest.raises(DataError, match="line 4: no id: item_id is true, no text and no number"):
        read_dataset(path)
    users, items, warnings = ids_of(path, on_bad_rows="skip")
    assert users == ["1", "2", "5f"]
    assert items == ["012", "12", "7", "a"]
    assert any("'012' and other ids differ by leading zeros" in text for text in warnings)


@pytest.mark.parametrize("word", ["nan", "NaN", "NULL", "None", "NA", "", " "])
def test_words_for_a_missing_id(tmp_path: Path, word: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"user_id,item_id\nu1,i1\n{word},i2\n")
    with pytest.raises(DataError, match="line 3: empty id"):
        read_dataset(path)
    assert ids_of(path, on_bad_rows="skip")[0] == ["u1"]
    if word.strip():
        assert ids_of(path, form=Form(keep_na=True))[0] == sorted(["u1", word])


def test_what_cannot_be_seen_is_no_part_of_an_id(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\nu1\u200b,i1\n u1,i2\nu1\u00a0,i3\n\ufeffu1,i4\n", "utf-8")
    users, _, warnings = ids_of(path)
    assert users == ["u1"]
    assert any("invisible characters around 2 ids" in text for text in warnings)


def test_what_cannot_be_decided_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\n1.0,1.2E+12\nann,2\n")
    users, items, warnings = ids_of(path)
    assert (users, items) == (["1.0", "ann"], ["1.2E+12", "2"])
    assert any("ids such as '1.0' beside 'ann': kept as they are" in text for text in warnings)
    assert any("'1.2E+12' may have been rounded by a spreadsheet" in text for text in warnings)


@pytest.mark.parametrize("column", [[True, False], [[1], [2]], ["2020-01-01"]])
def test_types_that_are_no_ids(tmp_path: Path, column: list) -> None:
    values = pl.Series(column)
    values = values.str.to_date() if values.dtype == pl.String else values
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user_id": values, "item_id": range(len(values))}).write_parquet(path)
    with pytest.raises(DataError, match=r"log\.parquet: column 'user_id': ids cannot be of type"):
        read_dataset(path)


def test_histories_in_texts_and_objects(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text('user,item,time\nu1,"[10, 11]","[5, 6]"\nu2,[12],[7]\n')
    dataset = read_dataset(tmp_path / "log.csv")
    assert sorted(dataset.items.ids) == ["10", "11", "12"]
    assert sorted(dataset.interactions.timestamp.tolist()) == [5, 6, 7]
    rows = {"user_id": "u", "items": [{"item_id": "10", "hours": 6}, {"item_id": "20", "hours": 0}]}
    (tmp_path / "log.jsonl").write_text(json.dumps(rows))
    _, items, _ = ids_of(tmp_path / "log.jsonl", columns={"item_id": "items"})
    assert items == ["10", "20"]


def test_a_history_in_a_list_is_a_row_an_item(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    frame = {"user_id": [1, 2], "item_id": [[10, 11], [12]], "timestamp": [[5, 6], [7]]}
    pl.DataFrame(frame).write_parquet(path)
    rows = read_dataset(path).interactions
    assert sorted(rows.timestamp.tolist()) == [5, 6, 7]
    assert len(rows) == 3
