"""Item transitions: what people took after, and before, the items that a user has.

T counts how items follow each other in train histories (:func:`~edgewise.graph.transition_counts.
item_transitions`): a pair of items ``n <= window`` steps apart counts ``n^-decay``, times
``forward`` from the earlier to the later item and times ``backward`` the other way. With o_i and
d_j the sums of its rows and columns,

    ``N_ij = T_ij / (o_i^1/2 d_j^(1 - popularity))``

and a user's scores are ``h (first N + second N^2)``, where h weighs the user's items by age: the
newest 1, the one before it ``2^-recency``, then ``3^-recency``. N^2 is never made, and items
that two steps do not reach stand below all others, by popularity. Beyond the papers; of the family
of Markov chains that Rendle et al., WWW 2010 factorise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from edgewise.config import check, setting
from edgewise.data.ragged import Ragged
from edgewise.graph.products import sparse_times
from edgewise.graph.transition_counts import item_transitions
from edgewise.models.counting import (
    CountingConfig,
    CountingRecommender,
    nearest_in_blocks,
    powers,
    scaled,
    spoken_for,
)


class TransitionsConfig(CountingConfig):
    """Settings of item transitions."""

    window: int = setting(10, "Items at most this many steps apart follow each other.", ge=1)
    decay: float = setting(1.0, "How much less those many steps apart count.", ge=0)
    forward: float = setting(3.0, "What counts from an earlier to a later item.", ge=0)
    backward: float = setting(1.0, "What counts from a later to an earlier item.", ge=0)
    popularity: float = setting(
        0.75,
        "How much of an item's popularity its score keeps: 0.5 divides by the root of what comes "
        "to it, 1 by nothing.",
    )
    recency: float = setting(
        1.0, "How much less the asked user's older items count; 0 for all alike.", ge=0
    )
    neighbors: int = setting(
        0,
        "How many of the largest numbers of each row of N are kept; 0 = all. Of large data N "
        "grows with the rows, and some hundreds of neighbours rank nearly as all of them do.",
        ge=0,
    )
    first: float = setting(1.0, "What one step counts.", ge=0)
    second: float = setting(1.0, "What two steps count.", ge=0)

    def model_post_init(self, context: Any) -> None:
        """Refuse settings that leave nothing."""
        check(self.forward + self.backward > 0, "forward = backward = 0.0: nothing is counted")
        check(self.first + self.second > 0, "first = second = 0.0: nothing is scored")


class Transitions(CountingRecommender):
    """Scores items by what follows and precedes the user's items; see the module.

    Attributes:
        transitions: N, ``float32[I, I]``.
    """

    name, label = "transitions", "Item transitions"
    Config = TransitionsConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {}, "cpu": {}}
    LEARNED = ("transitions",)
    SCORE_UNIT: ClassVar[str] = "sum of transitions"
    transitions: sp.csr_array

    def learn(self, histories: Ragged) -> None:
        config = self.config
        counted = item_transitions(
            histories,
            len(self.data.items),
            config.window,
            decay=config.decay,
            forward=config.forward,
            backward=config.backward,
        )
        rows = powers(counted.sum(axis=1), -0.5)
        columns = powers(counted.sum(axis=0), config.popularity - 1)
        self.transitions = scaled(counted, rows, columns)
        if config.neighbors:
            self.transitions = nearest_in_blocks(self.transitions, config.neighbors)

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        asked = self.recent(histories, self.config.recency)
        once = sp.csr_array(asked @ self.transitions)
        scores = self.config.first * once.toarray()
        if self.config.second:
            scores += self.config.second * sparse_times(once, self.transitions)
        return self.above_popularity(scores)

    @property
    def similarity_unit(self) -> str:
        """What one item says of the others."""
        return "transitions"

    def item_similarities(self, items: np.ndarray) -> np.ndarray:
        """Rows of N: what follows, and precedes, an item, ``float32[n, I]``."""
        return spoken_for(self.transitions, items)
