"""The demo shop: a small data set in which the right answers are known.

One latent-factor model makes everything. Users and items have factors over eight shelves (what one
likes, where an item stands) and eight aspects (what one cares for, what an item is good and bad
at), and a wish is a draw from ``softmax(p_u . q_i + log popularity_i)``, bought unless the user has
it. Habits lie on top of it (after a camera comes the lens of the same line) and complements (bought
on the same day). Ratings and reviews follow from the same factors. Popularity, the graph
and the order of events each explain a part of the shop, and none explains all.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, islice
from typing import NamedTuple

import numpy as np
import polars as pl

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.errors import ConfigError


class Shelf(NamedTuple):
    """Things of one taste.

    Attributes:
        category: its place in the shop.
        activity: what its things are for; completes "I use it for".
        brands: who makes them.
        kinds: its things, in the order in which a user comes to need them.
    """

    category: str
    activity: str
    brands: list[str]
    kinds: list[str]


class Aspect(NamedTuple):
    """One way in which items differ and which users care about, praised and found wanting."""

    adjective: str
    praise: list[str]
    complaint: list[str]


def _table(text: str) -> list[list[str]]:
    """The fields of each line."""
    return [line.split(" | ") for line in text.strip().splitlines()]


# Neighbours in this ring share many users.
SHELVES = [
    Shelf(category, activity, brands.split(", "), kinds.split(", "))
    for category, activity, brands, kinds in _table("""
Photography | weekend photo walks | Norrlux, Pellicle & Co, Vantaro | \
camera, lens, tripod, camera bag, memory card, lens filter
Hiking | long hikes | Fellgate, Cairnway, Oxbow Trail | \
backpack, rain shell, camp stove, mess kit, trail lantern, sleeping mat
Cycling | my ride to work | Veloria, Spokesmith, Tarmaq | \
helmet, bike light, bottle cage, saddle bag, hand pump, chain tool
Coffee | the first cup of the day | Moka Lane, Brunello Works, Cup & Crema | \
coffee grinder, kettle, dripper, coffee scale, milk frother, travel mug
Baking | Sunday baking | Hearthly, Crumb & Crust, Ovenbird | \
mixing bowl, dough scraper, proofing basket, cake tin, cooling rack, bread bin
Gardening | the balcony garden | Greenhollow, Mossby, Sprigwell | \
planter, trowel, seed kit, watering can, pruner, plant trellis
Sketching | sketching in cafes | Atelier Finch, Inkstead, Palettino | \
sketchbook, pencil set, blending stump, ink pen, watercolour box, brush roll
Home Recording | recording at home | Echobarn, Tonewright, Quietroom | \
microphone, pop screen, audio interface, headset, cable kit, mic stand
""")
]
ASPECTS = [
    Aspect(adjective, praise.split(", "), complaint.split(", "))
    for adjective, praise, complaint in _table("""
light | weighs almost nothing, easy to carry all day | \
heavier than I hoped, a burden after an hour
sturdy | built to last for years, survived a hard fall | \
flimsy to the touch, cracked within a month
pretty | lovely in every colour, a joy to look at | \
rather dull to look at, faded after a week
affordable | great value for the money, half the usual price | \
priced far too high, not worth the money
simple | ready right out of the box, no manual needed | \
fiddly to set up, confusing from the start
compact | small enough for any drawer, takes hardly any space | \
too bulky for my shelf, bigger than it looks
precise | exact in every detail, accurate to a hair | \
not accurate enough, a little off every time
washable | wipes clean in seconds, spotless after a rinse | \
hard to keep clean, stained on day one
""")
]
LINES = ("Aero", "Terra", "Nimbus", "Cedar", "Halo", "Quarry", "Lumen", "Drift", "Ember", "Sable")
_HEADLINES = {
    "liked": (
        "{adjective} {kind}, {phrase}",
        "{phrase}, a truly {adjective} {kind}",
        "very {adjective} and {phrase}",
        "the {adjective} {kind} I wanted",
    ),
    "mild": (
        "decent {kind}, quite {adjective}",
        "fine {kind}, {phrase}",
        "does its job and is {adjective}",
    ),
    "disliked": (
        "not as {adjective} as I need, {phrase}",
        "I wanted a more {adjective} {kind}",
        "disappointing {kind}, {phrase}",
    ),
}
_OPENINGS = (
    "I use this {brand} {kind} for {activity}.",
    "Bought the {kind} for {activity}.",
    "My second {brand}, this time a {kind} for {activity}.",
)
_CLOSINGS = {
    "liked": ("Would buy again.", "Highly recommended!", "Exactly right for me."),
    "mild": ("Does what it should.", "No complaints.", "Good enough for now."),
    "disliked": ("I may send it back.", "My next one will be another brand.", "A pity."),
}

_KINDS = [(shelf, kind) for shelf in SHELVES for kind in shelf.kinds]
_KINDS_PER_SHELF = len(SHELVES[0].kinds)
# Standard deviations of log popularity, which a shelf's line shares, and which is an item's own.
_LINE_SPREAD, _ITEM_SPREAD = 1.1, 0.7
# Chances of one step, tuned so that no simple rule explains the shop.
_FOLLOW_HABIT, _SAME_LINE, _BUY_COMPLEMENT = 0.6, 0.7, 0.15
_CURIOSITY = 0.04  # added to the share of each shelf, liked or not
_CARE = 0.4  # weight of the aspects beside popularity
_DAY = 86_400
_OPENING_DAY = 19_000  # 2022-01-08, in days since 1970
_ARRIVALS = 500  # days over which users first come
_MEAN_GAP = 12  # days between two steps of a user
_NO_TEXT, _NO_HEADLINE = 0.05, 0.05


def make_demo_shop(seed: int = 0, num_users: int = 400, num_items: int = 240) -> Dataset:
    """Make the shop; equal arguments give equal data sets.

    Args:
        seed: of everything random.
        num_users: users, each with about a dozen purchases.
        num_items: things for sale, at least one of each of the 48 kinds.

    Raises:
        ConfigError: no user, or too few items.
    """
    if num_users < 1 or num_items < len(_KINDS):
        raise ConfigError(
            f"a demo shop needs at least 1 user and {len(_KINDS)} items, "
            f"got num_users={num_users}, num_items={num_items}"
        )
    # One generator a purpose: new wording must not change who bought what.
    world, names, calendar, words = np.random.default_rng(seed).spawn(4)
    shop = _build(num_users, num_items, world)
    bought = _purchases(shop, world)
    # Raw ids are dealt at random and numbered by a shuffle: neither tells shelf, line or order.
    user_ids = [f"u{number:04d}" for number in names.permutation(num_users)]
    codes = names.choice(10_000 + 9 * num_items, size=num_items, replace=False)
    item_ids = [f"SKU-{code:05d}" for code in codes]
    users = Vocabulary.shuffled(user_ids, kind="user", seed=seed)
    items = Vocabulary.shuffled(item_ids, kind="item", seed=seed)
    item_index = items.indices_of(item_ids)
    days = _days(bought, num_users, calendar)
    summaries, reviews = _texts(shop, bought, words)
    rows = Interactions(
        user_index=users.indices_of(user_ids)[bought.user],
        item_index=item_index[bought.item],
        timestamp=days * _DAY,
        rating=_ratings(shop, bought, world),
        review=pl.Series(reviews, dtype=pl.String),
        summary=pl.Series(summaries, dtype=pl.String),
    )
    # A day's rows stand in random order: the order in which they were drawn would tell the habit.
    order = np.lexsort((calendar.random(len(days)), days, rows.user_index))
    sizes: dict[str, object] = {"seed": seed, "num_users": num_users, "num_items": num_items}
    catalog = _catalog(shop, np.argsort(item_index))
    return Dataset("demo", users, items, rows.take(order), catalog, {"format": "demo", **sizes})


@dataclass(frozen=True)
class _Shop:
    """The hidden factors; items stand in the order of their shelves, which no data set sees.

    Attributes:
        kind: of each item, ``int64[I]``; a shelf has ``_KINDS_PER_SHELF`` of them.
        line: its place among the items of its kind, ``int64[I]``.
        habits: what is usually needed next, and what else may be, ``int64[2, I]``; -1 for none.
        complement: what is bought along with it, a symmetric pairing, ``int64[I]``; -1 for none.
        quality: 1 for the two aspects an item is good at, -1 for one it fails at, ``[I, aspects]``.
        care: 2 and 1 for the aspects that a user cares for, else 0, ``[U, aspects]``.
        utility: ``p_u . q_i + log popularity_i``, ``float64[U, I]``.
    """

    kind: np.ndarray
    line: np.ndarray
    habits: np.ndarray
    complement: np.ndarray
    quality: np.ndarray
    care: np.ndarray
    utility: np.ndarray


class _Purchases(NamedTuple):
    """Rows in the order they were drawn: step by step, all users at each, ``int64[rows]``."""

    user: np.ndarray
    item: np.ndarray
    step: np.ndarray


def _build(num_users: int, num_items: int, rng: np.random.Generator) -> _Shop:
    """Draw the factors, spread items evenly over kinds, and pair them by habit and complement."""
    kind = np.sort(np.arange(num_items) % len(_KINDS))
    sizes = np.bincount(kind)
    starts = np.cumsum(sizes) - sizes
    line = np.arange(num_items) - starts[kind]
    shelf, place = np.divmod(kind, _KINDS_PER_SHELF)

    quality = _marks(num_items, (1, 1, -1), rng)
    care = _marks(num_users, (2, 1), rng)
    by_line = rng.normal(scale=_LINE_SPREAD, size=(len(SHELVES), line.max() + 1))
    popularity = by_line[shelf, line] + rng.normal(scale=_ITEM_SPREAD, size=num_items)
    p = np.hstack([np.log(_tastes(num_users, rng) + _CURIOSITY), _CARE * care])
    q = np.hstack([np.eye(len(SHELVES))[shelf], quality])

    is_last = place == _KINDS_PER_SHELF - 1
    following = np.where(is_last, kind, kind + 1)
    nexts = [starts[following] + (line + shift) % sizes[following] for shift in (0, 1)]
    half = _KINDS_PER_SHELF // 2
    partner = np.where(place < half, kind + half, kind - half)
    return _Shop(
        kind=kind,
        line=line,
        habits=np.where(is_last, -1, nexts),
        complement=np.where(line < sizes[partner], starts[partner] + line, -1),
        quality=quality,
        care=care,
        utility=p @ q.T + popularity,
    )


def _marks(num_rows: int, marks: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Each mark at an aspect drawn without repeats, 0 elsewhere, ``int64[rows, aspects]``."""
    table = np.zeros((num_rows, len(ASPECTS)), dtype=np.int64)
    aspects = np.argsort(rng.random(table.shape), axis=1)[:, : len(marks)]
    np.put_along_axis(table, aspects, np.array(marks)[None], axis=1)
    return table


def _tastes(num_users: int, rng: np.random.Generator) -> np.ndarray:
    """Shares of a shelf, most often the next one too, and sometimes any third, ``[U, shelves]``."""
    users, num_shelves = np.arange(num_users), len(SHELVES)
    first, third = rng.integers(num_shelves, size=(2, num_users))
    step = np.where(rng.random(num_users) < 0.7, 1, rng.integers(1, num_shelves, size=num_users))
    tastes = np.zeros((num_users, num_shelves))
    tastes[users, third] += np.where(rng.random(num_users) < 0.5, 0.2, 0.0)
    tastes[users, (first + step) % num_shelves] += 0.35
    tastes[users, first] += 0.45
    return tastes


def _purchases(shop: _Shop, rng: np.random.Generator) -> _Purchases:
    """Let every user shop, step by step: follow a habit or a taste, never the same item twice."""
    users = np.arange(len(shop.utility))
    num_events = 6 + rng.geometric(0.2, size=len(users)).clip(max=20)
    owned = np.zeros(shop.utility.shape, dtype=bool)
    current, rows = np.full(len(users), -1), []
    for step in range(num_events.max()):
        item = _wish(shop, current, rng)
        buys = (step < num_events) & ~owned[users, item]
        owned[users[buys], item[buys]] = True
        current = np.where(buys, item, current)
        extra = shop.complement[item]
        adds = buys & (extra >= 0) & (rng.random(len(users)) < _BUY_COMPLEMENT)
        adds &= ~owned[users, extra]
        owned[users[adds], extra[adds]] = True
        for who, what in ((buys, item), (adds, extra)):
            rows.append(np.stack([users[who], what[who], np.full(who.sum(), step)]))
    return _Purchases(*np.concatenate(rows, axis=1))


def _wish(shop: _Shop, current: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One item a user, ``int64[U]``, given the user's last one (-1 at the start)."""
    # The largest of logits with Gumbel noise is a draw from their softmax.
    drawn = (shop.utility + rng.gumbel(size=shop.utility.shape)).argmax(axis=1)
    habit = shop.habits[(rng.random(len(current)) > _SAME_LINE).astype(int), current]
    follows = (current >= 0) & (habit >= 0) & (rng.random(len(current)) < _FOLLOW_HABIT)
    return np.where(follows, habit, drawn)


def _days(bought: _Purchases, num_users: int, rng: np.random.Generator) -> np.ndarray:
    """The day of each row, ``int64[rows]``: one day a step, so complements share a day."""
    gaps = rng.geometric(1 / _MEAN_GAP, size=(num_users, bought.step.max() + 1))
    arrival = _OPENING_DAY + rng.integers(_ARRIVALS, size=num_users)
    return arrival[bought.user] + gaps.cumsum(axis=1)[bought.user, bought.step]


def _ratings(shop: _Shop, bought: _Purchases, rng: np.random.Generator) -> np.ndarray:
    """One to five stars: four for an indifferent item, give or take, ``float32[rows]``."""
    fit = (shop.care[bought.user] * shop.quality[bought.item]).sum(axis=1)
    noise = rng.choice([-1, 0, 1], p=[0.2, 0.5, 0.3], size=len(fit))
    return np.clip(4 + np.minimum(fit, 1) + noise, 1, 5).astype(np.float32)


def _texts(
    shop: _Shop, bought: _Purchases, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Headlines and reviews of what matters most to the user; some rows lack one, some both."""
    quality = shop.quality[bought.item]
    matters = shop.care[bought.user] * quality  # [rows, aspects]
    # Where nothing matters, any strength is noted mildly.
    noted = np.abs(matters) + 0.5 * rng.random(matters.shape) * (quality > 0)
    missing = rng.random(len(noted))
    headlines, reviews = [""] * len(noted), [""] * len(noted)
    for row in np.flatnonzero(missing >= _NO_TEXT):
        aspect = noted[row].argmax()
        verdict = ("mild", "liked", "disliked")[np.sign(matters[row, aspect])]
        headline, reviews[row] = _write(shop, bought.item[row], ASPECTS[aspect], verdict, rng)
        headlines[row] = headline if missing[row] >= _NO_TEXT + _NO_HEADLINE else ""
    return headlines, reviews


def _write(
    shop: _Shop, item: int, aspect: Aspect, verdict: str, rng: np.random.Generator
) -> tuple[str, str]:
    """A headline and a review of three sentences."""
    shelf, kind, brand = _names(shop, item)
    phrases = aspect.complaint if verdict == "disliked" else aspect.praise
    words = {"adjective": aspect.adjective, "kind": kind, "brand": brand}
    words |= {"activity": shelf.activity, "phrase": rng.choice(phrases)}
    parts = (_HEADLINES[verdict], phrases, _OPENINGS, _CLOSINGS[verdict])
    headline, phrase, opening, closing = (str(rng.choice(p)).format(**words) for p in parts)
    return _capital(headline), f"{_capital(phrase)}. {opening} {closing}"


def _catalog(shop: _Shop, order: np.ndarray) -> Catalog:
    """Texts of each item, by item index; ``order`` maps it to the item's number in the shop."""
    named = (name if n == 1 else f"{name} {n}" for n in count(1) for name in LINES)
    lines = [*islice(named, int(shop.line.max()) + 1)]
    rows = []
    for item in order:
        shelf, kind, brand = _names(shop, item)
        good = " and ".join(ASPECTS[a].adjective for a in np.flatnonzero(shop.quality[item] > 0))
        article = "An" if good[0] in "aeiou" else "A"
        title, path = f"{brand} {lines[shop.line[item]]} {kind}", (shelf.category, _capital(kind))
        description = f"{article} {good} {kind}, made for {shelf.activity}."
        rows.append((title, brand, ("Demo Shop", *path), description))
    return Catalog(*zip(*rows, strict=True))


def _names(shop: _Shop, item: int) -> tuple[Shelf, str, str]:
    """An item's shelf, the name of its kind and its brand; a line keeps one brand."""
    shelf, kind = _KINDS[shop.kind[item]]
    return shelf, kind, shelf.brands[shop.line[item] % len(shelf.brands)]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
