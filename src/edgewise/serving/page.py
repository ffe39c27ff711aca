"""The page at ``/``: its files, and what it asks beyond the routes of the service.

The files are under :data:`FILES`, plain HTML, CSS and ES modules without a build chain. Their
addresses hold a checksum of all of them, so browsers may keep them for good. The page loads
nothing from other hosts and runs no script or style that stands in the document, which its
``Content-Security-Policy`` makes sure of.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from starlette.routing import BaseRoute

from edgewise.serving import schemas
from edgewise.serving.map_maker import MapMaker
from edgewise.serving.model import Question, Served, Taste
from edgewise.serving.operations import operations
from edgewise.serving.service import Service
from edgewise.serving.shop import Shop

FILES = Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GUARDS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
}
_FOR_GOOD = "public, max-age=31536000, immutable"
_FOUND, _MOST_VALUES, _LEAST_HISTORY = 12, 150, 4

Searched = Annotated[str, Query(max_length=200)]
Asked = Annotated[list[schemas.Id], Query(max_length=200)]


class OneModelRequest(schemas.Person):
    """A list by a model that need not be the active one."""

    model_version: Annotated[str, Field(max_length=200)]
    k: int = Field(10, ge=1, le=50)


class ReasonsRequest(schemas.Person):
    """Why items go with somebody, asked apart from their list: reasons may take longer."""

    items: Annotated[list[schemas.Id], Field(max_length=schemas.MOST_ITEMS)]


def page_routes(service: Callable[[], Service], metrics: Callable[[], bytes]) -> list[BaseRoute]:
    """All routes of the page.

    ``/`` and its files under ``/page/`` hold nothing of the shop and are open; what is under
    ``/page-data/`` is for whoever may read.

    Args:
        service: whose shop it shows; asked with each request.
        metrics: everything that is counted, as Prometheus reads it.
    """
    router = APIRouter(include_in_schema=False)
    _add_files(router)
    _add_questions(router, service, metrics)
    return router.routes


# Files


def _add_files(router: APIRouter) -> None:
    files = {path.name: path.read_bytes() for path in sorted(FILES.iterdir())}
    checksum = hashlib.sha256(b"\0".join([*map(str.encode, files), *files.values()])).hexdigest()
    folder = f"/page/{checksum[:16]}"
    document = files.pop("index.html").decode().replace("{files}", folder)

    @router.get("/", response_class=HTMLResponse)
    def page() -> HTMLResponse:
        return HTMLResponse(document, headers={**_GUARDS, "Cache-Control": "no-cache"})

    @router.get(folder + "/{name}")
    def file(name: str, request: Request) -> Response:
        if name not in files:
            raise HTTPException(404, f"the page has no file {name!r}")
        tag = f'"{hashlib.sha256(files[name]).hexdigest()[:32]}"'
        headers = {**_GUARDS, "Cache-Control": _FOR_GOOD, "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
        return Response(files[name], media_type=kind, headers=headers)


# Questions


def _add_questions(
    router: APIRouter, service: Callable[[], Service], metrics: Callable[[], bytes]
) -> None:
    # The shop changes in the thread of these functions alone; what takes long is left to others.
    maps, looked_up = MapMaker(), _Latest()

    @router.get("/page-data/shop")
    async def about() -> dict[str, Any]:
        """What the page has to know before anything else."""
        served = service().shop.current()
        values = await asyncio.to_thread(lambda: looked_up.of(served).values)
        return {
            "name": served.run.dataset.name,
            "users": len(served.run.dataset.users),
            "items": served.num_items,
            "active": served.version,
            **values,
        }

    @router.get("/page-data/users")
    async def users(q: Searched = "", any: bool = False) -> dict[str, Any]:
        """Users whose id holds some letters, or anybody with a history."""
        shop = service().shop
        served = shop.current()
        if any or not q:
            ids = _anybody(served)
        else:
            ids = await asyncio.to_thread(_holding, served.run.dataset.users.ids, q)
        return {"users": _known_people(shop, served, ids)}

    @router.get("/page-data/items")
    async def items(q: Searched = "", id: Asked = []) -> dict[str, Any]:  # noqa: B006
        """Items whose title, brand or id holds all words, or those with given ids."""
        served = service().shop.current()
        ids = id or await asyncio.to_thread(lambda: looked_up.of(served).search(q))
        told = (served.catalogue.item(each) for each in ids)
        return {"items": [item.model_dump() for item in told if item is not None]}

    @router.get("/page-data/map")
    async def item_map(request: Request) -> Response:
        """Where items lie, once that is worked out."""
        packed = "gzip" in request.headers.get("accept-encoding", "")
        return maps.answer(service().shop.current(), packed)

    @router.get("/page-data/operations")
    async def counted() -> dict[str, Any]:
        """Requests, latency and cache over all workers, and this one's queue."""
        waiting = service().batcher.waiting
        return await asyncio.to_thread(lambda: operations(metrics(), waiting))

    @router.post("/page-data/recommend")
    async def by_one_model(asked: OneModelRequest) -> dict[str, Any]:
        """A list as a model would give it, active or not; read into memory where it must be."""
        return await list_of(service(), asked)

    @router.post("/page-data/reasons")
    async def reasons(asked: ReasonsRequest) -> dict[str, Any]:
        """What speaks for each item, by the active model."""
        served = service().shop.current()
        taste = _taste(service().shop, served, asked)
        index = served.catalogue.index
        numbers = [index[item] for item in asked.items if item in index]
        found = await service().patiently(lambda: served.reasons(taste, numbers))
        ids = served.catalogue.ids
        return {
            "reasons": {
                ids[number]: [part.model_dump() for part in parts]
                for number, parts in zip(numbers, found, strict=True)
            }
        }


async def list_of(service: Service, asked: OneModelRequest) -> dict[str, Any]:
    """A list with its reasons by a model of any version, without looking at stored ones.

    Raises:
        UnknownIdError: there is no such version, or the history has an unknown item.
        Busy: the model has no time.
    """
    shop = service.shop
    served = shop.loaded.get(asked.model_version)
    if served is None:
        served = await asyncio.to_thread(shop.load, asked.model_version)
    shop.renew(served.catalogue)
    taste = _taste(shop, served, asked)
    items, scores, reasons = await service.patiently(lambda: _list(served, taste, asked.k))
    return {
        "model_version": served.version,
        "cold_user": taste.is_cold,
        "items": [
            {
                "item_id": served.catalogue.ids[item],
                "rank": rank,
                "score": score,
                "title": served.catalogue.titles[item],
                "reasons": [part.model_dump() for part in parts],
            }
            for rank, (item, score, parts) in enumerate(
                zip(items, scores, reasons, strict=True), start=1
            )
        ],
    }


def _taste(shop: Shop, served: Served, asked: schemas.Person) -> Taste:
    if asked.history is not None:
        return shop.taste_of(served, asked.history, asked.user_id)
    return shop.taste(served, asked.user_id or "")[0]


def _list(served: Served, taste: Taste, k: int) -> tuple[Sequence[int], Sequence[float], list]:
    """Items, scores and reasons: what they have and what is not available is left out."""
    banned = served.catalogue.hidden.copy()
    banned[np.concatenate([taste.history, taste.events, taste.hidden])] = True
    if taste.is_cold:
        items, scores = served.popular_items(banned, k)
    else:
        ((items, scores),) = served.rank([Question(taste, np.flatnonzero(banned), k)])
    return items, scores, served.reasons(taste, items)


@dataclass(frozen=True, eq=False)
class _Lookup:
    """A catalogue as it is searched, items that no model knows yet included.

    Attributes:
        items: all of them.
        counts: train rows of the first of them; others have none.
    """

    items: Sequence[schemas.Item]
    counts: np.ndarray

    @classmethod
    def of(cls, served: Served) -> _Lookup:
        catalogue = served.catalogue
        known = map(catalogue.item, [*catalogue.ids, *catalogue.added])
        return cls([item for item in known if item], served.run.model.data.item_counts)

    @cached_property
    def _texts(self) -> list[str]:
        return [f"{item.title} {item.brand} {item.item_id}".lower() for item in self.items]

    def search(self, words: str) -> list[str]:
        """Ids of items that hold all words: those that begin so first, then by popularity."""
        wanted = words.lower().split()
        if not wanted:
            some = np.flatnonzero(self.counts > 0).tolist()
            return [self.items[n].item_id for n in random.sample(some, min(_FOUND, len(some)))]
        texts, start = self._texts, " ".join(wanted)
        found = [n for n, text in enumerate(texts) if all(word in text for word in wanted)]
        found.sort(key=lambda n: (not texts[n].startswith(start), -self._taken(n), n))
        return [self.items[n].item_id for n in found[:_FOUND]]

    def _taken(self, number: int) -> int:
        return int(self.counts[number]) if number < len(self.counts) else 0

    @cached_property
    def values(self) -> dict[str, list[dict[str, Any]]]:
        """Brands and categories with how many items each has, less those that all items have."""
        brands = (item.brand for item in self.items if item.brand)
        names = (name for item in self.items for name in dict.fromkeys(item.categories))
        return {
            kind: [each for each in _counted(found) if each["count"] < len(self.items)]
            for kind, found in (("brands", brands), ("categories", names))
        }


class _Latest:
    """The look-up of the newest state of the active catalogue."""

    def __init__(self) -> None:
        self._state: tuple[Served, int] | None = None
        self._found: _Lookup | None = None

    def of(self, served: Served) -> _Lookup:
        state = served, served.catalogue.place
        if self._found is None or self._state != state:
            self._state, self._found = state, _Lookup.of(served)
        return self._found


def _counted(values: Iterable[str]) -> list[dict[str, Any]]:
    most = Counter(values).most_common(_MOST_VALUES)
    return [{"value": value, "count": count} for value, count in most]


def _holding(ids: Sequence[str], letters: str) -> list[str]:
    wanted = letters.lower()
    found = [each for each in ids if wanted in each.lower()]
    found.sort(key=lambda each: (not each.lower().startswith(wanted), len(each), each))
    return found[:_FOUND]


def _anybody(served: Served) -> list[str]:
    lengths = served.histories.lengths
    some = np.flatnonzero(lengths >= min(_LEAST_HISTORY, lengths.max(initial=0)))
    ids = served.run.dataset.users.ids
    return [ids[n] for n in random.sample(some.tolist(), min(_FOUND, len(some)))]


def _known_people(shop: Shop, served: Served, ids: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for each in ids:
        taste, person = shop.taste(served, each)
        if not person.forgotten:
            found.append({"user_id": each, "items": len(taste.history)})
    return found
