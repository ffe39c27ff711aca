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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgewise.configuration import check, nearest, read_toml, to_dict, updated, with_overrides
from edgewise.evaluation.ranking import check_metrics
from edgewise.runs.methods import MethodConfig, find_method
from edgewise.runs.settings import DEFAULT_PRESET, flat_settings

LOSS = "loss"
_OWN = ("preset", "objective", "space", "method")
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
    base = find_method(method).preset_config(own.get("preset", DEFAULT_PRESET))
    base = with_overrides(updated(base, values, f"{file}: "), assignments)
    ranges = tuple(_ranges(file, own.get("space", {}), base))
    check(bool(ranges), f'{file}: nothing to search; add sections such as [space."section.key"]')
    task, metric = _objective(file, own.get("objective", LOSS))
    space = Space(method, base, ranges, task, metric)
    for each in ranges:
        for value in each.examples():
            space.settings({each.name: value})
    return space


def _objective(file: Path, text: str) -> tuple[str, str]:
    if text == LOSS:
        return "", LOSS
    task, _, metric = text.partition("/")
    name, _, k = metric.partition("@")
    tasks = ("direct", "sequential")
    check(
        task in tasks and k.isdigit(),
        f'{file}: objective = {text!r}: write "loss", or as "direct/NDCG@10".'
        f"{nearest(task, tasks)}",
    )
    check_metrics([name])
    return task, metric


def _ranges(file: Path, sections: Mapping[str, Any], base: MethodConfig) -> Iterator[Range]:
    known = flat_settings(to_dict(base))
    for name, values in sections.items():
        where = f'{file}: [space."{name}"]'
        check(name in known, f"{where}: no such setting.{nearest(name, known)}")
        check(isinstance(values, Mapping), f"{where}: give low and high, or choices")
        for key in values:
            check(key in _KEYS, f"{where}: unknown key {key!r}.{nearest(key, _KEYS)}")
        yield _range(where, name, dict(values))


def _range(where: str, name: str, values: dict[str, Any]) -> Range:
    if "choices" in values:
        check(list(values) == ["choices"], f"{where}: choices stand alone, without low and high")
        choices = tuple(tuple(c) if isinstance(c, list) else c for c in values["choices"])
        check(len(choices) > 0, f"{where}: choices is empty")
        return Range(name, choices)
    check({"low", "high"} <= values.keys(), f"{where}: give low and high, or choices")
    low, high = values["low"], values["high"]
    check(low < high, f"{where}: low = {low} must be below high = {high}")
    log = values.get("log", False)
    check(not (log and "step" in values), f"{where}: log and step exclude each other")
    check(not log or low > 0, f"{where}: with log, low must be above 0")
    return Range(name, (), low, high, log, values.get("step"))
