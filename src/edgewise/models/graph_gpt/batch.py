"""Prompts of text, user and item tokens as tensors.

Shapes: B rows, S tokens, M pairs, N targets, I items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import numpy as np
import torch

from edgewise.models.base import TensorBatch
from edgewise.models.graph_gpt.tokens import TokenSpace

IGNORED = -100
TargetSpace = Literal["text", "items"]


class Distances(Protocol):
    """Shortest paths between the nodes of a batch, see :mod:`edgewise.graph.shortest_paths`."""

    def among(self, nodes: np.ndarray, /) -> np.ndarray:
        """Distances within each row of nodes ``int64[B, S]`` (-1 = none), ``uint8[B, S, S]``.

        0 is the same node, the cut-off + 1 farther, unreachable or none.
        """
        ...

    def in_histories(self, nodes: np.ndarray, user_index: np.ndarray) -> np.ndarray:
        """The same of prompts that tell one user's history each, whose items are that user's.

        ``user_index``, ``int64[B]``, holds -1 for people who are not in the data.
        """
        ...


@dataclass(frozen=True)
class PromptBatch(TensorBatch):
    """Prompts of one stage and what is to be predicted.

    Attributes:
        input_ids: tokens, right-padded, ``int64[B, S]``.
        attention_mask: 1 on tokens, ``int64[B, S]``.
        node: the graph node of a user's or item's token, -1 elsewhere, ``int64[B, S]``.
        targets: what is to be predicted at each position (shifted by one already), -100 where
            nothing is, ``int64[B, S]``: tokens where ``space`` is ``text``, item indices where it
            is ``items``.
        space: what the targets are.
        distance: shortest paths between nodes, ``uint8[B, S, S]``; None where attention does
            without.
        positives: (row, item) of the multinomial likelihood at each row's last token,
            ``int64[M, 2]``, in place of ``targets``, or None.
        targets_per_row: of the whole batch that this one may be a process's part of, so that the
            losses of all parts, weighed by their rows, add up to the whole batch's; None = its own.
        negatives: items that the loss samples, ``int64[M]``; None where it is the softmax over all.
        bonus: constants that are added to the logits of items, of every target as they stand row by
            row, ``float32[N, I]``; None adds nothing.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    node: torch.Tensor
    targets: torch.Tensor
    space: TargetSpace
    distance: torch.Tensor | None = None
    positives: torch.Tensor | None = None
    targets_per_row: float | None = None
    negatives: torch.Tensor | None = None
    bonus: torch.Tensor | None = None

    @property
    def last(self) -> torch.Tensor:
        """The place of each row's last token, ``int64[B]``."""
        return self.attention_mask.sum(1) - 1

    def take(self, part: slice) -> Self:
        """Rows are chosen before they are written: no process pads or looks up others' rows."""
        raise NotImplementedError("choose rows before they are written, see share_of")


def assemble(
    tokens: TokenSpace,
    prompts: Sequence[np.ndarray],
    targets: Sequence[np.ndarray] | None = None,
    *,
    space: TargetSpace = "items",
    distances: Distances | None = None,
    user_index: np.ndarray | None = None,
    positives: np.ndarray | None = None,
    targets_per_row: float | None = None,
) -> PromptBatch:
    """Pad prompts to one length and look up nodes and distances.

    Args:
        tokens: numbers of users and items.
        prompts: tokens of each row.
        targets: of each row, as long as its prompt, -100 where nothing is predicted; None predicts
            nothing.
        space: what the targets are.
        distances: of the train graph; None where attention does without.
        user_index: whose history each row tells, -1 for people who are not in the data,
            ``int64[B]``; None = the rows tell something else.
        positives: (row, item) pairs, ``int64[M, 2]``.
        targets_per_row: of the whole batch, where this may be a part of one.
    """
    input_ids = padded(prompts, tokens.pad_token)
    lengths = np.array([len(prompt) for prompt in prompts])
    mask = np.arange(input_ids.shape[1]) < lengths[:, None]
    node = np.where(mask, tokens.nodes_of(input_ids), -1)
    wanted = np.full_like(input_ids, IGNORED) if targets is None else padded(targets, IGNORED)
    return PromptBatch(
        torch.from_numpy(input_ids),
        torch.from_numpy(mask.astype(np.int64)),
        torch.from_numpy(node),
        torch.from_numpy(wanted),
        space,
        _distance(distances, node, user_index, space, tokens.num_users),
        None if positives is None else torch.from_numpy(np.asarray(positives, dtype=np.int64)),
        targets_per_row,
    )


def _distance(
    distances: Distances | None,
    node: np.ndarray,
    user_index: np.ndarray | None,
    space: TargetSpace,
    num_users: int,
) -> torch.Tensor | None:
    if distances is None:
        return None
    if user_index is not None:
        found = distances.in_histories(node, np.asarray(user_index, dtype=np.int64))
        return torch.from_numpy(found)
    found = distances.among(node)
    if space == "text":
        # Whoever a text names has the items that it names, also those held out or to come.
        user, item = (node >= 0) & (node < num_users), node >= num_users
        joined = user[:, :, None] & item[:, None, :]
        found[joined | joined.transpose(0, 2, 1)] = 1
    return torch.from_numpy(found)


def padded(rows: Sequence[np.ndarray], filler: int) -> np.ndarray:
    """Rows of any lengths as one right-padded table, ``int64[B, S]``."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    table = np.full((len(rows), int(lengths.max(initial=1))), filler, dtype=np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate(
        [*rows, np.empty(0, dtype=np.int64)]
    )
    return table
