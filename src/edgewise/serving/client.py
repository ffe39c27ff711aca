"""A client of the service, with the types of its answers.

>>> with Client("http://127.0.0.1:8000") as shop:  # doctest: +SKIP
...     for item in shop.recommend("u1", k=5).items:
...         print(item.rank, item.title)

Whether a request is in order is for the service to say; what it says is a :class:`ServiceError`.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from edgewise.errors import ConfigError, EdgewiseError
from edgewise.serving import schemas

try:
    import httpx
except ModuleNotFoundError:
    raise ConfigError("a client needs more packages: pip install 'edgewise[serve]'") from None

Answer = TypeVar("Answer", bound=BaseModel)
Kind = Literal["view", "click", "purchase", "like", "dismiss"]
_AGAIN = (429, 503)
_LOAD_SECONDS = 330.0
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0


class ServiceError(EdgewiseError):
    """The service refused, or could not be reached.

    Attributes:
        status: of HTTP; 0 where nobody answered.
        request_id: by which the service's log has it; empty where nobody answered.
    """

    def __init__(self, message: str, status: int = 0, request_id: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id


class Client:
    """Asks one service; used by several threads at once.

    Every request may be sent twice without harm: events by their keys, everything else by what it
    says. So each is sent again where the connection broke, and where the service answered that it
    is to be asked later (503, and 429 of too many requests), after the time that it named.

    Args:
        url: where the service is, such as ``http://127.0.0.1:8000``.
        key: made by ``edgewise serve-key``; none is needed on the service's own machine.
        timeout: seconds of one try.
        retries: tries after the first one.

    Raises:
        ConfigError: the address is none.
    """

    def __init__(
        self, url: str, key: str | None = None, *, timeout: float = 10.0, retries: int = 4
    ) -> None:
        self.url = _checked(url)
        self.retries = retries
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        try:
            self._http = httpx.Client(headers=headers, timeout=timeout)
        except UnicodeError:
            raise ConfigError("the key has letters that no key has: copy it once more") from None

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    # Answers

    def recommend(
        self,
        user_id: str | None = None,
        *,
        history: Sequence[str] | None = None,
        k: int = 10,
        offset: int = 0,
        allow: Sequence[str] | None = None,
        deny: Sequence[str] | None = None,
        filters: Mapping[str, Sequence[str]] | None = None,
        exclude_seen: bool = True,
        explain: bool = False,
        scenario: str | None = None,
    ) -> schemas.RecommendAnswer:
        """Items for somebody by id, or by a history of item ids, oldest first.

        See :class:`~edgewise.serving.schemas.RecommendRequest`.
        """
        body = _body(
            *(("user_id", user_id), ("history", history), ("k", k), ("offset", offset)),
            *(("allow", allow), ("deny", deny), ("filters", filters)),
            *(("exclude_seen", exclude_seen), ("explain", explain), ("scenario", scenario)),
        )
        return self._post("/v1/recommend", body, schemas.RecommendAnswer)

    def recommend_batch(
        self, requests: Iterable[schemas.RecommendRequest | Mapping[str, Any]]
    ) -> list[schemas.RecommendAnswer]:
        """The same for several people, in their order; some hundred at a time."""
        rows = [_plain(each) for each in requests]
        found: list[schemas.RecommendAnswer] = []
        for start in range(0, len(rows), schemas.MOST_BATCH):
            body = {"requests": rows[start : start + schemas.MOST_BATCH]}
            answer = self._post("/v1/recommend:batch", body, schemas.RecommendBatchAnswer)
            found += answer.answers
        return found

    def rank(
        self,
        candidates: Sequence[str],
        user_id: str | None = None,
        *,
        history: Sequence[str] | None = None,
    ) -> schemas.RankAnswer:
        """Given items, best first for somebody."""
        body = _body(("candidates", candidates), ("user_id", user_id), ("history", history))
        return self._post("/v1/rank", body, schemas.RankAnswer)

    def explain(
        self, item_id: str, user_id: str | None = None, *, history: Sequence[str] | None = None
    ) -> schemas.ExplainAnswer:
        """Why an item goes with somebody."""
        body = _body(("item_id", item_id), ("user_id", user_id), ("history", history))
        return self._post("/v1/explain", body, schemas.ExplainAnswer)

    def similar(self, item_id: str, k: int = 10) -> schemas.SimilarAnswer:
        """Items that are most like one."""
        path = f"/v1/items/{_quoted(item_id)}/similar?k={k}"
        return self._ask("GET", path, schemas.SimilarAnswer)

    # People and items

    def history(self, user_id: str) -> schemas.HistoryAnswer:
        """What somebody has, oldest first."""
        return self._ask("GET", f"/v1/users/{_quoted(user_id)}/history", schemas.HistoryAnswer)

    def add_event(
        self,
        user_id: str,
        item_id: str,
        kind: Kind = "purchase",
        *,
        key: str | None = None,
        timestamp: int | None = None,
        recommendation_id: str | None = None,
    ) -> schemas.EventsAnswer:
        """Tell what somebody did; see :meth:`add_events`."""
        event = _body(
            *(("user_id", user_id), ("item_id", item_id), ("kind", kind), ("key", key)),
            *(("timestamp", timestamp), ("recommendation_id", recommendation_id)),
        )
        return self.add_events([event])

    def add_events(
        self, events: Iterable[schemas.Event | Mapping[str, Any]]
    ) -> schemas.EventsAnswer:
        """Tell what people did; when it returns, the service has written it down.

        Args:
            events: as :class:`~edgewise.serving.schemas.Event` has it; those without a ``key`` are
                given one, which stays the same whenever they are sent again. A thousand are sent
                at a time.

        Raises:
            ServiceError: those of the thousand in question, and all after them, are not known to
                be written. Give keys to be able to call again.
        """
        rows = [{"key": secrets.token_hex(16), **_plain(event)} for event in events]
        accepted = repeated = 0
        for start in range(0, len(rows), schemas.MOST_EVENTS):
            body = {"events": rows[start : start + schemas.MOST_EVENTS]}
            answer = self._post("/v1/events", body, schemas.EventsAnswer)
            accepted, repeated = accepted + answer.accepted, repeated + answer.repeated
        return schemas.EventsAnswer(accepted=accepted, repeated=repeated)

    def put_item(
        self,
        item_id: str,
        *,
        title: str | None = None,
        brand: str | None = None,
        categories: Sequence[str] | None = None,
        available: bool | None = None,
    ) -> schemas.Item:
        """Change an item, or add a new one; what is left out stays."""
        body = _body(
            *(("title", title), ("brand", brand)),
            *(("categories", categories), ("available", available)),
        )
        return self._ask("PUT", f"/v1/items/{_quoted(item_id)}", schemas.Item, body)

    def forget(self, user_id: str) -> schemas.Forgotten:
        """Forget a person for good."""
        return self._ask("DELETE", f"/v1/users/{_quoted(user_id)}", schemas.Forgotten)

    # Models and operations

    def models(self) -> schemas.ModelsAnswer:
        """The versions that the service knows."""
        return self._ask("GET", "/v1/models", schemas.ModelsAnswer)

    def activate(self, version: str) -> schemas.ModelsAnswer:
        """Let another version answer; returns when all workers do, which may take minutes."""
        path = f"/v1/models/{_quoted(version)}:activate"
        return self._ask("POST", path, schemas.ModelsAnswer, timeout=_LOAD_SECONDS)

    def healthy(self) -> bool:
        """Whether the service answers by its model now; asked once."""
        try:
            return self._http.get(f"{self.url}/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def metrics(self) -> str:
        """What the service counts, as Prometheus reads it."""
        return self._send("GET", "/metrics", None).text

    # HTTP

    def _post(self, path: str, body: Any, kind: type[Answer]) -> Answer:
        return self._ask("POST", path, kind, body)

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[Answer],
        body: Any = None,
        timeout: float | None = None,
    ) -> Answer:
        answer = self._send(method, path, body, timeout)
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError as error:
            raise ServiceError(
                f"{self.url}{path}: not the answer of an edgewise service of its version ({error})",
                answer.status_code,
            ) from None

    def _send(
        self, method: str, path: str, body: Any, timeout: float | None = None
    ) -> httpx.Response:
        more: dict[str, Any] = {} if body is None else {"json": body}
        if timeout is not None:
            more["timeout"] = timeout
        for left in range(self.retries, -1, -1):
            wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (self.retries - left))
            try:
                answer = self._http.request(method, f"{self.url}{path}", **more)
            except httpx.TransportError as error:
                if not left:
                    raise ServiceError(f"{self.url}: no answer ({error or repr(error)})") from None
            else:
                if answer.is_success:
                    return answer
                if not left or answer.status_code not in _AGAIN:
                    raise _error(answer)
                wait = _named_wait(answer, wait)
            time.sleep(wait * random.uniform(0.8, 1.2))  # so that clients do not come all at once
        raise AssertionError  # the last try returns or raises


def _checked(url: str) -> str:
    """An address without its last slash."""
    try:
        found = httpx.URL(url)
        if found.scheme in ("http", "https") and found.host:
            return url.rstrip("/")
    except httpx.InvalidURL:
        pass
    raise ConfigError(f"{url}: give the service's address, such as http://127.0.0.1:8000")


def _error(answer: httpx.Response) -> ServiceError:
    """What the service says of its refusal; others (proxies) say nothing that can be read."""
    try:
        problem = schemas.Problem.model_validate_json(answer.content)
    except ValidationError:
        told = f"{answer.request.url.host} answered {answer.status_code} {answer.reason_phrase}"
        return ServiceError(told.rstrip(), answer.status_code)
    return ServiceError(problem.error, answer.status_code, problem.request_id)


def _named_wait(answer: httpx.Response, otherwise: float) -> float:
    told = answer.headers.get("retry-after", "")
    return min(_LONGEST_WAIT, float(told)) if told.isdigit() else otherwise


def _plain(value: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    return value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else dict(value)


def _body(*fields: tuple[str, Any]) -> dict[str, Any]:
    """What was given."""
    return {name: _listed(value) for name, value in fields if value is not None}


def _listed(value: Any) -> Any:
    """Sequences and mappings of any kind as JSON has them."""
    if isinstance(value, Mapping):
        return {name: _listed(each) for name, each in value.items()}
    return value if isinstance(value, str | int | float) else list(value)


def _quoted(value: str) -> str:
    """An id as one part of a path: with its slashes, and never ``.`` or ``..``."""
    return quote(value, safe="").replace(".", "%2E")
