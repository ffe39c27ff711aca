"""Reports on disk."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest

from edgewise.evaluation.protocols import find_protocol
from edgewise.evaluation.report import RankingReport, TextReport, check_seal, rows_digest
from edgewise.evaluation.statistics import Estimate


@pytest.fixture
def report() -> RankingReport:
    users = pl.DataFrame({"user_index": [0, 1], "user_id": ["a", "b"], "NDCG@5": [1.0, 0.5]})
    metrics = {"NDCG@5": Estimate(0.75, 0.5, 1.0), "Coverage@5": Estimate(0.25)}
    return RankingReport(users, metrics, 2, {"task": "direct", "part": "test"})


def test_saved_reports_read_back(report, tmp_path):
    report.save(tmp_path / "deep" / "r.json", tmp_path / "deep" / "r.parquet")
    values = json.loads((tmp_path / "deep" / "r.json").read_text())
    check_seal(values, "r.json")
    assert values.pop("seal") and values.pop("rows_sha256") == rows_digest(report.per_user)
    assert values == {
        "protocol": {"name": "honest", "version": 1},
        "num_users": 2,
        "settings": {"task": "direct", "part": "test"},
        "metrics": {
            "NDCG@5": {"mean": 0.75, "low": 0.5, "high": 1.0},
            "Coverage@5": {"mean": 0.25, "low": None, "high": None},
        },
    }
    assert pl.read_parquet(tmp_path / "deep" / "r.parquet").equals(report.per_user)
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["r.json", "r.parquet"]


def test_a_protocol_that_leaks_is_the_first_thing_a_report_says(report, tmp_path):
    leaking = replace(report, protocol=find_protocol("elmrec-released"))
    leaking.save(tmp_path / "r.json")
    first, *_ = json.loads((tmp_path / "r.json").read_text()).items()
    assert first == ("warning", leaking.protocol.warning)
    first_line = (tmp_path / "r.json").read_text().splitlines()[1]
    assert first_line.strip().startswith('"warning": "LEAKS: figures under elmrec-released v1')
    assert "warning" not in report.to_dict()


def test_parquet_is_optional_and_texts_save_too(tmp_path):
    pairs = pl.DataFrame({"user_index": [0], "item_index": [3], "text": ["ok"]})
    TextReport(pairs, {"BLEU-1": Estimate(12.0)}, 1, {}).save(tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())["num_pairs"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]


def test_a_failed_save_leaves_the_older_file(report, tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    report.save(path)
    before = path.read_text()

    def full_disk(self, target):
        target.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    with pytest.raises(OSError, match="no space"):
        report.save(path, tmp_path / "r.parquet")
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_not_a_number_is_not_written(report, tmp_path):
    report.metrics["NDCG@5"] = Estimate(float("nan"))
    with pytest.raises(ValueError, match="JSON compliant"):
        report.save(tmp_path / "r.json")
    assert not list(tmp_path.iterdir())
