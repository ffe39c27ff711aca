"""The saved figures of a run, as an audit looks at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgewise.audit.results import Measured
from edgewise.errors import EdgewiseError
from edgewise.evaluation.loading import load_report
from edgewise.evaluation.seal import is_sealed


def saved_figures(folder: Path) -> list[Measured]:
    """Figures of the run and its baselines, each with what its seal and users' rows say of it.

    Args:
        folder: ``evaluation/`` of a run; it may be missing.

    Raises:
        EdgewiseError: a file cannot be read at all.
    """
    return [_measured(path) for path in sorted(folder.glob("*.json"))]


def _measured(path: Path) -> Measured:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        means, one_target = _means(values), _has_one_target(values["settings"])
        sealed = is_sealed(values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgewiseError(
            f"{path} cannot be read ({error!r}); measure again with 'edgewise evaluate'"
        ) from None
    return Measured(path.stem, means, one_target, sealed, _fault(path))


def _means(values: dict[str, Any]) -> dict[str, float]:
    return {name: float(estimate["mean"]) for name, estimate in values["metrics"].items()}


def _has_one_target(settings: dict[str, Any]) -> bool:
    """Whether each list of a ranking was to find one item; texts have no lists."""
    task = settings["task"]
    return task == "direct" or (task == "sequential" and settings["split"] == "leave-one-out")


def _fault(path: Path) -> str:
    """Why the file or the users' rows beside it were changed; empty if they were not."""
    try:
        load_report(path, allow_unsealed=True)
    except EdgewiseError as error:
        return str(error)
    return ""
