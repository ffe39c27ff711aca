"""From a preset, a file and single settings to one configuration, and back to a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewise.configuration import check, to_dict, updated, with_overrides
from edgewise.runs.methods import DEFAULT_METHOD, MethodConfig, find_method
from edgewise.runs.recipe import Recipe, read_recipe

DEFAULT_PRESET = "cpu"
_ABSENT = "absent"


def resolve_config(
    preset_name: str | None = None,
    file: str | Path | None = None,
    assignments: Sequence[str] = (),
    base: MethodConfig | None = None,
    method: str | None = None,
) -> MethodConfig:
    """A preset, changed by a file, changed by single settings.

    Args:
        preset_name: of the method; ``cpu`` if neither this nor the file names one.
        file: TOML with the sections of the method's configuration and, if wanted, what
            :mod:`edgewise.runs.recipe` reads.
        assignments: ``section.key=value``.
        base: stands in for the default preset.
        method: by name; the file's, or ``elmrec``, where it is None.

    Raises:
        ConfigError: an unknown method, preset, key or value, with the nearest valid one; or a file
            that contradicts the preset or the method.
    """
    recipe = Recipe() if file is None else read_recipe(file)
    chosen = _agreed(preset_name, recipe.preset, f"--preset {preset_name}", "preset", file)
    named = _agreed(method, recipe.method, f"fit {method}", "method", file)
    if chosen is None and base is not None:
        start = base
    else:
        start = find_method(named or DEFAULT_METHOD).preset_config(chosen or DEFAULT_PRESET)
    config = updated(start, recipe.settings, where=f"{file}: ")
    return with_overrides(config, assignments)


def to_toml(config: MethodConfig, method: str | None = None) -> str:
    """The whole configuration as a file that :func:`resolve_config` reads back to the same."""
    head = [] if method is None else [f"method = {_spelled(method)}"]
    return "\n".join([*head, *_lines(to_dict(config), "")]) + "\n"


def differences(old: MethodConfig, new: MethodConfig) -> list[str]:
    """Settings whose values differ, as ``section.key (old value, now new value)``."""
    before, after = flat_settings(to_dict(old)), flat_settings(to_dict(new))
    return [
        f"{key} ({_spelled(before.get(key, _ABSENT))}, now {_spelled(after.get(key, _ABSENT))})"
        for key in before | after
        if key not in before or key not in after or before[key] != after[key]
    ]


def _agreed(
    asked: str | None, in_file: str | None, option: str, key: str, file: object
) -> str | None:
    """What the command or the file says; both may say the same."""
    agree = asked is None or in_file is None or asked == in_file
    check(agree, f"{option} contradicts {key} = {in_file!r} in {file}: give one")
    return asked or in_file


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


def flat_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by ``section.key``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inside = isinstance(value, Mapping)
        flat |= flat_settings(value, f"{prefix}{key}.") if inside else {prefix + key: value}
    return flat
