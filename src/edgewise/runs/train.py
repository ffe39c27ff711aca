"""Training into a run folder, from the start or from where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from edgewise.audit.report import Audit
from edgewise.data.dataset import Dataset
from edgewise.data.splits import Split
from edgewise.runs.audit import audit_before_fit, save_audit
from edgewise.runs.contract import Plan, stages_of
from edgewise.runs.handing import handed_over, write_log
from edgewise.runs.provenance import describe_machine
from edgewise.runs.run import FINISHED, Run, RunInfo, is_main_process, split_of
from edgewise.training.curves import Curves, draw_curves, write_curves


def fit_run(
    folder: Path,
    info: RunInfo,
    dataset: Dataset,
    *,
    resume: bool = False,
    show_progress: bool = False,
    on_plan: Callable[[Plan], None] | None = None,
    on_audit: Callable[[Audit], None] | None = None,
) -> Run:
    """Train in a prepared folder and keep the best model on validation rows.

    Args:
        folder: made by :func:`edgewise.runs.run.prepare_folder`.
        info: what to train.
        dataset: on what.
        resume: go on from the last checkpoint.
        show_progress: print a progress bar.
        on_plan: told what is about to be trained.
        on_audit: told what the fast checks found, before training.
    """
    split = split_of(info, dataset)
    if is_main_process():
        _audit(folder, info, split, on_audit)
    handed = handed_over(split)
    model = info.method.model(info.config).fit(
        handed,
        folder=folder / "training",
        resume=resume,
        show_progress=show_progress,
        on_plan=on_plan,
    )
    stages = stages_of(model)
    info = replace(
        info,
        status=FINISHED,
        training_seconds=sum(curves.seconds for curves in stages.values()),
        machine=describe_machine(),  # torch is loaded by now and tells of the GPU
    )
    if is_main_process():
        model.save(folder / "model")
        _keep_curves(folder, stages)
        write_log(folder, handed, stages)
        info.write(folder)
    return Run(folder, info, model, dataset, split)


def _audit(
    folder: Path, info: RunInfo, split: Split, on_audit: Callable[[Audit], None] | None
) -> None:
    found = audit_before_fit(info, split)
    save_audit(folder, found)
    if on_audit is not None:
        on_audit(found)


def _keep_curves(folder: Path, stages: Mapping[str, Curves]) -> None:
    write_curves(folder, stages)
    try:
        draw_curves(stages, folder / "curves.png")
    except ImportError:
        return  # without the extra "plots" the numbers alone are kept
