"""Held-out rows among the texts that are trained on."""

from __future__ import annotations

import pytest

from edgewise.audit.split_checks import held_out_texts
from edgewise.data.texts import explanation_split


def test_texts_that_stay_in_their_part_are_clean(shop):
    finding = held_out_texts(explanation_split(shop).train, shop)
    assert finding.verdict == "ok"


def test_texts_dealt_at_random_are_found_with_their_size(shop):
    finding = held_out_texts(explanation_split(shop, "random", seed=1).train, shop)
    assert finding.verdict == "leak" and "prompts.explanations" in finding.repair
    # 80 % of all texts train, and about one row in ten has no text.
    assert [f.value for f in finding.figures] == pytest.approx([0.78, 0.78], abs=0.08)


def test_no_texts_nothing_to_look_at(make_split):
    split = make_split([[0, 1, 2, 3]], 4)
    assert held_out_texts(None, split).verdict == "not applicable"
    assert held_out_texts(explanation_split(split).train, split).verdict == "not applicable"
