"""A run whose data set has grown since it was fitted: how old its model is, what may be measured.

Rows of the grown data set are split as the run's were, so that newer rows are held out. Some of
those may be rows that the model was fitted or tuned on: rows that were appended with an older time
move others, and a ratio split is drawn anew for users with more rows. They are no test of the
model, and count as known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from edgewise.data.dataset import Dataset, Interactions
from edgewise.data.pairs import among, distinct, pair_keys
from edgewise.data.texts import ExplanationSplit

if TYPE_CHECKING:
    from edgewise.data.splits import Split

_DAY = 86_400


@dataclass(frozen=True, eq=False)
class Growth:
    """How far a data set has grown since a run was fitted.

    Attributes:
        fitted: the split that it was fitted on.
        dataset: as it is now.
        days: from the newest row that it was fitted or tuned on to the newest row; None without
            times.
        left_out: held-out rows of each part that it was fitted or tuned on.
    """

    fitted: Split = field(repr=False)
    dataset: Dataset
    days: float | None
    left_out: Mapping[str, int]

    @property
    def rows(self) -> int:
        """That have come since."""
        return len(self.dataset.interactions) - len(self.fitted.dataset.interactions)

    @property
    def users(self) -> int:
        """Who have come since."""
        return self.dataset.num_users - self.fitted.dataset.num_users

    @property
    def items(self) -> int:
        """That have come since."""
        return self.dataset.num_items - self.fitted.dataset.num_items

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "data_checksum": self.dataset.checksum,
            "fitted_on_checksum": self.fitted.dataset.checksum,
            "days": self.days,
            "rows": self.rows,
            "users": self.users,
            "items": self.items,
            "left_out": dict(self.left_out),
        }

    def settings(self, part: str) -> dict[str, Any]:
        """What a report on a part keeps."""
        kept = ("days", "rows", "users", "items")
        values = self.to_dict()
        return {name: values[name] for name in kept} | {"left_out": self.left_out[part]}

    def knows(self, users: Any, items: Any) -> Any:
        """Whether the model knows both user and item of pairs, by index: ``bool``, or an array."""
        known = self.fitted.dataset
        return (users < known.num_users) & (items < known.num_items)


def age_note(settings: Mapping[str, Any]) -> str:
    """How old the model is, and what was left out for it, in words.

    Args:
        settings: as :meth:`Growth.settings` gives them.
    """
    days, counts = settings["days"], (settings[name] for name in ("rows", "users", "items"))
    rows, users, items = (f"{count:,}" for count in counts)
    age = "" if days is None else f"{days:,.1f} days older than the newest row: "
    told = f"the model is {age}{rows} rows, {users} users and {items} items have come since"
    if days is None:
        told = f"{rows} rows, {users} users and {items} items have come since the model was fitted"
    if left_out := settings["left_out"]:
        told += f"; {left_out:,} held-out rows that it was fitted or tuned on are left out"
    if texts := settings.get("texts_left_out"):
        told += f"; {texts:,} texts of users or items that it does not know are left out"
    return told


def grown_split(split: Split, fitted: Split) -> tuple[Split, Growth]:
    """The grown data's split without held-out rows that a model knows, and how far it has grown.

    Args:
        split: of the grown data set, as the run's protocol makes it.
        fitted: the split that the run was fitted on.
    """
    known = [_rows(part) for part in (fitted.train, fitted.valid)]
    table, train = pl.concat(known).unique(), split.train
    parts, left_out = {}, {}
    for name in ("valid", "test"):
        part = split.held_out(name)
        told = _is_among(part, table)
        parts[name], left_out[name] = part.take(np.flatnonzero(~told)), int(told.sum())
        if told.any():
            train = _with(train, part.take(np.flatnonzero(told)))
    growth = Growth(fitted, split.dataset, _days(split.dataset, fitted), left_out)
    return replace(split, train=train, **parts), growth


def honest_texts(
    texts: ExplanationSplit, fitted: ExplanationSplit, num_items: int
) -> ExplanationSplit:
    """The explained pairs without held-out ones that a model was fitted or tuned on.

    Args:
        texts: of the grown data's split.
        fitted: of the split that the model was fitted on.
        num_items: of the grown data.
    """
    keys = [pair_keys(part, num_items) for part in (fitted.train, fitted.valid)]
    known = distinct(np.concatenate(keys))
    valid, test = (
        part.take(np.flatnonzero(~among(pair_keys(part, num_items), known)))
        for part in (texts.valid, texts.test)
    )
    return replace(texts, valid=valid, test=test)


def _rows(part: Interactions) -> pl.DataFrame:
    columns = {"user": part.user_index, "item": part.item_index}
    if part.timestamp is not None:
        columns["time"] = part.timestamp
    return pl.DataFrame(columns)


def _is_among(part: Interactions, table: pl.DataFrame) -> np.ndarray:
    rows = _rows(part).with_row_index("place")
    found = np.zeros(len(part), dtype=bool)
    found[rows.join(table, on=table.columns, how="semi")["place"].to_numpy()] = True
    return found


def _with(rows: Interactions, more: Interactions) -> Interactions:
    """Two parts by user and time; the first's rows stand first at one time."""

    def both(name: str) -> Any:
        values = getattr(rows, name), getattr(more, name)
        if values[0] is None:
            return None
        return pl.concat(values) if isinstance(values[0], pl.Series) else np.concatenate(values)

    names = Interactions.__dataclass_fields__
    joined = Interactions(**{name: both(name) for name in names})
    times = np.zeros(len(joined)) if joined.timestamp is None else joined.timestamp
    return joined.take(np.lexsort((times, joined.user_index)))


def _days(dataset: Dataset, fitted: Split) -> float | None:
    newest = dataset.interactions.timestamp
    known = [part.timestamp for part in (fitted.train, fitted.valid) if part.timestamp is not None]
    if newest is None or not known:
        return None
    last = max((int(times.max()) for times in known if len(times)), default=int(newest.min()))
    return round((int(newest.max()) - last) / _DAY, 2)
