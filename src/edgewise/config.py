"""Settings: typed, frozen and checked, from presets, TOML files and ``section.key=value``.

A method's settings are one class below :class:`MethodConfig`, whose sections are classes below
:class:`Settings`. Every value is checked when it is set, in Python as on the command line, and a
wrong name or value is refused with the nearest right one. What a setting means stands beside it
(:func:`setting`) and is what ``edgewise settings METHOD`` and the documentation print.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from edgewise import parsing
from edgewise.display import printable
from edgewise.errors import ConfigError

S = TypeVar("S", bound="Settings")
_ABSENT = "absent"
_LONGEST_NAME = 100
_MILLION = 1_000_000


def setting(default: Any, meaning: str, *, symbol: str = "", **limits: Any) -> Any:
    """A field of :class:`Settings`.

    Args:
        default: what it is unless somebody sets it.
        meaning: one or two sentences for ``edgewise settings`` and the documentation.
        symbol: what the paper calls it, with the equation or section.
        limits: ``ge``, ``gt``, ``le`` or ``lt``; a number without any on one side is bounded there
            by a million.
    """
    if isinstance(default, int | float) and not isinstance(default, bool):
        if not {"ge", "gt"} & limits.keys():
            limits["ge"] = -_MILLION
        if not {"le", "lt"} & limits.keys():
            limits["le"] = _MILLION
    return Field(default, description=meaning, json_schema_extra={"symbol": symbol}, **limits)


def section(kind: type[S], **values: Any) -> Any:
    """A field that holds a section of settings: its defaults, or the values given here."""
    return Field(default_factory=lambda: kind(**values))


class Settings(BaseModel):
    """A frozen section of settings; sections may hold sections.

    Raises:
        ConfigError: an unknown key or a value of the wrong kind, whoever sets it.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )
    SECTION: ClassVar[str] = ""
    """Where it stands in its method's settings, for messages."""
    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Names of older versions: what a setting is called now, with its path if it moved."""

    def __init__(self, **values: Any) -> None:
        _filled(self, values, f"{self.SECTION}." if self.SECTION else "")

    def __repr__(self) -> str:
        """What differs from the defaults; :func:`to_toml` tells all."""
        values, usual = (flat_settings(to_dict(each)) for each in (self, type(self)()))
        told = [f"{key}={value!r}" for key, value in values.items() if value != usual.get(key)]
        return f"{type(self).__name__}({', '.join(told)})"

    __str__ = __repr__

    @field_validator("*", mode="before")
    @classmethod
    def _as_spelled(cls, value: Any, info: Any) -> Any:
        """TOML and the command line know no tuples and no None."""
        hint = cls.model_fields[info.field_name].annotation
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str) and text != printable(text):
                raise PydanticCustomError("unprintable", "characters that cannot be shown")
        if isinstance(value, str) and value == "none" and type(None) in get_args(hint):
            return None
        if get_origin(hint) is tuple and isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return tuple(value) if isinstance(value, list) else value


class Stages(Settings):
    """Sections of one kind, one a stage; a key that names none of them is set in all."""


class MethodConfig(Settings):
    """All settings of a method."""

    seed: int = setting(0, "Fixes every random choice of a training.", ge=0, lt=2**63)


def to_dict(config: object) -> dict[str, Any]:
    """Nested plain values of settings or of a dataclass, ready for JSON."""
    if isinstance(config, BaseModel):
        return config.model_dump(mode="json")
    return json.loads(json.dumps(dataclasses.asdict(config)))  # type: ignore[call-overload]


def updated(config: S, values: Mapping[str, Any], where: str = "") -> S:
    """A copy of some settings with some values replaced.

    Args:
        config: what is changed.
        values: nested as the settings are.
        where: prefix for messages, such as a file name.

    Raises:
        ConfigError: an unknown key (the nearest one is named) or a value of the wrong kind.
    """
    kind = type(config)
    changes: dict[str, Any] = {}
    for key, value in _in_all_stages(config, values).items():
        if key not in kind.model_fields:
            raise ConfigError(_unknown_key(kind, where + key, key))
        current = getattr(config, key)
        if isinstance(current, Settings):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{where}{key} is a section, not a value; set one of its keys")
            changes[key] = updated(current, value, f"{where}{key}.")
        else:
            changes[key] = value
    return _filled(kind.__new__(kind), {**dict(config), **changes}, where)


def with_overrides(config: S, assignments: Iterable[str]) -> S:
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
        for name in sections:
            place = place.setdefault(name, {})
            check(isinstance(place, dict), f"{assignment!r}: {name} was given a value before")
        place[key] = _parse_value(text.strip())
    return updated(config, values)


def preset_config(kind: type[S], presets: Mapping[str, Mapping[str, Any]], name: str) -> S:
    """The settings of a preset: the defaults, with the preset's values.

    Raises:
        ConfigError: there is none of this name; the nearest is named.
    """
    check(name in presets, f"unknown preset {name!r}.{nearest(name, presets)}")
    return updated(kind(), presets[name])


def read_toml(path: str | Path) -> dict[str, Any]:
    """A configuration file as nested dictionaries.

    Raises:
        ConfigError: the file is missing, is not TOML, or nested too deeply.
    """
    return parsing.read_toml(path, ConfigError, "give a TOML file of settings")


def to_toml(config: Settings, method: str | None = None) -> str:
    """All settings as a file that ``edgewise fit --config`` reads back to the same."""
    head = [] if method is None else [f"method = {_spelled(method)}"]
    return "\n".join([*head, *_toml_lines(to_dict(config), "")]) + "\n"


def differences(old: Settings, new: Settings) -> list[str]:
    """Settings whose values differ, as ``section.key (old value, now new value)``."""
    before, after = flat_settings(to_dict(old)), flat_settings(to_dict(new))
    return [
        f"{key} ({_spelled(before.get(key, _ABSENT))}, now {_spelled(after.get(key, _ABSENT))})"
        for key in before | after
        if key not in before or key not in after or before[key] != after[key]
    ]


def flat_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by ``section.key``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inside = isinstance(value, Mapping)
        flat |= flat_settings(value, f"{prefix}{key}.") if inside else {prefix + key: value}
    return flat


def is_of_answers(path: str) -> bool:
    """Whether training never reads a setting (``section.key``): it says how a model answers."""
    return path.startswith("decoding.") or path == "priors.relearn"


class SettingRow(NamedTuple):
    """One setting as it is documented."""

    path: str
    kind: str
    default: str
    meaning: str
    symbol: str


def describe_settings(kind: type[Settings]) -> Iterator[SettingRow]:
    """Every setting of a method by its path, sections after what stands outside of them."""
    return _described(kind(), "")


def _described(values: Settings, prefix: str) -> Iterator[SettingRow]:
    sections: list[tuple[str, Settings]] = []
    for name, field in type(values).model_fields.items():
        default = getattr(values, name)
        if isinstance(default, Settings):
            sections.append((name, default))
            continue
        extra = field.json_schema_extra
        symbol = str(extra.get("symbol", "")) if isinstance(extra, dict) else ""
        told = _kind(field.annotation), _spelled(default), field.description or "", symbol
        yield SettingRow(prefix + name, *told)
    for name, inner in sections:
        yield from _described(inner, f"{prefix}{name}.")


def check(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def check_seed(seed: int, where: str) -> None:
    """Refuse a seed that a generator does not take.

    Args:
        seed: of any random choice.
        where: prefix for the message, such as an option.
    """
    check(0 <= seed < 2**63, f"{where} {parsing.shortened(seed)}: a seed is 0 or more, below 2**63")


def nearest(name: str, names: Iterable[str]) -> str:
    """A sentence that names the closest valid name, and all of them if they are few."""
    names = sorted(names)
    close = get_close_matches(name[:_LONGEST_NAME], names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{hint} Valid: {', '.join(names)}."


def _filled(settings: S, values: Mapping[str, Any], where: str) -> S:
    """New settings with their values, checked; what is wrong is told in words of our own."""
    kind = type(settings)
    try:
        kind.__pydantic_validator__.validate_python(dict(values), self_instance=settings)
    except ValidationError as error:
        raise ConfigError(_message(kind, error, where)) from None
    return settings


def _in_all_stages(config: Settings, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with keys that name no stage written into every stage."""
    if not isinstance(config, Stages):
        return dict(values)
    stages, fields = type(config).model_fields, _stage_of(type(config)).model_fields
    shared = {k: v for k, v in values.items() if k not in stages and k in fields}
    own = {key: value for key, value in values.items() if key not in shared}
    if not shared:
        return own
    given = {name: own.pop(name, {}) for name in stages}
    merged = {k: {**shared, **v} if isinstance(v, Mapping) else v for k, v in given.items()}
    return {**merged, **own}


def _unknown_key(kind: type[Settings], path: str, key: str) -> str:
    names, renamed = set(kind.model_fields), kind.RENAMED
    if issubclass(kind, Stages):
        stage = _stage_of(kind)
        names, renamed = names | set(stage.model_fields), {**stage.RENAMED, **renamed}
    if key in renamed:
        now = renamed[key]
        now = now if "." in now else f"{path.removesuffix(key)}{now}"
        return f"unknown configuration key {path!r}: it is called {now} now"
    return f"unknown configuration key {path!r}.{nearest(key, names)}"


def _stage_of(kind: type[Stages]) -> type[Settings]:
    """The class that all stages share."""
    hint = next(iter(kind.model_fields.values())).annotation
    assert isinstance(hint, type) and issubclass(hint, Settings)
    return hint


def _message(kind: type[Settings], error: ValidationError, prefix: str) -> str:
    """The first thing that is wrong, in the words of the command line."""
    found = error.errors()[0]
    name = str(found["loc"][0]) if found["loc"] else ""
    if found["type"] == "extra_forbidden":
        return _unknown_key(kind, prefix + name, name)
    return f"{prefix}{name}{_complaint(kind.model_fields[name].annotation, found)}"


def _complaint(hint: Any, found: ErrorDetails) -> str:
    limits = found.get("ctx", {})
    value = parsing.shortened(found["input"])
    options = _literals(hint)
    if found["type"] == "literal_error":
        return f" = {value}.{nearest(str(found['input']), map(str, options))}"
    if found["type"] == "finite_number":
        return f" = {value}: a number is wanted, neither infinite nor NaN"
    if found["type"] == "unprintable":
        return f" = {value}: holds {found['msg']}"
    for limit, words in _LIMITS.items():
        if limit in limits:
            return f" = {value}: must be {words} {limits[limit]}"
    return f" = {value}: {_wanted(hint)} is wanted"


_LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def _wanted(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return "a list"
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    return getattr(kinds[0], "__name__", str(kinds[0]))


def _literals(hint: Any) -> tuple[Any, ...]:
    """The options of a ``Literal``, wherever it stands in a hint."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(option for part in get_args(hint) for option in _literals(part))


def _kind(hint: Any) -> str:
    """A type as it is told to people."""
    if get_origin(hint) is Literal:
        return " | ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"list of {_kind(get_args(hint)[0])}"
    if get_origin(hint) in (Union, types.UnionType):
        return " | ".join("none" if h is type(None) else _kind(h) for h in get_args(hint))
    return getattr(hint, "__name__", str(hint))


def _parse_value(text: str) -> Any:
    try:
        values = parsing.parse_toml(f"value = {text}")
    except ValueError:
        return text
    return values["value"] if len(values) == 1 else text


def _toml_lines(values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in values.items():
        if not isinstance(value, Mapping):
            yield f"{key} = {_spelled(value)}"
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield f"\n[{prefix}{key}]"
            yield from _toml_lines(value, f"{prefix}{key}.")


def _spelled(value: object) -> str:
    # TOML has no null; settings read "none" as one.
    return json.dumps("none" if value is None else value, ensure_ascii=False)
