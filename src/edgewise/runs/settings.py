"""From a preset, a file and single settings to one configuration, and back to a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewise.configuration import check, read_toml, to_dict, updated, with_overrides
from edgewise.models.elmrec.config import ELMRecConfig
from edgewise.models.elmrec.presets import preset

DEFAULT_PRESET = "cpu"


def resolve_config(
    preset_name: str | None = None,
    file: str | Path | None = None,
    assignments: Sequence[str] = (),
    base: ELMRecConfig | None = None,
) -> ELMRecConfig:
    """A preset, changed by a file, changed by single settings.

    Args:
        preset_name: see :data:`edgewise.models.elmrec.presets.PRESETS`; ``cpu`` if neither this
            nor the file names one.
        file: TOML with the sections of :class:`ELMRecConfig` and, if wanted, ``preset = "name"``.
        assignments: ``section.key=value``.
        base: stands in for the default preset.

    Raises:
        ConfigError: an unknown preset, key or value; the nearest valid one is named.
    """
    values = {} if file is None else read_toml(file)
    named = values.pop("preset", None)
    agree = preset_name is None or named is None or preset_name == named
    check(agree, f"--preset {preset_name} contradicts preset = {named!r} in {file}: give one")
    chosen = preset_name or named
    start = base if chosen is None and base is not None else preset(chosen or DEFAULT_PRESET)
    config = updated(start, values, where=f"{file}: ")
    return with_overrides(config, assignments)


def to_toml(config: ELMRecConfig) -> str:
    """The whole configuration as a file that :func:`resolve_config` reads back to the same."""
    return "\n".join(_lines(to_dict(config), "")) + "\n"


def differences(old: ELMRecConfig, new: ELMRecConfig) -> list[str]:
    """Settings whose values differ, as ``section.key (old value, now new value)``."""
    before, after = _flat(to_dict(old)), _flat(to_dict(new))
    return [
        f"{key} ({_spelled(before[key])}, now {_spelled(after[key])})"
        for key in before
        if before[key] != after[key]
    ]


def _lines(values: Mapping[str, Any], section: str) -> Iterator[str]:
    for key, value in values.items():
        if not isinstance(value, Mapping):
            yield f"{key} = {_spelled(value)}"
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield f"\n[{section}{key}]"
            yield from _lines(value, f"{section}{key}.")


def _spelled(value: object) -> str:
    # TOML has no null; the configuration reads "none" as one.
    return json.dumps("none" if value is None else value, ensure_ascii=False)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inside = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if inside else {prefix + key: value}
    return flat
