"""Multi-VAE keeps the contract with a network of the smallest size."""

from __future__ import annotations

from tests.contracts.recommender_contract import RecommenderContract

from edgewise.models.multi_vae import MultiVAE


class TestMultiVAE(RecommenderContract):
    def build(self, seed):
        return MultiVAE.from_preset("tiny", [f"seed={seed}"])
