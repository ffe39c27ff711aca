"""Raw ids and the contiguous indices that stand for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

import numpy as np

from edgewise.errors import UnknownIdError


@dataclass(frozen=True)
class Vocabulary:
    """The ids of one kind of entity; an id's place in the tuple is its index.

    Models that spell an entity as text (``item_17``) use ``index + 1`` as the number.

    Attributes:
        ids: raw ids as they stand in the user's file, by index.
        kind: what the ids name, for messages.
    """

    ids: tuple[str, ...]
    kind: Literal["user", "item"] = "item"

    @classmethod
    def shuffled(
        cls, raw_ids: Iterable[str], *, kind: Literal["user", "item"], seed: int
    ) -> Vocabulary:
        """Number ids by a seeded shuffle of their sorted order.

        Numbers given in order of first appearance tell a model which items were bought next, test
        rows included. A shuffle of the sorted ids depends on the set of ids and the seed alone.
        """
        ordered = sorted(set(raw_ids))
        order = np.random.default_rng(seed).permutation(len(ordered))
        return cls(tuple(ordered[i] for i in order), kind)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {raw: index for index, raw in enumerate(self.ids)}

    def __contains__(self, raw_id: str) -> bool:
        return raw_id in self._index

    def index_of(self, raw_id: str) -> int:
        """The index of one id.

        Raises:
            UnknownIdError: the id is not in the data set; close spellings are named.
        """
        try:
            return self._index[raw_id]
        except KeyError:
            close = get_close_matches(raw_id, self.ids[:50_000], n=3, cutoff=0.7)
            hint = f" Close ids: {', '.join(close)}." if close else ""
            raise UnknownIdError(
                f"unknown {self.kind} id {raw_id!r}: the data set has {len(self)} {self.kind}s "
                f"and this is none of them.{hint}"
            ) from None

    def indices_of(self, raw_ids: Sequence[str]) -> np.ndarray:
        """Indices of many ids, ``int32[len(raw_ids)]``."""
        return np.array([self.index_of(raw_id) for raw_id in raw_ids], dtype=np.int32)
