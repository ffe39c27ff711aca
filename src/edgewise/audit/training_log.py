"""Which rows chose the epoch: what training was handed, by the run's own log."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from edgewise.audit.report import Finding, FindingBuilder, Measurement
from edgewise.audit.split_checks import Pairs
from edgewise.data.splits import Split

_EPOCH = FindingBuilder("epoch-choice", "results")


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
        parts = _parts(handed)
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
    figures = (
        Measurement("test rows handed to training", float(log.rows.get("test", 0)), "rows"),
        Measurement("validation rows", float(log.rows.get("valid", 0)), "rows"),
        Measurement("validations", float(sum(log.validations.values())), "rows"),
    )
    if wrong := _wrong(log, split):
        return _EPOCH.leak(
            f"training was handed other rows than it should have been ({', '.join(wrong)}): the "
            "epoch may have been chosen on the test",
            *figures,
            repair="hand fit the train and validation rows of the split, and nothing else",
        )
    return _EPOCH.ok(
        "training was handed no test row, so validation rows alone can have chosen the epoch",
        *figures,
    )


def _parts(split: Split) -> dict[str, Pairs]:
    edges = split.graph_edges()
    return {"train": split.train, "valid": split.valid, "test": split.test, "edges": edges}


def _wrong(log: TrainingLog, split: Split) -> list[str]:
    parts = _parts(split)
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
