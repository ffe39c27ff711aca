"""Second-order prompts: items that have a brand or a category in common (Section 3.3.2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgewise.data.interactions import Catalog
from edgewise.data.keyed_random import keyed_uniform
from edgewise.models.graph_gpt.stages.ragged import Ragged
from edgewise.models.graph_gpt.stages.schedule import LatestEpoch, Stream
from edgewise.models.graph_gpt.wordings import SecondOrder


@dataclass(frozen=True)
class SharedName:
    """A brand or category and the items that have it, rising."""

    kind: SecondOrder
    name: str
    items: Sequence[int]


def shared_names(catalog: Catalog) -> Iterator[SharedName]:
    """Brands, then categories, of at least two items.

    A name that every item of the catalogue has tells nothing of any of them and is left out too, as
    is the root of most category trees.
    """
    yield from _shared("shared_brand", [(brand,) for brand in catalog.brand])
    yield from _shared("shared_category", catalog.categories)


def _shared(kind: SecondOrder, names_of_item: Sequence[Sequence[str]]) -> Iterator[SharedName]:
    members: dict[str, list[int]] = defaultdict(list)
    for item, names in enumerate(names_of_item):
        for name in {" ".join(name.split()): None for name in names}:
            members[name].append(item)
    members.pop("", None)
    for name in sorted(members):
        if 2 <= len(members[name]) < len(names_of_item):
            yield SharedName(kind, name, members[name])


@dataclass(frozen=True, eq=False)
class SharedLists:
    """Lists of items cut into windows, each list shuffled anew each epoch.

    Attributes:
        items: of every list.
        window: items of a window at most.
        seed: of the order.
    """

    items: Ragged
    window: int
    seed: int

    @cached_property
    def windows(self) -> np.ndarray:
        """List, first place and end of every window, ``int64[W, 3]``.

        A last window of a single item takes one more from the window before it.
        """
        rows = [
            (number, min(start, length - 2), min(start + self.window, length))
            for number, length in enumerate(self.items.lengths.tolist())
            for start in range(0, length, self.window)
        ]
        return np.array(rows, dtype=np.int64).reshape(-1, 3)

    def items_of(self, window: int, epoch: int) -> np.ndarray:
        """Items of a window in an epoch, ``int64[n]``."""
        number, start, end = self.windows[window]
        first = self.items.offsets[number]
        return self._shuffled(epoch)[first + start : first + end]

    @cached_property
    def _shuffled(self) -> LatestEpoch[np.ndarray]:
        return LatestEpoch(self._draw)

    def _draw(self, epoch: int) -> np.ndarray:
        places = np.arange(len(self.items.values))
        draw = keyed_uniform(self.seed, int(Stream.CONTENT_LISTS), epoch, places)
        return self.items.values[self.items.ranked(draw)]
