"""Users and items as one input vector each (``prompts.ids = one-token``).

Ids that are spelled make a direct prompt of 100 candidates some 420 tokens long, four to an id, and
the answer has to be written token by token. Here the encoder reads

    ``x(w) = mean over the sub-words s of w of e(s) + own(w)``

in place of the spelling of a user or item w, with e the language model's embeddings, and the
whole-word embedding of w is added as to any token. Nothing is written: the heads of
:mod:`edgewise.models.elmrec.model` score candidates and items by encoder states. Where there is an
item head, its embeddings are the items' own vectors. Beyond the paper.

Shapes: U users, I items, D hidden size, L sub-words of the longest spelling.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.data.ragged import Ragged
from edgewise.data.ranking import Ranked
from edgewise.models.base import best_items, chosen_scores, hide
from edgewise.recommender import ItemFilter, Task

if TYPE_CHECKING:
    from edgewise.models.elmrec.config import PromptConfig
    from edgewise.models.elmrec.model import ItemHead
    from edgewise.models.elmrec.prompts import EntityTokenTable
    from edgewise.models.elmrec.recommender import ELMRec, Encoded


class OneTokenIds(nn.Module):
    """Input vectors of users and items.

    Somebody unknown has no vector of his own; that of a user starts at zero.

    Args:
        table: spells users and items, which it reads as one token.
        items: their own vectors ``float32[I, D]``, over the root of D.
        dropout: of own vectors.
        user_vectors: whether users have some.
    """

    spelled: torch.Tensor

    def __init__(
        self, table: EntityTokenTable, items: nn.Parameter, dropout: float, user_vectors: bool
    ) -> None:
        super().__init__()
        assert table.first_entity is not None
        self.num_users, self.dropout = table.num_users, dropout
        self.first_entity, self.pad_id = table.first_entity, table.pad_id
        tokens = table.tokens.take(np.arange(table.unknown_user + 1))
        grid = torch.full((len(tokens), int(tokens.lengths.max())), table.pad_id)
        grid[tokens.row_of_value, tokens.place_of_value] = torch.from_numpy(tokens.values)
        self.register_buffer("spelled", grid, persistent=False)
        users = torch.zeros(table.num_users, items.shape[1])
        self.users = nn.Parameter(users) if user_vectors else None
        self.items = items

    def forward(self, tokens: torch.Tensor, words: nn.Module) -> torch.Tensor:
        """What the encoder reads of tokens ``int64[B, S]``, ``[B, S, D]``.

        Args:
            tokens: sub-words, and from ``first_entity`` on users and items.
            words: the language model's embeddings of sub-words.
        """
        is_entity = tokens >= self.first_entity
        found = words(tokens.masked_fill(is_entity, self.pad_id))
        entity = tokens[is_entity] - self.first_entity
        weight = words.weight
        assert isinstance(weight, torch.Tensor)
        spelled = F.embedding_bag(
            self.spelled[entity], weight, mode="mean", padding_idx=self.pad_id
        )
        return found.index_put((is_entity,), (spelled + self._own(entity)).to(found.dtype))

    def _own(self, entity: torch.Tensor) -> torch.Tensor:
        """Own vectors of whole words ``int64[n]``, ``[n, D]``."""
        found = self.items.new_zeros(len(entity), self.items.shape[1])
        for table, start in ((self.users, 0), (self.items, self.num_users)):
            if table is not None:
                here = (entity >= start) & (entity < start + len(table))
                found = found.index_put((here,), F.embedding(entity[here] - start, table))
        return F.dropout(found, self.dropout, self.training) * found.shape[1] ** 0.5


def build_one_token_ids(
    prompts: PromptConfig,
    table: EntityTokenTable,
    width: int,
    generator: torch.Generator,
    item_head: ItemHead | None,
    start: np.ndarray | None,
) -> OneTokenIds | None:
    """Input vectors of users and items, where the settings make them one token.

    Args:
        prompts: the settings.
        table: spells users and items.
        width: D.
        generator: of the random start of items, where no item head has one.
        item_head: whose embeddings become the items' own vectors; or None.
        start: of these, see :func:`start_at`.
    """
    if prompts.ids == "spelled":
        return None
    if item_head is not None:
        own = item_head.embeddings
    else:
        own = nn.Parameter(torch.randn(table.num_items, width, generator=generator) * width**-0.5)
        start_at(own, start)
    return OneTokenIds(table, own, prompts.item_dropout, prompts.user_vectors)


def start_at(embeddings: nn.Parameter, start: np.ndarray | None) -> None:
    """Set embeddings ``float32[I, D]`` to where they start, over the root of D.

    Args:
        embeddings: random ones, which stay where a row of the start is zero, or all if it is None.
        start: ``float32[I, D]`` with a mean square of 1 in each row, or of zeros.
    """
    if start is not None:
        known = torch.from_numpy(start.any(axis=1))
        embeddings.data[known] = torch.from_numpy(start)[known] * embeddings.shape[1] ** -0.5


def best_of_all(
    model: ELMRec, users: np.ndarray, histories: Ragged, hidden: ItemFilter, k: int
) -> Ranked:
    """The best of all items after histories, which are scored at once.

    Args:
        model: fitted, of the sequential task.
        users, histories, hidden, k: as for :meth:`~edgewise.recommender.Recommender.rank_items`.
    """
    order = np.argsort(histories.lengths, kind="stable")
    users, histories, hidden = users[order], histories.take(order), hidden.take(order)
    parts = [Ranked.of_rows([], [])]
    for part in model.read_histories(users, histories):
        found = _all_scores(model, part, histories)
        hide(found, hidden.take(np.array(part.rows)))
        parts.append(best_items(found, k))
    return Ranked.concat(parts).put(order)


def scores_of_lists(
    model: ELMRec, part: Encoded, histories: Ragged, lists: Ragged, task: Task
) -> np.ndarray:
    """Log-likelihoods of the items of lists, ``float32[total]``.

    Those of the direct task are among a list's items, those of the sequential one among all.

    Args:
        model: fitted.
        part: some of its prompts, read.
        histories, lists: of all prompts.
        task: of the prompts.
    """
    asked = lists.take(np.array(part.rows))
    if task == "sequential":
        return chosen_scores(_all_scores(model, part, histories), asked)
    assert part.head_scores is not None
    places = replace(asked, values=asked.place_of_value)
    return chosen_scores(part.head_scores.log_softmax(1), places)


def _all_scores(model: ELMRec, part: Encoded, histories: Ragged) -> torch.Tensor:
    """Log-likelihoods of all items, ``float32[B, I]``, a new tensor."""
    scores = model.item_scores(part, histories)
    assert scores is not None
    return scores.float().log_softmax(1)
