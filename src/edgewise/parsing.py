"""JSON and TOML read within bounds: a value of the kind asked for, or one line on what is wrong.

Everything of ours that is read back (settings, runs, models, results) comes through here. A file
may have been cut short, edited, taken from elsewhere or made to do harm; the reader names it, and
the field where there is one.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgewise.errors import EdgewiseError

_MOST_BYTES = {"JSON": 128_000_000, "TOML": 1_000_000}
_MOST_DEPTH = 40
_LONGEST_LINE = 20_000  # reading a key takes the square of its parts
_LARGEST = 2**63
# Less those that stand for the bytes of a file name that is not UTF-8.
_HALF_A_CHARACTER = re.compile("[\ud800-\udc7f\udd00-\udfff]")
T = TypeVar("T")


class Shape(BaseModel):
    """Fields that a file must have, with their types; others are left alone."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _BadTextError(ValueError):
    """What is wrong with a text, in words of our own."""


def read_json(
    path: str | Path,
    error: type[EdgewiseError],
    repair: str,
    shape: type[Shape] | None = None,
) -> dict[str, Any]:
    """A JSON file that holds one object.

    Args:
        path: of the file.
        error: what is raised.
        repair: what to do about a file that is no good, as the end of a message.
        shape: fields that it must have.

    Raises:
        EdgewiseError: of the class ``error``: the file is missing, is no file, is too large, not
            UTF-8, not JSON, nested too deeply, has a key twice, a number that is none (NaN) or
            longer than 64 bits, or lacks a field; names the file and the field.
    """
    values = _read(Path(path), error, repair, parse_json)
    if not isinstance(values, dict):
        raise error(f"{path}: holds {kind_name(values)}, and an object is wanted; {repair}")
    if shape is not None:
        check_shape(values, shape, path, error, repair)
    return values


def read_toml(path: str | Path, error: type[EdgewiseError], repair: str) -> dict[str, Any]:
    """A TOML file as nested dictionaries.

    Raises:
        EdgewiseError: of the class ``error``, see :func:`read_json`.
    """
    return _read(Path(path), error, repair, parse_toml)


def check_shape(
    values: object,
    shape: type[Shape],
    where: object,
    error: type[EdgewiseError],
    repair: str,
) -> None:
    """Refuse values that lack a field of a shape, or have one of another type.

    Raises:
        EdgewiseError: of the class ``error``; names the first such field.
    """
    try:
        shape.model_validate(values)
    except ValidationError as found:
        first = found.errors(include_url=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        if first["type"] == "missing":
            raise error(f"{where}: {field} is missing; {repair}") from None
        wanted = first["msg"].replace("Input", "it").replace("dictionary", "object")
        raise error(
            f"{where}: {field} is {shortened(first['input'])}, but {wanted}; {repair}"
        ) from None


def parse_json(text: str, *, numbers_as_text: bool = False) -> Any:
    """A JSON text within bounds, see :func:`read_json`.

    Args:
        text: to be read.
        numbers_as_text: give numbers as they are spelled, as ids.

    Raises:
        ValueError: it is none.
    """
    try:
        values = json.loads(
            text,
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_int=str if numbers_as_text else _whole,
            parse_float=str if numbers_as_text else _finite,
        )
    except RecursionError:
        raise _BadTextError(f"nested deeper than {_MOST_DEPTH} levels") from None
    _check_depth(values)
    if "\\u0000" in text:
        raise _BadTextError("holds the character NUL")
    if "\\ud" in text.lower() and _HALF_A_CHARACTER.search(json.dumps(values, ensure_ascii=False)):
        raise _BadTextError("holds half of a surrogate pair, which is no character")
    return values


def parse_toml(text: str) -> dict[str, Any]:
    """A TOML text within bounds, see :func:`read_json`.

    Raises:
        ValueError: it is none.
    """
    if any(len(line) > _LONGEST_LINE for line in text.splitlines()):
        raise _BadTextError(f"a line is longer than {_LONGEST_LINE:,} characters")
    try:
        values = tomllib.loads(text, parse_float=_finite_or_named)
    except RecursionError:
        raise _BadTextError(f"nested deeper than {_MOST_DEPTH} levels") from None
    _check_depth(values)
    return values


def kind_name(value: object) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")


def shortened(value: object, most: int = 60) -> str:
    """A value as it is told in a message, cut where it is long."""
    if value is None or isinstance(value, dict | list | tuple):
        return kind_name(list(value) if isinstance(value, tuple) else value)
    if isinstance(value, str):
        return repr(value if len(value) <= most else value[:most] + "...")
    return "a number of many digits" if _is_long(value) else repr(value)


def _is_long(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > 200


def _read(path: Path, error: type[EdgewiseError], repair: str, parse: Callable[[str], T]) -> T:
    language = "TOML" if parse is parse_toml else "JSON"
    try:
        if path.exists() and not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "is no regular file"
            raise _BadTextError(what)
        if path.stat().st_size > (most := _MOST_BYTES[language]):
            raise _BadTextError(f"is larger than {most / 1e6:.0f} MB")
        return parse(path.read_text(encoding="utf-8-sig"))
    except OSError as found:
        raise error(f"{path}: cannot be read ({found.strerror or found}); {repair}") from None
    except _BadTextError as found:
        raise error(f"{path}: {found}; {repair}") from None
    except UnicodeDecodeError as found:
        raise error(f"{path}: not UTF-8 text (byte {found.start + 1}); {repair}") from None
    except ValueError as found:
        raise error(f"{path}: not valid {language} ({found}); {repair}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _BadTextError(f"{shortened(twice)} stands twice")
    return values


def _no_constant(name: str) -> float:
    raise _BadTextError(f"{name} is no number")


def _whole(text: str) -> int:
    if len(text) > 20 or not -_LARGEST <= int(text) < _LARGEST:
        raise _BadTextError(f"a number of {len(text.lstrip('-'))} digits, too large for 64 bits")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise _BadTextError(f"the number {text[:20]} is too large")
    return value


def _finite_or_named(text: str) -> float:
    # inf and nan are TOML; what they are given to refuses them, by its name.
    return _finite(text) if text[-1].isdigit() else float(text)


def _check_depth(values: object) -> None:
    level = [values]
    for _ in range(_MOST_DEPTH):
        level = [inner for outer in level for inner in _containers(outer)]
        if not level:
            return
    raise _BadTextError(f"nested deeper than {_MOST_DEPTH} levels")


def _containers(outer: Any) -> list[Any]:
    inside = outer.values() if isinstance(outer, Mapping) else outer
    if not isinstance(outer, Mapping | list):
        return []
    return [each for each in inside if isinstance(each, dict | list)]
