"""Attributes of items to filter lists by: ``{"brand": "Dove", "categories": ["Hair", "Skin"]}``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import polars as pl

from edgewise.config import check, nearest
from edgewise.data.dataset import Catalog
from edgewise.display import one_line
from edgewise.errors import ConfigError

Filters = Mapping[str, str | Sequence[str]]
"""Values by attribute: an item must have one of the values of every attribute."""

_TOLD = 5


@dataclass(frozen=True, eq=False)
class ItemFacets:
    """What every item has of each attribute.

    Attributes:
        values: by attribute, one tuple an item, empty where nothing is known.
    """

    values: Mapping[str, tuple[tuple[str, ...], ...]]

    @classmethod
    def of(cls, catalog: Catalog) -> ItemFacets:
        """Of brands and categories."""
        brand = tuple((name,) if name else () for name in catalog.brand)
        return cls({"brand": brand, "categories": catalog.categories})

    @classmethod
    def from_frame(cls, items: pl.DataFrame) -> ItemFacets | None:
        """From the columns that :meth:`columns` gave; None where there are none."""
        names = [name for name, kind in items.schema.items() if kind == pl.List(pl.String)]
        return cls({n: tuple(map(tuple, items[n].to_list())) for n in names}) if names else None

    def columns(self) -> dict[str, pl.Series]:
        """A list of texts an item, by attribute."""
        kind = pl.List(pl.String)
        return {name: pl.Series(name, [*map(list, v)], kind) for name, v in self.values.items()}

    def __repr__(self) -> str:
        return f"ItemFacets({', '.join(self.values)})"

    def fits(self, filters: Filters) -> np.ndarray:
        """Which items have one of the values of every attribute, ``bool[I]``.

        Raises:
            ConfigError: no such attribute, or no item has such a value; the nearest is named.
        """
        size = len(next(iter(self.values.values()), ()))
        found = np.ones(size, dtype=bool)
        for name, wanted in filters.items():
            listed = [wanted] if isinstance(wanted, str) else list(wanted)
            known = self._known(name)
            check(bool(listed), f"filter {name}: no value: name one or more")
            some = np.zeros(size, dtype=bool)
            for value in listed:
                if value not in known:
                    raise ConfigError(_unknown(name, value, known))
                some[known[value]] = True
            found &= some
        return found

    def _known(self, name: str) -> dict[str, np.ndarray]:
        if name not in self.values:
            raise ConfigError(
                f"filter {one_line(name)!r}: items have no such attribute."
                f"{nearest(name, self.values)}"
            )
        known = self._items[name]
        check(bool(known), f"filter {name}: the data set knows no {name} of any item")
        return known

    @cached_property
    def _items(self) -> dict[str, dict[str, np.ndarray]]:
        """Items by attribute and value."""
        return {name: dict(_by_value(values)) for name, values in self.values.items()}


def _by_value(values: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, np.ndarray]]:
    names, codes = np.unique(np.array([*chain(*values)], dtype=object), return_inverse=True)
    items = np.repeat(np.arange(len(values)), [len(each) for each in values])
    order = np.argsort(codes, kind="stable")
    parts = np.split(items[order], np.cumsum(np.bincount(codes))[:-1]) if len(names) else []
    yield from zip(names.tolist(), parts, strict=True)


def _unknown(name: str, value: object, known: Mapping[str, np.ndarray]) -> str:
    from difflib import get_close_matches

    told = f"filter {name}: no item has {one_line(value)!r}."
    by_case = [each for each in known if each.casefold() == str(value).strip().casefold()]
    close = by_case or get_close_matches(str(value), known, n=3, cutoff=0.5)
    if close:
        return f"{told} Did you mean {' or '.join(repr(one_line(each)) for each in close[:3])}?"
    common = sorted(known, key=lambda each: -len(known[each]))[:_TOLD]
    return f"{told} The most common: {', '.join(repr(one_line(each)) for each in common)}."
