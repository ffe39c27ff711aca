"""S3-Rec keeps the contract with a network of the smallest size, where items are described."""

from __future__ import annotations

import pytest
from tests.contracts.checkerboard import checkerboard
from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.s3rec import S3Rec


class TestS3Rec(RecommenderContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls):
        return checkerboard(described=True)

    def build(self, seed):
        return S3Rec.from_preset("tiny", [f"seed={seed}"])
