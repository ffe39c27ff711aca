"""Search for settings on validation rows, with Optuna; a search that was stopped goes on.

Nothing here reads a test row: trials are judged by the loss or the ranking of the validation part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.configuration import to_dict
from edgewise.errors import DataError, EdgewiseError
from edgewise.evaluation.protocols import HONEST
from edgewise.experiments.spaces import Space
from edgewise.experiments.studies import STOPPED, finished_trials, open_study, suggested
from edgewise.runs.data import DataInfo
from edgewise.runs.evaluating import Conditions, evaluate_task
from edgewise.runs.fitting import fit_run
from edgewise.runs.folder import prepare_folder
from edgewise.runs.info import FINISHED, RunInfo, is_run, read_info
from edgewise.runs.opening import Run, open_run
from edgewise.runs.splitting import split_of

if TYPE_CHECKING:
    from optuna import Study, Trial

    from edgewise.data.interactions import Dataset

OnTrial = Callable[[int, Mapping[str, Any], float | EdgewiseError], None]
"""Told a trial's number, its values and what came of it: a figure, or why there is none."""


@dataclass(frozen=True)
class Search:
    """One study: what is searched, on what, and where its trials stand.

    Attributes:
        space: what may change.
        dataset, data: the data set and its description.
        folder: of trials and of ``study.jsonl``.
        seed: of the sampler.
        split_kind: how rows are held out; the honest protocol's own if None.
    """

    space: Space
    dataset: Dataset
    data: DataInfo
    folder: Path
    seed: int = 0
    split_kind: str | None = None

    def about(self) -> dict[str, Any]:
        """What must be the same when the study goes on."""
        ranges = {each.name: str(each) for each in self.space.ranges}
        return {
            "method": self.space.method,
            "objective": self.space.objective,
            "data": self.data.checksum,
            "split": self.split_kind or HONEST.split_kind,
            "settings": to_dict(self.space.base),
            "space": ranges,
        }


def run_search(search: Search, study_file: Path, num_trials: int, on_trial: OnTrial) -> Study:
    """Bring a study to a number of finished trials.

    A trial that fails, since its loss diverges for example, is told and left behind; the next call
    tries others in its place.

    Args:
        search: what to do.
        study_file: the journal of the study; made if absent.
        num_trials: finished trials in the end, those of earlier calls included.
        on_trial: told of every trial that ends.

    Raises:
        ConfigError: the study in the file was made for something else, or its split cannot be made.
        DataError: the data set cannot be split so, or has no validation row.
        EdgewiseError: Optuna is not installed.
    """
    _check_rows(search)
    direction, about = search.space.direction, search.about()
    study = open_study(study_file, direction, about, search.seed)

    def objective(trial: Trial) -> float:
        values = {each.name: suggested(trial, each) for each in search.space.ranges}
        try:
            found = _judged(search, values)
        except KeyboardInterrupt:
            trial.set_user_attr(STOPPED, True)
            raise
        except EdgewiseError as error:
            on_trial(trial.number, values, error)
            raise
        on_trial(trial.number, values, found)
        return found

    left = num_trials - len(finished_trials(study))
    if left > 0:
        study.optimize(objective, n_trials=left, catch=(EdgewiseError,))
    return study


def best_settings(search: Search, study: Study) -> Any:
    """The settings of the best trial, whole."""
    return search.space.settings(study.best_params)


def _check_rows(search: Search) -> None:
    """Refuse data without validation rows, by which no trial could be judged."""
    split = split_of(_info(search, search.space.base), search.dataset)
    if not len(split.valid):
        raise DataError(
            f"{search.data.folder}: no row is held out for validation under the {split.kind} "
            "split, so that no trial can be judged; name another with --split"
        )


def _judged(search: Search, values: Mapping[str, Any]) -> float:
    """Train with some values, or go on training, and look at the validation part."""
    run = _fitted(search, values)
    if search.space.task:
        name, k = search.space.metric, search.space.k
        conditions = Conditions("valid", (k,), (name.partition("@")[0],))
        result = evaluate_task(run, search.space.task, conditions)  # type: ignore[arg-type]
        found = next(iter(result.reports.values())).metrics[name].mean
    else:
        found = _validation_loss(run)
    return float(found)


def _fitted(search: Search, values: Mapping[str, Any]) -> Run:
    config = search.space.settings(values)
    folder = search.folder / f"trial-{_digest(values)}"
    if is_run(folder):
        info = read_info(folder)
        if info.status == FINISHED:
            return open_run(folder, search.data.folder)
        return fit_run(folder, info, search.dataset, resume=True)
    info = _info(search, config)
    prepare_folder(folder, info)
    return fit_run(folder, info, search.dataset)


def _info(search: Search, config: Any) -> RunInfo:
    kind = search.split_kind or HONEST.split_kind
    return RunInfo(config, search.data, kind, method_name=search.space.method)


def _validation_loss(run: Run) -> float:
    """The lowest validation loss of the last stage, whose weights were kept."""
    from edgewise.runs.curves import read_curves

    curves = list(read_curves(run.folder).values())[-1]
    if not curves.valid_loss:
        raise EdgewiseError(f"{run.folder}: no validation loss to judge it by; use an objective")
    return min(row["total"] for row in curves.valid_loss)


def _digest(values: Mapping[str, Any]) -> str:
    """A name for a trial's folder: equal values go on with each other's training."""
    text = json.dumps(dict(values), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
