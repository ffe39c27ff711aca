"""Walks through the demo shop: what each user buys, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewise.data.synthetic_text import SHELVES
from edgewise.data.synthetic_world import Shop, Shoppers

# Chances of one step, tuned so that no simple rule explains the shop.
_FOLLOW_HABIT = 0.5
_SAME_LINE = 0.75
_FOLLOW_FASHION = 0.15
_BUY_COMPLEMENT = 0.15


@dataclass(frozen=True)
class Purchases:
    """Rows of the walks, in the order they were drawn: step by step, all users at each step."""

    user: np.ndarray
    item: np.ndarray
    step: np.ndarray


def walk(shop: Shop, shoppers: Shoppers, rng: np.random.Generator) -> Purchases:
    """Let every user shop: follow a habit, a fashion or a taste, never the same item twice."""
    num_users, num_steps = len(shoppers.num_events), int(shoppers.num_events.max(initial=0))
    # Column 2t is the item of step t, column 2t + 1 what was bought along with it.
    bought = np.full((num_users, 2 * num_steps), -1, dtype=np.int64)
    current = np.full(num_users, -1, dtype=np.int64)
    for step in range(num_steps):
        item = _next_item(shop, shoppers, current, rng)
        is_new = (step < shoppers.num_events) & ~(bought == item[:, None]).any(axis=1)
        bought[is_new, 2 * step] = item[is_new]
        current = np.where(is_new, item, current)
        extra = shop.complement[item]
        takes_extra = is_new & (extra >= 0) & (rng.random(num_users) < _BUY_COMPLEMENT)
        takes_extra &= ~(bought == extra[:, None]).any(axis=1)
        bought[takes_extra, 2 * step + 1] = extra[takes_extra]
    user, column = np.nonzero(bought >= 0)
    return Purchases(user, bought[user, column], column // 2)


def _next_item(
    shop: Shop, shoppers: Shoppers, current: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """One item a user, ``int64[U]``, given the user's last one (-1 at the start)."""
    num_users = len(current)
    same_line = rng.random(num_users) < _SAME_LINE
    habit = np.where(same_line, shop.successor[current], shop.rival[current])
    chance = rng.random(num_users)
    follows_habit = (current >= 0) & (habit >= 0) & (chance < _FOLLOW_HABIT)
    follows_fashion = chance > 1 - _FOLLOW_FASHION
    cumulative = np.cumsum(shop.popularity)
    fashion = np.searchsorted(cumulative, rng.random(num_users) * cumulative[-1], side="right")
    return np.select(
        [follows_habit, follows_fashion], [habit, fashion], _suited(shop, shoppers, rng)
    )


def _suited(shop: Shop, shoppers: Shoppers, rng: np.random.Generator) -> np.ndarray:
    """An item of a shelf the user likes: the better suited of two popular ones, ``int64[U]``."""
    users = np.arange(len(shoppers.num_events))
    bounds = np.cumsum(shoppers.tastes, axis=1)
    shelf = (rng.random((len(users), 1)) * bounds[:, -1:] >= bounds).sum(axis=1)
    one, other = (_pick_of_shelf(shop, shelf, rng) for _ in range(2))
    return np.where(
        suits(shop, shoppers, users, other) > suits(shop, shoppers, users, one), other, one
    )


def _pick_of_shelf(shop: Shop, shelf: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    totals = np.cumsum(shop.popularity)
    ends = np.searchsorted(shop.shelf, np.arange(len(SHELVES)), side="right")
    bounds = np.concatenate([[0.0], totals[ends - 1]])
    wanted = bounds[shelf] + rng.random(len(shelf)) * (bounds[shelf + 1] - bounds[shelf])
    return np.minimum(np.searchsorted(totals, wanted, side="right"), ends[shelf] - 1)


def suits(shop: Shop, shoppers: Shoppers, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """How well an item meets what the user cares for: 3 best, 0 indifferent, -2 worst."""
    cared, good, bad = shoppers.aspects[users], shop.strengths[items], shop.weakness[items]
    first = (good == cared[:, :1]).any(axis=1)
    second = (good == cared[:, 1:]).any(axis=1)
    return 2 * first + second - 2 * (bad == cared[:, 0])
