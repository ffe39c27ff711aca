"""What the service is asked and what it answers, as JSON; the OpenAPI document comes from here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_ITEMS, MOST_HISTORY, MOST_BATCH, MOST_EVENTS = 200, 500, 100, 1000

Id = Annotated[str, Field(min_length=1, max_length=200)]
Ids = Annotated[list[Id], Field(max_length=10_000)]
History = Annotated[list[Id], Field(max_length=MOST_HISTORY)]
Value = Annotated[str, Field(max_length=200)]
Values = Annotated[list[Value], Field(min_length=1, max_length=100)]


class Body(BaseModel):
    """Unknown fields are refused, so that a misspelled one is not silently ignored."""

    model_config = ConfigDict(extra="forbid")


class Person(Body):
    """Somebody by id, or by what they have; with both, the history is asked about instead."""

    user_id: Id | None = Field(None, description="Of the data set, or of earlier events.")
    history: History | None = Field(None, description="Item ids, oldest first.")

    @model_validator(mode="after")
    def _somebody(self) -> Person:
        if self.user_id is None and self.history is None:
            raise ValueError("give user_id, or history (an empty one is somebody without items)")
        return self


class RecommendRequest(Person):
    """Which items go with somebody, out of the whole catalogue."""

    k: int = Field(10, ge=1, le=MOST_ITEMS, description="Items wanted.")
    offset: int = Field(0, ge=0, le=MOST_ITEMS, description="Items to skip, for the next page.")
    allow: Ids | None = Field(None, description="List these items only.")
    deny: Ids | None = Field(None, description="Never list these items.")
    filters: dict[str, Values] | None = Field(
        None,
        description="Attributes and their allowed values: all attributes must agree, by any value.",
    )
    exclude_seen: bool = Field(True, description="Leave out what they have.")
    explain: bool = Field(False, description="Tell the reasons of each item.")
    scenario: Annotated[str, Field(max_length=100)] | None = Field(
        None, description="Where the list is shown, such as 'home' or 'mail'; kept in the log."
    )

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"user_id": "u1", "k": 5}]}
    )


class Reason(BaseModel):
    """One part of an item's score."""

    name: str = Field(description="Of the part: the language model, transitions, texts, ...")
    share: float = Field(description="Of the evidence, by size; below 0 where it speaks against.")
    text: str = Field(description="In words.")
    items: list[Id] = Field([], description="Items of the history that speak in it.")


class RankedItem(BaseModel):
    """An item of a list."""

    item_id: str
    rank: int = Field(description="1 is best.")
    score: float
    title: str = ""
    reasons: list[Reason] = []


class RecommendAnswer(BaseModel):
    """A list, and where it came from."""

    recommendation_id: str = Field(description="To be given back with the events it leads to.")
    model_version: str
    source: Literal["cache", "model", "fallback"] = Field(
        description="A stored list, the model, or popular items because the model was late."
    )
    cold_user: bool = Field(description="Without any history: the items are popular ones.")
    items: list[RankedItem]


class RecommendBatchRequest(Body):
    requests: Annotated[list[RecommendRequest], Field(min_length=1, max_length=MOST_BATCH)]


class RecommendBatchAnswer(BaseModel):
    answers: list[RecommendAnswer] = Field(description="In the order of the requests.")


class RankRequest(Person):
    """How well given items go with somebody: paper 002's user-item score."""

    candidates: Annotated[list[Id], Field(min_length=1, max_length=1000)]


class RankAnswer(BaseModel):
    recommendation_id: str
    model_version: str
    source: Literal["model", "fallback"]
    cold_user: bool
    items: list[RankedItem] = Field(description="All candidates, best first.")


class ExplainRequest(Person):
    item_id: Id


class ExplainAnswer(BaseModel):
    item_id: str
    title: str
    model_version: str
    text: str = Field(description="The reason in words.")
    reasons: list[Reason]


class Item(BaseModel):
    """What is known of an item."""

    item_id: str
    title: str = ""
    brand: str = ""
    categories: list[str] = []
    available: bool = True


class SimilarAnswer(BaseModel):
    item: Item
    model_version: str
    unit: str = Field(description="What the scores measure.")
    items: list[RankedItem]


class HistoryAnswer(BaseModel):
    user_id: str
    items: list[Item] = Field(description="Oldest first, events included.")


class Event(Body):
    """Somebody did something with an item."""

    key: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="Made by the sender: an event that is sent twice counts once."
    )
    user_id: Id
    item_id: Id
    kind: Literal["view", "click", "purchase", "like", "dismiss"] = Field(
        "purchase",
        description="'dismiss' hides the item from this person and says nothing of their taste.",
    )
    timestamp: int | None = Field(None, ge=0, description="Seconds since 1970; now if left out.")
    recommendation_id: Annotated[str, Field(max_length=100)] | None = None


class EventsRequest(Body):
    events: Annotated[list[Event], Field(min_length=1, max_length=MOST_EVENTS)]


class EventsAnswer(BaseModel):
    accepted: int = Field(description="Written to the log: they survive a crash.")
    repeated: int = Field(description="Known by their keys.")


class ItemChange(Body):
    """What changes of an item, or all of a new one; what is left out stays."""

    title: Annotated[str, Field(max_length=1000)] | None = None
    brand: Annotated[str, Field(max_length=200)] | None = None
    categories: Annotated[list[Value], Field(max_length=50)] | None = None
    available: bool | None = Field(None, description="Unavailable items are never listed.")


class Forgotten(BaseModel):
    user_id: str
    events: int = Field(description="Deleted from the log.")
    lists: int = Field(description="Deleted from the store.")


class ModelInfo(BaseModel):
    """A model that the service knows."""

    version: str
    method: str
    data: str
    run: str = Field(description="The run folder.")
    state: Literal["active", "loading", "ready", "available", "failed"]
    trained_rows: int = 0
    error: str | None = None


class ModelsAnswer(BaseModel):
    active: str
    models: list[ModelInfo]


class Problem(BaseModel):
    """Every refusal: what was wrong, and what to do."""

    error: str
    request_id: str
