"""What training is handed, and the log that says so.

``fit`` gets a split whose test part is empty: whatever a method does, it cannot choose its epoch on
test rows. The log in the run folder keeps the number and the digest of the rows of each part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgewise.audit.epochs import TrainingLog
from edgewise.data.split import Split
from edgewise.errors import ModelFolderError
from edgewise.runs.files import write_text
from edgewise.training.progress import Progress

FILE = "training-log.json"


def handed_over(split: Split) -> Split:
    """The split as training gets it: without a test row."""
    return replace(split, test=split.test.take(np.empty(0, dtype=np.int64)))


def write_log(folder: Path, handed: Split, stages: Mapping[str, Progress]) -> None:
    """Keep what was handed over, and how often each stage was validated."""
    validations = {stage: _validations(curves) for stage, curves in stages.items()}
    log = TrainingLog.of(handed, validations)
    write_text(folder / FILE, json.dumps(log.to_dict(), indent=2) + "\n")


def _validations(curves: Progress) -> int:
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
