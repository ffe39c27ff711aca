"""The baseline every writer of explanations is printed beside: one sentence for everybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Self

from edgewise.data.texts import ExplanationPairs
from edgewise.errors import EdgewiseError


class FrequentText:
    """Says of every item what users most often said of any item.

    Word-overlap scores reward sentences that fit everywhere; this shows how much.
    """

    def __init__(self) -> None:
        self.text = ""

    def fit(self, pairs: ExplanationPairs) -> Self:
        """Find the most frequent text; of equally frequent ones the first in the alphabet.

        Raises:
            EdgewiseError: there are no pairs.
        """
        if not len(pairs):
            raise EdgewiseError("no texts to choose from: the train rows have no reviews")
        self.text = min(Counter(pairs.text).items(), key=lambda pair: (-pair[1], pair[0]))[0]
        return self

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """The same text for each pair."""
        return [self.text] * len(pairs)
