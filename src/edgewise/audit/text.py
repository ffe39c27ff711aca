"""Held-out interactions among the texts that are trained on."""

from __future__ import annotations

from edgewise.audit.findings import Figure, Finding, Subject
from edgewise.audit.pairs import Pairs, visible_share
from edgewise.data.split import Split

_PAIRS = Subject("text-pairs", "text")


def held_out_texts(texts: Pairs | None, split: Split) -> Finding:
    """Share of test and validation rows whose own words are trained on.

    Args:
        texts: user and item of each training text: explanations, reviews.
        split: where the held-out rows are.
    """
    if texts is None or not len(texts.user_index):
        return _PAIRS.not_applicable("no text of a user about an item is trained on")
    test, valid = (visible_share(split, part, texts) for part in ("test", "valid"))
    figures = Figure("test rows with a training text", test), Figure("validation rows", valid)
    if not test and not valid:
        return _PAIRS.ok("every training text belongs to a train row", *figures)
    return _PAIRS.leak(
        "the text model reads what users wrote about the items they are asked for",
        *figures,
        repair="leave each text in its interaction's part (protocol honest, prompts.explanations "
        "= interaction)",
    )
