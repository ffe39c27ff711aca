"""Studies of Optuna in a journal: opened, checked, and gone on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgewise.errors import ConfigError, EdgewiseError
from edgewise.experiments.ranges import Range

if TYPE_CHECKING:
    from optuna import Study, Trial

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
