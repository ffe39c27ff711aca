"""What all networks share: how the epoch is chosen on validation rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard

from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError
from edgewise.models.base import mean_metric
from edgewise.models.sasrec import SASRec

SETTINGS = ("training.epochs=2", "training.precision=fp32")


@pytest.mark.parametrize("metric", ["loss", "NDCG@10", "HitRate@5"])
def test_the_setting_names_what_chooses_the_epoch(metric):
    split = checkerboard().split
    model = SASRec.from_preset("tiny", [*SETTINGS, f"training.validation_metric={metric}"])
    (curves,) = model.fit(split).stage_curves.values()
    assert [row.keys() for row in curves.valid] == [{metric, "step"}] * 2
    assert curves.best == (min if metric == "loss" else max)(row[metric] for row in curves.valid)


@pytest.mark.parametrize(
    ("metric", "told"), [("NDGC@10", "unknown metric 'NDGC'.*NDCG"), ("NDCG", "NDCG@10")]
)
def test_a_misspelt_metric_is_refused_before_the_first_step(metric, told, monkeypatch):
    monkeypatch.setattr("edgewise.models.base.train", lambda *_, **__: pytest.fail("trained"))
    model = SASRec.from_preset("tiny", [*SETTINGS, f"training.validation_metric={metric}"])
    with pytest.raises(ConfigError, match=told):
        model.fit(checkerboard().split)


def test_metrics_of_the_targets_place_among_unseen_items():
    scores = torch.tensor([[3.0, 1.0, 2.0, 1.0], [0.0, 9.0, 5.0, 1.0]])
    targets, seen = np.array([1, 2]), Ragged.of_lengths(np.array([1, 1]), np.array([0, 1]))
    # Item 1 ties with item 3, which counts against it, behind item 2; item 2 of the other is first.
    measured = {m: mean_metric(m, scores.clone(), targets, seen) for m in ("MRR@5", "loss")}
    assert measured["MRR@5"] == pytest.approx((1 / 3 + 1) / 2)
    shares = [np.e / (np.e + np.e**2 + np.e), np.e**5 / (1 + np.e**5 + np.e)]
    assert measured["loss"] == pytest.approx(-np.log(shares).mean())
