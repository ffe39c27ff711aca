"""A seal holds for the values that were sealed and for no others."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.errors import EdgewiseError
from edgewise.evaluation.report import check_seal, is_sealed, rows_digest, sealed

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
FINITE = LEAVES.filter(lambda x: not isinstance(x, float) or abs(x) != float("inf"))
VALUES = st.dictionaries(
    st.text().filter(lambda key: key != "seal"),
    st.recursive(FINITE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
)


@given(VALUES)
def test_it_holds_after_any_way_of_writing(values):
    written = sealed(values)
    assert {key: value for key, value in written.items() if key != "seal"} == values
    for text in (json.dumps(written), json.dumps(written, indent=2, sort_keys=True)):
        check_seal(json.loads(text), "file")


@given(VALUES, VALUES)
def test_it_holds_for_no_other_values(values, others):
    if json.dumps(values, sort_keys=True) != json.dumps(others, sort_keys=True):
        with pytest.raises(EdgewiseError, match="not what was sealed"):
            check_seal(others | {"seal": sealed(values)["seal"]}, "file")


@pytest.mark.parametrize(
    "seal", [None, "x", {}, {"algorithm": "sha256"}, {"algorithm": "md5", "digest": "0" * 64}]
)
def test_a_foreign_seal_is_refused(seal):
    with pytest.raises(EdgewiseError, match=r"^results/x\.json: .*Measure the run again"):
        check_seal({"a": 1, "seal": seal}, "results/x.json")


def test_sealing_again_replaces_the_seal():
    once = sealed({"a": 1})
    assert is_sealed(once) and not is_sealed({"a": 1})
    assert sealed(once) == once
    changed = sealed({**once, "a": 2})
    assert changed != once
    check_seal(changed, "file")
    assert list(changed)[-1] == "seal"


def table() -> pl.DataFrame:
    return pl.DataFrame({"user_index": [0, 1], "user_id": ["a", "bc"], "NDCG@5": [1.0, 0.5]})


@pytest.mark.parametrize(
    "other",
    [
        table().with_columns(pl.lit(0.5).alias("NDCG@5")),
        table().with_columns(user_id=pl.Series(["ab", "c"])),
        table().rename({"NDCG@5": "NDCG@6"}),
        table().reverse(),
        table().head(1),
        table().drop("user_id"),
        table().with_columns(pl.col("user_index").cast(pl.Float64)),
    ],
)
def test_any_change_of_rows_changes_their_digest(other):
    assert rows_digest(table()) == rows_digest(table())
    assert rows_digest(other) != rows_digest(table())


def test_a_digest_survives_parquet(tmp_path):
    rows = table().with_columns(pl.col("user_index").cast(pl.Int32), third=1 / 3)
    rows.write_parquet(tmp_path / "rows.parquet")
    assert rows_digest(pl.read_parquet(tmp_path / "rows.parquet")) == rows_digest(rows)
