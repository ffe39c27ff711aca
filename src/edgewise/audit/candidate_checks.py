"""Candidate lists: what stands beside the held-out item, and where."""

from __future__ import annotations

import numpy as np

from edgewise.audit.report import Finding, FindingBuilder, Measurement
from edgewise.audit.split_checks import pair_keys
from edgewise.data.item_lists import CandidateLists
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


def touched_negatives(lists: CandidateLists, positives: np.ndarray, split: Split) -> Finding:
    """Negatives that their user took in any part: a right answer counted as a wrong one.

    Args:
        lists: candidates of Q held-out rows.
        positives: the item to be found in each list, ``int[Q]``.
        split: who took what.
    """
    is_negative = ~_is_positive(lists, positives)
    if not is_negative.any():
        return _TOUCHED.not_applicable("there are no negatives")
    keys = _users(lists) * _num_items(split) + lists.items
    touched = np.isin(keys, _touched_keys(split)) & is_negative
    measurements = (
        Measurement("negatives that the user took", touched.sum() / is_negative.sum()),
        Measurement("such negatives", float(touched.sum()), "rows"),
    )
    if not touched.any():
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

    lengths, is_positive = lists.lists.lengths, _is_positive(lists, positives)
    owner = lists.lists.row_of_value[is_positive]
    place = lists.lists.place_of_value[is_positive]
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
    owner = lists.lists.row_of_value
    keys, times = np.unique(owner * num_items + lists.items, return_counts=True)
    repeating = np.unique(keys[times > 1] // num_items)
    lacking = len(lists) - len(np.unique(owner[_is_positive(lists, positives)]))
    measurements = (
        Measurement("lists with a repeated item", len(repeating) / len(lists)),
        Measurement("lists without their held-out item", lacking / len(lists)),
    )
    if not len(repeating) and not lacking:
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
    is_negative = ~_is_positive(lists, positives)
    if not is_negative.any():
        return _DRAWN.not_applicable("there are no negatives")
    drawn = float(popularity[lists.items[is_negative]].mean())
    uniform = float(_mean_untouched(popularity, split)[_users(lists)[is_negative]].mean())
    noise = popularity.std() / np.sqrt(is_negative.sum())
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


def _is_positive(lists: CandidateLists, positives: np.ndarray) -> np.ndarray:
    """Marks the item to be found in each list, ``bool[candidates]``."""
    return lists.items == positives[lists.lists.row_of_value]


def _users(lists: CandidateLists) -> np.ndarray:
    """The user of each candidate, ``int64[candidates]``."""
    return lists.user_index[lists.lists.row_of_value].astype(np.int64)


def _num_items(split: Split) -> int:
    return split.dataset.num_items


def _touched_keys(split: Split) -> np.ndarray:
    """``user * I + item`` of what each user took in any part, ascending."""
    parts = (split.train, split.valid, split.test)
    return np.unique(np.concatenate([pair_keys(part, _num_items(split)) for part in parts]))


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
