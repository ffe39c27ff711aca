"""The demo shop: a small data set in which the right answers are known.

Shoppers like two or three shelves that overlap, follow habits (a camera, then the lens of the
same line, then a tripod), buy complements on the same day, and pick popular things; what they
write depends on what they care for and on what the item is good at. Popularity, the graph and the
order of events each explain a part of it, and none explains all.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

import numpy as np
import polars as pl

from edgewise.data.interactions import Catalog, Dataset, Interactions
from edgewise.data.synthetic_review import describe, opinion_of, write_review
from edgewise.data.synthetic_text import ASPECTS, LINES, SHELVES
from edgewise.data.synthetic_walk import Purchases, suits, walk
from edgewise.data.synthetic_world import (
    KINDS_PER_SHELF,
    NUM_KINDS,
    Shop,
    Shoppers,
    build_shop,
    invite_shoppers,
)
from edgewise.data.vocabulary import Vocabulary
from edgewise.errors import ConfigError

_DAY = 86_400
_OPENING_DAY = 19_000  # 2022-01-08, in days since 1970
_ARRIVALS = 500  # days over which users first come
_MEAN_GAP = 12  # days between two steps of a user
_NO_TEXT = 0.05
_NO_HEADLINE = 0.05
_CODE_LETTERS = "ACDEFGHJKLMNPQRTUVWXYZ2346789"


def make_demo_shop(seed: int = 0, num_users: int = 400, num_items: int = 240) -> Dataset:
    """Make the shop; equal arguments give equal data sets.

    Args:
        seed: of everything random.
        num_users: shoppers, each with about a dozen purchases.
        num_items: things for sale, at least one of each of the 48 kinds.

    Raises:
        ConfigError: no user, or too few items.
    """
    if num_users < 1 or num_items < NUM_KINDS:
        raise ConfigError(
            f"a demo shop needs at least 1 user and {NUM_KINDS} items, "
            f"got num_users={num_users}, num_items={num_items}"
        )
    # One generator a purpose: new wording must not change who bought what.
    world, names, calendar, words = np.random.default_rng(seed).spawn(4)
    shop, shoppers = build_shop(num_items, world), invite_shoppers(num_users, world)
    purchases = walk(shop, shoppers, world)
    # Raw ids are dealt at random and numbered by a shuffle: neither tells shelf, line or order.
    user_ids = [f"u{number:04d}" for number in names.permutation(num_users)]
    item_ids = _item_codes(num_items, names)
    users = Vocabulary.shuffled(user_ids, kind="user", seed=seed)
    items = Vocabulary.shuffled(item_ids, kind="item", seed=seed)
    user_index, item_index = users.indices_of(user_ids), items.indices_of(item_ids)
    days = _days(purchases, num_users, calendar)
    ratings = _ratings(shop, shoppers, purchases, world)
    summaries, reviews = _texts(shop, shoppers, purchases, words)
    rows = Interactions(
        user_index=user_index[purchases.user],
        item_index=item_index[purchases.item],
        timestamp=days * _DAY,
        rating=ratings.astype(np.float32),
        review=pl.Series(reviews, dtype=pl.String),
        summary=pl.Series(summaries, dtype=pl.String),
    )
    # A day's rows stand in random order: the order in which they were drawn would tell the habit.
    order = np.lexsort((calendar.random(len(days)), days, rows.user_index))
    catalog = _catalog(shop, np.argsort(item_index))
    source: dict[str, object] = {
        "format": "demo",
        "seed": seed,
        "num_users": num_users,
        "num_items": num_items,
    }
    return Dataset("demo", users, items, rows.take(order), catalog, source)


def _item_codes(num_items: int, rng: np.random.Generator) -> list[str]:
    length = next(n for n in count(4) if len(_CODE_LETTERS) ** n >= 4 * num_items)
    numbers = rng.choice(len(_CODE_LETTERS) ** length, size=num_items, replace=False)
    powers = len(_CODE_LETTERS) ** np.arange(length)
    digits = numbers[:, None] // powers % len(_CODE_LETTERS)
    return ["SKU-" + "".join(_CODE_LETTERS[d] for d in row) for row in digits]


def _days(purchases: Purchases, num_users: int, rng: np.random.Generator) -> np.ndarray:
    """The day of each row, ``int64[rows]``: one day a step, so complements share a day."""
    num_steps = int(purchases.step.max(initial=0)) + 1
    gaps = rng.geometric(1 / _MEAN_GAP, size=(num_users, num_steps))
    arrival = _OPENING_DAY + rng.integers(_ARRIVALS, size=num_users)
    return arrival[purchases.user] + gaps.cumsum(axis=1)[purchases.user, purchases.step]


def _ratings(
    shop: Shop, shoppers: Shoppers, purchases: Purchases, rng: np.random.Generator
) -> np.ndarray:
    """One to five stars: four for an indifferent item, give or take, ``int64[rows]``."""
    fit = suits(shop, shoppers, purchases.user, purchases.item)
    noise = rng.choice([-1, 0, 1], p=[0.2, 0.5, 0.3], size=len(fit))
    return np.clip(4 + np.where(fit > 0, 1, fit) + noise, 1, 5)


def _texts(
    shop: Shop,
    shoppers: Shoppers,
    purchases: Purchases,
    words: np.random.Generator,
) -> tuple[list[str], list[str]]:
    """Headlines and reviews; some rows lack the headline, some lack both."""
    missing = words.random(len(purchases.user))
    texts = [("", "")] * len(missing)
    for row, (user, item) in enumerate(zip(purchases.user, purchases.item, strict=True)):
        if missing[row] < _NO_TEXT:
            continue
        shelf, kind, brand = _names(shop, item)
        weakness = int(shop.weakness[item])
        opinion = opinion_of(shoppers.aspects[user], shop.strengths[item], weakness, words)
        headline, review = write_review(opinion, kind, brand, SHELVES[shelf].activity, words)
        has_headline = missing[row] >= _NO_TEXT + _NO_HEADLINE
        texts[row] = (headline if has_headline else "", review)
    return [headline for headline, _ in texts], [review for _, review in texts]


def _catalog(shop: Shop, order: np.ndarray) -> Catalog:
    """Texts of each item, by item index; ``order`` maps it to the item's number in the shop."""
    lines = [*islice(_line_names(), int(shop.line.max()) + 1)]
    titles, brands, categories, descriptions = [], [], [], []
    for item in order:
        shelf, kind, brand = _names(shop, item)
        first, second = (ASPECTS[aspect] for aspect in shop.strengths[item])
        titles.append(f"{brand} {lines[shop.line[item]]} {kind}")
        brands.append(brand)
        categories.append(("Demo Shop", SHELVES[shelf].category, kind.capitalize()))
        descriptions.append(describe(kind, SHELVES[shelf].activity, first, second))
    return Catalog(tuple(titles), tuple(brands), tuple(categories), tuple(descriptions))


def _names(shop: Shop, item: int) -> tuple[int, str, str]:
    """An item's shelf, the name of its kind and its brand; a line keeps one brand."""
    shelf, place = divmod(int(shop.kind[item]), KINDS_PER_SHELF)
    brands = SHELVES[shelf].brands
    return shelf, SHELVES[shelf].kinds[place], brands[int(shop.line[item]) % len(brands)]


def _line_names() -> Iterator[str]:
    """Aero, Terra, ..., then Aero 2, Terra 2, ... without end."""
    yield from LINES
    yield from (f"{name} {number}" for number in count(2) for name in LINES)
