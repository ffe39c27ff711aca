"""Seals of JSON records: which field of them was changed after they were written.

A seal holds a digest of every field and one of all of them. It protects against slips and tidying
up, not against somebody who computes the digests anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from edgewise.errors import EdgewiseError

SEAL = "seal"
_ALL = "all fields"
_SHOWN = 40
# Hexadecimal digits that are kept of a field's digest.
_DIGITS = 16


def content_digest(values: object) -> str:
    """The SHA-256 of JSON values in their one canonical spelling, in hexadecimal."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seal_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with their seal at the end; an older one is replaced."""
    bare = _bare(values)
    return bare | {SEAL: {**_digests(bare), _ALL: content_digest(bare)}}


def check_fields(
    values: Mapping[str, Any], where: object, again: str, error: type[EdgewiseError]
) -> None:
    """Refuse values that are not those that were sealed.

    Args:
        values: read from a file.
        where: that file, for the message.
        again: what to do about it, a sentence.
        error: what is raised.

    Raises:
        EdgewiseError: of the kind asked for; names the fields that were changed, added or removed.
    """
    seal = values.get(SEAL)
    if not isinstance(seal, Mapping):
        raise error(f"{where}: the field {SEAL!r} is missing or damaged. {again}")
    bare = _bare(values)
    found = {**_digests(bare), _ALL: content_digest(bare)}
    changed = [_told(bare, name) for name in _changed(found, seal) if name != _ALL]
    if changed:
        raise error(f"{where}: changed after it was written: {', '.join(changed)}. {again}")
    if found[_ALL] != seal.get(_ALL):
        raise error(f"{where}: a field was changed together with its seal. {again}")


def _bare(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != SEAL}


def _digests(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: content_digest(value)[:_DIGITS] for name, value in _fields(values)}


def _fields(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields by name, ``section.key`` of those that hold others."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", part) for key, part in value.items())
        else:
            yield name, value


def _changed(found: Mapping[str, str], sealed: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys([*found, *sealed])
    return [name for name in names if found.get(name) != sealed.get(name)]


def _told(values: Mapping[str, Any], name: str) -> str:
    """A field as the file has it now."""
    known = dict(_fields(values))
    if name not in known:
        return f"{name} (removed)"
    text = json.dumps(known[name], ensure_ascii=False)
    return f"{name} = {text}" if len(text) <= _SHOWN else name
