"""Prompts as tensors, with the whole word that each token belongs to.

Shapes: B prompts, S source tokens, T target tokens, C candidates, D hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from edgewise.data.ragged import Ragged
from edgewise.models.base import TensorBatch
from edgewise.models.elmrec.prompts import EntityTokenTable
from edgewise.recommender import Task


@dataclass(frozen=True)
class Batch(TensorBatch):
    """Prompts of one task and, for training, their targets.

    Attributes:
        input_ids: tokens, right-padded, ``int64[B, S]``.
        attention_mask: 1 on tokens, ``int64[B, S]``.
        node: the graph node a token belongs to, -1 on plain words and padding, ``int64[B, S]``.
            Users come first, then items; ``num_nodes`` is somebody not in the data.
        order: order of appearance of the token's user or item, from 1, and 0 elsewhere,
            ``int64[B, S]``.
        edge_fold: graph fold that never saw this example's target edge, -1 = the whole train graph,
            ``int64[B]``.
        user: each example's user as a node, ``int64[B]``.
        task: of all examples.
        labels: target tokens, -100 on padding, ``int64[B, T]``, or None. Where ids are one token,
            the answer itself, ``int64[B, 1]``: of direct prompts the target's place among the
            candidates, of sequential ones its item.
        continuations: of direct prompts with spelled targets, the tokens that continue the
            target's first ``t`` tokens towards each candidate, ``int64[B, T, C]``; -1 for a
            candidate that begins otherwise. Shorter lists repeat their last candidate. Else None.
        user_embeddings: graph embeddings of the users in place of the train graph's,
            ``float[B, D]``, or None: people who are not in the data, or have new items.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    node: torch.Tensor
    order: torch.Tensor
    edge_fold: torch.Tensor
    user: torch.Tensor
    task: Task
    labels: torch.Tensor | None = None
    continuations: torch.Tensor | None = None
    user_embeddings: torch.Tensor | None = None


def assemble(
    table: EntityTokenTable,
    task: Task,
    prompts: list[np.ndarray],
    targets: list[np.ndarray] | None = None,
    edge_fold: np.ndarray | None = None,
    spelled_unknown: np.ndarray | None = None,
) -> Batch:
    """Look up the tokens of each prompt's whole words and lay them out as a batch.

    Args:
        table: tokens of every whole word.
        task: of all prompts.
        prompts: one array of whole words an example.
        targets: target tokens of each example, end token included.
        edge_fold: ``int64[B]``; all -1 if left out.
        spelled_unknown: ``bool[B]``, examples whose user keeps his graph node but is spelled as
            somebody unknown.
    """
    rows = Ragged.of_rows(prompts)
    words = rows.values
    is_entity = words <= table.unknown_user
    is_user = (words < table.num_users) | (words == table.unknown_user)
    is_hidden = False if spelled_unknown is None else spelled_unknown[rows.row_of_value] & is_user
    tokens = table.read.take(np.where(is_hidden, table.unknown_user, words))
    word = tokens.row_of_value
    per_prompt = np.bincount(rows.row_of_value[word], minlength=len(prompts))
    cells = Ragged.of_lengths(per_prompt, tokens.values)
    folds = np.full(len(prompts), -1) if edge_fold is None else edge_fold.astype(np.int64)
    labels = None if targets is None else padded_rows(targets, -100)
    continuations = None
    if task == "direct" and labels is not None:
        candidates = rows.keep(is_entity & ~is_user)
        if table.first_entity is None:
            items = [row - table.num_users for row in candidates.rows()]
            continuations = torch.from_numpy(_continuations(table, items, labels))
        else:
            labels = _places(candidates, table.num_users + labels)
    return Batch(
        input_ids=laid_out(cells, tokens.values, table.pad_id),
        attention_mask=laid_out(cells, np.ones_like(tokens.values), 0),
        node=laid_out(cells, np.where(is_entity, words, -1)[word], -1),
        order=laid_out(cells, order_of_appearance(rows, is_entity)[word], 0),
        edge_fold=torch.from_numpy(folds),
        user=torch.from_numpy(words[is_user]),
        task=task,
        labels=None if labels is None else torch.from_numpy(labels),
        continuations=continuations,
    )


def bounded_rows(lengths: Sequence[int], budget: int, max_rows: int | None) -> Iterator[range]:
    """Split rows so that no part, padded to its longest row, exceeds a budget of tokens.

    Args:
        lengths: of each row; a row longer than the budget stands alone.
        budget: tokens of a part at most.
        max_rows: of a part; None = any number.
    """
    start, longest = 0, 0
    for row, length in enumerate(lengths):
        count, longest = row - start, max(longest, length)
        if count and ((count + 1) * longest > budget or count == max_rows):
            yield range(start, row)
            start, longest = row, length
    if lengths:
        yield range(start, len(lengths))


def laid_out(cells: Ragged, values: np.ndarray, padding: int) -> torch.Tensor:
    """Values of all tokens, one row a prompt, right-padded, ``int64[B, S]``."""
    grid = np.full((len(cells), int(cells.lengths.max())), padding, dtype=np.int64)
    grid[cells.row_of_value, cells.place_of_value] = values
    return torch.from_numpy(grid)


def order_of_appearance(prompts: Ragged, is_entity: np.ndarray) -> np.ndarray:
    """1, 2, ... over the users and items of each prompt, 0 on words."""
    running = np.concatenate([[0], np.cumsum(is_entity)])
    before_row = running[prompts.offsets[:-1]]
    return np.where(is_entity, running[1:] - before_row[prompts.row_of_value], 0)


def padded_rows(rows: list[np.ndarray], padding: int) -> np.ndarray:
    """Rows one below the other, filled up at their end, ``int64[B, T]``."""
    grid = np.full((len(rows), max(map(len, rows))), padding, dtype=np.int64)
    for padded, row in zip(grid, rows, strict=True):
        padded[: len(row)] = row
    return grid


def _places(lists: Ragged, wanted: np.ndarray) -> np.ndarray:
    """The place of each row's wanted value, which it holds once; both ``int64[B, 1]``."""
    return lists.place_of_value[lists.values == wanted[lists.row_of_value, 0]][:, None]


def _continuations(
    table: EntityTokenTable, items: list[np.ndarray], labels: np.ndarray
) -> np.ndarray:
    """Tokens at which the candidates' spellings go on from the target's, ``int64[B, T, C]``."""
    width = max(map(len, items))
    # A list shorter than the longest repeats its last item, which changes no set of tokens.
    grid = np.stack([np.pad(row, (0, width - len(row)), mode="edge") for row in items])
    tokens = table.spellings.tokens[grid][:, :, : labels.shape[1]].transpose(0, 2, 1)
    target = np.where(labels == -100, table.pad_id, labels)[:, :, None]
    same_so_far = np.cumprod(tokens == target, axis=1).astype(bool)
    on_path = np.concatenate([np.ones_like(same_so_far[:, :1]), same_so_far[:, :-1]], axis=1)
    return np.where(on_path, tokens, -1)
