"""The demo shop's wares: what it sells, and in which ways things of a kind differ.

How the demo shop's customers write, and how the shop describes its wares.

The demo shop's hidden rules: habits and complements between items, tastes of users.

Walks through the demo shop: what each user buys, step by step.

The demo shop: a small data set in which the right answers are known.

Shoppers like two or three shelves that overlap, follow habits (a camera, then the lens of the
same line, then a tripod), buy complements on the same day, and pick popular things; what they
write depends on what they care for and on what the item is good at. Popularity, the graph and the
order of events each explain a part of it, and none explains all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
import polars as pl

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.errors import ConfigError


@dataclass(frozen=True)
class Shelf:
    """Things of one taste.

    Attributes:
        category: its place in the shop.
        activity: what its things are for; completes "I use it for".
        kinds: its things, in the order in which a shopper comes to need them.
        brands: who makes them.
    """

    category: str
    activity: str
    kinds: tuple[str, ...]
    brands: tuple[str, ...]


@dataclass(frozen=True)
class Aspect:
    """One way in which items differ and which shoppers care about, praised and found wanting."""

    adjective: str
    praise: tuple[str, ...]
    complaint: tuple[str, ...]


# Neighbours in this ring share many shoppers.
SHELVES = (
    Shelf(
        "Photography",
        "weekend photo walks",
        ("camera", "lens", "tripod", "camera bag", "memory card", "lens filter"),
        ("Norrlux", "Pellicle & Co", "Vantaro"),
    ),
    Shelf(
        "Hiking",
        "long hikes",
        ("backpack", "rain shell", "camp stove", "mess kit", "trail lantern", "sleeping mat"),
        ("Fellgate", "Cairnway", "Oxbow Trail"),
    ),
    Shelf(
        "Cycling",
        "my ride to work",
        ("helmet", "bike light", "bottle cage", "saddle bag", "hand pump", "chain tool"),
        ("Veloria", "Spokesmith", "Tarmaq"),
    ),
    Shelf(
        "Coffee",
        "the first cup of the day",
        ("coffee grinder", "kettle", "dripper", "coffee scale", "milk frother", "travel mug"),
        ("Moka Lane", "Brunello Works", "Cup & Crema"),
    ),
    Shelf(
        "Baking",
        "Sunday baking",
        (
            "mixing bowl",
            "dough scraper",
            "proofing basket",
            "cake tin",
            "cooling rack",
            "bread bin",
        ),
        ("Hearthly", "Crumb & Crust", "Ovenbird"),
    ),
    Shelf(
        "Gardening",
        "the balcony garden",
        ("planter", "trowel", "seed kit", "watering can", "pruner", "plant trellis"),
        ("Greenhollow", "Mossby", "Sprigwell"),
    ),
    Shelf(
        "Sketching",
        "sketching in cafes",
        ("sketchbook", "pencil set", "blending stump", "ink pen", "watercolour box", "brush roll"),
        ("Atelier Finch", "Inkstead", "Palettino"),
    ),
    Shelf(
        "Home Recording",
        "recording at home",
        ("microphone", "pop screen", "audio interface", "headset", "cable kit", "mic stand"),
        ("Echobarn", "Tonewright", "Quietroom"),
    ),
)

ASPECTS = (
    Aspect(
        "light",
        ("weighs almost nothing", "easy to carry all day"),
        ("heavier than I hoped", "a burden after an hour"),
    ),
    Aspect(
        "sturdy",
        ("built to last for years", "survived a hard fall"),
        ("flimsy to the touch", "cracked within a month"),
    ),
    Aspect(
        "pretty",
        ("lovely in every colour", "a joy to look at"),
        ("rather dull to look at", "faded after a week"),
    ),
    Aspect(
        "affordable",
        ("great value for the money", "half the usual price"),
        ("priced far too high", "not worth the money"),
    ),
    Aspect(
        "simple",
        ("ready right out of the box", "no manual needed"),
        ("fiddly to set up", "confusing from the start"),
    ),
    Aspect(
        "compact",
        ("small enough for any drawer", "takes hardly any space"),
        ("too bulky for my shelf", "bigger than it looks"),
    ),
    Aspect(
        "precise",
        ("exact in every detail", "accurate to a hair"),
        ("not accurate enough", "a little off every time"),
    ),
    Aspect(
        "washable",
        ("wipes clean in seconds", "spotless after a rinse"),
        ("hard to keep clean", "stained on day one"),
    ),
)

LINES = ("Aero", "Terra", "Nimbus", "Cedar", "Halo", "Quarry", "Lumen", "Drift", "Ember", "Sable")


_LIKED = (
    "{adjective} {kind}, {phrase}",
    "{phrase}, a truly {adjective} {kind}",
    "very {adjective} and {phrase}",
    "the {adjective} {kind} I wanted",
)
_DISLIKED = (
    "not as {adjective} as I need, {phrase}",
    "I wanted a more {adjective} {kind}",
    "disappointing {kind}, {phrase}",
)
_MILD = (
    "decent {kind}, quite {adjective}",
    "fine {kind}, {phrase}",
    "does its job and is {adjective}",
)
_OPENINGS = (
    "I use this {brand} {kind} for {activity}.",
    "Bought the {kind} for {activity}.",
    "My second {brand}, this time a {kind} for {activity}.",
    "{activity} got easier with this {kind}.",
)
# A letdown made nothing easier.
_NEUTRAL_OPENINGS = _OPENINGS[:-1]
_CLOSINGS = {
    "liked": ("Would buy again.", "Highly recommended!", "Exactly right for me."),
    "disliked": ("I may send it back.", "My next one will be another brand.", "A pity."),
    "mild": ("Does what it should.", "No complaints.", "Good enough for now."),
}


@dataclass(frozen=True)
class Opinion:
    """What a shopper thinks of an item: the aspect that decides, and the verdict.

    Attributes:
        aspect: what the review is about.
        verdict: ``liked``, ``disliked`` or ``mild``.
    """

    aspect: Aspect
    verdict: str


def opinion_of(
    cared: np.ndarray, strengths: np.ndarray, weakness: int, rng: np.random.Generator
) -> Opinion:
    """A weakness or strength that the user cares for decides; else any strength is noted mildly."""
    if weakness == cared[0]:
        return Opinion(ASPECTS[weakness], "disliked")
    for aspect in cared:
        if aspect in strengths:
            return Opinion(ASPECTS[aspect], "liked")
    return Opinion(ASPECTS[rng.choice(strengths)], "mild")


def write_review(
    opinion: Opinion, kind: str, brand: str, activity: str, rng: np.random.Generator
) -> tuple[str, str]:
    """A headline and a review of two or three sentences."""
    phrases = opinion.aspect.complaint if opinion.verdict == "disliked" else opinion.aspect.praise
    templates = {"liked": _LIKED, "disliked": _DISLIKED, "mild": _MILD}[opinion.verdict]
    words = {
        "adjective": opinion.aspect.adjective,
        "kind": kind,
        "brand": brand,
        "activity": activity,
        "phrase": _pick(phrases, rng),
    }
    headline = _capital(_pick(templates, rng).format(**words))
    openings = _NEUTRAL_OPENINGS if opinion.verdict == "disliked" else _OPENINGS
    opening = _capital(_pick(openings, rng).format(**words))
    sentence = _capital(_pick(phrases, rng))
    return headline, f"{sentence}. {opening} {_pick(_CLOSINGS[opinion.verdict], rng)}"


def describe(kind: str, activity: str, first: Aspect, second: Aspect) -> str:
    """The shop's own words on an item."""
    adjectives = f"{first.adjective} and {second.adjective}"
    return f"{_capital(_article(adjectives))} {adjectives} {kind}, made for {activity}."


def _pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _article(text: str) -> str:
    return "an" if text[0] in "aeiou" else "a"


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
