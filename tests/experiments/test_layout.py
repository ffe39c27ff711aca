"""A file's name tells its cell, and a cell's name its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.experiments.grid import ResultKey


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("elmrec/table-2/beauty/elmrec", ResultKey("elmrec/table-2", "beauty", "elmrec")),
        ("direct/toys/best-seed10", ResultKey("direct", "toys", "best", seed=10)),
        (
            "t/d/n-0@elmrec-released-seed0-no-rerank",
            ResultKey("t", "d", "n-0", "elmrec-released", 0, True),
        ),
        ("t/d/full-seedless", ResultKey("t", "d", "full-seedless")),
    ],
)
def test_a_path_and_its_place(path: str, place: ResultKey) -> None:
    assert ResultKey.of(Path(f"{path}.json")) == place
    assert place.path == path


names = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)


@given(
    st.builds(
        ResultKey,
        st.builds("{}/{}".format, names, names),
        names,
        names,
        st.sampled_from(["honest", "elmrec-released"]),
        st.none() | st.integers(0, 99),
        st.booleans(),
    )
)
def test_every_place_comes_back(place: ResultKey) -> None:
    assert ResultKey.of(Path(f"{place.path}.json")) == place
