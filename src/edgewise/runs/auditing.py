"""Audits of data sets and runs; ``fit`` keeps one in the run folder as ``audit.json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewise import __version__
from edgewise.audit.findings import Audit
from edgewise.audit.material import FittedRun, Material
from edgewise.audit.registry import audit
from edgewise.data.checksum import content_checksum
from edgewise.data.explanations import explanation_split
from edgewise.data.interactions import Dataset
from edgewise.data.recommendations import Recommendations
from edgewise.data.split import Split
from edgewise.errors import ModelFolderError
from edgewise.evaluation.applying import known_under, parts_under
from edgewise.evaluation.population import sample
from edgewise.evaluation.protocols import Protocol
from edgewise.runs.data import load_run_data
from edgewise.runs.files import write_text
from edgewise.runs.handing import read_log
from edgewise.runs.info import RunInfo, read_info
from edgewise.runs.measured import saved_figures
from edgewise.runs.methods import setting
from edgewise.runs.splitting import split_of

FILE = "audit.json"
# Users whose lists are looked at, and how long the lists are.
_USERS, _K = 200, 10
OnCheck = Callable[[int, int], None]


@dataclass(frozen=True)
class Depth:
    """How much an audit does.

    Attributes:
        fast: leave out what draws candidates, propagates features or loads a model.
        on_check: told (done, total) after each check.
    """

    fast: bool = False
    on_check: OnCheck | None = None


def audit_dataset(
    dataset: Dataset,
    protocol: Protocol,
    kind: str | None = None,
    seed: int = 0,
    depth: Depth | None = None,
) -> Audit:
    """Audit a data set, split as a protocol asks or allows.

    Raises:
        ConfigError: the protocol does not allow such a split.
        DataError: the data set cannot be split by time.
    """
    split = parts_under(protocol, dataset, kind, seed)
    material = Material(split, protocol, explanation_split(split, seed=seed).train)
    return _made(material, content_checksum(dataset), depth or Depth())


def audit_run(
    folder: str | Path, data: str | Path | None = None, depth: Depth | None = None
) -> Audit:
    """Audit a run with the data and the split that it was fitted on.

    Raises:
        ModelFolderError: there is no run, or a file of it is damaged.
        DataError: the data set is missing or another one.
    """
    folder, depth = Path(folder), depth or Depth()
    info = read_info(folder)
    if depth.fast:
        split, lists = split_of(info, load_run_data(info.data, data)), None
    else:
        split, lists = _asked(folder, data)
    run = FittedRun(read_log(folder), lists, tuple(saved_figures(folder / "evaluation")))
    material = Material(split, info.protocol, _texts(info, split), run)
    return _made(material, info.data.checksum, depth, method=info.method.label)


def audit_before_fit(info: RunInfo, split: Split) -> Audit:
    """Make the fast checks of what is about to be trained on."""
    material = Material(split, info.protocol, _texts(info, split))
    return _made(material, info.data.checksum, Depth(fast=True))


def save_audit(folder: Path, made: Audit) -> None:
    """Keep an audit beside a run, whole or not at all."""
    write_audit(folder / FILE, made)


def write_audit(path: Path, made: Audit) -> None:
    """Write an audit as JSON, whole or not at all."""
    write_text(path, json.dumps(made.to_dict(), indent=2) + "\n")


def saved_headline(folder: Path) -> str:
    """One line about the audit that stands beside a run.

    Raises:
        ModelFolderError: it is damaged; the message tells how to make another.
    """
    path = folder / FILE
    command = f"'edgewise audit --run {folder} --json {path}'"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return f"audit ({values['checks']} checks): {values['headline']}"
    except FileNotFoundError:
        return f"audit: none was made; make one with {command}"
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(
            f"{path} cannot be read ({error!r}); make another with {command}"
        ) from None


def _made(material: Material, checksum: str, depth: Depth, **more: Any) -> Audit:
    split = material.split
    conditions = {
        "data": split.dataset.name,
        "data_checksum": checksum,
        "protocol": material.protocol.to_dict(),
        "split": {"kind": split.kind, "seed": split.seed},
        "edgewise_version": __version__,
        **more,
    }
    return audit(material, fast=depth.fast, conditions=conditions, on_check=depth.on_check)


def _texts(info: RunInfo, split: Split) -> Any:
    """The explained pairs that the run trains on."""
    mode = setting(info.config, "prompts.explanations", "interaction")
    return explanation_split(split, mode=mode, seed=info.config.seed).train


def _asked(folder: Path, data: str | Path | None) -> tuple[Split, Recommendations | None]:
    """A run's split, and what it recommends to a sample of users; None if not trained to."""
    from edgewise.runs.opening import open_run

    run = open_run(folder, data)
    if "sequential" not in run.tasks:
        return run.split, None
    users = sample(np.unique(run.split.test.user_index), _USERS, 0, "users")
    known = known_under(run.info.protocol, run.split, "test")
    return run.split, run.model.recommend(users, _K, histories=known)
