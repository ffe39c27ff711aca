"""Search for settings with Optuna, on validation rows alone; a search that was stopped goes on.

A TOML file says what is searched:

.. code-block:: toml

    preset = "tiny"                      # and any other settings that stay as they are
    objective = "direct/NDCG@10"         # on validation rows; or "loss", which is not measured anew

    [space."whole_words.direct_alpha"]   # what Optuna's distributions take
    low = 1.0
    high = 10.0
    log = true                           # each factor as likely as the next; or step = 0.5

    [space."graph.rank"]
    choices = [16, 32, 64]

No test row is read: a trial is judged by the loss or the ranking of the validation part.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgewise.config import (
    MethodConfig,
    check,
    flat_settings,
    nearest,
    read_toml,
    to_dict,
    updated,
    with_overrides,
)
from edgewise.errors import ConfigError, DataError, EdgewiseError
from edgewise.evaluation.metrics import parse_metric
from edgewise.evaluation.protocols import HONEST
from edgewise.experiments.grid import merged, nested
from edgewise.models.registry import find_method
from edgewise.recommender import DEFAULT_PRESET
from edgewise.runs.evaluate import Conditions, evaluate_task
from edgewise.runs.run import FINISHED, Run, is_run, open_run, read_info
from edgewise.runs.spec import DataInfo, RunSpec, setting_of
from edgewise.runs.train import train

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

    from edgewise.data.dataset import Dataset

LOSS = "loss"
_TRAINED = "prompts.tasks"
_TASKS = ("direct", "sequential")
_OWN = ("preset", "objective", "space", "method")
_KEYS = ("low", "high", "log", "step", "choices")


@dataclass(frozen=True)
class Space:
    """What may change, and what is looked for.

    Attributes:
        method: by name.
        base: settings that stay.
        distributions: of settings that change, by ``section.key``.
        task, metric: looked for on validation rows; the task is empty for the loss.
    """

    method: str
    base: MethodConfig
    distributions: Mapping[str, BaseDistribution]
    task: str
    metric: str

    @property
    def objective(self) -> str:
        """As it is written in the file."""
        return f"{self.task}/{self.metric}" if self.task else LOSS

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Whether the objective should grow."""
        return "maximize" if self.task else "minimize"

    @property
    def k(self) -> int:
        """List length of the metric."""
        return int(self.metric.partition("@")[2])

    def settings(self, values: Mapping[str, Any]) -> MethodConfig:
        """The settings of one trial."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            is_list = isinstance(value, str) and value.startswith("[")
            found = merged(found, nested(name, json.loads(value) if is_list else value))
        return updated(self.base, found)


def read_space(file: Path, method: str, assignments: Sequence[str] = ()) -> Space:
    """Read a search; every setting is tried at the ends of its range before anything is trained.

    Args:
        file: see the module.
        method: by name.
        assignments: ``section.key=value``, before the file's.

    Raises:
        ConfigError: an unknown key, setting or metric, with the nearest valid one; values that are
            no range; or one that the settings refuse.
        EdgewiseError: Optuna is not installed.
    """
    values = read_toml(file)
    own = {name: values.pop(name) for name in _OWN if name in values}
    agrees = own.get("method", method) == method
    check(agrees, f"{file}: method = {own.get('method')!r} contradicts 'tune {method}'")
    task, metric = _objective(file, own.get("objective", LOSS))
    with _told_of(str(file)):
        base = updated(_preset(method, own.get("preset", DEFAULT_PRESET)), values)
    base = with_overrides(base, assignments)
    ranges = _ranges(file, own.get("space", {}), list(flat_settings(to_dict(base))))
    found = {name: _distribution(_place(file, name), each) for name, each in ranges.items()}
    space = Space(method, base, found, task, metric)
    for name, each in ranges.items():
        with _told_of(_place(file, name)):
            ends = each.get("choices") or (each["low"], each["high"])
            tried = [space.settings({name: value}) for value in ends]
            for config in tried if name == _TRAINED else ():
                _check_task(config, task)
    if _TRAINED not in ranges:
        with _told_of(f"{file}: objective"):
            _check_task(base, task)
    return space


def _objective(file: Path, text: Any) -> tuple[str, str]:
    if text == LOSS:
        return "", LOSS
    task, _, metric = str(text).partition("/")
    name, _, k = metric.partition("@")
    check(
        task in _TASKS and k.isascii() and k.isdigit(),
        f'{file}: objective = {text!r}: write "loss", or as "direct/NDCG@10".'
        f"{nearest(task, _TASKS)}",
    )
    check(int(k or 0) > 0, f"{file}: objective = {text!r}: lists of at least 1 item are measured")
    with _told_of(f"{file}: objective = {text!r}"):
        name, _ = parse_metric(metric)  # a metric of lists is neither good nor bad
    return task, f"{name}@{k}"


def _preset(method: str, name: Any) -> MethodConfig:
    check(isinstance(name, str), f"preset = {name!r}: the name of a preset is wanted")
    return find_method(method).preset_config(name)


def _check_task(config: MethodConfig, task: str) -> None:
    """Refuse an objective that a trial of these settings is not trained for."""
    trained = setting_of(config, _TRAINED, None)
    check(
        not task or trained is None or task in trained,
        f"{task!r} is not among {_TRAINED} = {list(trained or ())}, which are trained; add it "
        "there, or name another objective",
    )


@contextmanager
def _told_of(where: str) -> Iterator[None]:
    """Puts the place in the file before what is said of a value."""
    try:
        yield
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _place(file: Path, name: str) -> str:
    return f'{file}: [space."{name}"]'


def _ranges(file: Path, sections: Any, known: Sequence[str]) -> Mapping[str, Any]:
    fits = isinstance(sections, Mapping) and bool(sections)
    check(fits, f'{file}: nothing to search; add sections such as [space."section.key"]')
    for name, values in sections.items():
        where = _place(file, name)
        check(name in known, f"{where}: no such setting.{nearest(name, known)}")
        check(isinstance(values, Mapping), f"{where}: give low and high, or choices")
        for key in values:
            check(key in _KEYS, f"{where}: unknown key {key!r}.{nearest(key, _KEYS)}")
    return sections


def _distribution(where: str, values: Mapping[str, Any]) -> BaseDistribution:
    kinds = _optuna().distributions
    if "choices" in values:
        choices = values["choices"]
        check(len(values) == 1, f"{where}: choices stand alone, without low and high")
        check(isinstance(choices, list), f"{where}: choices = {choices!r}: a list is wanted")
        check(len(choices) > 0, f"{where}: choices is empty")
        # A study holds no lists, so that they stand in it as JSON.
        return kinds.CategoricalDistribution(
            [json.dumps(each) if isinstance(each, list) else each for each in choices]
        )
    check({"low", "high"} <= values.keys(), f"{where}: give low and high, or choices")
    for key, value in values.items():
        if key == "log":
            fits, wanted = isinstance(value, bool), "true or false is wanted"
        else:
            fits, wanted = _is_number(value), "a number is wanted; else give choices"
        check(fits, f"{where}: {key} = {value!r}: {wanted}")
    whole = isinstance(values["low"], int) and isinstance(values["high"], int)
    fits = not whole or isinstance(values.get("step", 1), int)
    check(
        fits, f"{where}: step = {values.get('step')}: between whole numbers, a whole one is wanted"
    )
    with _told_of(where):
        return (kinds.IntDistribution if whole else kinds.FloatDistribution)(**values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise EdgewiseError(
            "searching for settings needs Optuna, which is not installed: "
            "pip install 'edgewise[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


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

    def spec(self, config: MethodConfig) -> RunSpec:
        """What a trial of these settings trains."""
        kind = self.split_kind or HONEST.split_kind
        return RunSpec(self.space.method, config, self.data, HONEST, kind)

    def about(self) -> dict[str, Any]:
        """What must be the same when the study goes on, as JSON values."""
        as_json = _optuna().distributions.distribution_to_json
        return {
            "method": self.space.method,
            "objective": self.space.objective,
            "data": self.data.checksum,
            "split": self.split_kind or HONEST.split_kind,
            "settings": to_dict(self.space.base),
            "space": {name: as_json(each) for name, each in self.space.distributions.items()},
        }


def run_search(search: Search, study_file: Path, num_trials: int, on_trial: OnTrial) -> Study:
    """Bring a study to a number of finished trials.

    A trial that fails, since its loss diverges for example, is told and left behind; the next call
    tries others in its place. One that is stopped or killed comes first in the next call.

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
    study = open_study(search, study_file)
    for _ in range(num_trials - len(finished_trials(study))):
        trial = study.ask(dict(search.space.distributions))
        found: float | EdgewiseError
        try:
            found = _judged(search, trial.params)
            study.tell(trial, found)
        except EdgewiseError as error:
            found = error
            study.tell(trial, state=_optuna().trial.TrialState.FAIL)
        on_trial(trial.number, trial.params, found)
    return study


def open_study(search: Search, file: Path) -> Study:
    """The study in a journal, or a new one, with what was interrupted put first.

    Raises:
        ConfigError: the study in the file was made for something else.
        EdgewiseError: Optuna is not installed.
    """
    optuna = _optuna()
    file.parent.mkdir(parents=True, exist_ok=True)
    journal = optuna.storages.journal.JournalFileBackend(str(file))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(journal),
        study_name="edgewise",
        direction=search.space.direction,
        load_if_exists=True,
    )
    # A sampler is not stored: with the number of trials in its seed, a study that goes on does not
    # draw its first values again.
    study.sampler = optuna.samplers.TPESampler(seed=search.seed + len(study.trials))
    _check_same(study, json.loads(json.dumps(search.about())), file)
    states = optuna.trial.TrialState
    # Whatever ended the process of a trial, its training is there to go on with.
    for trial in study.get_trials(states=(states.RUNNING,)):
        study.tell(trial.number, state=states.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)
    return study


def _check_same(study: Study, about: Mapping[str, Any], file: Path) -> None:
    known = study.user_attrs.get("about")
    if known is None:
        study.set_user_attr("about", about)
        return
    changed = [name for name, value in about.items() if known.get(name) != value]
    check(
        not changed,
        f"--study {file}: belongs to another search ({', '.join(changed)} differ); name another "
        "file, or give what it was started with",
    )


def finished_trials(study: Study) -> list[Any]:
    """Trials with a value."""
    return study.get_trials(states=(_optuna().trial.TrialState.COMPLETE,))


def best_settings(search: Search, study: Study) -> Any:
    """The settings of the best trial, whole."""
    return search.space.settings(study.best_params)


def _check_rows(search: Search) -> None:
    """Refuse data without validation rows, by which no trial could be judged."""
    split = search.spec(search.space.base).split(search.dataset)
    if not len(split.valid):
        raise DataError(
            f"{search.data.folder}: no row is held out for validation under the {split.kind} "
            "split, so that no trial can be judged; name another with --split"
        )


def _judged(search: Search, values: Mapping[str, Any]) -> float:
    """Train with some values, or go on training, and look at the validation part."""
    run = _fitted(search, values)
    if not search.space.task:
        return _validation_loss(run)
    name, k = search.space.metric, search.space.k
    conditions = Conditions("valid", (k,), (name.partition("@")[0],))
    result = evaluate_task(run, search.space.task, conditions)  # type: ignore[arg-type]
    return float(next(iter(result.reports.values())).metrics[name].mean)


def _fitted(search: Search, values: Mapping[str, Any]) -> Run:
    spec = search.spec(search.space.settings(values))
    folder = search.folder / f"trial-{_digest(values)}"
    if is_run(folder) and read_info(folder).status == FINISHED:
        return open_run(folder, search.data.folder)
    return train(spec, folder, dataset=search.dataset, resume=is_run(folder))


def _validation_loss(run: Run) -> float:
    """The lowest validation loss of the last stage, whose weights were kept."""
    from edgewise.training.curves import read_curves

    curves = list(read_curves(run.folder).values())[-1]
    losses = [row["loss"] for row in curves.valid if "loss" in row]
    check(bool(losses), f"{run.folder}: no validation loss to judge it by; use an objective")
    return float(min(losses))


def _digest(values: Mapping[str, Any]) -> str:
    """A name for a trial's folder: equal values go on with each other's training."""
    text = json.dumps(dict(values), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
