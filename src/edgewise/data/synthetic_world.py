"""The demo shop's hidden rules: habits and complements between items, tastes of users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewise.data.synthetic_text import ASPECTS, SHELVES

KINDS_PER_SHELF = len(SHELVES[0].kinds)
NUM_KINDS = len(SHELVES) * KINDS_PER_SHELF

# Standard deviations of log popularity.
_LINE_SPREAD = 1.1
_ITEM_SPREAD = 0.7


@dataclass(frozen=True)
class Shop:
    """Items in the order of their shelves; the numbers here never reach a data set.

    Attributes:
        kind: of each item, ``int64[I]``; ``kind // KINDS_PER_SHELF`` is its shelf.
        line: its place among the items of its kind, ``int64[I]``.
        successor: what the next need usually is, ``int64[I]``; -1 at the end of a chain.
        rival: what it is otherwise, ``int64[I]``.
        complement: what is bought along with it, a symmetric pairing, ``int64[I]``; -1 for none.
        popularity: how often an item is picked, up to a constant, ``float64[I]``.
        strengths: the two aspects it is good at, ``int64[I, 2]``.
        weakness: the aspect it fails at, ``int64[I]``.
    """

    kind: np.ndarray
    line: np.ndarray
    successor: np.ndarray
    rival: np.ndarray
    complement: np.ndarray
    popularity: np.ndarray
    strengths: np.ndarray
    weakness: np.ndarray

    @property
    def shelf(self) -> np.ndarray:
        return self.kind // KINDS_PER_SHELF


@dataclass(frozen=True)
class Shoppers:
    """What each user likes.

    Attributes:
        tastes: share of each shelf, ``float64[U, shelves]``; two or three are not zero.
        aspects: the aspects a user cares for, the more important one first, ``int64[U, 2]``.
        num_events: length of the walk, ``int64[U]``.
    """

    tastes: np.ndarray
    aspects: np.ndarray
    num_events: np.ndarray


def build_shop(num_items: int, rng: np.random.Generator) -> Shop:
    """Items spread evenly over the kinds, with habits, complements and a popularity skew."""
    kind = np.sort(np.arange(num_items) % NUM_KINDS)
    sizes = np.bincount(kind, minlength=NUM_KINDS)
    starts = np.cumsum(sizes) - sizes
    line = np.arange(num_items) - starts[kind]
    place = kind % KINDS_PER_SHELF

    def at(kinds: np.ndarray, lines: np.ndarray) -> np.ndarray:
        return starts[kinds] + lines % sizes[kinds]

    following = np.minimum(kind + 1, NUM_KINDS - 1)
    is_last = place == KINDS_PER_SHELF - 1
    half = KINDS_PER_SHELF // 2
    partner = np.where(place < half, kind + half, kind - half)
    aspects = np.argsort(rng.random((num_items, len(ASPECTS))), axis=1)
    return Shop(
        kind=kind,
        line=line,
        successor=np.where(is_last, -1, at(following, line)),
        rival=np.where(is_last, -1, at(following, line + 1)),
        complement=np.where(line < sizes[partner], at(partner, line), -1),
        popularity=_popularity(kind, line, rng),
        strengths=aspects[:, :2],
        weakness=aspects[:, 2],
    )


def _popularity(kind: np.ndarray, line: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A skew shared by a shelf's line times an item's own, ``float64[I]``."""
    of_line = rng.lognormal(sigma=_LINE_SPREAD, size=(len(SHELVES), line.max() + 1))
    return of_line[kind // KINDS_PER_SHELF, line] * rng.lognormal(
        sigma=_ITEM_SPREAD, size=len(kind)
    )


def invite_shoppers(num_users: int, rng: np.random.Generator) -> Shoppers:
    """Users who like a shelf, most often the next one too, and sometimes any third."""
    num_shelves = len(SHELVES)
    first = rng.integers(num_shelves, size=num_users)
    step = np.where(rng.random(num_users) < 0.7, 1, rng.integers(1, num_shelves, size=num_users))
    third = rng.integers(num_shelves, size=num_users)
    likes_third = rng.random(num_users) < 0.5
    tastes = np.zeros((num_users, num_shelves))
    users = np.arange(num_users)
    tastes[users, third] += np.where(likes_third, 0.2, 0.0)
    tastes[users, (first + step) % num_shelves] += 0.35
    tastes[users, first] += 0.45
    tastes /= tastes.sum(axis=1, keepdims=True)
    aspects = np.argsort(rng.random((num_users, len(ASPECTS))), axis=1)[:, :2]
    return Shoppers(tastes, aspects, 6 + rng.geometric(0.2, size=num_users).clip(max=20))
