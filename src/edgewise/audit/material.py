"""What an audit looks at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgewise.audit.epochs import TrainingLog
from edgewise.audit.pairs import Pairs
from edgewise.audit.results import Measured
from edgewise.data.candidates import CandidateLists
from edgewise.data.negatives import uniform_candidates
from edgewise.data.recommendations import Recommendations
from edgewise.data.split import Split
from edgewise.evaluation.protocols import Protocol


@dataclass(frozen=True, eq=False)
class FittedRun:
    """What a run adds to its data.

    Attributes:
        log: what its training was handed; None where it kept no log.
        lists: of some users, as the model gives them; None where it was not asked.
        measured: its saved figures.
    """

    log: TrainingLog | None = None
    lists: Recommendations | None = None
    measured: tuple[Measured, ...] = ()


@dataclass(frozen=True, eq=False)
class Material:
    """Everything that the checks read.

    Attributes:
        split: all parts, made under the protocol: its graph edges are those in use, and its data
            set has the numbers in use.
        protocol: how candidates are drawn and lists are counted.
        texts: user and item of each text that is trained on; None where there are none.
        run: a fitted run, where there is one.
    """

    split: Split
    protocol: Protocol
    texts: Pairs | None = None
    run: FittedRun | None = None

    @property
    def edges(self) -> Pairs:
        """What the graph in use is built from."""
        return self.split.graph_edges()

    @cached_property
    def lists(self) -> CandidateLists:
        """Candidates of every test row, as evaluation draws them; drawn when first read."""
        return uniform_candidates(self.split, "test", self.protocol.num_negatives)

    @property
    def positives(self) -> np.ndarray:
        """The item to be found in each list, ``int[Q]``."""
        return self.split.test.item_index
