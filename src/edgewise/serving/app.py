"""The HTTP interface: routes, their OpenAPI document, and a worker from start to end."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

import edgewise
from edgewise.errors import EdgewiseError
from edgewise.serving import schemas
from edgewise.serving.api_page import api_page
from edgewise.serving.gate import Gate
from edgewise.serving.keys import Keys
from edgewise.serving.metrics import Metrics
from edgewise.serving.page import page_routes
from edgewise.serving.problems import (
    REFUSED,
    RefusalError,
    defect,
    invalid,
    later,
    not_found,
    refusal_of,
)
from edgewise.serving.service import Limits, Service
from edgewise.serving.shop import RunFolders, Shop
from edgewise.serving.store import open_store
from edgewise.serving.switch import Switcher, activate

ItemId = Annotated[str, InPath(min_length=1, max_length=200, description="Of an item.")]
UserId = Annotated[str, InPath(min_length=1, max_length=200, description="Of a person.")]
Version = Annotated[str, InPath(min_length=1, max_length=200, description="Of a model.")]
_REFUSALS = {
    401: "No key, or an unknown one.",
    403: "The key is for something else.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "A field is missing, unknown or of an impossible value, or an id is unknown.",
    429: "Too many requests by this key.",
    503: "Ask again in a moment.",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Problem, "description": told} for status, told in _REFUSALS.items()
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": schemas.Problem, "description": "There is no such id."}
}
_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {
        "model": schemas.Problem,
        "description": "It cannot be activated; the old one answers on.",
    }
}

log = logging.getLogger("edgewise.serving")


@dataclass(frozen=True)
class ServeSettings:
    """What a worker is started with.

    Attributes:
        runs, models, data: as :class:`~edgewise.serving.shop.RunFolders` has them.
        store: address.
        keys: a file of keys; None lets this machine alone ask.
        workers: processes, of which this is one.
        threads: of the model in each.
        deadline_ms: after which popular items are answered.
        stored: items of a stored list.
        rate: requests a second of a key, over all workers; 0 has no limit.
        max_body: bytes of a request.
        log_level: of the log.
        weights: of :func:`edgewise.runs.run.open_run`, for all models.
        name: of the worker, unlike that of any other; made up if left out.
    """

    runs: tuple[str, ...]
    store: str
    models: str | None = None
    data: str | None = None
    keys: str | None = None
    workers: int = 1
    threads: int = 1
    deadline_ms: float = 200
    stored: int = 200
    rate: float = 0
    max_body: int = 1_000_000
    log_level: str = "info"
    weights: str | None = None
    name: str = ""

    @property
    def folders(self) -> RunFolders:
        """Where versions are found."""
        models, data = (None if each is None else Path(each) for each in (self.models, self.data))
        return RunFolders([Path(run) for run in self.runs], models, data, self.weights)


def create_app(settings: ServeSettings) -> Gate:
    """The application; models are loaded when it starts (ASGI's lifespan)."""
    metrics = Metrics()
    keys = Keys.read(
        None if settings.keys is None else Path(settings.keys), settings.rate, settings.workers
    )

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        try:
            service = app.state.service = await asyncio.to_thread(_open, settings, metrics)
            switcher = Switcher(service.shop, settings.name or worker_name())
            await asyncio.to_thread(switcher.catch_up)
            await service.warm()
        except EdgewiseError as error:
            log.error("the worker cannot start", extra={"error": str(error)})
            logging.getLogger("uvicorn.error").setLevel("CRITICAL")  # it would print the traceback
            raise
        switcher.start()
        app.state.switcher = switcher
        log.info("ready", extra={"version": service.shop.active.version})
        try:
            yield
        finally:
            app.state.service = None
            await service.close()
            await asyncio.to_thread(switcher.stop)
            service.shop.store.close()
            log.info("stopped")

    app = FastAPI(
        title="edgewise",
        version=edgewise.__version__,
        description=(
            "Recommendations of a fitted model. Keys, where there are any, are sent as "
            "`Authorization: Bearer KEY`. Every refusal is a `Problem`. Each answer has the header "
            "`X-Request-ID`: the request's, or a new one."
        ),
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=_PROBLEMS,
        default_response_class=JSONResponse,
    )
    app.state.service = None
    _add_problems(app)
    _add_answers(app)
    _add_changes(app, metrics)
    _add_operations(app, metrics)
    _add_page(app, metrics)
    _complete_document(app)

    async def recommend(body: bytes) -> tuple[bytes, Mapping[str, Any]]:
        asked = schemas.RecommendRequest.model_validate_json(body)
        answer = await service_of(app).recommend(asked)
        told = {name: answer[name] for name in ("source", "recommendation_id", "model_version")}
        return orjson.dumps(answer), {**told, "scenario": asked.scenario}

    return Gate(app, keys, metrics, settings.max_body, {("POST", "/v1/recommend"): recommend})


def service_of(app: FastAPI) -> Service:
    """The worker's service.

    Raises:
        RefusalError: it has not started, or has ended.
    """
    service = app.state.service
    if service is None:
        raise later("the service is starting or ending: ask again in a moment")
    return service


def worker_name() -> str:
    """Unlike that of any other worker, on whatever machine."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _open(settings: ServeSettings, metrics: Metrics) -> Service:
    shop = Shop(settings.folders, open_store(settings.store))
    if "torch" in sys.modules:  # some methods know no torch, and start the faster for it
        sys.modules["torch"].set_num_threads(settings.threads)
    service = Service(shop, Limits(deadline=settings.deadline_ms / 1000, stored=settings.stored))

    def on_batch(size: int, seconds: float) -> None:
        metrics.batch_sizes.observe(size)
        metrics.model_seconds.observe(seconds)

    service.batcher.on_batch = on_batch
    return service


def _add_problems(app: FastAPI) -> None:
    def refuse(request: Request, refusal: RefusalError) -> Response:
        body = refusal.body(request.scope["state"]["request_id"])
        return Response(body, refusal.status, dict(refusal.headers), "application/json")

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        return refuse(request, invalid(error.errors()))

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        words = {
            404: "there is no such route: see /docs",
            405: "this route has other methods: see /docs",
        }
        if error.status_code == 400:
            return refuse(request, RefusalError(422, "the body cannot be read as JSON"))
        told = words.get(error.status_code, str(error.detail))
        return refuse(request, RefusalError(error.status_code, told, dict(error.headers or {})))

    async def known(request: Request, error: Exception) -> Response:
        refusal = refusal_of(error)
        if refusal is None:
            raise error
        return refuse(request, refusal)

    @app.exception_handler(Exception)
    async def _(request: Request, error: Exception) -> Response:
        return refuse(request, defect(request.scope["state"]["request_id"]))  # the gate logs it

    for kind in REFUSED:
        app.add_exception_handler(kind, known)


def _add_answers(app: FastAPI) -> None:
    @app.post("/v1/recommend", response_model=schemas.RecommendAnswer, tags=["answers"])
    async def recommend(asked: schemas.RecommendRequest) -> Any:
        """Items for somebody, out of the whole catalogue."""
        # The gate answers this route itself, by the same call, without the way through here.
        return await service_of(app).recommend(asked)

    @app.post("/v1/recommend:batch", response_model=schemas.RecommendBatchAnswer, tags=["answers"])
    async def recommend_batch(asked: schemas.RecommendBatchRequest) -> Any:
        """The same for several people at once."""
        return _json(await service_of(app).recommend_batch(asked.requests))

    @app.post("/v1/rank", response_model=schemas.RankAnswer, tags=["answers"])
    async def rank(request: Request, asked: schemas.RankRequest) -> Any:
        """Given items by how well they go with somebody."""
        answer = await service_of(app).rank(asked)
        request.state.source = answer["source"]
        return _json(answer)

    @app.post("/v1/explain", tags=["answers"])
    async def explain(asked: schemas.ExplainRequest) -> schemas.ExplainAnswer:
        """Why an item goes with somebody."""
        return await service_of(app).explain(asked)

    @app.get(
        "/v1/items/{item_id:path}/similar",
        response_model=schemas.SimilarAnswer,
        responses=_NOT_FOUND,
        tags=["answers"],
    )
    async def similar(
        item_id: ItemId, k: Annotated[int, Query(ge=1, le=schemas.MOST_ITEMS)] = 10
    ) -> Any:
        """Items that are most like one."""
        with not_found():
            return _json(await service_of(app).similar(item_id, k))

    @app.get("/v1/users/{user_id:path}/history", responses=_NOT_FOUND, tags=["people"])
    async def history(user_id: UserId) -> schemas.HistoryAnswer:
        """What somebody has, by the data set and their events, oldest first."""
        with not_found():
            return service_of(app).history(user_id)


def _add_changes(app: FastAPI, metrics: Metrics) -> None:
    @app.post("/v1/events", tags=["people"])
    async def events(asked: schemas.EventsRequest) -> schemas.EventsAnswer:
        """Write down what people did; the next answer knows it. Sent twice, it counts once."""
        answer = await service_of(app).add_events(asked.events)
        for event in asked.events:
            metrics.events.labels(event.kind).inc()
        metrics.repeated.inc(answer.repeated)
        return answer

    @app.delete("/v1/users/{user_id:path}", responses=_NOT_FOUND, tags=["people"])
    async def forget(user_id: UserId) -> schemas.Forgotten:
        """Forget a person: events and lists go, and their part of the data set is not used."""
        return await service_of(app).forget(user_id)

    @app.put("/v1/items/{item_id:path}", responses=_NOT_FOUND, tags=["items"])
    async def change_item(item_id: ItemId, change: schemas.ItemChange) -> schemas.Item:
        """Change an item, or add a new one."""
        return await service_of(app).change_item(item_id, change)

    @app.get("/v1/models", tags=["models"])
    async def models() -> schemas.ModelsAnswer:
        """The models that the service knows."""
        return await service_of(app).models(app.state.switcher.wanted)

    @app.post("/v1/models/{version}:activate", responses=_NOT_FOUND | _CONFLICT, tags=["models"])
    async def activate_model(version: Version) -> schemas.ModelsAnswer:
        """Load a model beside the one that answers, then let it answer in all workers at once."""
        service = service_of(app)
        with not_found():
            await activate(service.shop, version)
        log.info("activated", extra={"version": version})
        return await service.models(None)


def _add_operations(app: FastAPI, metrics: Metrics) -> None:
    @app.get("/health/live", tags=["operations"])
    async def live() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/health/ready", tags=["operations"])
    async def ready() -> dict[str, str]:
        """Whether it can answer requests by the active model."""
        served = service_of(app).shop.current()
        return {"status": "ok", "model_version": served.version}

    @app.get("/metrics", tags=["operations"], response_class=Response)
    async def numbers() -> Response:
        """What is counted, as Prometheus reads it."""
        service = app.state.service
        if service is not None:
            metrics.waiting.set(service.batcher.waiting)
            metrics.models.set(len(service.shop.loaded))
        text = await asyncio.to_thread(metrics.text)
        return Response(text, media_type=metrics.content_type)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()))


def _add_page(app: FastAPI, metrics: Metrics) -> None:
    """The page at ``/``."""
    app.router.routes.extend(page_routes(lambda: service_of(app), metrics.text))


def _complete_document(app: FastAPI) -> None:
    """What FastAPI cannot know of the OpenAPI document: keys."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["key"] = {"type": "http", "scheme": "bearer"}
        document["security"] = [{"key": []}, {}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _json(answer: Mapping[str, Any]) -> Response:
    """Values of our own making, which need not be checked again."""
    return Response(orjson.dumps(answer), media_type="application/json")
