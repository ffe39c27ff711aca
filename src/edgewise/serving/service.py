"""What a worker answers: from a stored list, from the model, or, if that is late, what is popular.

A list's best items are stored after the model has answered, as it knows them: for one version and
one state of somebody's events. Pages, filters and items that are not available are taken out of
it; only where too few remain is the model asked again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Literal, TypeVar

import numpy as np

from edgewise.errors import EdgewiseError, UnknownIdError
from edgewise.serving import schemas
from edgewise.serving.batching import Batcher, BatchLimits, FullError, LateError
from edgewise.serving.catalogue import Wish, check_attributes, wish_of
from edgewise.serving.event_log import DISMISS, EventLog, new_events
from edgewise.serving.model import Question, Ranking, Served, Taste
from edgewise.serving.shop import Shop
from edgewise.serving.store import StoredEvent, StoredList

T = TypeVar("T")
Source = Literal["cache", "model", "fallback"]
_KEPT_HISTORIES = 2_000
_BATCH_AT_ONCE = 8
_NAMED_PARTS, _LEAST_SHARE = 3, 0.05

log = logging.getLogger("edgewise.serving")


class BusyError(Exception):
    """Nothing can be answered in time; the message says what to do."""


@dataclass(frozen=True)
class Limits:
    """How long and how much.

    Attributes:
        deadline: seconds after which popular items are answered instead of the model's.
        stored: items of a list that are stored, M of paper 002's section 3.5.
        patience: seconds for what nothing popular can stand in for, such as reasons.
        batches: how questions to the model are gathered.
    """

    deadline: float = 0.2
    stored: int = 200
    patience: float = 10.0
    batches: BatchLimits = field(default_factory=BatchLimits)


@dataclass(frozen=True, eq=False)
class _Asked:
    """A request for items, of whatever person."""

    served: Served
    taste: Taste
    wish: Wish
    offset: int
    k: int
    exclude_seen: bool
    deadline: float

    @property
    def had(self) -> np.ndarray:
        """What is not shown to them, whatever else is wished, by index."""
        taste = self.taste
        had = (taste.history, taste.events) if self.exclude_seen else ()
        return np.unique(np.concatenate([taste.hidden, *had]))

    def banned(self) -> np.ndarray:
        """All that may not be listed, ``bool[I]``."""
        found = self.served.catalogue.unwanted(self.wish)
        found[self.had] = True
        return found


class Service:
    """One worker's answers; see the module.

    Args:
        shop: models and store.
        limits: of time and sizes.
    """

    def __init__(self, shop: Shop, limits: Limits | None = None) -> None:
        self.shop = shop
        self.limits = limits or Limits()
        self.batcher = Batcher(self.limits.batches)
        self.events = EventLog(shop.store)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="lists")
        self._histories: OrderedDict[tuple, Ranking] = OrderedDict()
        self._name = secrets.token_hex(6)
        self._numbers = count(1)

    async def warm(self) -> None:
        """Answer a few people by the thread that will answer all, before anybody asks."""
        await self.batcher.run(self.shop.active.warm, None)

    # Recommending

    async def recommend(
        self, asked: schemas.RecommendRequest, deadline: float | None = None
    ) -> dict[str, Any]:
        """:class:`~edgewise.serving.schemas.RecommendAnswer`, as JSON values.

        Args:
            asked: whose list, and which.
            deadline: seconds, in place of those of :attr:`limits`.

        Raises:
            UnknownIdError: the history has an item that nobody has heard of.
            NotLoadedError: see :meth:`edgewise.serving.shop.Shop.look_up`.
        """
        check_attributes(asked.filters or ())
        wish = wish_of(asked.allow, asked.deny, asked.filters)
        if asked.history is not None:
            served = self.shop.current()
            taste = self.shop.taste_of(served, asked.history, asked.user_id)
            key = (served.key, *(part.tobytes() for part in (taste.history, taste.events)))
            held = self._histories.get(key)

            def keep(found: Ranking) -> None:
                self._histories[key] = found
                if len(self._histories) > _KEPT_HISTORIES:
                    self._histories.popitem(last=False)

        else:
            user = asked.user_id or ""
            served, known, held = self.shop.look_up(user)
            if held is not None and asked.exclude_seen and user not in served.cold_users:
                picked = _pick(served, held, wish, asked.offset, asked.k)
                if len(picked[0]) == asked.k and not asked.explain:
                    return self._answer(served, "cache", False, picked, asked.offset)
            taste, person = self.shop.taste(served, user)
            if person.seen != known.seen:
                held = None

            def keep(found: Ranking) -> None:
                self._keep(served, user, person.seen, found)

        seconds = self.limits.deadline if deadline is None else deadline
        parts = wish, asked.offset, asked.k, asked.exclude_seen, seconds
        question = _Asked(served, taste, *parts)
        source, picked = await self._items(question, held, keep)
        reasons = await self._reasons(served, taste, picked[0]) if asked.explain else None
        return self._answer(served, source, taste.is_cold, picked, asked.offset, reasons)

    async def _items(
        self, asked: _Asked, held: Ranking | None, keep: Callable[[Ranking], None]
    ) -> tuple[Source, Ranking]:
        served, end = asked.served, asked.offset + asked.k
        if asked.taste.is_cold:
            return "model", _cut(served.popular_items(asked.banned(), end), asked.offset)
        if held is not None and asked.exclude_seen and (found := self._held(asked, held)):
            return "cache", found
        deadline, begun = asked.deadline, time.monotonic()
        try:
            if asked.exclude_seen and asked.wish.is_open and held is None:
                question = Question(asked.taste, asked.had, max(self.limits.stored, end))
                whole = await self.batcher.rank(served, question, deadline, keep)
                keep(whole)
                if found := self._held(asked, whole):
                    return "model", found
            question = Question(asked.taste, np.flatnonzero(asked.banned()), end)
            left = deadline - (time.monotonic() - begun)
            found = await self.batcher.rank(served, question, max(left, 0.001))
            return "model", _cut(found, asked.offset)
        except (LateError, FullError):
            pass
        except Exception:  # a model that fails is no reason to show nothing
            log.exception("the model failed", extra={"version": served.version})
        return "fallback", _cut(served.popular_items(asked.banned(), end), asked.offset)

    def _held(self, asked: _Asked, held: Ranking) -> Ranking | None:
        """What was asked for out of a list; None where the list is too short to know."""
        picked = _pick(asked.served, held, asked.wish, asked.offset, asked.k)
        whole = len(held[0]) >= asked.served.num_items - len(asked.had)
        return picked if whole or len(picked[0]) == asked.k else None

    def _keep(self, served: Served, user: str, seen: int, found: Ranking) -> None:
        self.shop.keep(served, user, seen, found)
        ids = served.catalogue.ids
        items = [(ids[item], score) for item, score in zip(*found, strict=True)]
        row = user, StoredList(seen, items)
        self._writer.submit(self._put, served.key, row)

    def _put(self, key: str, row: tuple[str, StoredList]) -> None:
        try:
            self.shop.store.put_lists(key, [row])
        except Exception:  # it is worked out again
            log.exception("a list could not be stored")

    async def _reasons(
        self, served: Served, taste: Taste, items: Sequence[int]
    ) -> list[list[schemas.Reason]] | None:
        try:
            return await self.batcher.run(
                lambda: served.reasons(taste, items), self.limits.deadline
            )
        except (LateError, FullError):
            return None
        except Exception:
            log.exception("the reasons failed", extra={"version": served.version})
            return None

    def _answer(
        self,
        served: Served,
        source: Source,
        cold: bool,
        picked: Ranking,
        offset: int = 0,
        reasons: Sequence[Sequence[schemas.Reason]] | None = None,
    ) -> dict[str, Any]:
        ids, titles = served.catalogue.ids, served.catalogue.titles
        told = None if reasons is None else [[part.model_dump() for part in row] for row in reasons]
        return {
            "recommendation_id": f"{self._name}-{next(self._numbers):x}",
            "model_version": served.version,
            "source": source,
            "cold_user": cold,
            "items": [
                {
                    "item_id": ids[item],
                    "rank": offset + place + 1,
                    "score": score,
                    "title": titles[item],
                    "reasons": [] if told is None else told[place],
                }
                for place, (item, score) in enumerate(zip(*picked, strict=True))
            ],
        }

    async def recommend_batch(self, asked: Sequence[schemas.RecommendRequest]) -> dict[str, Any]:
        """:class:`~edgewise.serving.schemas.RecommendBatchAnswer`, as JSON values.

        A few at a time, so that single requests pass between, and with more patience than these.
        """
        answers: list[dict[str, Any]] = []
        for start in range(0, len(asked), _BATCH_AT_ONCE):
            part = asked[start : start + _BATCH_AT_ONCE]
            found = (self.recommend(each, self.limits.patience) for each in part)
            answers += await asyncio.gather(*found)
        return {"answers": answers}

    async def rank(self, asked: schemas.RankRequest) -> dict[str, Any]:
        """:class:`~edgewise.serving.schemas.RankAnswer`, as JSON values.

        Raises:
            UnknownIdError: an item that the model cannot score.
        """
        served, taste = self._who(asked)
        items = np.array(self._numbers_of(served, asked.candidates), dtype=np.int64)
        source: Source = "model"
        try:
            found = await self.batcher.run(lambda: served.score(taste, items), self.limits.deadline)
        except Exception as error:
            if not isinstance(error, LateError | FullError):
                log.exception("the model failed", extra={"version": served.version})
            nobody = replace(taste, history=taste.history[:0])
            source, found = "fallback", served.score(nobody, items)
        return self._answer(served, source, taste.is_cold, found)

    async def explain(self, asked: schemas.ExplainRequest) -> schemas.ExplainAnswer:
        """What speaks for an item; of one that they have, before they took it.

        Raises:
            BusyError: the model has no time.
            UnknownIdError: an item that the model does not know.
        """
        served, taste = self._who(asked)
        (item,) = self._numbers_of(served, [asked.item_id])
        taken = np.flatnonzero(taste.history == item)[:1]
        before = replace(taste, history=taste.history[: taken[0]]) if len(taken) else taste
        (reasons,) = await self.patiently(lambda: served.reasons(before, [item]))
        title = served.catalogue.titles[item]
        return schemas.ExplainAnswer(
            item_id=asked.item_id,
            title=title,
            model_version=served.version,
            text=_in_words(title or asked.item_id, reasons),
            reasons=reasons,
        )

    async def similar(self, item_id: str, k: int) -> dict[str, Any]:
        """:class:`~edgewise.serving.schemas.SimilarAnswer`, as JSON values.

        Raises:
            BusyError: the model has no time.
            UnknownIdError: an item that the model does not know.
        """
        served = self.shop.current()
        (item,) = self._numbers_of(served, [item_id])
        hidden = served.catalogue.hidden
        found = await self.patiently(lambda: served.similar(item, hidden, k))
        answer = self._answer(served, "model", False, found)
        return {
            "item": self.item(item_id).model_dump(),
            "model_version": served.version,
            "unit": served.run.model.similarity_unit,
            "items": answer["items"],
        }

    def _who(self, asked: schemas.Person) -> tuple[Served, Taste]:
        served = self.shop.current()
        if asked.history is not None:
            return served, self.shop.taste_of(served, asked.history, asked.user_id)
        return served, self.shop.taste(served, asked.user_id or "")[0]

    async def patiently(self, call: Callable[[], T]) -> T:
        """What the model answers, however many others wait.

        Raises:
            BusyError: it has no time.
        """
        try:
            return await self.batcher.run(call, self.limits.patience)
        except (LateError, FullError):
            raise BusyError("the model has more to do than it can: ask again in a moment") from None
        except EdgewiseError:
            raise
        except Exception:
            log.exception("the model failed")
            raise BusyError("the model failed: the service's log tells why") from None

    def _numbers_of(self, served: Served, ids: Iterable[str]) -> list[int]:
        index, found = served.catalogue.index, []
        for item in dict.fromkeys(ids):
            if item not in index:
                told = f"unknown item id {item!r}"
                if item in served.catalogue.added:
                    told = f"item {item!r} is newer than {served.version}, which cannot score it"
                raise UnknownIdError(told)
            found.append(index[item])
        return found

    # People and items

    def history(self, user_id: str) -> schemas.HistoryAnswer:
        """What somebody has, by the data set and their events.

        Raises:
            UnknownIdError: nothing is known of them, or they were forgotten.
        """
        served = self.shop.current()
        taste, person = self.shop.taste(served, user_id)
        if taste.user < 0 and not person.events:
            raise UnknownIdError(f"unknown user id {user_id!r}: nothing is known of this person")
        first = served.histories.lengths[taste.user] if taste.user >= 0 else 0
        ids = [served.catalogue.ids[item] for item in taste.history[:first].tolist()]
        events = new_events(person.events, served.run.dataset, served.histories, taste.user)
        ids += [event.item_id for event in events if event.kind != DISMISS]
        return schemas.HistoryAnswer(user_id=user_id, items=[self.item(item) for item in ids])

    def item(self, item_id: str) -> schemas.Item:
        """What is known of an item.

        Raises:
            UnknownIdError: nobody has heard of it.
        """
        found = self.shop.active.catalogue.item(item_id)
        if found is None:
            raise UnknownIdError(f"unknown item id {item_id!r}")
        return found

    async def add_events(self, events: Sequence[schemas.Event]) -> schemas.EventsAnswer:
        """Write events down; they are on the disk before this returns.

        Raises:
            UnknownIdError: an event is about an item that nobody has heard of; none is written.
        """
        catalogue = self.shop.current().catalogue
        for place, event in enumerate(events):
            if event.item_id not in catalogue:
                raise UnknownIdError(
                    f"events[{place}].item_id: unknown item id {event.item_id!r}: tell what it is "
                    "by PUT /v1/items/{id} first; no event of this request was written"
                )
        now = int(time.time())
        rows = [
            StoredEvent(
                *(event.key, event.user_id, event.item_id, event.kind),
                now if event.timestamp is None else event.timestamp,
                event.recommendation_id or "",
            )
            for event in events
        ]
        new = await self.events.add(rows)
        return schemas.EventsAnswer(accepted=sum(new), repeated=len(new) - sum(new))

    async def change_item(self, item_id: str, change: schemas.ItemChange) -> schemas.Item:
        """Change an item, or add a new one; every answer from now on knows it."""
        told = change.model_dump(exclude_none=True)
        await asyncio.to_thread(self.shop.store.put_item, item_id, told)
        self.shop.current()
        return self.item(item_id)

    async def forget(self, user_id: str) -> schemas.Forgotten:
        """Delete somebody's events and lists, and never use again what a data set says of them."""
        events, lists = await asyncio.to_thread(self.shop.store.forget, user_id)
        self.shop.drop_lists(user_id)
        return schemas.Forgotten(user_id=user_id, events=events, lists=lists)

    async def models(self, wanted: str | None) -> schemas.ModelsAnswer:
        """All versions, and which of them answers.

        Args:
            wanted: a version that is being loaded.
        """
        active = self.shop.current().version
        found = await asyncio.to_thread(self.shop.describe, active, wanted)
        return schemas.ModelsAnswer(active=active, models=found)

    async def close(self) -> None:
        """Finish what was begun."""
        await self.batcher.close()
        await self.events.close()
        self._writer.shutdown(wait=True)


def _pick(served: Served, held: Ranking, wish: Wish, offset: int, k: int) -> Ranking:
    """The k items of a list after so many others, of those that may be shown."""
    wants, end = served.catalogue.wants, offset + k
    items: list[int] = []
    scores: list[float] = []
    for item, score in zip(*held, strict=True):
        if wants(item, wish):
            items.append(item)
            scores.append(score)
            if len(items) == end:
                break
    return items[offset:], scores[offset:]


def _cut(ranking: Ranking, offset: int) -> Ranking:
    return ranking[0][offset:], ranking[1][offset:]


def _in_words(title: str, reasons: Sequence[schemas.Reason]) -> str:
    strong = [each for each in reasons if each.share >= _LEAST_SHARE][:_NAMED_PARTS]
    told = "; ".join(f"{100 * part.share:.0f} % {part.name}: {part.text}" for part in strong)
    weak = reasons[0].text if reasons else "nothing speaks for it more than for others"
    return f"{title}: {told or weak}"
