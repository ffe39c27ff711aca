"""Users' figures beside a result: all that was measured of them, or nothing."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from edgewise.runs.user_figures import read_user_figures, user_figures_file, write_user_figures

USERS = pl.DataFrame(
    {
        "user_index": [0, 1, 5, 6],
        "user_id": ["a", "b", "c", "d"],
        "HitRate@10": [1.0, 0.0, 1.0, 1.0],
        "NDCG@10": [0.5, 0.0, 1.0, 0.5],
        "PopularShare@10": [0.25, 0.5, 0.75, 1.0],
    }
)
PAIRS = pl.DataFrame({"user_index": [3, 3], "item_index": [9, 2], "BLEU-4": [1 / 3, 0.1]})


@pytest.fixture
def written(tmp_path):
    file = user_figures_file(tmp_path / "row.json")
    return file, write_user_figures(file, {("direct", 0): USERS, ("explanation", 1): PAIRS})


def test_users_and_pairs_are_read_as_they_were(written):
    file, digest = written
    assert file.name == "row.users.npz"
    users = read_user_figures(file, digest, "direct", 0)
    assert users is not None and users.equals(USERS.drop("user_id", "PopularShare@10"))
    pairs = read_user_figures(file, digest, "explanation", 1)
    assert pairs is not None and pairs.equals(PAIRS)
    assert read_user_figures(file, digest, "direct", 1) is None


def test_another_file_than_the_results_is_not_believed(written):
    file, digest = written
    assert read_user_figures(file, "0" * 64, "direct", 0) is None
    write_user_figures(file, {("direct", 0): USERS.with_columns(pl.lit(1.0).alias("NDCG@10"))})
    assert read_user_figures(file, digest, "direct", 0) is None
    file.unlink()
    assert read_user_figures(file, digest, "direct", 0) is None


def test_twenty_thousand_users_take_little_room(tmp_path):
    ranks = np.random.default_rng(0).integers(1, 40, 20_000)
    gains = np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0.0)
    frame = {"user_index": np.arange(20_000), "HitRate@10": (ranks <= 10) * 1.0, "NDCG@10": gains}
    file = tmp_path / "a.users.npz"
    write_user_figures(file, {("sequential", 0): pl.DataFrame(frame)})
    assert file.stat().st_size < 20_000
