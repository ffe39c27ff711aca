"""Candidate lists: what stands beside the held-out item, and where.

Lists are looked at a block at a time, so that a hundred million candidates need no more memory than
themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgewise.audit.report import Finding, FindingBuilder, Measurement
from edgewise.data.item_lists import CandidateLists
from edgewise.data.pairs import among, distinct, pair_keys
from edgewise.data.splits import Split

_TOUCHED = FindingBuilder("touched-negatives", "candidates")
_PLACE = FindingBuilder("positive-place", "candidates")
_REPEATS = FindingBuilder("repeated-candidates", "candidates")
_DRAWN = FindingBuilder("popular-negatives", "candidates")
# Below this p-value a favourite place is no chance.
_SURE = 1e-6
# How far the negatives' mean popularity may be from that of a uniform draw.
_TOLERANCE, _SIGMAS = 0.1, 5.0
_ROWS_A_BIN = 10
# Lists looked at together.
_BLOCK = 8192


def touched_negatives(lists: CandidateLists, positives: np.ndarray, split: Split) -> Finding:
    """Negatives that their user took in any part: a right answer counted as a wrong one.

    Args:
        lists: candidates of Q held-out rows.
        positives: the item to be found in each list, ``int[Q]``.
        split: who took what.
    """
    num_negatives = touched = 0
    known = _touched_keys(split)
    for block in _blocks(lists, positives):
        keys = (block.users * _num_items(split) + block.lists.items)[block.is_negative]
        own = known[np.searchsorted(known, keys.min(initial=0)) :]
        own = own[: np.searchsorted(own, keys.max(initial=0), side="right")]
        num_negatives += len(keys)
        touched += int(np.count_nonzero(among(keys, own)))
    if not num_negatives:
        return _TOUCHED.not_applicable("there are no negatives")
    measurements = (
        Measurement("negatives that the user took", touched / num_negatives),
        Measurement("such negatives", float(touched), "rows"),
    )
    if not touched:
        return _TOUCHED.ok("every negative is an item that its user never took", *measurements)
    return _TOUCHED.leak(
        "negatives are items that the user took: earlier ones are easily put aside, later ones "
        "are right answers counted as wrong",
        *measurements,
        repair="draw negatives from the items that the user touched in no part",
    )


def positive_place(lists: CandidateLists, positives: np.ndarray) -> Finding:
    """Whether the place in the list gives the held-out item away (chi-square over places)."""
    from scipy.stats import chisquare

    lengths, found = lists.lists.lengths, [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for block in _blocks(lists, positives):
        rows, is_positive = block.lists.lists, ~block.is_negative
        owners = block.start + rows.row_of_value[is_positive]
        found.append((owners, rows.place_of_value[is_positive]))
    owner, place = (np.concatenate(each) for each in zip(*found, strict=True))
    bins = int(min(lengths.min(initial=2**31), len(place) // _ROWS_A_BIN))
    if bins < 2:
        return _PLACE.not_applicable("too few lists to tell a habit from chance")
    counts = np.bincount(bins * place // lengths[owner], minlength=bins)
    expected = _expected(lengths[owner], bins)
    measurements = (
        Measurement("positives in their most frequent place", counts.max() / len(place)),
        Measurement("by chance", expected[counts.argmax()] / len(place)),
    )
    if chisquare(counts, expected).pvalue > _SURE:
        return _PLACE.ok("the held-out item stands in every place alike", *measurements)
    return _PLACE.leak(
        "the held-out item has a favourite place in the list; a model that prefers that place "
        "wins, and so does one that breaks ties by place",
        *measurements,
        repair="shuffle each list by a seed",
    )


def repeated_candidates(lists: CandidateLists, positives: np.ndarray, num_items: int) -> Finding:
    """Lists that hold an item twice, or not the item that is to be found."""
    if not len(lists):
        return _REPEATS.not_applicable("there are no lists")
    repeating, lacking = 0, len(lists)
    for block in _blocks(lists, positives):
        owner = block.lists.lists.row_of_value
        keys = np.sort(owner * num_items + block.lists.items)
        again = np.flatnonzero(keys[1:] == keys[:-1])
        repeating += len(distinct(keys[again] // num_items))
        lacking -= len(distinct(owner[~block.is_negative]))
    measurements = (
        Measurement("lists with a repeated item", repeating / len(lists)),
        Measurement("lists without their held-out item", lacking / len(lists)),
    )
    if not repeating and not lacking:
        return _REPEATS.ok(
            "each list holds different items, the right one among them", *measurements
        )
    return _REPEATS.leak(
        "a list with repeated items is shorter than it looks; one without the right item cannot "
        "be answered",
        *measurements,
        repair="draw negatives without replacement, and put the held-out item into each list once",
    )


def popular_negatives(lists: CandidateLists, positives: np.ndarray, split: Split) -> Finding:
    """Whether negatives, said to be uniform, are more popular (or less) than a uniform draw.

    Popularity counts rows of all parts; each user's own items do not count as possible draws.
    """
    popularity = np.bincount(split.dataset.interactions.item_index, minlength=_num_items(split))
    by_user = _mean_untouched(popularity, split)
    num_negatives, drawn, uniform = 0, 0.0, 0.0
    for block in _blocks(lists, positives):
        drawn += float(popularity[block.lists.items[block.is_negative]].sum())
        uniform += float(by_user[block.users[block.is_negative]].sum())
        num_negatives += int(np.count_nonzero(block.is_negative))
    if not num_negatives:
        return _DRAWN.not_applicable("there are no negatives")
    drawn, uniform = drawn / num_negatives, uniform / num_negatives
    noise = popularity.std() / np.sqrt(num_negatives)
    measurements = (
        Measurement("mean rows of a negative", drawn, "mean"),
        Measurement("uniform", uniform, "mean"),
    )
    far = abs(drawn - uniform)
    if far <= max(_TOLERANCE * uniform, _SIGMAS * noise):
        return _DRAWN.ok("negatives are as popular as a uniform draw makes them", *measurements)
    return _DRAWN.leak(
        "negatives are not drawn uniformly: popularity alone tells them from the right item, or "
        "hides it, and the results compare with no others",
        *measurements,
        repair="draw negatives uniformly, or name the other draw in the protocol",
    )


@dataclass(frozen=True, eq=False)
class _Block:
    """Lists that follow each other.

    Attributes:
        start: the number of the first.
        lists: of n rows.
        positives: the item to be found in each, ``int[n]``.
    """

    start: int
    lists: CandidateLists
    positives: np.ndarray

    @cached_property
    def is_negative(self) -> np.ndarray:
        """Marks all but the item to be found in each list, ``bool[candidates]``."""
        return self.lists.items != self.positives[self.lists.lists.row_of_value]

    @cached_property
    def users(self) -> np.ndarray:
        """The user of each candidate, ``int64[candidates]``."""
        return self.lists.user_index[self.lists.lists.row_of_value].astype(np.int64)


def _blocks(lists: CandidateLists, positives: np.ndarray) -> Iterator[_Block]:
    for start in range(0, len(lists), _BLOCK):
        stop = min(start + _BLOCK, len(lists))
        part = CandidateLists(lists.user_index[start:stop], lists.lists.part(start, stop))
        yield _Block(start, part, positives[start:stop])


def _num_items(split: Split) -> int:
    return split.dataset.num_items


def _touched_keys(split: Split) -> np.ndarray:
    """``user * I + item`` of what each user took in any part, ascending."""
    parts = (split.train, split.valid, split.test)
    return distinct(np.concatenate([pair_keys(part, _num_items(split)) for part in parts]))


def _expected(lengths: np.ndarray, bins: int) -> np.ndarray:
    """Positives a bin, if each stood anywhere in its own list alike, ``float64[bins]``."""
    expected = np.zeros(bins)
    for length, lists in zip(*np.unique(lengths, return_counts=True), strict=True):
        places = np.bincount(bins * np.arange(length) // length, minlength=bins)
        expected += lists * places / length
    return expected


def _mean_untouched(popularity: np.ndarray, split: Split) -> np.ndarray:
    """Mean popularity of the items that each user never took, ``float64[U]``."""
    users, items = np.divmod(_touched_keys(split), _num_items(split))
    num_users = split.dataset.num_users
    own = np.bincount(users, popularity[items], minlength=num_users)
    left = _num_items(split) - np.bincount(users, minlength=num_users)
    return (popularity.sum() - own) / np.maximum(left, 1)
