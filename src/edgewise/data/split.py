"""Train, validation and test parts: the one place where held-out rows live."""

from __future__ import annotations

from dataclasses import dataclass

from edgewise.data.interactions import Dataset, Histories, Interactions


@dataclass(frozen=True)
class Split:
    """Three parts of one data set's rows.

    Models are fitted on ``train`` and choose their best epoch on ``valid``; ``test`` is read by
    evaluation alone.

    Attributes:
        dataset: the data set that was split (vocabularies and catalogue).
        train, valid, test: disjoint rows; each part keeps users' order of time.
        kind: ``leave-one-out``, ``ratio`` or ``time``.
        seed: of the random choices made, where the kind makes any.
    """

    dataset: Dataset
    train: Interactions
    valid: Interactions
    test: Interactions
    kind: str
    seed: int = 0

    def held_out(self, part: str) -> Interactions:
        """The rows to be predicted: ``valid`` or ``test``."""
        return {"valid": self.valid, "test": self.test}[part]

    def known_before(self, part: str) -> Histories:
        """What may be known when a part is predicted: train, and validation before test."""
        known = (self.train,) if part == "valid" else (self.train, self.valid)
        return Histories.of(self.dataset.num_users, *known)
