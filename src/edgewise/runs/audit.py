"""Audits of data sets and runs; ``fit`` keeps one in the run folder as ``audit.json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewise import __version__
from edgewise.audit.registry import audit
from edgewise.audit.report import Audit, AuditInput, FittedRun
from edgewise.audit.result_checks import Measured
from edgewise.data.dataset import Dataset, read_parquet
from edgewise.data.item_lists import Recommendations
from edgewise.data.splits import Split
from edgewise.data.texts import trained_texts
from edgewise.errors import EdgewiseError, ModelFolderError
from edgewise.evaluation.evaluate import sample
from edgewise.evaluation.protocols import Protocol, known_under, parts_under
from edgewise.evaluation.report import ReportShape, is_sealed, load_report
from edgewise.files import write_text
from edgewise.parsing import Shape, read_json
from edgewise.runs.run import Run, load_run_data, open_run, read_info
from edgewise.runs.spec import RunSpec, setting_of
from edgewise.runs.train import read_log

FILE = "audit.json"
# Users whose lists are looked at, and how long the lists are.
_USERS, _K = 200, 10
OnCheck = Callable[[int, int], None]


class _Headline(Shape):
    checks: str
    headline: str


class _Settings(Shape):
    task: str
    split: str = "leave-one-out"
    part: str = "test"


class _ReportFile(ReportShape):
    settings: _Settings  # type: ignore[assignment]


@dataclass(frozen=True)
class Depth:
    """How much an audit does.

    Attributes:
        fast: leave out what draws candidates, propagates features or loads a model.
        seed: of the users that the fast checks look at, where there are very many.
        on_check: told (done, total) after each check.
    """

    fast: bool = False
    seed: int = 0
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
    material = AuditInput(split, protocol, trained_texts(split, seed=seed))
    return _made(material, dataset.checksum, depth or Depth())


def audit_run(
    folder: str | Path, data: str | Path | None = None, depth: Depth | None = None
) -> Audit:
    """Audit a run with the data and the split that it was fitted on.

    Raises:
        ModelFolderError: there is no run, or a file of it is damaged.
        DataError: the data set is missing or another one.
    """
    folder, depth = Path(folder), depth or Depth()
    spec = read_info(folder).spec
    if depth.fast:
        split, lists, fitted_on = spec.split(load_run_data(spec.data, data)), None, None
    else:
        opened = open_run(folder, data).as_fitted()
        split, lists, fitted_on = opened.split, _lists(opened), opened.model.fitted_on_valid()
    measured = tuple(saved_figures(folder / "evaluation"))
    run = FittedRun(read_log(folder), lists, measured, fitted_on)
    material = AuditInput(split, spec.protocol, _texts(spec, split), run)
    return _made(material, spec.data.checksum, depth, method=spec.method.label)


def audit_before_fit(spec: RunSpec, split: Split) -> Audit:
    """Make the fast checks of what is about to be trained on."""
    material = AuditInput(split, spec.protocol, _texts(spec, split))
    return _made(material, spec.data.checksum, Depth(fast=True, seed=spec.config.seed))


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
    if not path.exists():
        return f"audit: none was made; make one with {command}"
    values = read_json(path, ModelFolderError, f"make another with {command}", _Headline)
    return f"audit ({values['checks']} checks): {values['headline']}"


def _made(material: AuditInput, checksum: str, depth: Depth, **more: Any) -> Audit:
    split = material.split
    conditions = {
        "data": split.dataset.name,
        "data_checksum": checksum,
        "protocol": material.protocol.to_dict(),
        "split": {"kind": split.kind, "seed": split.seed},
        "edgewise_version": __version__,
        **more,
    }
    return audit(
        material,
        fast=depth.fast,
        seed=depth.seed,
        conditions=conditions,
        on_check=depth.on_check,
    )


def _texts(spec: RunSpec, split: Split) -> Any:
    """The explained pairs that the run trains on."""
    mode = setting_of(spec.config, "prompts.explanations", "interaction")
    return trained_texts(split, mode, seed=spec.config.seed)


def _lists(run: Run) -> Recommendations | None:
    """What a run recommends to a sample of users; None if it was not trained to."""
    if "sequential" not in run.tasks:
        return None
    users = sample(np.unique(run.split.test.user_index), _USERS, 0, "users")
    known = known_under(run.spec.protocol, run.split, "test")
    return run.model.recommend(users, _K, histories=known)


def saved_figures(folder: Path) -> list[Measured]:
    """Figures of the run and its baselines, each with what its seal and users' rows say of it.

    Args:
        folder: ``evaluation/`` of a run; it may be missing.

    Raises:
        EdgewiseError: a file cannot be read at all.
    """
    return [_measured(path) for path in sorted(folder.glob("*.json"))]


def _measured(path: Path) -> Measured:
    repair = "measure again with 'edgewise evaluate'"
    values = read_json(path, EdgewiseError, repair, _ReportFile)
    means, settings = _means(values), values["settings"]
    one_target, users = _has_one_target(settings), _valid_users(path, settings)
    return Measured(path.stem, means, one_target, is_sealed(values), _fault(path), users)


def _means(values: dict[str, Any]) -> dict[str, float]:
    return {name: float(estimate["mean"]) for name, estimate in values["metrics"].items()}


def _has_one_target(settings: dict[str, Any]) -> bool:
    """Whether each list of a ranking was to find one item; texts have no lists."""
    task = settings["task"]
    return task == "direct" or (task == "sequential" and settings["split"] == "leave-one-out")


def _valid_users(path: Path, settings: dict[str, Any]) -> np.ndarray | None:
    """Who stand behind a ranking of validation rows; None of others, and without their rows."""
    if settings.get("part") != "valid" or settings["task"] == "explanation":
        return None
    try:
        rows = read_parquet(path.with_suffix(".parquet"), EdgewiseError, "")
    except EdgewiseError:
        return None  # what is missing or damaged is told by the seal
    return rows["user_index"].to_numpy() if "user_index" in rows.columns else None


def _fault(path: Path) -> str:
    """Why the file or the users' rows beside it were changed; empty if they were not."""
    try:
        load_report(path, allow_unsealed=True)
    except EdgewiseError as error:
        return str(error)
    return ""
