"""UniSRec keeps the contract with a network of the smallest size, where items are described."""

from __future__ import annotations

import pytest
from tests.contracts.checkerboard import checkerboard
from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.unisrec import UniSRec


class TestUniSRec(RecommenderContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls):
        return checkerboard(described=True)

    def build(self, seed):
        return UniSRec.from_preset("tiny", [f"seed={seed}"])


class TestFromTextsAlone(TestUniSRec):
    def build(self, seed):
        return UniSRec.from_preset("tiny", ["mode=inductive", f"seed={seed}"])
