"""Seeded candidate lists: each held-out item among items its user never touched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewise.data.hashing import id_keys, keyed_bits, keyed_uniform
from edgewise.data.item_lists import CandidateLists
from edgewise.data.pairs import distinct, pair_keys
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.errors import ConfigError

_PARTS = ("valid", "test")
# Lists made together: a block's working arrays stay within the processor's cache.
_BLOCK = 4096
# Above, numbers that were drawn are marked in a table, of at most so many cells.
_FEW_DRAWS, _CELLS = 500, 64_000_000


def uniform_candidates(
    split: Split, part: str, num_negatives: int = 99, seed: int = 0
) -> CandidateLists:
    """One list for each row of ``split.held_out(part)``, in the same order.

    A list holds the row's item and ``num_negatives`` items drawn uniformly, without repeats, from
    those the user touched in no part, all in random order. It is shorter where the catalogue has
    fewer such items. A list depends on the seed and on its own user and row only.

    Raises:
        ConfigError: the part is neither ``valid`` nor ``test``, or fewer than one negative.
    """
    if part not in _PARTS:
        raise ConfigError(f"no candidates for part {part!r}: choose one of {', '.join(_PARTS)}")
    if num_negatives < 1:
        raise ConfigError(f"num_negatives must be at least 1, got {num_negatives}")
    rows = split.held_out(part)
    users, positives = rows.user_index, rows.item_index
    touched = _Touched.of(split)
    num_negatives = min(num_negatives, int(touched.num_untouched.max(initial=1)))
    keys = keyed_bits(seed, _PARTS.index(part), id_keys(split.dataset.users)[users], positives)
    lengths = 1 + np.minimum(num_negatives, touched.num_untouched[users])
    items = [np.empty(0, dtype=np.int32)]
    size = _BLOCK
    if num_negatives > _FEW_DRAWS:
        size = min(_BLOCK, max(1, _CELLS // max(1, split.dataset.num_items)))
    for start in range(0, len(users), size):
        block = slice(start, start + size)
        negatives = touched.draw(users[block], keys[block], num_negatives)
        items.append(_shuffled(positives[block], negatives, keys[block]).astype(np.int32))
    return CandidateLists(users.astype(np.int32), Ragged.of_lengths(lengths, np.concatenate(items)))


@dataclass(frozen=True)
class _Touched:
    """The items that each user touched in any part, ready to be skipped.

    Attributes:
        num_untouched: items left to each user, ``int64[U]``.
        starts: a user's first entry in ``gaps``, ``int64[U]``.
        gaps: ``user * (I + 1) + number of untouched items below the touched one``, sorted.
        num_items: I.
    """

    num_untouched: np.ndarray
    starts: np.ndarray
    gaps: np.ndarray
    num_items: int

    @classmethod
    def of(cls, split: Split) -> _Touched:
        num_users, num_items = split.dataset.num_users, split.dataset.num_items
        parts = (split.train, split.valid, split.test)
        if split.cold_share:  # rows of cold items are in no part
            parts = (split.dataset.interactions,)
        pairs = np.concatenate([pair_keys(part, num_items) for part in parts])
        users, items = np.divmod(distinct(pairs), max(num_items, 1))
        touched = Ragged.of_lengths(np.bincount(users, minlength=num_users), items)
        gaps = users * (num_items + 1) + items - touched.place_of_value
        return cls(num_items - touched.lengths, touched.offsets[:-1], gaps, num_items)

    def draw(self, users: np.ndarray, keys: np.ndarray, num_negatives: int) -> np.ndarray:
        """Untouched items, ``int64[num_negatives, rows]``; -1 where the catalogue ran out."""
        ranks = _distinct_ranks(keys, self.num_untouched[users], num_negatives)
        wanted = users.astype(np.int64) * (self.num_items + 1) + ranks
        # Users who stand together have their entries together: few to search among.
        first = self.starts[users.min(initial=len(self.starts) - 1)]
        own = self.gaps[first : np.searchsorted(self.gaps, wanted.max(initial=0), side="right")]
        skipped = first + np.searchsorted(own, wanted, side="right") - self.starts[users]
        return np.where(ranks < 0, -1, ranks + skipped)


def _distinct_ranks(keys: np.ndarray, sizes: np.ndarray, num_draws: int) -> np.ndarray:
    """Distinct numbers in ``0..size - 1``, uniform over subsets, ``int64[num_draws, rows]``.

    Floyd's sampling (Bentley and Floyd, CACM 1987), one draw of all rows at a time: no draw is
    ever rejected, so lists that take nearly the whole catalogue cost no more than others.
    A row whose size is not above ``num_draws`` gets each number once, and -1 in the places left.
    """
    places = np.arange(num_draws)[:, None]
    ranks = np.where(places < sizes, places, -1)
    long = np.flatnonzero(sizes > num_draws)
    if len(long):
        ranks[:, long] = _floyd(keys[long], sizes[long], num_draws)
    return ranks


def _floyd(keys: np.ndarray, sizes: np.ndarray, num_draws: int) -> np.ndarray:
    """Draws of rows that have more numbers than are drawn, ``int64[num_draws, rows]``.

    Few draws are compared with all before them; many are looked up, at a byte a number.
    """
    ranks = np.empty((num_draws, len(keys)), dtype=np.int64)
    rows = np.arange(len(keys))
    is_drawn = np.zeros((len(keys), sizes.max() if num_draws > _FEW_DRAWS else 0), dtype=bool)
    for step in range(num_draws):
        top = sizes - num_draws + step
        drawn = (keyed_uniform(keys, step) * (top + 1)).astype(np.int64)
        if num_draws > _FEW_DRAWS:
            repeated = is_drawn[rows, drawn]
            is_drawn[rows, np.where(repeated, top, drawn)] = True
        else:
            repeated = (ranks[:step] == drawn).any(axis=0)
        ranks[step] = np.where(repeated, top, drawn)
    return ranks


def _shuffled(positives: np.ndarray, negatives: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The lists of a block in random order, one after the other."""
    lists = np.concatenate([positives[None], negatives]).T  # [rows, 1 + num_negatives]
    places = np.arange(lists.shape[1])
    order = keyed_uniform(keys[:, None], -1 - places)
    lists = np.take_along_axis(lists, np.argsort(order, axis=1), axis=1)
    return lists[lists >= 0]
