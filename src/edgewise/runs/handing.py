"""What training is handed, and the log that says so.

``fit`` gets a split without a test row, neither in its parts nor in its data set: whatever a method
does, it cannot choose its epoch on test rows. The log in the run folder keeps the number and the
digest of the rows of each part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edgewise.audit.result_checks import TrainingLog
from edgewise.data.dataset import Interactions
from edgewise.data.splits import Split
from edgewise.errors import ModelFolderError
from edgewise.files import write_text
from edgewise.training.curves import Curves

FILE = "training-log.json"


def handed_over(split: Split) -> Split:
    """The split as training gets it: without a test row.

    Its data set has the train and validation rows, and all users, items and item texts, which are
    numbered as before. Only edges and training texts that a leaking protocol takes from the test
    part stay, since they are what is to be shown.
    """
    known = replace(split.dataset, interactions=_in_order(split.train, split.valid))
    texts = split.text_rows
    return replace(
        split,
        dataset=known,
        test=_none_of(split.test),
        text_rows=None if texts is None else replace(texts, test=_none_of(texts.test)),
    )


def _none_of(rows: Interactions) -> Interactions:
    return rows.take(np.empty(0, dtype=np.int64))


def _in_order(first: Interactions, then: Interactions) -> Interactions:
    """The rows of two parts by user and time; at one time the first part's stand first."""

    def both(column: str) -> Any:
        values = [getattr(first, column), getattr(then, column)]
        if values[0] is None:
            return None
        return pl.concat(values) if isinstance(values[0], pl.Series) else np.concatenate(values)

    rows = Interactions(**{field.name: both(field.name) for field in fields(Interactions)})
    times = () if rows.timestamp is None else (rows.timestamp,)
    return rows.take(np.lexsort((*times, rows.user_index)))


def write_log(folder: Path, handed: Split, stages: Mapping[str, Curves]) -> None:
    """Keep what was handed over, and how often each stage was validated."""
    validations = {stage: _validations(curves) for stage, curves in stages.items()}
    log = TrainingLog.of(handed, validations)
    write_text(folder / FILE, json.dumps(log.to_dict(), indent=2) + "\n")


def _validations(curves: Curves) -> int:
    """Epochs with the loss of some task; without validation rows there is only an empty total."""
    return sum(bool(losses.keys() - {"step", "total"}) for losses in curves.valid_loss)


def read_log(folder: Path) -> TrainingLog | None:
    """What :func:`write_log` kept; None in runs that are older than the log.

    Raises:
        ModelFolderError: the log is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return TrainingLog(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ModelFolderError(f"{path} cannot be read ({error}); fit the run again") from None
