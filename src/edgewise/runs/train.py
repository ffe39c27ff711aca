"""Training a :class:`~edgewise.runs.spec.RunSpec` into a run folder.

``fit`` gets a split without a test row, neither in its parts nor in its data set: whatever a method
does, it cannot choose its epoch on test rows. The log in the run folder keeps the number and the
digest of the rows of each part.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from edgewise.audit.result_checks import TrainingLog
from edgewise.data.dataset import Dataset, Interactions
from edgewise.data.splits import Split
from edgewise.errors import ModelFolderError
from edgewise.evaluation.sufficiency import check_learnable
from edgewise.files import discard, tidy, write_text
from edgewise.parsing import Shape, read_json
from edgewise.recommender import FitOptions, FitPlan
from edgewise.runs.provenance import describe_machine
from edgewise.runs.run import (
    FINISHED,
    Run,
    RunInfo,
    check_free,
    is_main_process,
    load_run_data,
    prepare_folder,
    read_info,
    write_config,
    writing_run,
)
from edgewise.runs.spec import RunSpec
from edgewise.runs.starting import open_start
from edgewise.training.curves import Curves, draw_curves, write_curves

if TYPE_CHECKING:
    from edgewise.audit.report import Audit

LOG = "training-log.json"


class _LogFile(Shape):
    rows: dict[str, int]
    digests: dict[str, str]
    validations: dict[str, int]
    chosen_on: dict[str, str]


def train(
    spec: RunSpec,
    folder: str | Path,
    *,
    dataset: Dataset | None = None,
    split: Split | None = None,
    resume: bool = False,
    force: bool = False,
    show_progress: bool = False,
    on_plan: Callable[[FitPlan], None] | None = None,
    on_audit: Callable[[Audit], None] | None = None,
) -> Run:
    """Train in a folder and keep the best model on validation rows.

    Everything that can be refused is refused before a file is written or an older run is replaced,
    and a training that fails before its first checkpoint leaves nothing behind.

    Args:
        spec: what to train.
        folder: of the run.
        dataset: of the specification; loaded from its folder if None.
        split: of the data set, where the caller has made it.
        resume: go on with the run that stands in the folder.
        force: replace a run that stands there.
        show_progress: print a progress bar.
        on_plan: told what is about to be trained.
        on_audit: told what the fast checks found, between the plan and the first step.

    Raises:
        ConfigError: the folder is taken, or the protocol does not allow the split or a setting.
        DataError: the data set is missing, another one, not as the protocol asks, or has nothing
            to learn from.
        LockedError: another process trains in the folder.
        ModelFolderError: the run to start from is gone or another one by now.
    """
    folder = Path(folder)
    with writing_run(folder):
        if is_main_process():
            tidy(folder)
            if not resume:
                check_free(folder, force=force)
        dataset = dataset or load_run_data(spec.data)
        split = split or spec.split(dataset)
        check_learnable(split)
        older = open_start(spec)
        info = read_info(folder) if resume else RunInfo(spec)

        def begin(plan: FitPlan) -> None:
            """The first moment at which anything is written: nothing is left to be refused."""
            if is_main_process():
                if resume:
                    write_config(folder, info)  # a kill may have come before it
                else:
                    prepare_folder(folder, info, force=force)
            if on_plan is not None:
                on_plan(plan)

        share = spec.started_from.share if spec.started_from else 1.0
        options = FitOptions(folder / "training", resume, show_progress, begin, older, share)
        return _trained(folder, info, split, options, on_audit)


def _trained(
    folder: Path,
    info: RunInfo,
    split: Split,
    options: FitOptions,
    on_audit: Callable[[Audit], None] | None,
) -> Run:
    """The run of a folder that is prepared by ``options.on_plan``, or is gone on with."""
    spec, begun = info.spec, False
    handed, started = handed_over(split), time.perf_counter()

    def begin(plan: FitPlan) -> None:
        nonlocal begun, started
        begun = True
        assert options.on_plan is not None
        options.on_plan(plan)
        if is_main_process():
            _audit(folder, spec, split, on_audit)
        started = time.perf_counter()

    try:
        model = spec.method.recommender(spec.config).fit(
            handed,
            folder=options.folder,
            resume=options.resume,
            show_progress=options.show_progress,
            on_plan=begin,
            start_from=options.start_from,
            start_share=options.start_share,
        )
        if not begun:  # a method that tells no plan
            begin(FitPlan())
    except Exception:
        # A failure with nothing to go on with must not stand in the way of the corrected command.
        resumable = options.resume or _has_checkpoint(folder)
        if begun and not resumable and is_main_process():
            discard(folder)
        raise
    fitting, curves = time.perf_counter() - started, model.stage_curves
    info = replace(
        info,
        status=FINISHED,
        training_seconds=sum(each.seconds for each in curves.values()) if curves else fitting,
        machine=describe_machine(),  # torch is loaded by now and tells of the GPU
    )
    if is_main_process():
        model.save_pretrained(folder / "model", card=_card(spec))
        _keep_curves(folder, curves)
        _write_log(folder, handed, curves)
        info.write(folder)
    return Run(folder, info, model, split.dataset, split)


def handed_over(split: Split) -> Split:
    """The split as training gets it: without a test row.

    Its data set has the train and validation rows, and all users, items and item texts, which are
    numbered as before. Only edges and training texts that a leaking protocol takes from the test
    part stay, since they are what is to be shown.
    """
    known = replace(split.dataset, interactions=_in_order(split.train, split.valid))
    # The model keeps the checksum of the data set that it was fitted on, test rows included.
    known.__dict__["checksum"] = split.dataset.checksum
    texts = split.text_rows
    return replace(
        split,
        dataset=known,
        test=_none_of(split.test),
        text_rows=None if texts is None else replace(texts, test=_none_of(texts.test)),
    )


def read_log(folder: Path) -> TrainingLog | None:
    """What training was handed, by the run's own log; None where there is none.

    Raises:
        ModelFolderError: the log is damaged.
    """
    path = folder / LOG
    if not path.is_file():
        return None
    values = read_json(path, ModelFolderError, "fit the run again", _LogFile)
    return TrainingLog(**{each.name: values[each.name] for each in fields(TrainingLog)})


def _audit(
    folder: Path, spec: RunSpec, split: Split, on_audit: Callable[[Audit], None] | None
) -> None:
    from edgewise.runs.audit import audit_before_fit, save_audit

    found = audit_before_fit(spec, split)
    save_audit(folder, found)
    if on_audit is not None:
        on_audit(found)


def _has_checkpoint(folder: Path) -> bool:
    return next(folder.rglob("checkpoint"), None) is not None


def _card(spec: RunSpec) -> dict[str, str]:
    """What a model card says of the conditions."""
    start = spec.started_from
    leaks = "" if spec.protocol.is_honest else " (leaks: see docs/protocols.md)"
    return {
        "protocol": f"{spec.protocol.title}{leaks}",
        "split": f"{spec.split_kind}, seed {spec.split_seed}"
        + (f", {spec.cold_share:g} of the items cold" if spec.cold_share else ""),
        "command": spec.command or "none",
        **({"started from": f"{start.folder}, model {start.checksum[:12]}"} if start else {}),
    }


def _keep_curves(folder: Path, stages: Mapping[str, Curves]) -> None:
    write_curves(folder, stages)
    if not stages:
        return
    try:
        draw_curves(stages, folder / "curves.png")
    except ImportError:
        return  # without the extra "plots" the numbers alone are kept


def _write_log(folder: Path, handed: Split, stages: Mapping[str, Curves]) -> None:
    """Keep what was handed over, and how often each stage was validated."""
    validations = {stage: len(curves.valid) for stage, curves in stages.items()}
    log = TrainingLog.of(handed, validations)
    write_text(folder / LOG, json.dumps(log.to_dict(), indent=2) + "\n")


def _none_of(rows: Interactions) -> Interactions:
    return rows.take(np.empty(0, dtype=np.int64))


def _in_order(first: Interactions, then: Interactions) -> Interactions:
    """The rows of two parts by user and time; at one time the first part's stand first."""

    def both(column: str) -> Any:
        values = [getattr(first, column), getattr(then, column)]
        if values[0] is None:
            return None
        return pl.concat(values) if isinstance(values[0], pl.Series) else np.concatenate(values)

    rows = Interactions(**{each.name: both(each.name) for each in fields(Interactions)})
    return rows.take(_by_user_and_time(rows))


def _by_user_and_time(rows: Interactions) -> np.ndarray:
    """Positions by user, then time, then as they stand, ``int64[rows]``.

    The two as one number are parts that already ascend, which a stable sort merges in one go.
    """
    if rows.timestamp is None:
        return np.argsort(rows.user_index, kind="stable")
    if not len(rows):
        return np.empty(0, dtype=np.int64)
    earliest, latest = int(rows.timestamp.min()), int(rows.timestamp.max())
    if (int(rows.user_index.max()) + 1) * (latest - earliest + 1) > np.iinfo(np.int64).max:
        return np.lexsort((rows.timestamp, rows.user_index))
    keys = rows.user_index.astype(np.int64) * (latest - earliest + 1)
    return np.argsort(keys + (rows.timestamp - earliest), kind="stable")
