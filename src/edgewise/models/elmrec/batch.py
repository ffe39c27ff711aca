"""Prompts as tensors, with the whole word that each token belongs to."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgewise.models.elmrec.prompts import EntityTokenTable
from edgewise.recommender import Task

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True)
class Batch:
    """Prompts of one task and, for training, their targets.

    Attributes:
        task: all examples of a batch belong to one task.
        input_ids: tokens, right-padded, ``int64[B, S]``.
        attention_mask: 1 on tokens, ``int64[B, S]``.
        node: the graph node a token belongs to, -1 on plain words and padding, ``int64[B, S]``.
            Users come first, then items; ``num_nodes`` is somebody not in the data.
        order: order of appearance of the token's user or item, from 1, and 0 elsewhere,
            ``int64[B, S]``.
        edge_fold: graph fold that never saw this example's target edge, -1 = the whole train graph,
            ``int64[B]``.
        user: each example's user as a node, ``int64[B]``.
        labels: target tokens, -100 on padding, ``int64[B, T]``, or None.
        continuations: of direct prompts with targets, the tokens that continue the target's first
            ``t`` tokens towards each candidate, ``int64[B, T, C]``; -1 for a candidate that begins
            otherwise. Shorter lists repeat their last candidate. Else None.
        user_vectors: graph vectors of the users in place of the train graph's, ``float[B, D]``, or
            None: people who are not in the data, or have new items.
    """

    task: Task
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    node: torch.Tensor
    order: torch.Tensor
    edge_fold: torch.Tensor
    user: torch.Tensor
    labels: torch.Tensor | None = None
    continuations: torch.Tensor | None = None
    user_vectors: torch.Tensor | None = None

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
    table: EntityTokenTable,
    task: Task,
    prompts: list[np.ndarray],
    targets: list[np.ndarray] | None = None,
    edge_fold: np.ndarray | None = None,
    spelled_unknown: np.ndarray | None = None,
) -> Batch:
    """Look up the tokens of each prompt's pieces and lay them out as a batch.

    Args:
        table: tokens of every piece.
        task: the task of all prompts.
        prompts: one array of pieces an example.
        targets: target token ids of each example, end token included.
        edge_fold: ``int64[B]``; all -1 if left out.
        spelled_unknown: ``bool[B]``, examples whose user keeps his graph node but is spelled as
            somebody unknown.
    """
    pieces = np.concatenate(prompts)
    pieces_per_row = np.array([len(row) for row in prompts])
    row_of_piece = np.repeat(np.arange(len(prompts)), pieces_per_row)
    spelled = pieces
    if spelled_unknown is not None:
        hidden = spelled_unknown[row_of_piece] & (pieces < table.num_users)
        spelled = np.where(hidden, table.unknown_user, pieces)
    lengths = table.lengths[spelled]
    tokens = table.tokens[_ranges(table.offsets[spelled], lengths)]
    row = np.repeat(row_of_piece, lengths)
    row_lengths = np.bincount(row, minlength=len(prompts))
    place = (row, _ranges(np.zeros_like(row_lengths), row_lengths))
    shape = (len(prompts), int(row_lengths.max()))

    def layout(values: np.ndarray, padding: int) -> torch.Tensor:
        grid = np.full(shape, padding, dtype=np.int64)
        grid[place] = values
        return torch.from_numpy(grid)

    is_entity = pieces <= table.unknown_user
    order = _count_within_rows(is_entity, row_of_piece, pieces_per_row)
    folds = np.full(len(prompts), -1) if edge_fold is None else edge_fold
    is_user = (pieces < table.num_users) | (pieces == table.unknown_user)
    labels = None if targets is None else _pad_labels(targets)
    continuations = None
    if task == "direct" and labels is not None:
        is_item = is_entity & ~is_user
        items = np.split(
            pieces[is_item] - table.num_users,
            np.cumsum(np.bincount(row_of_piece[is_item], minlength=len(prompts)))[:-1],
        )
        continuations = _continuations(table, items, labels.numpy())
    return Batch(
        task,
        layout(tokens, table.pad_id),
        layout(np.ones_like(tokens), 0),
        layout(np.repeat(np.where(is_entity, pieces, -1), lengths), -1),
        layout(np.repeat(order, lengths), 0),
        torch.from_numpy(folds.astype(np.int64)),
        torch.from_numpy(pieces[is_user]),
        labels,
        continuations,
    )


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """``start, start + 1, ...`` of every row, joined."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def _count_within_rows(
    is_entity: np.ndarray, row: np.ndarray, pieces_per_row: np.ndarray
) -> np.ndarray:
    """1, 2, ... over the users and items of each row, 0 on words."""
    running = np.cumsum(is_entity)
    before_row = np.concatenate([[0], running[np.cumsum(pieces_per_row)[:-1] - 1]])
    return np.where(is_entity, running - before_row[row], 0)


def _pad_labels(targets: list[np.ndarray]) -> torch.Tensor:
    labels = np.full((len(targets), max(map(len, targets))), -100, dtype=np.int64)
    for row, target in zip(labels, targets, strict=True):
        row[: len(target)] = target
    return torch.from_numpy(labels)


def _continuations(
    table: EntityTokenTable, items: list[np.ndarray], labels: np.ndarray
) -> torch.Tensor:
    """Tokens at which the candidates' spellings go on from the target's, ``int64[B, T, C]``."""
    spellings, _ = table.item_targets
    width = max(map(len, items))
    # A list shorter than the longest repeats its last item, which changes no set of tokens.
    grid = np.stack([np.pad(row, (0, width - len(row)), mode="edge") for row in items])
    tokens = spellings[grid][:, :, : labels.shape[1]].transpose(0, 2, 1)
    target = np.where(labels == -100, table.pad_id, labels)[:, :, None]
    same_so_far = np.cumprod(tokens == target, axis=1).astype(bool)
    on_path = np.concatenate([np.ones_like(same_so_far[:, :1]), same_so_far[:, :-1]], axis=1)
    return torch.from_numpy(np.where(on_path, tokens, -1))
