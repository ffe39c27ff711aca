"""Histories as prompts read them, and the validation items that follow them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from edgewise.data.interactions import Histories
from edgewise.data.keyed_random import keyed_uniform
from edgewise.data.split import Split
from edgewise.models.graph_gpt.config import HistoryConfig
from edgewise.models.graph_gpt.stages.ragged import Ragged
from edgewise.models.graph_gpt.stages.schedule import Stream

MAX_VALIDATION_USERS = 1000
# No training run gets that far, so that validation has draws of its own.
VALIDATION_EPOCH = 2**40
_log = logging.getLogger("edgewise")


@dataclass(frozen=True, eq=False)
class PromptHistories:
    """Each user's train items, in order of time or shuffled anew each epoch.

    Attributes:
        items: the newest items of every user that fit into a prompt, oldest first.
        shuffled: whether the order is drawn.
        seed, stream: of the order.
    """

    items: Ragged
    shuffled: bool
    seed: int
    stream: Stream

    @property
    def lengths(self) -> np.ndarray:
        """Items of every user, ``int64[U]``."""
        return self.items.lengths

    def read(self, users: np.ndarray, epoch: int) -> Ragged:
        """The items of some users as they stand in this epoch's prompts.

        An order depends on the seed, the epoch and the user, and on no other row of a batch.
        """
        chosen = self.items.take(users)
        if not self.shuffled:
            return chosen
        draw = draws(self.seed, self.stream, epoch, users, chosen)
        return replace(chosen, values=chosen.values[chosen.ranked(draw)])


def draws(seed: int, stream: Stream, epoch: int, users: np.ndarray, chosen: Ragged) -> np.ndarray:
    """A number in [0, 1) for each value of the users' rows, ``float64[values]``."""
    row, place = chosen.row_of_value, chosen.place_of_value
    return keyed_uniform(seed, int(stream), epoch, users[row], place)


def train_items(split: Split, *, distinct: bool) -> Ragged:
    """Items of every user's train rows, oldest first.

    Args:
        split: parts of the interactions; train rows alone are read.
        distinct: keep the newest row of each item that a user took several times.
    """
    known: Histories = split.known_before("valid")
    rows = Ragged(known.offsets, known.items)
    if not distinct:
        return rows
    codes = _codes(rows.row_of_value, rows.values, split.dataset.num_items)
    newest = np.zeros(len(codes), dtype=bool)
    newest[len(codes) - 1 - np.unique(codes[::-1], return_index=True)[1]] = True
    return rows.keep(newest)


def prompt_histories(
    split: Split, config: HistoryConfig, room: int, seed: int, stream: Stream
) -> PromptHistories:
    """Train histories cut to what a prompt holds; a log line says how many were cut.

    Args:
        split: parts of the interactions; train rows alone are read.
        config: order and length.
        room: items that fit into the longest input.
        seed, stream: of the order of sets.
    """
    shuffled = config.order == "set"
    items = train_items(split, distinct=shuffled)
    limit = min(config.max_items, room)
    if num_cut := int((items.lengths > limit).sum()):
        # A limit that nobody set is worth a warning.
        _log.log(
            logging.WARNING if room < config.max_items else logging.INFO,
            "%s: %d histories of %s are longer than %d items, the newest of which are read",
            stream.label,
            num_cut,
            split.dataset.name,
            limit,
        )
    from_end = items.lengths[items.row_of_value] - items.place_of_value
    return PromptHistories(items.keep(from_end <= limit), shuffled, seed, stream)


def validation_positives(split: Split, seed: int) -> tuple[np.ndarray, Ragged]:
    """Users with a history, and each one's validation items that are new to the user.

    Returns:
        Up to 1,000 users drawn from the seed, ``int64[n]``, rising, and the items of each.
    """
    num_items = split.dataset.num_items
    codes = np.unique(_codes(split.valid.user_index, split.valid.item_index, num_items))
    known = np.unique(_codes(split.train.user_index, split.train.item_index, num_items))
    has_history = np.isin(codes // num_items, split.train.user_index)
    users, items = np.divmod(codes[has_history & ~np.isin(codes, known)], num_items)
    held_out = Ragged.of_lengths(np.bincount(users, minlength=split.dataset.num_users), items)
    rng = np.random.default_rng((seed, Stream.VALIDATION))
    chosen = np.sort(rng.permutation(np.unique(users))[:MAX_VALIDATION_USERS])
    return chosen, held_out.take(chosen)


def positive_pairs(items: Ragged) -> np.ndarray:
    """(row, item) of every item, ``int64[M, 2]``."""
    return np.stack([items.row_of_value, items.values.astype(np.int64)], axis=1)


def _codes(users: np.ndarray, items: np.ndarray, num_items: int) -> np.ndarray:
    return users.astype(np.int64) * num_items + items
