"""The values that a search may give to one setting, as a TOML file has them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgewise.configuration import check, nearest

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
