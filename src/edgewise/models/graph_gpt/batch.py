"""Prompts of text, user and item tokens as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch

from edgewise.models.graph_gpt.tokens import TokenSpace

if TYPE_CHECKING:
    from typing import Self

IGNORED = -100
TargetSpace = Literal["text", "items"]


class Distances(Protocol):
    """Shortest paths between the nodes of a batch, see :mod:`edgewise.graph.shortest_paths`."""

    def among(self, nodes: np.ndarray) -> np.ndarray:
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
class PromptBatch:
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
        ranked: asked for ``1 - NDCG@10`` of the targets among all items in place of a likelihood;
            each row has one target, at its last token.
        targets_per_row: of the whole batch that this one may be a process's part of, so that the
            losses of all parts, weighed by their rows, add up to the whole batch's; None = its own.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    node: torch.Tensor
    targets: torch.Tensor
    space: TargetSpace
    distance: torch.Tensor | None = None
    positives: torch.Tensor | None = None
    targets_per_row: float | None = None
    ranked: bool = False

    def __len__(self) -> int:
        return len(self.input_ids)

    def to(self, device: torch.device) -> Self:
        """The same batch on a device."""
        moved = {
            field.name: value.to(device)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), torch.Tensor)
        }
        return replace(self, **moved)


def assemble(
    tokens: TokenSpace,
    prompts: Sequence[np.ndarray],
    targets: Sequence[np.ndarray] | None = None,
    *,
    space: TargetSpace = "items",
    distances: Distances | None = None,
    readers: np.ndarray | None = None,
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
        readers: whose history each row tells, -1 for people who are not in the data,
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
        _lengths(distances, node, readers, space, tokens.num_users),
        None if positives is None else torch.from_numpy(np.asarray(positives, dtype=np.int64)),
        targets_per_row,
    )


def _lengths(
    distances: Distances | None,
    node: np.ndarray,
    readers: np.ndarray | None,
    space: TargetSpace,
    num_users: int,
) -> torch.Tensor | None:
    if distances is None:
        return None
    if readers is None:
        lengths = distances.among(node)
        if space == "text":
            # Whoever a text names has the items that it names, also those held out or to come.
            user, item = (node >= 0) & (node < num_users), node >= num_users
            taken = user[:, :, None] & item[:, None, :]
            lengths[taken | taken.transpose(0, 2, 1)] = 1
        return torch.from_numpy(lengths)
    return torch.from_numpy(distances.in_histories(node, np.asarray(readers, dtype=np.int64)))


def padded(rows: Sequence[np.ndarray], filler: int) -> np.ndarray:
    """Rows of any lengths as one right-padded table, ``int64[B, S]``."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    table = np.full((len(rows), int(lengths.max(initial=1))), filler, dtype=np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate(
        [*rows, np.empty(0, dtype=np.int64)]
    )
    return table
