"""Refusals: every one of them is a :class:`~edgewise.serving.schemas.Problem` as JSON."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import ValidationError

from edgewise.display import printable
from edgewise.errors import EdgewiseError, UnknownIdError
from edgewise.serving.service import BusyError
from edgewise.serving.shop import NotLoadedError
from edgewise.serving.store import StoreError
from edgewise.serving.switch import SwitchError

_LONGEST = 500
_NAMED = 3


@dataclass(eq=False)
class RefusalError(Exception):
    """Why a request is not answered.

    Attributes:
        status: of HTTP.
        error: what was wrong, and what to do.
        headers: of the answer.
    """

    status: int
    error: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> bytes:
        """As JSON."""
        text = self.error.encode("utf-8", "replace").decode()
        told = printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
        return orjson.dumps({"error": told, "request_id": request_id})


def refusal_of(error: Exception) -> RefusalError | None:
    """What is said of an error that may happen; None for one that must not."""
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, ValidationError):
        return invalid(error.errors(include_url=False, include_context=False, include_input=False))
    if isinstance(error, NotLoadedError):
        return later(f"this worker is loading {error}: ask again in a moment")
    if isinstance(error, BusyError):
        return later(str(error))
    if isinstance(error, SwitchError):
        return RefusalError(409, str(error))
    if isinstance(error, EdgewiseError):
        return RefusalError(422, str(error))
    if isinstance(error, sqlite3.OperationalError | StoreError):
        return later(f"the store cannot be used now ({error})")
    return None


REFUSED: tuple[type[Exception], ...] = (
    *(
        RefusalError,
        ValidationError,
        NotLoadedError,
        BusyError,
        EdgewiseError,
        sqlite3.OperationalError,
        StoreError,
    ),
)
"""Errors of which :func:`refusal_of` has something to say."""


def defect(request_id: str) -> RefusalError:
    """Of an error that must not happen; its log tells more."""
    return RefusalError(500, f"a defect of the service: its log tells more of {request_id}")


def later(error: str) -> RefusalError:
    """To be asked again."""
    return RefusalError(503, error, {"retry-after": "1"})


def invalid(errors: Sequence[Mapping[str, Any]]) -> RefusalError:
    """Of fields that are missing, unknown or of impossible values; the first few are named."""
    told = []
    for each in errors[:_NAMED]:
        place = ".".join(str(part) for part in each["loc"] if part not in ("body", "path", "query"))
        told.append(f"{place}: {each['msg']}" if place else str(each["msg"]))
    more = f" (and {len(errors) - _NAMED} more)" if len(errors) > _NAMED else ""
    return RefusalError(422, "; ".join(told) + more)


@contextmanager
def not_found() -> Iterator[None]:
    """Ids that stand in the path: what is not known of is not found."""
    try:
        yield
    except UnknownIdError as error:
        raise RefusalError(404, str(error)) from None
