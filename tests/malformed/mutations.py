"""Valid files changed, by seed, into files that somebody might have: cut, mistyped, or hostile."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Damage = Callable[[Path], None]
DEEP = 100_000
LONG_NUMBER = "9" * 5000
ESCAPES = "\x1b[31m\x9b2J\u202e[/]"


def _bytes(content: bytes) -> Damage:
    return lambda path: _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _in_place(change: Callable[[bytes, random.Random], bytes], seed: int) -> Damage:
    return lambda path: path.write_bytes(change(path.read_bytes(), random.Random(seed)))


def _flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(5):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(1, len(content))]


class _Touch:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, ("open('pickle-was-run', 'w')",)


PICKLE = pickle.dumps(_Touch())


def any_file(cuts: int = 2, flips: int = 2) -> Iterator[tuple[str, Damage]]:
    """What can happen to a file of any format."""
    yield "empty", _bytes(b"")
    yield "folder", _folder
    yield "pickle", _bytes(PICKLE)
    yield "junk", _bytes(bytes(random.Random(7).randrange(256) for _ in range(3000)))
    yield "zeros", _bytes(bytes(1000))
    for seed in range(cuts):
        yield f"cut-{seed}", _in_place(_cut, seed)
    for seed in range(flips):
        yield f"flipped-{seed}", _in_place(_flipped, seed)


def any_json() -> Iterator[tuple[str, Damage]]:
    """What can happen to a JSON file, whatever it holds."""
    yield from any_file(cuts=2, flips=2)
    yield "null", _bytes(b"null")
    yield "list", _bytes(b"[1]")
    yield "text", _bytes(b'"text"')
    yield "deep", _bytes(b'{"a":' * DEEP)
    yield "deep-list", _bytes(b"[" * DEEP + b"]" * DEEP)
    yield "nested", _bytes(b'{"a":' * 400 + b"1" + b"}" * 400)
    yield "digits", _bytes(f'{{"a": {LONG_NUMBER}}}'.encode())
    yield "twice", _bytes(b'{"kind": 1, "kind": 2}')
    yield "utf-16", lambda path: path.write_bytes(path.read_text("utf-8").encode("utf-16"))
    yield "latin-1", _bytes('{"name": "é"}'.encode("latin-1"))


WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**64,
    10**30,
    1e300,
    float("nan"),
    float("inf"),
    "",
    "x",
    ESCAPES,
    "\x00",
    "\ud800",
    [],
    {},
    [[[]]],
    {"a": {"b": None}},
    "../../../etc/passwd",
)


def paths_of(values: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places of nested values, outer ones first; of a list, the first alone."""
    pairs = values.items() if isinstance(values, dict) else enumerate(values[:1])
    for key, inner in pairs:
        yield (*at, key)
        if isinstance(inner, dict | list):
            yield from paths_of(inner, (*at, key))


def fields_changed(
    values: Any, count: int, seed: int, under: tuple[Any, ...] = ()
) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """``count`` changes of one field each: removed, or given a value of the wrong kind."""
    rng = random.Random(seed)
    places = [place for place in paths_of(values) if place[: len(under)] == under]
    for number in range(count):
        place = places[number % len(places)] if number < len(places) else rng.choice(places)
        wrong = rng.choice([..., *WRONG])
        name = ".".join(map(str, place))
        yield f"{name}={_short(wrong)}", _changer(place, wrong)


def _short(wrong: Any) -> str:
    return "gone" if wrong is ... else ascii(wrong).replace("/", "|")[:24]


def _changer(place: tuple[Any, ...], wrong: Any) -> Callable[[Any], Any]:
    def change(values: Any) -> Any:
        values = json.loads(json.dumps(values))
        inner = values
        for key in place[:-1]:
            inner = inner[key]
        if wrong is ...:
            del inner[place[-1]]
        else:
            inner[place[-1]] = wrong
        return values

    return change
