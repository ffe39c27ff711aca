"""How the demo shop's customers write, and how the shop describes its wares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewise.data.synthetic_text import ASPECTS, Aspect

_LIKED = (
    "{adjective} {kind}, {phrase}",
    "{phrase}, a truly {adjective} {kind}",
    "very {adjective} and {phrase}",
    "the {adjective} {kind} I wanted",
)
_DISLIKED = (
    "not as {adjective} as I need, {phrase}",
    "I wanted a more {adjective} {kind}",
    "disappointing {kind}, {phrase}",
)
_MILD = (
    "decent {kind}, quite {adjective}",
    "fine {kind}, {phrase}",
    "does its job and is {adjective}",
)
_OPENINGS = (
    "I use this {brand} {kind} for {activity}.",
    "Bought the {kind} for {activity}.",
    "My second {brand}, this time a {kind} for {activity}.",
    "{activity} got easier with this {kind}.",
)
# A letdown made nothing easier.
_NEUTRAL_OPENINGS = _OPENINGS[:-1]
_CLOSINGS = {
    "liked": ("Would buy again.", "Highly recommended!", "Exactly right for me."),
    "disliked": ("I may send it back.", "My next one will be another brand.", "A pity."),
    "mild": ("Does what it should.", "No complaints.", "Good enough for now."),
}


@dataclass(frozen=True)
class Opinion:
    """What a shopper thinks of an item: the aspect that decides, and the verdict.

    Attributes:
        aspect: what the review is about.
        verdict: ``liked``, ``disliked`` or ``mild``.
    """

    aspect: Aspect
    verdict: str


def opinion_of(
    cared: np.ndarray, strengths: np.ndarray, weakness: int, rng: np.random.Generator
) -> Opinion:
    """A weakness or strength that the user cares for decides; else any strength is noted mildly."""
    if weakness == cared[0]:
        return Opinion(ASPECTS[weakness], "disliked")
    for aspect in cared:
        if aspect in strengths:
            return Opinion(ASPECTS[aspect], "liked")
    return Opinion(ASPECTS[rng.choice(strengths)], "mild")


def write_review(
    opinion: Opinion, kind: str, brand: str, activity: str, rng: np.random.Generator
) -> tuple[str, str]:
    """A headline and a review of two or three sentences."""
    phrases = opinion.aspect.complaint if opinion.verdict == "disliked" else opinion.aspect.praise
    templates = {"liked": _LIKED, "disliked": _DISLIKED, "mild": _MILD}[opinion.verdict]
    words = {
        "adjective": opinion.aspect.adjective,
        "kind": kind,
        "brand": brand,
        "activity": activity,
        "phrase": _pick(phrases, rng),
    }
    headline = _capital(_pick(templates, rng).format(**words))
    openings = _NEUTRAL_OPENINGS if opinion.verdict == "disliked" else _OPENINGS
    opening = _capital(_pick(openings, rng).format(**words))
    sentence = _capital(_pick(phrases, rng))
    return headline, f"{sentence}. {opening} {_pick(_CLOSINGS[opinion.verdict], rng)}"


def describe(kind: str, activity: str, first: Aspect, second: Aspect) -> str:
    """The shop's own words on an item."""
    adjectives = f"{first.adjective} and {second.adjective}"
    return f"{_capital(_article(adjectives))} {adjectives} {kind}, made for {activity}."


def _pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _article(text: str) -> str:
    return "an" if text[0] in "aeiou" else "a"
