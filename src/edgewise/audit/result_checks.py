"""What a run left behind: its lists, its results, and the log of the rows it was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from edgewise.audit.published_tables import checkable, impossible, points_of
from edgewise.audit.report import Finding, FindingBuilder, Measurement
from edgewise.data.item_lists import Recommendations
from edgewise.data.pairs import Pairs, pair_keys
from edgewise.data.splits import Split

_REPEATS = FindingBuilder("repeated-items", "results")
_PADDING = FindingBuilder("padded-lists", "results")
_PAIRS = FindingBuilder("metric-pairs", "results")
_SEALS = FindingBuilder("sealed-figures", "results")
_EPOCH = FindingBuilder("epoch-choice", "results")
_MIXING = FindingBuilder("mixing-rows", "results")
# Means of shares are exact but for the last bits of a float.
_EXACT = 1e-6


def repeated_items(lists: Recommendations | None, *, counted: bool = False) -> Finding:
    """Items that fill several places of one list.

    Args:
        lists: ranked lists of some users; None where no model was asked.
        counted: whether the protocol counts each of the places.
    """
    share = 0.0 if lists is None else _repeated_share(lists)
    found = Measurement("list entries that repeat an item", share)
    measurements = () if lists is None else (found,)
    repair = "count an item once, at its best place (protocol honest)"
    if counted:
        return _REPEATS.leak(
            "an item listed twice is counted twice: a hit can be worth more than one",
            *measurements,
            repair=repair,
        )
    if lists is None:
        return _REPEATS.not_applicable("no lists: name a run with --run")
    if share:
        return _REPEATS.leak(
            "lists repeat items; whoever counts entries counts hits twice",
            *measurements,
            repair=repair,
        )
    return _REPEATS.ok("no list names an item twice", *measurements)


def _repeated_share(lists: Recommendations) -> float:
    if not len(lists):
        return 0.0
    stride = int(lists.item_index.max()) + 2  # an unreadable answer may be item -1
    return 1 - len(np.unique(pair_keys(lists, stride))) / len(lists)


def padded_lists(lists: Recommendations | None, num_items: int, *, padded: bool = False) -> Finding:
    """Places that were filled without the model: no score, or no item of the catalogue.

    Args:
        lists: ranked lists of some users; None where no model was asked.
        num_items: I; an index outside 0..I - 1 is an answer that could not be read.
        padded: whether the protocol fills short lists with random items.
    """
    measurements = () if lists is None else _unread_and_unscored(lists, num_items)
    repair = "leave lists short, and count them as they are (protocol honest)"
    if padded:
        return _PADDING.leak(
            "short lists are filled with random items, which now and then are right",
            *measurements,
            repair=repair,
        )
    if lists is None:
        return _PADDING.not_applicable("no lists: name a run with --run")
    if any(share.value for share in measurements):
        return _PADDING.leak(
            "places of the lists were not filled by the model", *measurements, repair=repair
        )
    return _PADDING.ok("the model chose and scored every place", *measurements)


def _unread_and_unscored(lists: Recommendations, num_items: int) -> tuple[Measurement, ...]:
    unread = (lists.item_index < 0) | (lists.item_index >= num_items)
    unscored = ~np.isfinite(lists.score)
    entries = max(len(lists), 1)
    return (
        Measurement("entries that are no item", float(unread.sum() / entries)),
        Measurement("without a score", float(unscored.sum() / entries)),
    )


@dataclass(frozen=True)
class Measured:
    """The means of one system on one task.

    Attributes:
        name: the system and the task.
        metrics: means by name, such as ``HitRate@10``.
        one_target: whether every ranked list had exactly one held-out item.
        is_sealed: whether its file has a seal, right or wrong.
        fault: why its seal, or the users' rows beside it, do not bear it out; empty if they do.
        valid_users: who were measured, where items were ranked on validation rows.
    """

    name: str
    metrics: Mapping[str, float]
    one_target: bool = True
    is_sealed: bool = True
    fault: str = ""
    valid_users: np.ndarray | None = None


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
    measurement = Measurement("impossible", float(len(wrong)), "rows", of=looked_at)
    if not wrong:
        return _PAIRS.ok("some ranking has these HR and NDCG", measurement)
    return _PAIRS.leak(
        f"no ranking has these figures: {'; '.join(wrong)}",
        measurement,
        repair="measure again, with an item counted once; a figure may have been changed by hand",
    )


def _least(mean: float) -> float:
    return max(mean - _EXACT, 0.0)


def sealed_figures(measured: list[Measured]) -> Finding:
    """Whether saved figures are still those that were measured, by their seals and users' rows."""
    if not measured:
        return _SEALS.not_applicable("no saved figures")
    faults = [system.fault for system in measured if system.fault]
    measurement = Measurement("changed files", float(len(faults)), "rows", of=len(measured))
    repair = "measure again with 'edgewise evaluate'"
    if faults:
        return _SEALS.leak("; ".join(faults), measurement, repair=repair)
    bare = [system.name for system in measured if not system.is_sealed]
    if bare:
        return _SEALS.warning(
            f"nobody can tell whether these were changed, since they are older than seals: "
            f"{', '.join(bare)}",
            measurement,
            repair=repair,
        )
    return _SEALS.ok("saved figures are those that were measured", measurement)


@dataclass(frozen=True)
class TrainingLog:
    """What ``fit`` was handed, written by the code that handed it over.

    Attributes:
        rows: number of rows of ``train``, ``valid`` and ``test``, and of the graph's ``edges``.
        digests: :func:`pairs_digest` of each of them.
        validations: how often a validation loss was taken, by stage; a stage without a name is a
            method's only one.
        chosen_on: the rows whose loss chose the epoch, by stage: ``valid``, or ``nothing`` where
            the last epoch was kept.
    """

    rows: Mapping[str, int]
    digests: Mapping[str, str]
    validations: Mapping[str, int]
    chosen_on: Mapping[str, str]

    @classmethod
    def of(cls, handed: Split, validations: Mapping[str, int]) -> Self:
        """The log of a training that was handed this split."""
        parts = _parts_of(handed)
        return cls(
            {name: len(part.user_index) for name, part in parts.items()},
            {name: pairs_digest(part) for name, part in parts.items()},
            dict(validations),
            {stage: "valid" if n else "nothing" for stage, n in validations.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def pairs_digest(rows: Pairs) -> str:
    """The SHA-256 of the users and items of some rows, in their order."""
    digest = hashlib.sha256()
    for column in (rows.user_index, rows.item_index):
        digest.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return digest.hexdigest()


def epoch_choice(log: TrainingLog | None, split: Split, *, fitted: bool) -> Finding:
    """Whether the epoch was chosen on rows other than validation rows.

    Args:
        log: of the run.
        split: the parts as they should have been.
        fitted: whether there is a run at all.
    """
    if not fitted:
        return _EPOCH.not_applicable("no run: name one with --run")
    if log is None:
        return _EPOCH.warning(
            "the run kept no log of the rows that it was handed", repair="fit the run again"
        )
    measurements = (
        Measurement("test rows handed to training", float(log.rows.get("test", 0)), "rows"),
        Measurement("validation rows", float(log.rows.get("valid", 0)), "rows"),
        Measurement("validations", float(sum(log.validations.values())), "rows"),
    )
    if wrong := _differences(log, split):
        return _EPOCH.leak(
            f"training was handed other rows than it should have been ({', '.join(wrong)}): the "
            "epoch may have been chosen on the test",
            *measurements,
            repair="hand fit the train and validation rows of the split, and nothing else",
        )
    return _EPOCH.ok(
        "training was handed no test row, so validation rows alone can have chosen the epoch",
        *measurements,
    )


def mixing_rows(fitted_on: np.ndarray | None, measured: list[Measured], split: Split) -> Finding:
    """Whether the rows that fitted mixing weights are among those that were measured.

    Args:
        fitted_on: users whose validation rows fitted weights; None where no model was asked.
        measured: saved means, each with the users behind it where validation rows were ranked.
        split: the parts as they should have been.
    """
    if fitted_on is None:
        return _MIXING.not_applicable("no model: name a run with --run")
    if not len(fitted_on):
        return _MIXING.not_applicable("no weights that validation rows fitted")
    strange = np.setdiff1d(fitted_on, split.valid.user_index)
    again = {
        system.name: len(np.intersect1d(system.valid_users, fitted_on))
        for system in measured
        if system.valid_users is not None
    }
    measurements = (
        Measurement("measured although they fitted weights", float(sum(again.values())), "rows"),
        Measurement("users who fitted weights", float(len(fitted_on)), "rows"),
        Measurement("without a validation row", float(len(strange)), "rows"),
    )
    if len(strange):
        return _MIXING.leak(
            "weights were fitted on the rows of users who have no validation row: on others, which "
            "may be those of the test",
            *measurements,
            repair="fit the run again, with nothing but the split's train and validation rows",
        )
    if any(again.values()):
        names = ", ".join(name for name, count in again.items() if count)
        return _MIXING.leak(
            f"figures on validation rows count users whose rows fitted the weights ({names})",
            *measurements,
            repair="measure again with 'edgewise evaluate --part valid', which leaves them out",
        )
    looked_at = "; no figures on validation rows are saved" if not again else ""
    return _MIXING.ok(
        f"users whose validation rows fitted weights stand in no figure{looked_at}", *measurements
    )


def _parts_of(split: Split) -> dict[str, Pairs]:
    """What training is handed, by the names of the log."""
    edges = split.graph_edges()
    return {"train": split.train, "valid": split.valid, "test": split.test, "edges": edges}


def _differences(log: TrainingLog, split: Split) -> list[str]:
    parts = _parts_of(split)
    wrong = [
        f"{name} rows are not the split's"
        for name in ("train", "valid", "edges")
        if log.digests.get(name) != pairs_digest(parts[name])
    ]
    if log.rows.get("test", 0):
        wrong.append("test rows are among them")
    if set(log.chosen_on.values()) - {"valid", "nothing"}:
        wrong.append(f"an epoch was chosen on {', '.join(sorted(set(log.chosen_on.values())))}")
    return wrong
