"""Configurations: frozen dataclasses that are read from TOML, overridden by ``section.key=value``,
checked, and written beside every run.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from edgewise.errors import ConfigError

T = TypeVar("T")


def to_dict(config: object) -> dict[str, Any]:
    """Nested plain values, ready for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))  # type: ignore[call-overload]


def updated(config: T, values: Mapping[str, Any], where: str = "") -> T:
    """A copy of a configuration with some values replaced.

    Args:
        config: a frozen dataclass, possibly with dataclasses inside.
        values: nested as the configuration is.
        where: prefix for messages, such as a file name.

    Raises:
        ConfigError: an unknown key (the nearest one is named) or a value of the wrong kind.
    """
    hints = get_type_hints(type(config))
    names = [field.name for field in dataclasses.fields(config)]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in names:
            raise ConfigError(_unknown_key(where + key, key, names))
        current = getattr(config, key)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{where}{key} is a section, not a value; set one of its keys")
            changes[key] = updated(current, value, f"{where}{key}.")
        else:
            changes[key] = _converted(value, hints[key], where + key)
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def with_overrides(config: T, assignments: Iterable[str]) -> T:
    """Apply ``section.key=value`` strings, values spelled as in TOML or as bare words.

    All are applied at once, so that values which only fit together may be given in any order.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"{assignment!r} is not of the form key=value")
        *sections, key = path.strip().split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
            check(isinstance(place, dict), f"{assignment!r}: {section} was given a value before")
        place[key] = _parse_value(text.strip())
    return updated(config, values)


def read_toml(path: str | Path) -> dict[str, Any]:
    """A configuration file as nested dictionaries.

    Raises:
        ConfigError: the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def check(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def nearest(name: str, names: Iterable[str]) -> str:
    """A sentence that names the closest valid name, and all of them if they are few."""
    names = sorted(names)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{hint} Valid: {', '.join(names)}."


def _unknown_key(path: str, key: str, names: list[str]) -> str:
    return f"unknown configuration key {path!r}.{nearest(key, names)}"


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _converted(value: Any, hint: Any, path: str) -> Any:
    origin, options = get_origin(hint), get_args(hint)
    if origin is Literal:
        check(value in options, f"{path} = {value!r}.{nearest(str(value), map(str, options))}")
        return value
    if origin in (Union, types.UnionType):
        if value is None or value == "none":
            return None
        return _converted(value, next(o for o in options if o is not type(None)), path)
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value
        check(isinstance(items, list | tuple), f"{path} = {value!r}: a list is wanted")
        return tuple(_converted(item, options[0], path) for item in items)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kind_matches = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    check(kind_matches, f"{path} = {value!r}: {hint.__name__} is wanted")
    return value
