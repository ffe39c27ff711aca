"""The demo shop's wares: what it sells, and in which ways things of a kind differ."""

from __future__ import annotations

from dataclasses import dataclass


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
