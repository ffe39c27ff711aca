"""The items of a served model: what the data set says of them, and what the shop changed since.

Shapes: I items of the data set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgewise.config import check, nearest
from edgewise.data.dataset import Dataset
from edgewise.display import one_line
from edgewise.serving.schemas import Item
from edgewise.serving.store import StoredItem

Filters = Mapping[str, Sequence[str]]
ATTRIBUTES = ("brand", "categories")


@dataclass(frozen=True, eq=False)
class Wish:
    """Which items a request wants to be shown; ids that nobody knows change nothing.

    Attributes:
        allow, deny: ids; None allows all.
        filters: attributes and their values: all attributes must agree, by any value.
    """

    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()
    filters: Filters | None = None

    @property
    def is_open(self) -> bool:
        """Whether it leaves nothing out."""
        return self.allow is None and not self.deny and not self.filters


class Catalogue:
    """Items by index, with all changes joined in; changed by one thread and read by several.

    Attributes:
        index: of each id.
        ids, titles: by index.
        hidden: items that are not available, ``bool[I]``, replaced by each change.
        added: items that the data set lacks, by id; they may stand in histories.
        place: of the newest change of the store that was joined in.
    """

    def __init__(self, dataset: Dataset) -> None:
        catalog = dataset.catalog
        self.ids = dataset.items.ids
        self.index = {item: number for number, item in enumerate(self.ids)}
        self.titles = list(catalog.title)
        self.hidden = np.zeros(len(self.ids), dtype=bool)
        self.added: dict[str, Item] = {}
        self.place = 0
        self._brands = list(catalog.brand)
        self._categories = [tuple(names) for names in catalog.categories]
        self._by_value: dict[str, dict[str, np.ndarray]] = {}

    def __contains__(self, item_id: str) -> bool:
        return item_id in self.index or item_id in self.added

    def item(self, item_id: str) -> Item | None:
        """What is known of an item; None of one that nobody has heard of."""
        number = self.index.get(item_id)
        if number is None:
            return self.added.get(item_id)
        return Item(
            item_id=item_id,
            title=self.titles[number],
            brand=self._brands[number],
            categories=list(self._categories[number]),
            available=not self.hidden[number],
        )

    def apply(self, changes: Iterable[StoredItem]) -> None:
        """Join changes in, each of which holds all that was ever changed of its item."""
        hidden = self.hidden.copy()
        for changed in changes:
            number = self.index.get(changed.item_id)
            self.place = max(self.place, changed.place)
            if number is None:
                new = Item(item_id=changed.item_id)
                self.added[changed.item_id] = new.model_copy(update=dict(changed.change))
            else:
                self._change(number, changed.change, hidden)
        self.hidden = hidden
        self._by_value = {}

    def _change(self, number: int, change: Mapping[str, Any], hidden: np.ndarray) -> None:
        if "title" in change:
            self.titles[number] = change["title"]
        if "brand" in change:
            self._brands[number] = change["brand"]
        if "categories" in change:
            self._categories[number] = tuple(change["categories"])
        if "available" in change:
            hidden[number] = not change["available"]

    def wants(self, number: int, wish: Wish) -> bool:
        """Whether an item may be shown: it is available, and what was wished for."""
        if self.hidden[number]:
            return False
        if wish.is_open:
            return True
        item = self.ids[number]
        if item in wish.deny or (wish.allow is not None and item not in wish.allow):
            return False
        return all(self._has(number, name, wanted) for name, wanted in (wish.filters or {}).items())

    def unwanted(self, wish: Wish) -> np.ndarray:
        """Items of which :meth:`wants` says no, ``bool[I]``."""
        found = self.hidden.copy()
        if wish.allow is not None:
            allowed = np.zeros_like(found)
            allowed[self._numbers(wish.allow)] = True
            found |= ~allowed
        found[self._numbers(wish.deny)] = True
        for name, wanted in (wish.filters or {}).items():
            by_value = self._items_by_value(name)
            some = np.zeros_like(found)
            for value in wanted:
                some[by_value.get(value, [])] = True
            found |= ~some
        return found

    def _has(self, number: int, name: str, wanted: Sequence[str]) -> bool:
        if name == "brand":
            return self._brands[number] in wanted
        return any(value in wanted for value in self._categories[number])

    def _numbers(self, ids: Iterable[str]) -> list[int]:
        return [self.index[item] for item in ids if item in self.index]

    def _items_by_value(self, name: str) -> dict[str, np.ndarray]:
        known = self._by_value.get(name)
        if known is None:
            found: dict[str, list[int]] = {}
            for number in range(len(self.ids)):
                values = (self._brands[number],) if name == "brand" else self._categories[number]
                for value in values:
                    found.setdefault(value, []).append(number)
            known = {value: np.array(numbers) for value, numbers in found.items()}
            self._by_value = {**self._by_value, name: known}
        return known


def wish_of(
    allow: Sequence[str] | None, deny: Sequence[str] | None, filters: Filters | None
) -> Wish:
    """As a request says it."""
    return replace(
        Wish(),
        allow=None if allow is None else frozenset(allow),
        deny=frozenset(deny or ()),
        filters=filters or None,
    )


def check_attributes(names: Iterable[str]) -> None:
    """Refuse attributes that items do not have.

    Raises:
        ConfigError: names the nearest.
    """
    for name in names:
        told = f"filters: items have no {one_line(name)!r}, only {' and '.join(ATTRIBUTES)}."
        check(name in ATTRIBUTES, told + nearest(name, ATTRIBUTES))
