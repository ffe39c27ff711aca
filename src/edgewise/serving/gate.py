"""The door of a service: keys, limits, request ids, the log, and the one route that must be fast.

Everything that a request meets before and after its answer happens here, once, for all routes.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from edgewise.serving.keys import Key, Keys
from edgewise.serving.logs import log_request
from edgewise.serving.metrics import Metrics
from edgewise.serving.problems import RefusalError, defect, refusal_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Fast = Callable[[bytes], Awaitable[tuple[bytes, Mapping[str, Any]]]]
"""Answers a body by a body, and says what the log is to know of it."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_BODIES = ("POST", "PUT", "PATCH", "DELETE")
_OPEN = ("/health/", "/page/", "/docs", "/openapi.json")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,100}\Z")
_JSON = (b"content-type", b"application/json")

_TOLD = ("source", "recommendation_id", "model_version", "scenario")

log = logging.getLogger("edgewise.serving")


def scope_of(method: str, path: str) -> str | None:
    """What a key must be for; None where none is needed."""
    if path == "/" or path.startswith(_OPEN):
        return None
    if path == "/v1/events":
        return "events"
    changes = method in ("PUT", "PATCH", "DELETE") or path.endswith(":activate")
    return "admin" if changes else "read"


@dataclass(eq=False)
class Gate:
    """An ASGI application around another one.

    Attributes:
        app: answers what is let in.
        keys: who is let in.
        metrics: what is counted.
        max_body: bytes of a request.
        fast: routes that are answered without the application, by method and path.
    """

    app: App
    keys: Keys
    metrics: Metrics
    max_body: int
    fast: Mapping[tuple[str, str], Fast] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._name = secrets.token_hex(6)
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            await _Request(self, scope, receive, send).answer()
        else:
            await self.app(scope, receive, send)

    def new_id(self) -> str:
        """Of a request that brought none."""
        return f"{self._name}-{next(self._numbers):x}"


class _Request:
    """One request on its way in and out."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self.gate, self.scope, self.receive, self.send = gate, scope, receive, send
        self.begun = time.perf_counter()
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = given.decode() if _REQUEST_ID.match(given) else gate.new_id()
        self.key: Key | None = None
        self.status = 0
        self.told: Mapping[str, Any] = scope.setdefault("state", {})
        self.told["request_id"] = self.request_id  # type: ignore[index]

    async def answer(self) -> None:
        """Let in or refuse, answer, count and log."""
        scope, gate = self.scope, self.gate
        fast = gate.fast.get((scope["method"], scope["path"]))
        try:
            self._let_in()
            body = await self._body()
            if fast is not None:
                self._check_json(body)
                answer, self.told = await fast(body)
                await self._send_json(200, answer, {})
            else:
                if body:
                    self._check_json(body)
                await gate.app(scope, self._replay(body), self._sending)
        except Exception as error:
            await self._refuse(error)
        self._count(scope["path"] if fast is not None else _route(scope))

    async def _refuse(self, error: Exception) -> None:
        refusal = refusal_of(error)
        if refusal is None:
            log.exception("a defect", extra={"request_id": self.request_id})
            refusal = defect(self.request_id)
        if self.status:  # the answer has begun: nothing can be added
            return
        await self._send_json(refusal.status, refusal.body(self.request_id), refusal.headers)

    # In

    def _let_in(self) -> None:
        scope, gate = self.scope, self.gate
        if not gate.keys.keys:
            self._check_local()
        wanted = scope_of(scope["method"], scope["path"])
        if wanted is None:
            return
        key = self.key = gate.keys.find(self._given_key())
        if key is None:
            gate.metrics.refused.labels("key").inc()
            raise RefusalError(
                401,
                "a key is wanted: send it as 'Authorization: Bearer KEY'",
                {"www-authenticate": "Bearer"},
            )
        if wanted not in key.scopes:
            gate.metrics.refused.labels("scope").inc()
            raise RefusalError(403, f"this key is not for {wanted}: ask with one of that scope")
        wait = key.bucket.take()
        if wait:
            gate.metrics.refused.labels("rate").inc()
            seconds = str(max(1, round(wait + 0.5)))
            raise RefusalError(429, "too many requests by this key", {"retry-after": seconds})

    def _given_key(self) -> str | None:
        kind, _, key = self.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if kind.lower() == "bearer":
            return key.strip()
        return self.headers.get(b"x-api-key", b"").decode("latin-1") or None

    def _check_local(self) -> None:
        """Without keys, no page of another site may ask in the name of who reads it."""
        host = self.headers.get(b"host", b"").decode("latin-1")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name.strip("[]") not in LOOPBACK:
            raise RefusalError(
                403, "without keys, only this machine may ask, by 127.0.0.1 or localhost"
            )
        origin = self.headers.get(b"origin")
        own = origin is None or origin.decode("latin-1").partition("://")[2] == host
        if not own and self.scope["method"] != "GET":
            raise RefusalError(403, "without keys, no other site's page may ask")

    async def _body(self) -> bytes:
        most = self.gate.max_body
        told = self.headers.get(b"content-length", b"0")
        if told.isdigit() and int(told) > most:
            raise self._too_large()
        if self.scope["method"] not in _BODIES:
            return b""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise RefusalError(400, "the request ended before its body")
            part = message.get("body", b"")
            size += len(part)
            if size > most:
                raise self._too_large()
            if not message.get("more_body"):
                return b"".join([*parts, part]) if parts else part
            parts.append(part)

    def _too_large(self) -> RefusalError:
        self.gate.metrics.refused.labels("size").inc()
        return RefusalError(413, f"a request may have {self.gate.max_body:,} bytes at most")

    def _check_json(self, body: bytes) -> None:
        kind = self.headers.get(b"content-type", b"")
        if kind != b"application/json" and (
            kind.partition(b";")[0].strip().lower() != b"application/json"
        ):
            raise RefusalError(415, "send JSON, with the header 'Content-Type: application/json'")

    def _replay(self, body: bytes) -> Receive:
        sent = False

        async def receive() -> MutableMapping[str, Any]:
            nonlocal sent
            if sent:
                return await self.receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        return receive

    # Out

    async def _sending(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *self._headers()]
            message = {**message, "headers": headers}
        await self.send(message)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"x-request-id", self.request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def _send_json(self, status: int, body: bytes, more: Mapping[str, str]) -> None:
        self.status = status
        headers = [_JSON, (b"content-length", b"%d" % len(body)), *self._headers()]
        headers += [(name.encode(), value.encode()) for name, value in more.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def _count(self, route: str) -> None:
        seconds = time.perf_counter() - self.begun
        told = self.told
        self.gate.metrics.observe(route, told.get("source", ""), self.status, seconds)
        line = {
            "request_id": self.request_id,
            "method": self.scope["method"],
            "route": route,
            "status": self.status,
            "ms": round(1000 * seconds, 2),
            "key": self.key.name if self.key else None,
        }
        log_request(line | {name: told[name] for name in _TOLD if name in told})


def _route(scope: Scope) -> str:
    """As it was declared: paths may hold ids of people."""
    return getattr(scope.get("route"), "path", "") or "other"
