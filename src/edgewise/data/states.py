"""The states that a data set has grown from, as ``dataset.json`` keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import Field

from edgewise.parsing import Shape


class StateShape(Shape):
    """One of ``grown_from`` in ``dataset.json``."""

    checksum: str
    interactions: int = Field(ge=0)
    users: int = Field(ge=0)
    items: int = Field(ge=0)
    source: str
    sha256: str
    when: str
    rows_read: int = 0
    rows_appended: int = 0
    rows_there: int = 0
    items_source: str = ""
    items_sha256: str = ""
    items_read: int = 0
    items_different: int = 0
    bad_rows: dict[str, int] = Field(default_factory=dict)
    bad_item_rows: dict[str, int] = Field(default_factory=dict)
    reading: dict[str, Any] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class EarlierState:
    """A state that a data set had before something was appended to it, and what that was.

    Attributes:
        checksum: of the data set then.
        interactions, users, items: how many it had.
        source, sha256: the file that was appended, and its checksum; empty for what was none.
        when: UTC.
        rows_read: of the source, those that could not be used included.
        rows_appended: that were new.
        rows_there: left out because the same user, item and time stood there already.
        items_source, items_sha256: the file about the items.
        items_read: items that it tells of.
        items_different: known items of which it tells otherwise; they stayed as they were.
        bad_rows, bad_item_rows: left out, by kind.
        reading: what each field was read from (``fields``, ``unused_columns``, ``layouts``).
        warnings: what a person should know.
    """

    checksum: str
    interactions: int
    users: int
    items: int
    source: str
    sha256: str
    when: str
    rows_read: int = 0
    rows_appended: int = 0
    rows_there: int = 0
    items_source: str = ""
    items_sha256: str = ""
    items_read: int = 0
    items_different: int = 0
    bad_rows: Mapping[str, int] = field(default_factory=dict)
    bad_item_rows: Mapping[str, int] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def states_of(manifest: Mapping[str, Any]) -> tuple[EarlierState, ...]:
    """Those of a ``dataset.json``, oldest first; none where nothing was appended."""
    names = {each.name for each in fields(EarlierState)}
    told = manifest.get("grown_from", ())
    states = ({name: value for name, value in each.items() if name in names} for each in told)
    return tuple(
        EarlierState(**{**state, "warnings": tuple(state.get("warnings", ()))}) for state in states
    )
