"""The wordings of all prompts, as data (Section 3.3.2, Section 3.4.1).

A wording is words and slots separated by single spaces; ``{user}`` and ``{item}`` are filled with
one token, ``{items}`` with one token an item. The text to be learned follows after the wording, so
that every content prompt ends in a colon.
"""

from __future__ import annotations

from typing import Literal

ItemContent = Literal["title", "brand", "categories", "description"]
FirstOrder = Literal["review", "reason"]
SecondOrder = Literal["shared_brand", "shared_category"]
ContentKind = ItemContent | FirstOrder | SecondOrder

ITEM_CONTENTS: dict[ItemContent, str] = {
    "title": "The title of {item} is :",
    "brand": "The brand of {item} is :",
    "categories": "The categories of {item} are :",
    "description": "The description of {item} is :",
}

FIRST_ORDER: dict[FirstOrder, str] = {
    "review": "{user} reviewed {item} in these words :",
    "reason": "{user} gave this reason for buying {item} :",
}

SECOND_ORDER: dict[SecondOrder, str] = {
    "shared_brand": "The items {items} have one brand in common :",
    "shared_category": "The items {items} have one category in common :",
}

SHARED_CONTENT: dict[ContentKind, SecondOrder] = {
    "brand": "shared_brand",
    "categories": "shared_category",
}

CONTENT_WORDINGS: dict[ContentKind, str] = {**ITEM_CONTENTS, **FIRST_ORDER, **SECOND_ORDER}

# The items follow; each is to be told from those before it.
EVENTS = "{user} has interacted with"

PREDICTIVE = "{user} has interacted with {items} . {user} will interact with"

WORDINGS: tuple[str, ...] = (*CONTENT_WORDINGS.values(), EVENTS, PREDICTIVE)

PLURALS: dict[ContentKind, str] = {
    "title": "titles",
    "brand": "brands",
    "categories": "categories",
    "description": "descriptions",
    "review": "review texts",
    "reason": "reasons for buying",
    "shared_brand": "brands that some items share",
    "shared_category": "categories that some items share",
}
