"""Lists of items: candidates to choose from, and the ranked lists by user or item of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from edgewise.data.dataset import Dataset, Vocabulary
from edgewise.data.ragged import Ragged
from edgewise.display import one_line
from edgewise.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

_ROWS_SHOWN, _WIDTH_SHOWN, _LETTERS_SHOWN = 5, 98, 28


@dataclass(frozen=True, eq=False)
class CandidateLists:
    """Candidates of several users, lists of any lengths.

    Attributes:
        user_index: ``int32[rows]``, one entry a list.
        lists: item indices, ``int32``; no item twice in a list.
    """

    user_index: np.ndarray
    lists: Ragged

    @classmethod
    def from_lists(cls, users: np.ndarray, lists: list[np.ndarray]) -> CandidateLists:
        """One array of items a user."""
        items = Ragged.of_rows([np.asarray(row, dtype=np.int32) for row in lists])
        return cls(np.asarray(users, dtype=np.int32), items)

    @property
    def offsets(self) -> np.ndarray:
        """List ``r`` is ``items[offsets[r]:offsets[r + 1]]``, ``int64[rows + 1]``."""
        return self.lists.offsets

    @property
    def items(self) -> np.ndarray:
        """Of all lists, end to end, ``int32[total]``."""
        return self.lists.values

    def __len__(self) -> int:
        return len(self.user_index)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.lists[row]

    def __repr__(self) -> str:
        return f"CandidateLists(lists={len(self)}, items={len(self.items)})"

    def take(self, rows: np.ndarray) -> CandidateLists:
        """Some lists, in the order given."""
        return CandidateLists(self.user_index[rows], self.lists.take(rows))


@dataclass(frozen=True, eq=False)
class Recommendations:
    """Ranked items of several users, the one type that models produce and metrics consume.

    A user's rows are contiguous, best first.

    Attributes:
        user_index, item_index: ``int32[rows]``.
        rank: 1 is best, ``int32[rows]``.
        score: higher is better, comparable within a user, ``float32[rows]``.
        users, items: raw ids by index, where the model knows them.
        titles: of all items, by index, where the model knows them.
        cold: whether the row's user had no history and got popular items, ``bool[rows]``; None
            where nobody asked.
    """

    user_index: np.ndarray
    item_index: np.ndarray
    rank: np.ndarray
    score: np.ndarray
    _: KW_ONLY
    users: Vocabulary | None = None
    items: Vocabulary | None = None
    titles: Sequence[str] | None = None
    cold: np.ndarray | None = None

    @classmethod
    def from_lists(
        cls, users: np.ndarray, items: list[np.ndarray], scores: list[np.ndarray]
    ) -> Recommendations:
        """Build from one best-first array of items and scores a user (lengths may differ)."""
        return cls.of(users, Ragged.of_rows(items), Ragged.of_rows([np.empty(0), *scores]))

    @classmethod
    def of(cls, users: np.ndarray, items: Ragged, scores: Ragged) -> Recommendations:
        """The same from lists that are joined already."""
        return cls(
            np.asarray(users)[items.row_of_value].astype(np.int32),
            items.values.astype(np.int32),
            (items.place_of_value + 1).astype(np.int32),
            scores.values.astype(np.float32),
        )

    @classmethod
    def concat(cls, parts: Sequence[Recommendations]) -> Recommendations:
        """Lists of different users, one after the other, with the ids of the first part."""
        if not parts:
            return cls.from_lists(np.empty(0, np.int32), [], [])
        names = ("user_index", "item_index", "rank", "score")
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        cold = None
        if any(part.cold is not None for part in parts):
            marks = [np.zeros(len(p), bool) if p.cold is None else p.cold for p in parts]
            cold = np.concatenate(marks)
        return replace(parts[0], **columns, cold=cold)

    def __len__(self) -> int:
        return len(self.user_index)

    def __repr__(self) -> str:
        told = f"Recommendations(users={len(np.unique(self.user_index))}, rows={len(self)})"
        first = self.take(np.arange(min(len(self), _ROWS_SHOWN)))
        if self.users is not None:
            return _shown(told, first.to_frame(), len(self))
        names = ("user_index", "item_index", "score", "rank")
        return _shown(told, pl.DataFrame({n: getattr(first, n) for n in names}), len(self))

    def take(self, rows: np.ndarray) -> Recommendations:
        """The rows at the given positions, in the given order."""
        return replace(
            self,
            user_index=self.user_index[rows],
            item_index=self.item_index[rows],
            rank=self.rank[rows],
            score=self.score[rows],
            cold=None if self.cold is None else self.cold[rows],
        )

    def to_frame(self, dataset: Dataset | None = None) -> pl.DataFrame:
        """Columns ``user_id, item_id, score, rank, title`` in the user's own ids.

        A column ``cold`` is added where there are users without a history.

        Args:
            dataset: whose ids and titles are meant; those that the lists carry if it is None.

        Raises:
            DataError: neither knows the ids.
        """
        users, items, titles = self._names(dataset)
        columns = {
            "user_id": pl.Series([users.ids[u] for u in self.user_index], dtype=pl.String),
            "item_id": pl.Series([items.ids[i] for i in self.item_index], dtype=pl.String),
            "score": self.score,
            "rank": self.rank,
            "title": pl.Series([titles[i] for i in self.item_index], dtype=pl.String),
        }
        if self.cold is not None and self.cold.any():
            columns["cold"] = self.cold
        return pl.DataFrame(columns)

    def to_pandas(self, dataset: Dataset | None = None) -> pd.DataFrame:
        """:meth:`to_frame` for those who work with pandas.

        Raises:
            ConfigError: pandas is not installed.
        """
        return _to_pandas(self.to_frame(dataset))

    def _names(self, dataset: Dataset | None) -> tuple[Vocabulary, Vocabulary, Sequence[str]]:
        if dataset is not None:
            return dataset.users, dataset.items, dataset.catalog.title
        if self.users is None or self.items is None:
            raise DataError(
                "these recommendations hold index numbers without ids: name the data set that "
                "they are about, as in to_frame(dataset)"
            )
        return self.users, self.items, self.titles or [""] * len(self.items)


@dataclass(frozen=True, eq=False)
class SimilarItems:
    """Items that are like others; an item's rows are contiguous, best first.

    Attributes:
        similar_to: the item asked about, ``int32[rows]``.
        item_index: an item like it, ``int32[rows]``.
        rank: 1 is best, ``int32[rows]``.
        score: higher is more alike, ``float32[rows]``.
        unit: what the score is, in a few words.
        items: raw ids by index.
        titles: of all items, by index.
    """

    similar_to: np.ndarray
    item_index: np.ndarray
    rank: np.ndarray
    score: np.ndarray
    unit: str
    items: Vocabulary
    titles: Sequence[str]

    def __len__(self) -> int:
        return len(self.item_index)

    def __repr__(self) -> str:
        told = f"SimilarItems(items={len(np.unique(self.similar_to))}, rows={len(self)})"
        rows = slice(_ROWS_SHOWN)
        names = ("similar_to", "item_index", "rank", "score")
        first = replace(self, **{name: getattr(self, name)[rows] for name in names})
        return _shown(told, first.to_frame(), len(self))

    def to_pandas(self) -> pd.DataFrame:
        """:meth:`to_frame` for those who work with pandas.

        Raises:
            ConfigError: pandas is not installed.
        """
        return _to_pandas(self.to_frame())

    def to_frame(self) -> pl.DataFrame:
        """Columns ``similar_to, item_id, score, rank, title`` in the user's own ids."""
        ids, titles = self.items.ids, self.titles
        return pl.DataFrame(
            {
                "similar_to": pl.Series([ids[i] for i in self.similar_to], dtype=pl.String),
                "item_id": pl.Series([ids[i] for i in self.item_index], dtype=pl.String),
                "score": self.score,
                "rank": self.rank,
                "title": pl.Series([titles[i] for i in self.item_index], dtype=pl.String),
            }
        )


def _to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    try:
        return frame.to_pandas()
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"to_pandas needs {error.name}, which is not installed: pip install pandas, or go on "
            "with to_frame(), a polars table"
        ) from None


def _shown(told: str, first: pl.DataFrame, num_rows: int) -> str:
    """A line, and the first rows as a table that fits on a screen."""
    if not num_rows:
        return told
    texts = [name for name, kind in first.schema.items() if kind == pl.String]
    safe = [pl.Series(name, [one_line(text) for text in first[name]], pl.String) for name in texts]
    with pl.Config(
        tbl_formatting="UTF8_FULL_CONDENSED",
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_width_chars=_WIDTH_SHOWN,
        fmt_str_lengths=_LETTERS_SHOWN,
        tbl_rows=_ROWS_SHOWN,
        tbl_cols=len(first.columns),
        set_fmt_float="mixed",
    ):
        table = str(first.with_columns(*safe))
    more = f", first {len(first)} of {num_rows:,} rows" if num_rows > len(first) else ""
    return f"{told}{more}\n{table}"
