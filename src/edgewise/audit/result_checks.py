"""Lists and figures that were measured: repeated items, padding, impossible or changed figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgewise.audit.published_tables import checkable, impossible, points_of
from edgewise.audit.report import Finding, FindingBuilder, Measurement
from edgewise.audit.split_checks import pair_keys
from edgewise.data.item_lists import Recommendations

_REPEATS = FindingBuilder("repeated-items", "results")
_PADDING = FindingBuilder("padded-lists", "results")
_PAIRS = FindingBuilder("metric-pairs", "results")
_SEALS = FindingBuilder("sealed-figures", "results")
# Means of shares are exact but for the last bits of a float.
_EXACT = 1e-6


@dataclass(frozen=True)
class Measured:
    """Figures of one system on one task.

    Attributes:
        name: the system and the task.
        metrics: means by name, such as ``HitRate@10``.
        one_target: whether every ranked list had exactly one held-out item.
        is_sealed: whether its file has a seal, right or wrong.
        fault: why its seal, or the users' rows beside it, do not bear it out; empty if they do.
    """

    name: str
    metrics: Mapping[str, float]
    one_target: bool = True
    is_sealed: bool = True
    fault: str = ""


def repeated_items(lists: Recommendations | None, *, counted: bool = False) -> Finding:
    """Items that fill several places of one list.

    Args:
        lists: ranked lists of some users; None where no model was asked.
        counted: whether the protocol counts each of the places.
    """
    share = 0.0 if lists is None else _repeated_share(lists)
    figures = () if lists is None else (Measurement("list entries that repeat an item", share),)
    repair = "count an item once, at its best place (protocol honest)"
    if counted:
        return _REPEATS.leak(
            "an item listed twice is counted twice: a hit can be worth more than one",
            *figures,
            repair=repair,
        )
    if lists is None:
        return _REPEATS.not_applicable("no lists: name a run with --run")
    if share:
        return _REPEATS.leak(
            "lists repeat items; whoever counts entries counts hits twice", *figures, repair=repair
        )
    return _REPEATS.ok("no list names an item twice", *figures)


def padded_lists(lists: Recommendations | None, num_items: int, *, padded: bool = False) -> Finding:
    """Places that were filled without the model: no score, or no item of the catalogue.

    Args:
        lists: ranked lists of some users; None where no model was asked.
        num_items: I; an index outside 0..I - 1 is an answer that could not be read.
        padded: whether the protocol fills short lists with random items.
    """
    unread, unscored = (0.0, 0.0) if lists is None else _unread_and_unscored(lists, num_items)
    figures = (
        Measurement("entries that are no item", unread),
        Measurement("without a score", unscored),
    )
    figures = () if lists is None else figures
    repair = "leave lists short, and count them as they are (protocol honest)"
    if padded:
        return _PADDING.leak(
            "short lists are filled with random items, which now and then are right",
            *figures,
            repair=repair,
        )
    if lists is None:
        return _PADDING.not_applicable("no lists: name a run with --run")
    if unread or unscored:
        return _PADDING.leak(
            "places of the lists were not filled by the model", *figures, repair=repair
        )
    return _PADDING.ok("the model chose and scored every place", *figures)


def metric_pairs(measured: list[Measured]) -> Finding:
    """Whether a ranking can have the HR and NDCG that were measured."""
    looked_at, wrong = 0, []
    for system in measured:
        ends = {name: (_least(mean), mean + _EXACT) for name, mean in system.metrics.items()}
        points = points_of(ends)
        if system.one_target and checkable(points):
            looked_at += 1
            wrong += [f"{system.name}, {reason}" for reason in impossible(points)]
    if not looked_at:
        return _PAIRS.not_applicable("no HR and NDCG with one held-out item a list")
    figure = Measurement("impossible", float(len(wrong)), "rows", of=looked_at)
    if not wrong:
        return _PAIRS.ok("some ranking has these HR and NDCG", figure)
    return _PAIRS.leak(
        f"no ranking has these figures: {'; '.join(wrong)}",
        figure,
        repair="measure again, with an item counted once; a figure may have been changed by hand",
    )


def sealed_figures(measured: list[Measured]) -> Finding:
    """Whether saved figures are still those that were measured, by their seals and users' rows."""
    if not measured:
        return _SEALS.not_applicable("no saved figures")
    faults = [system.fault for system in measured if system.fault]
    figure = Measurement("changed files", float(len(faults)), "rows", of=len(measured))
    repair = "measure again with 'edgewise evaluate'"
    if faults:
        return _SEALS.leak("; ".join(faults), figure, repair=repair)
    bare = [system.name for system in measured if not system.is_sealed]
    if bare:
        return _SEALS.warning(
            f"nobody can tell whether these were changed, since they are older than seals: "
            f"{', '.join(bare)}",
            figure,
            repair=repair,
        )
    return _SEALS.ok("saved figures are those that were measured", figure)


def _least(mean: float) -> float:
    return max(mean - _EXACT, 0.0)


def _repeated_share(lists: Recommendations) -> float:
    if not len(lists):
        return 0.0
    stride = int(lists.item_index.max()) + 2  # an unreadable answer may be item -1
    return 1 - len(np.unique(pair_keys(lists, stride))) / len(lists)


def _unread_and_unscored(lists: Recommendations, num_items: int) -> tuple[float, float]:
    if not len(lists):
        return 0.0, 0.0
    unread = (lists.item_index < 0) | (lists.item_index >= num_items)
    return float(unread.mean()), float((~np.isfinite(lists.score)).mean())
