"""What a search may change, and what it looks for, as a TOML file.

.. code-block:: toml

    preset = "tiny"                      # and any other settings that stay as they are
    objective = "direct/NDCG@10"         # on validation rows; or "loss", which is not measured anew

    [space."whole_words.direct_scale"]
    low = 1.0
    high = 10.0
    log = true                           # each factor as likely as the next

    [space."graph.rank"]
    choices = [16, 32, 64]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgewise.configuration import check, nearest, read_toml, to_dict, updated, with_overrides
from edgewise.errors import ConfigError
from edgewise.evaluation.ranking import check_metrics
from edgewise.experiments.ranges import Range, place_of, read_ranges
from edgewise.runs.methods import MethodConfig, find_method, setting
from edgewise.runs.settings import DEFAULT_PRESET, flat_settings

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
