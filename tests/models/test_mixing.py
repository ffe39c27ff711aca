"""What a mixture makes of items that its language model has never seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewise.models.mixing import PriorMixture


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([3, 0, 1, 0], [-1.0, -4.0, -2.0, -4.0]),  # items 1 and 3: the mean of -3 and -5
        ([3, 1, 1, 0], [-1.0, -3.0, -2.0, -5.0]),  # one alone is its own mean
        ([0, 0, 0, 0], [-2.75] * 4),
    ],
)
def test_items_without_train_rows_are_alike(counts, expected):
    likelihood = torch.tensor([[-1.0, -3.0, -2.0, -5.0], [-1.0, -3.0, -2.0, -5.0]])
    before = likelihood.clone()
    found = PriorMixture((), np.empty(0, np.float32), np.array(counts)).neutral(likelihood)
    assert found.tolist() == [pytest.approx(expected)] * 2
    assert torch.equal(likelihood, before)
