"""Training into a run folder, from the start or from where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgewise.data.interactions import Dataset
from edgewise.data.splitting import split_by_name
from edgewise.models.elmrec.plan import FitPlan
from edgewise.models.elmrec.recommender import ELMRec
from edgewise.runs.curves import draw_curves
from edgewise.runs.files import write_text
from edgewise.runs.folder import is_main_process
from edgewise.runs.info import FINISHED, RunInfo
from edgewise.runs.machine import describe_machine
from edgewise.runs.opening import Run
from edgewise.training.loop import Progress


def fit_run(
    folder: Path,
    info: RunInfo,
    dataset: Dataset,
    *,
    resume: bool = False,
    show_progress: bool = False,
    on_plan: Callable[[FitPlan], None] | None = None,
) -> Run:
    """Train in a prepared folder and keep the best model on validation rows.

    Args:
        folder: made by :func:`edgewise.runs.folder.prepare_folder`.
        info: what to train.
        dataset: on what.
        resume: go on from the last checkpoint.
        show_progress: print a progress bar.
        on_plan: told what is about to be trained.
    """
    split = split_by_name(dataset, info.split_kind, info.split_seed)
    model = ELMRec(info.config).fit(
        split,
        folder=folder / "training",
        resume=resume,
        show_progress=show_progress,
        on_plan=on_plan,
    )
    curves = model.curves or Progress()
    info = replace(
        info,
        status=FINISHED,
        training_seconds=curves.seconds,
        machine=describe_machine(),  # torch is loaded by now and tells of the GPU
    )
    if is_main_process():
        model.save(folder / "model")
        _write_curves(folder, curves)
        info.write(folder)
    return Run(folder, info, model, dataset, split)


def _write_curves(folder: Path, curves: Progress) -> None:
    write_text(folder / "curves.json", json.dumps(curves.to_dict(), indent=2) + "\n")
    try:
        draw_curves(curves, folder / "curves.png")
    except ImportError:
        return  # without the extra "plots" the numbers alone are kept
