"""Train, validation and test parts: the one place where held-out rows live."""

from __future__ import annotations

from dataclasses import dataclass

from edgewise.data.interactions import Dataset, Histories, Interactions


@dataclass(frozen=True)
class TextRows:
    """Rows whose texts are trained on, choose the epoch, and are tested."""

    train: Interactions
    valid: Interactions
    test: Interactions


@dataclass(frozen=True)
class Split:
    """Three parts of one data set's rows.

    Models are fitted on ``train`` and choose their best epoch on ``valid``; ``test`` is read by
    evaluation alone. What becomes an edge of the graph, and which texts are read, is the split's
    to say, so that the same model can be fitted under other conditions than honest ones.

    Attributes:
        dataset: the data set that was split (vocabularies and catalogue).
        train, valid, test: disjoint rows; each part keeps users' order of time.
        kind: ``leave-one-out``, ``ratio`` or ``time``.
        seed: of the random choices made, where the kind makes any.
        edges: rows that become edges where they are not the train rows, see
            :mod:`edgewise.data.leaking`; None otherwise.
        text_rows: rows whose texts are read where they do not part as the rows do; None otherwise.
    """

    dataset: Dataset
    train: Interactions
    valid: Interactions
    test: Interactions
    kind: str
    seed: int = 0
    edges: Interactions | None = None
    text_rows: TextRows | None = None

    def graph_edges(self) -> Interactions:
        """The rows that become edges of the graph: train rows, unless the split says otherwise."""
        return self.train if self.edges is None else self.edges

    def graph_histories(self) -> Histories:
        """The same edges, as each user's items."""
        return Histories.of(self.dataset.num_users, self.graph_edges())

    def held_out(self, part: str) -> Interactions:
        """The rows to be predicted: ``valid`` or ``test``."""
        return {"valid": self.valid, "test": self.test}[part]

    def known_before(self, part: str) -> Histories:
        """What may be known when a part is predicted: train, and validation before test."""
        known = (self.train,) if part == "valid" else (self.train, self.valid)
        return Histories.of(self.dataset.num_users, *known)
