"""A pointer from the history to every item of the catalogue, for the sequential task."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.data.interactions import Histories
from edgewise.decoding.trie import PrefixTrie, TokenTable
from edgewise.models.elmrec.config import PromptConfig
from edgewise.prompts.batch import Batch
from edgewise.prompts.entity_tokens import PieceTable


class CataloguePointer(nn.Module):
    """One vector an item, read in sequential prompts and matched with the state of the history.

    Ids that are spelled in pieces leave thousands of items to be told apart by a few hundred
    tokens. Here every item keeps a vector of its own beside its spelling: it is added to the
    item's tokens in the prompt, and its dot product with what the encoder makes of the history up
    to the newest item is the item's bonus in the prefix tree. The decoder's own logits are added
    with a learned strength that starts at nothing.

    While training the encoder reads from left to right, so that the state of every item of the
    history can be matched with the item that came next: many lessons a prompt instead of one.

    Args:
        trie: the catalogue's prefix tree as the decoder spells it.
        num_users: U; item i is graph node ``U + i``.
        width: D.
        dropout: of the items' vectors where they are read, and of the states that are matched.
        generator: of the random start.
        usual_lessons: items of a history that follow another one, on average; read in training.
    """

    def __init__(
        self,
        trie: PrefixTrie,
        num_users: int,
        width: int,
        dropout: float,
        generator: torch.Generator,
        usual_lessons: float = 1.0,
    ) -> None:
        super().__init__()
        self.trie, self.num_users, self.dropout = trie, num_users, dropout
        self.usual_lessons = usual_lessons
        # Read times the root of the width, they are as long as the tokens they are added to.
        start = torch.randn(trie.num_items, width, generator=generator)
        self.vectors = nn.Parameter(start * width**-0.5)
        # A decoder that cannot spell yet would only disturb.
        self.strength = nn.Parameter(torch.zeros(()))
        self.query = nn.Linear(width, width)
        nn.init.eye_(self.query.weight)
        nn.init.zeros_(self.query.bias)

    def read(self, batch: Batch) -> torch.Tensor:
        """The vectors of the prompts' items at each of their tokens, ``[B, S, D]``."""
        item = self._items(batch)
        vectors = F.embedding(item.clamp(min=0), self.vectors)
        vectors = F.dropout(vectors, self.dropout, self.training)
        return vectors * (item >= 0)[..., None] * vectors.shape[-1] ** 0.5

    def forward(self, states: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The bonus of every item for prompts with encoder states ``[B, S, D]``, ``[B, I]``.

        A prompt without an item is asked at its last token.
        """
        place = torch.arange(states.shape[1], device=states.device)
        newest = torch.where(self._items(batch) >= 0, place, -1).amax(dim=1)
        last_token = batch.attention_mask.sum(dim=1) - 1
        newest = torch.where(newest < 0, last_token, newest)
        return self._match(states[torch.arange(len(states), device=states.device), newest])

    def history_loss(self, states: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Negative log-likelihood of each history item given those before it.

        Summed over a batch and divided by the items that so many prompts hold on average, so that
        long histories count by their length and the mean over parts of a batch is the whole one's.
        """
        item = self._items(batch)
        after = item[:, 1:]
        closes = (item[:, :-1] >= 0) & (batch.order[:, :-1] != batch.order[:, 1:])
        closes &= after >= 0
        found = self._match(states[:, :-1][closes])
        total = F.cross_entropy(found, after[closes], reduction="sum")
        return total / (len(batch) * self.usual_lessons)

    def _items(self, batch: Batch) -> torch.Tensor:
        """The item of every token, -1 where there is none, ``int64[B, S]``."""
        item = batch.node - self.num_users
        return item.masked_fill((item < 0) | (item >= len(self.vectors)), -1)

    def _match(self, states: torch.Tensor) -> torch.Tensor:
        """``[n, D]`` -> ``float32[n, I]``."""
        with torch.autocast(states.device.type, enabled=False):
            states = F.dropout(states.float(), self.dropout, self.training)
            return self.query(states) @ self.vectors.T


def build_catalogue_pointer(
    prompts: PromptConfig,
    table: PieceTable,
    width: int,
    generator: torch.Generator,
    histories: Histories | None = None,
) -> CataloguePointer | None:
    """The pointer, where the settings ask for it and the sequential task is among the tasks.

    Args:
        prompts: the settings.
        table: spells the items.
        width: D.
        generator: of the random start.
        histories: that it will be trained on.
    """
    if not prompts.catalogue_pointer or "sequential" not in prompts.tasks:
        return None
    trie = TokenTable(*table.item_targets).trie
    lessons = 1.0 if histories is None else _usual_lessons(histories, prompts.max_history)
    return CataloguePointer(trie, table.num_users, width, prompts.item_dropout, generator, lessons)


def _usual_lessons(histories: Histories, max_history: int) -> float:
    """How many items follow another one in a prompt, over the users that have a target besides."""
    lengths = histories.lengths[histories.lengths >= 2]
    lessons = np.minimum(lengths - 1, max_history) - 1
    return max(1.0, float(lessons.mean())) if len(lessons) else 1.0
