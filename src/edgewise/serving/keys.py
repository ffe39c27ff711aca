"""Who may ask what: keys by scope, of which only hashes are kept, and how often each may ask."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from edgewise.config import check
from edgewise.errors import ConfigError
from edgewise.files import replacing
from edgewise.parsing import Shape, check_shape, read_toml

Scope = Literal["read", "events", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_AGAIN = "make it with 'edgewise serve-key NAME --scope read --file FILE'"
_RANDOM_BYTES = 32


class _KeyPart(Shape):
    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    scopes: list[Scope]
    rate: float = Field(0, ge=0)


class _KeyFile(Shape):
    """The file of keys."""

    keys: list[_KeyPart] = Field(min_length=1)


@dataclass
class Bucket:
    """Tokens of a key: ``rate`` a second, twice as many at once.

    Attributes:
        rate: requests a second; 0 is as many as they come.
    """

    rate: float
    tokens: float = field(init=False)
    told: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens, self.told = self._most, time.monotonic()

    @property
    def _most(self) -> float:
        return max(1.0, 2 * self.rate)

    def take(self) -> float:
        """Take a token; returns 0, or the seconds until there is one."""
        if not self.rate:
            return 0.0
        now = time.monotonic()
        self.tokens = min(self._most, self.tokens + (now - self.told) * self.rate)
        self.told = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.rate


@dataclass(frozen=True, eq=False)
class Key:
    """Somebody who may ask.

    Attributes:
        name: as logs call it.
        digest: the SHA-256 of the key, which is random and long: nobody can try them all.
        scopes: what it may; ``admin`` may everything.
        bucket: how often.
    """

    name: str
    digest: bytes
    scopes: frozenset[str]
    bucket: Bucket


@dataclass(frozen=True, eq=False)
class Keys:
    """All keys of a service; without any, everybody on this machine may do everything."""

    keys: Sequence[Key] = ()
    everybody: Key = field(
        default_factory=lambda: Key("everybody", b"", frozenset(SCOPES), Bucket(0))
    )

    @classmethod
    def read(cls, path: Path | None, rate: float = 0, workers: int = 1) -> Keys:
        """Of a TOML file.

        Args:
            path: None has no keys.
            rate: requests a second of keys that have none of their own, and of everybody.
            workers: processes among which requests are spread, so that each allows its part.

        Raises:
            ConfigError: the file cannot be used.
        """
        everybody = Key("everybody", b"", frozenset(SCOPES), Bucket(rate / workers))
        if path is None:
            return cls(everybody=everybody)
        values = read_toml(path, ConfigError, _AGAIN)
        check_shape(values, _KeyFile, path, ConfigError, _AGAIN)
        found = [
            Key(
                part["name"],
                bytes.fromhex(part["sha256"]),
                frozenset(SCOPES if "admin" in part["scopes"] else part["scopes"]),
                Bucket((part.get("rate") or rate) / workers),
            )
            for part in values["keys"]
        ]
        return cls(found, everybody)

    def find(self, given: str | None) -> Key | None:
        """Whose key it is; takes as long whichever it is."""
        if not self.keys:
            return self.everybody
        digest = hashlib.sha256((given or "").encode()).digest()
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def new_key(path: Path, name: str, scopes: Sequence[str], rate: float = 0) -> str:
    """Add a key to a file, made where there is none; returns the key, which is kept nowhere.

    Raises:
        ConfigError: the name is taken, or there is no such scope.
    """
    for scope in scopes:
        check(scope in SCOPES, f"--scope {scope}: there are {', '.join(SCOPES)}")
    check(bool(scopes), "--scope: name one or more")
    check(rate >= 0, f"--rate {rate}: must be 0 or more")
    known: list[Mapping] = []
    if path.exists():
        values = read_toml(path, ConfigError, _AGAIN)
        check_shape(values, _KeyFile, path, ConfigError, _AGAIN)
        known = values["keys"]
    check(all(part["name"] != name for part in known), f"{path}: has a key of the name {name!r}")
    key = secrets.token_urlsafe(_RANDOM_BYTES)
    digest = hashlib.sha256(key.encode()).hexdigest()
    more = {"rate": float(rate)} if rate else {}
    known = [*known, {"name": name, "sha256": digest, "scopes": list(scopes), **more}]
    with replacing(path) as partial:
        partial.write_text("\n".join(map(_as_toml, known)), encoding="utf-8")
        partial.chmod(0o600)
    return key


def _as_toml(part: Mapping) -> str:
    import json

    lines = [f"{name} = {json.dumps(value)}" for name, value in part.items()]
    return "\n".join(["[[keys]]", *lines, ""])
