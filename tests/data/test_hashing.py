"""Keyed random numbers: a function of their keys, and random in each of them."""

from __future__ import annotations

import numpy as np

from edgewise.data.dataset import Vocabulary
from edgewise.data.hashing import id_keys, keyed_bits, keyed_uniform


def test_scalar_and_array_keys_agree() -> None:
    table = keyed_bits(7, np.arange(4)[:, None], np.arange(5))
    assert table.shape == (4, 5)
    assert table[2, 3] == keyed_bits(7, 2, 3)[0]
    assert len(np.unique(table)) == 20


def test_order_of_keys_matters() -> None:
    assert keyed_bits(1, 2)[0] != keyed_bits(2, 1)[0]


def test_uniform_moments_along_each_key() -> None:
    keys = np.arange(200_000)
    for draws in (keyed_uniform(5, keys), keyed_uniform(keys, 5), keyed_uniform(-1 - keys)):
        assert draws.min() >= 0
        assert draws.max() < 1
        # Standard errors are 0.00065 and 0.0006.
        assert abs(draws.mean() - 0.5) < 0.004
        assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.012


def test_id_keys_depend_on_the_spelling_alone() -> None:
    first = id_keys(Vocabulary(("ann", "bob", "zoë")))
    second = id_keys(Vocabulary(("zoë", "ann")))
    assert first[2] == second[0]
    assert first[0] == second[1]
    assert len(id_keys(Vocabulary(()))) == 0
