"""One sentence for everybody."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.data.texts import ExplanationPairs
from edgewise.errors import EdgewiseError
from edgewise.models.frequent_text import FrequentText


def pairs(*texts: str) -> ExplanationPairs:
    rows = np.arange(len(texts), dtype=np.int32)
    return ExplanationPairs(rows, rows, list(texts))


def test_the_most_frequent_text_is_said_to_everybody():
    model = FrequentText().fit(pairs("good", "great", "good", "bad"))
    assert model.explain([(0, 1), (5, 5), (2, 2)]) == ["good"] * 3
    assert model.explain([]) == []


def test_order_of_rows_does_not_decide_ties():
    assert (
        FrequentText().fit(pairs("b", "a")).text == FrequentText().fit(pairs("a", "b")).text == "a"
    )


def test_no_texts_are_refused():
    with pytest.raises(EdgewiseError, match="no reviews"):
        FrequentText().fit(pairs())
