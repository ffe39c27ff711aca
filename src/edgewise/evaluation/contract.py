"""Lists that no honest recommender returns are refused before anything is counted."""

from __future__ import annotations

import numpy as np

from edgewise.data.item_lists import Recommendations
from edgewise.data.pairs import among, first_places
from edgewise.data.ragged import Ragged
from edgewise.errors import EdgewiseError


def check_lists(
    recommendations: Recommendations,
    users: np.ndarray,
    known: Ragged,
    num_items: int,
    k: int,
    *,
    allow_seen: bool = False,
    allow_repeats: bool = False,
    items: np.ndarray | None = None,
) -> None:
    """Refuse lists that break the contract of ``Recommender.recommend``.

    Args:
        recommendations: what a model returned.
        users: the users that were asked for.
        known: what each user already has, by user index.
        num_items: size of the catalogue.
        k: the list length that was asked for.
        allow_seen: let lists hold items of the user's history.
        allow_repeats: let an item stand at several places of a list.
        items: those that lists may hold, ``bool[I]``; all if None.

    Raises:
        EdgewiseError: names the first user and item at fault.
    """
    user, item = recommendations.user_index, recommendations.item_index
    _refuse(recommendations, ~np.isin(user, users), "a list for a user who was not asked for")
    _refuse(recommendations, (item < 0) | (item >= num_items), "an item outside the catalogue")
    if items is not None:
        _refuse(recommendations, ~items[item], "an item that was not to be ranked")
    starts = _list_starts(user)
    _refuse(recommendations, starts & _repeats(user[starts], starts), "two lists for one user")
    _check_ranks(recommendations, starts, k)
    keys = user.astype(np.int64) * num_items + item
    if not allow_repeats:
        _refuse(recommendations, _repeats(keys), "a repeated item")
    if not allow_seen:
        seen = among(keys, np.sort(known_keys(known, users, num_items)))
        _refuse(recommendations, seen, "a seen item")


def _refuse(recommendations: Recommendations, wrong: np.ndarray, what: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        user, item = recommendations.user_index[rows[0]], recommendations.item_index[rows[0]]
        raise EdgewiseError(
            f"the model recommended {what}: user_index {user}, item_index {item} "
            f"({len(rows)} such rows of {len(recommendations)}); correct its recommend()"
        )


def _list_starts(user: np.ndarray) -> np.ndarray:
    """Marks the first row of every run of equal users, ``bool[rows]``."""
    return np.concatenate([[True], user[1:] != user[:-1]])[: len(user)]


def _repeats(keys: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """Marks all but the first occurrence of every key, at the rows marked by ``where``."""
    repeated = np.ones(len(keys), dtype=bool)
    repeated[first_places(keys)] = False
    if where is None:
        return repeated
    spread = np.zeros(len(where), dtype=bool)
    spread[where] = repeated
    return spread


def _check_ranks(recommendations: Recommendations, starts: np.ndarray, k: int) -> None:
    rows = np.arange(len(starts))
    expected = rows - np.maximum.accumulate(np.where(starts, rows, 0)) + 1
    _refuse(recommendations, recommendations.rank != expected, "ranks that are not 1, 2, 3, ...")
    _refuse(recommendations, expected > k, f"more than k={k} items")
    score = recommendations.score
    # Written so that NaN, which compares false with everything, is refused too.
    falls = np.concatenate([[True], score[1:] <= score[:-1]])[: len(score)]
    _refuse(recommendations, ~(falls | starts) | np.isnan(score), "scores that are not descending")


def known_keys(known: Ragged, users: np.ndarray, num_items: int) -> np.ndarray:
    """``user * I + item`` of everything that the users had."""
    mine = np.isin(known.row_of_value, users)
    return known.row_of_value[mine] * num_items + known.values[mine]
