"""Stage 3: personalised predictive prompts, multinomial likelihood over all items (Eq. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.models.graph_gpt.batch import Distances, PromptBatch, assemble
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.graph_gpt.prompts import (
    PREDICTIVE,
    PromptTemplate,
    distinct,
    predictive_prompt,
)
from edgewise.models.graph_gpt.stages.schedule import (
    VALIDATION_EPOCH,
    PromptHistories,
    Stream,
    UserData,
    UserTokenDropout,
    draws,
    positive_pairs,
    prompt_histories,
    user_data,
)
from edgewise.models.graph_gpt.tokens import TokenSpace


@dataclass(frozen=True, eq=False)
class PredictivePrompts:
    """Writes what users took, a part of it left out, and asks what they will take.

    Attributes:
        histories: train items as prompts read them.
        all_items: every distinct train item of each user, the targets; None = those left out.
        mask_rate: share of the items left out.
        user_tokens: which prompts name the user.
        tokens: numbers of users and items.
        distances: of the train graph, or None.
    """

    histories: PromptHistories
    all_items: Ragged | None
    mask_rate: float
    user_tokens: UserTokenDropout
    tokens: TokenSpace
    distances: Distances | None

    @property
    def users(self) -> np.ndarray:
        """Those with a target: two items where one of them is to be left out, ``int64[n]``."""
        return np.flatnonzero(self.histories.lengths >= (2 if self.all_items is None else 1))

    def targets_per_row(self, users: np.ndarray) -> None:
        """Of no use: the loss is a mean over rows."""

    def training(
        self, users: np.ndarray, epoch: int, targets_per_row: float | None = None
    ) -> PromptBatch:
        """Histories with a part left out; the targets are all items, or that part."""
        items = self.histories.read(users, epoch)
        left_out = self._left_out(users, items, epoch)
        hidden = items.keep(left_out)
        wanted = hidden if self.all_items is None else self.all_items.take(users)
        named = self.user_tokens.training(users, epoch)
        return self._batch(users, named, items.keep(~left_out), wanted)

    def validation(self, users: np.ndarray, held_out: Ragged) -> PromptBatch:
        """Whole histories, after which the held-out items are the targets."""
        items = self.histories.read(users, VALIDATION_EPOCH)
        return self._batch(users, self.user_tokens.validation(users), items, held_out)

    def _left_out(self, users: np.ndarray, items: Ragged, epoch: int) -> np.ndarray:
        """Marks the share of each row that is left out, ``bool[values]``."""
        stream = Stream.PREDICTIVE_MASK
        draw = draws(self.histories.seed, stream, epoch, users, items)
        first = (
            items.place_of_value < num_left_out(items.lengths, self.mask_rate)[items.row_of_value]
        )
        marked = np.zeros(len(draw), dtype=bool)
        marked[items.ranked(draw)] = first
        return marked

    def _batch(
        self, users: np.ndarray, named: Sequence[int | None], items: Ragged, wanted: Ragged
    ) -> PromptBatch:
        prompts = [
            predictive_prompt(user, row, self.tokens)
            for user, row in zip(named, items.rows(), strict=True)
        ]
        pairs = np.unique(positive_pairs(wanted), axis=0)
        return assemble(
            self.tokens, prompts, distances=self.distances, user_index=users, positives=pairs
        )


def num_left_out(lengths: np.ndarray, mask_rate: float) -> np.ndarray:
    """Items left out of histories of the given lengths: the rounded share, at least one of two."""
    share = np.floor(lengths * mask_rate + 0.5).astype(np.int64)
    at_least = 1 if mask_rate else 0
    return np.clip(share, np.minimum(at_least, lengths - 1), lengths - 1)


def build_predictive(
    config: GraphGPTConfig, split: Split, tokens: TokenSpace, distances: Distances | None
) -> UserData | None:
    """The predictive stage, or None where no user has a target."""
    history, seed = config.history, config.seed
    room = PromptTemplate.of(PREDICTIVE, tokens).room(config.backbone.max_tokens, needed=1)
    prompts = PredictivePrompts(
        prompt_histories(split, history, room, seed, Stream.PREDICTIVE),
        distinct(split.known_before("valid")) if history.targets == "all" else None,
        history.mask_rate,
        UserTokenDropout.of(config, Stream.PREDICTIVE),
        tokens,
        distances,
    )
    batch_size = config.training.predictive.batch_size
    return user_data("predictive", prompts, split, batch_size, seed, Stream.PREDICTIVE)
