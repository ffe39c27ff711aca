"""The values that a search may give to one setting, as a TOML file has them.

What a search may change, and what it looks for, as a TOML file.

.. code-block:: toml

    preset = "tiny"                      # and any other settings that stay as they are
    objective = "direct/NDCG@10"         # on validation rows; or "loss", which is not measured anew

    [space."whole_words.direct_scale"]
    low = 1.0
    high = 10.0
    log = true                           # each factor as likely as the next

    [space."graph.rank"]
    choices = [16, 32, 64]

Studies of Optuna in a journal: opened, checked, and gone on with.

Search for settings on validation rows, with Optuna; a search that was stopped goes on.

Nothing here reads a test row: trials are judged by the loss or the ranking of the validation part.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgewise.config import check, nearest, read_toml, to_dict, updated, with_overrides
from edgewise.errors import ConfigError, DataError, EdgewiseError
from edgewise.evaluation.metrics import check_metrics
from edgewise.evaluation.protocols import HONEST
from edgewise.models.registry import MethodConfig, find_method, setting
from edgewise.runs.evaluate import Conditions, evaluate_task
from edgewise.runs.run import (
    FINISHED,
    DataInfo,
    Run,
    RunInfo,
    is_run,
    open_run,
    prepare_folder,
    read_info,
    split_of,
)
from edgewise.runs.spec import DEFAULT_PRESET, flat_settings
from edgewise.runs.train import fit_run

if TYPE_CHECKING:
    from optuna import Study, Trial

    from edgewise.data.dataset import Dataset


_KEYS = ("low", "high", "log", "step", "choices")


@dataclass(frozen=True)
class Range:
    """The values of one setting.

    Attributes:
        name: ``section.key``.
        choices: these values, if any; otherwise
        low, high: the least and the largest, whole numbers if both are,
        log: with logarithms spread evenly,
        step: or so far from each other.
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    step: float | int | None = None

    @property
    def whole(self) -> bool:
        """Whether values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def examples(self) -> Sequence[Any]:
        """Values at the ends, which settings must accept."""
        return self.choices or (self.low, self.high)


def place_of(file: object, name: str) -> str:
    """Where the range of a setting stands, for messages."""
    return f'{file}: [space."{name}"]'


def read_ranges(file: object, sections: Any, known: Iterable[str]) -> Iterator[Range]:
    """The ranges of a file.

    Args:
        file: for messages.
        sections: what stands under ``space``.
        known: names of all settings.

    Raises:
        ConfigError: an unknown setting or key, or values that are no range.
    """
    known = list(known)
    check(
        isinstance(sections, Mapping) and bool(sections),
        f'{file}: nothing to search; add sections such as [space."section.key"]',
    )
    for name, values in sections.items():
        where = place_of(file, name)
        check(name in known, f"{where}: no such setting.{nearest(name, known)}")
        check(isinstance(values, Mapping), f"{where}: give low and high, or choices")
        for key in values:
            check(key in _KEYS, f"{where}: unknown key {key!r}.{nearest(key, _KEYS)}")
        yield _chosen(where, name, values) if "choices" in values else _between(where, name, values)


def _chosen(where: str, name: str, values: Mapping[str, Any]) -> Range:
    check(list(values) == ["choices"], f"{where}: choices stand alone, without low and high")
    choices = values["choices"]
    check(isinstance(choices, list), f"{where}: choices = {choices!r}: a list is wanted")
    check(len(choices) > 0, f"{where}: choices is empty")
    return Range(name, tuple(tuple(c) if isinstance(c, list) else c for c in choices))


def _between(where: str, name: str, values: Mapping[str, Any]) -> Range:
    check({"low", "high"} <= values.keys(), f"{where}: give low and high, or choices")
    for key in values.keys() & {"low", "high", "step"}:
        fits = _is_number(values[key])
        check(fits, f"{where}: {key} = {values[key]!r}: a number is wanted; else give choices")
    low, high, log = values["low"], values["high"], values.get("log", False)
    check(isinstance(log, bool), f"{where}: log = {log!r}: true or false is wanted")
    check(low < high, f"{where}: low = {low} must be below high = {high}")
    check(not (log and "step" in values), f"{where}: log and step exclude each other")
    check(not log or low > 0, f"{where}: with log, low must be above 0")
    found = Range(name, (), low, high, log, values.get("step"))
    if found.step is not None:
        check(found.step > 0, f"{where}: step = {found.step} must be above 0")
        fits = not found.whole or isinstance(found.step, int)
        check(fits, f"{where}: step = {found.step}: between whole numbers, a whole one is wanted")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


LOSS = "loss"
_TRAINED = "prompts.tasks"
_TASKS = ("direct", "sequential")
_OWN = ("preset", "objective", "space", "method")


@dataclass(frozen=True)
class Space:
    """A search.

    Attributes:
        method: by name.
        base: settings that stay.
        ranges: settings that change.
        task, metric: looked for on validation rows; the task is empty for the loss.
    """

    method: str
    base: MethodConfig
    ranges: tuple[Range, ...]
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
        nested: dict[str, Any] = {}
        for name, value in values.items():
            *sections, key = name.split(".")
            place = nested
            for section in sections:
                place = place.setdefault(section, {})
            place[key] = list(value) if isinstance(value, tuple) else value
        return updated(self.base, nested)


def read_space(file: Path, method: str, assignments: Sequence[str] = ()) -> Space:
    """Read a search; every setting is tried at the ends of its range before anything is trained.

    Args:
        file: see the module.
        method: by name.
        assignments: ``section.key=value``, before the file's.

    Raises:
        ConfigError: an unknown key, setting or metric, with the nearest valid one, or a value that
            the settings refuse.
    """
    values = read_toml(file)
    own = {name: values.pop(name) for name in _OWN if name in values}
    agrees = own.get("method", method) == method
    check(agrees, f"{file}: method = {own.get('method')!r} contradicts 'tune {method}'")
    task, metric = _objective(file, own.get("objective", LOSS))
    with _told_of(str(file)):
        base = updated(_preset(method, own.get("preset", DEFAULT_PRESET)), values)
    base = with_overrides(base, assignments)
    ranges = read_ranges(file, own.get("space", {}), flat_settings(to_dict(base)))
    space = Space(method, base, tuple(ranges), task, metric)
    for each in space.ranges:
        with _told_of(place_of(file, each.name)):
            tried = [space.settings({each.name: value}) for value in each.examples()]
            for config in tried if each.name == _TRAINED else ():
                _check_task(config, task)
    if all(each.name != _TRAINED for each in space.ranges):
        with _told_of(f"{file}: objective"):
            _check_task(base, task)
    return space


@contextmanager
def _told_of(where: str) -> Iterator[None]:
    """Puts the place in the file before what settings say of a value."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _preset(method: str, name: Any) -> MethodConfig:
    check(isinstance(name, str), f"preset = {name!r}: the name of a preset is wanted")
    return find_method(method).preset_config(name)


def _objective(file: Path, text: Any) -> tuple[str, str]:
    if text == LOSS:
        return "", LOSS
    task, _, metric = str(text).partition("/")
    name, _, k = metric.partition("@")
    well_formed = task in _TASKS and k.isascii() and k.isdigit()
    check(
        well_formed,
        f'{file}: objective = {text!r}: write "loss", or as "direct/NDCG@10".'
        f"{nearest(task, _TASKS)}",
    )
    check(int(k or 0) > 0, f"{file}: objective = {text!r}: lists of at least 1 item are measured")
    with _told_of(f"{file}: objective = {text!r}"):
        check_metrics([name])
    return task, metric


def _check_task(config: MethodConfig, task: str) -> None:
    """Refuse an objective that a trial of these settings is not trained for."""
    trained = setting(config, _TRAINED, None)
    check(
        not task or trained is None or task in trained,
        f"{task!r} is not among {_TRAINED} = {list(trained or ())}, which are trained; add it "
        "there, or name another objective",
    )


STOPPED = "stopped"
"""Marks a trial that somebody interrupted."""
_ABOUT = "about"


def open_study(
    file: Path, direction: Literal["maximize", "minimize"], about: Mapping[str, Any], seed: int
) -> Study:
    """The study in a journal, or a new one, with what was interrupted put first.

    Args:
        file: the journal.
        direction: whether values should grow.
        about: what must be the same when a study goes on, as JSON values.
        seed: of the sampler.

    Raises:
        ConfigError: the study in the file was made for something else.
        EdgewiseError: Optuna is not installed.
    """
    optuna = _optuna()
    file.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(file)),
    )
    study = optuna.create_study(
        storage=storage,
        study_name="edgewise",
        direction=direction,
        load_if_exists=True,
    )
    # A sampler is not stored: with the number of trials in its seed, a study that goes on does not
    # draw its first values again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    _check_same(study, about, file)
    _try_stopped_ones_again(study)
    return study


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


def _check_same(study: Study, wanted: Mapping[str, Any], file: Path) -> None:
    about = json.loads(json.dumps(wanted))
    known = study.user_attrs.get(_ABOUT)
    if known is None:
        study.set_user_attr(_ABOUT, about)
        return
    changed = [name for name, value in about.items() if known.get(name) != value]
    if changed:
        raise ConfigError(
            f"--study {file}: belongs to another search ({', '.join(changed)} differ); name "
            "another file, or give what it was started with"
        )


def _try_stopped_ones_again(study: Study) -> None:
    """Values of trials that somebody stopped or killed come first, each once."""
    from optuna.trial import TrialState

    killed = study.get_trials(states=(TrialState.RUNNING,))
    for trial in killed:
        study.tell(trial.number, state=TrialState.FAIL)
    failed = study.get_trials(states=(TrialState.FAIL,))
    interrupted = [trial for trial in failed if STOPPED in trial.user_attrs]
    waiting = study.get_trials(states=(TrialState.WAITING,))
    known = [trial.params for trial in finished_trials(study)]
    known += [trial.system_attrs.get("fixed_params", {}) for trial in waiting]
    for trial in [*killed, *interrupted]:
        if trial.params and trial.params not in known:
            study.enqueue_trial(trial.params)
            known.append(trial.params)


def suggested(trial: Trial, each: Range) -> Any:
    """A value of a setting for a trial."""
    if each.choices:
        return trial.suggest_categorical(each.name, list(each.choices))
    suggest = trial.suggest_int if each.whole else trial.suggest_float
    options = {"log": True} if each.log else {} if each.step is None else {"step": each.step}
    return suggest(each.name, each.low, each.high, **options)  # type: ignore[arg-type]


def finished_trials(study: Study) -> list[Any]:
    """Trials with a value."""
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE,))


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
    from edgewise.training.curves import read_curves

    curves = list(read_curves(run.folder).values())[-1]
    if not curves.valid_loss:
        raise EdgewiseError(f"{run.folder}: no validation loss to judge it by; use an objective")
    return min(row["total"] for row in curves.valid_loss)


def _digest(values: Mapping[str, Any]) -> str:
    """A name for a trial's folder: equal values go on with each other's training."""
    text = json.dumps(dict(values), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
