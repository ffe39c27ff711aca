"""One shard of a batch: the lists of some users, ranked and written as a Parquet file.

The same function on every engine: a :class:`ShardWriter` opens the run once in its process and then
writes shard after shard, each a few users at a time. A shard depends on the run, the options and
its users alone, so whoever writes it again writes the same bytes, unless events came meanwhile.

Shapes: B users at a time, I items, K items of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edgewise.data.dataset import histories_of
from edgewise.data.ragged import Ragged
from edgewise.data.ranking import Ranked
from edgewise.files import file_checksum, replacing
from edgewise.recommender import ItemFilter
from edgewise.runs.run import Run, open_run
from edgewise.serving.event_log import had_and_dismissed, new_events
from edgewise.serving.store import StoredEvent, StoredList, open_store
from edgewise.serving.version import lists_key

COLUMNS = {"user_id": pl.String, "item_id": pl.String, "score": pl.Float32, "rank": pl.Int32}
OnUsers = Callable[[int], None]


@dataclass(frozen=True)
class ShardOptions:
    """What is asked for every user alike, as it travels to the processes that write shards.

    Attributes:
        run: the run folder.
        data: where its data set stands, if it has moved.
        k: items a user.
        exclude_seen, allow, deny, filters: of :meth:`edgewise.recommender.Recommender.recommend`;
            raw ids.
        cache: address of a service's store, whose events count and which gets the lists.
        weights: of :func:`edgewise.runs.run.open_run`.
    """

    run: str
    data: str | None = None
    k: int = 100
    exclude_seen: bool = True
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] | None = None
    filters: Mapping[str, Sequence[str]] | None = None
    cache: str | None = None
    weights: str | None = None


@dataclass(frozen=True)
class Shard:
    """A finished shard, as the manifest tells of it.

    Attributes:
        file: its name.
        users: who were asked about.
        rows: of all their lists.
        cold_users: without a history; they got what is popular.
        short_lists: with fewer than k items.
        sha256: of the file.
    """

    file: str
    users: int
    rows: int
    cold_users: int
    short_lists: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known of some users before they are ranked for.

    Attributes:
        users: by index, -1 for who asked to be forgotten.
        histories: rows of the data set, and events since.
        banned: what their lists may not hold.
        seen: by the store, of each.
    """

    users: np.ndarray
    histories: Ragged
    banned: ItemFilter
    seen: Sequence[int]


class ShardWriter:
    """Writes shards of one batch in one process.

    Args:
        options: what is asked.
        folder: where shards are written.
        run: opened; it is opened here where it is None.
    """

    def __init__(self, options: ShardOptions, folder: Path, run: Run | None = None) -> None:
        self.options, self.folder = options, folder
        run = run or open_run(options.run, options.data, options.weights)
        self.model, dataset = run.model, run.dataset
        self._users, self._items = dataset.users, dataset.items
        self._item_ids = pl.Series(dataset.items.ids, dtype=pl.String)
        self._dataset = dataset
        self._histories = histories_of(dataset.num_users, dataset.interactions)
        self._hidden = self.model.hidden(options.allow, options.deny, options.filters)
        self.model.prepare(self._histories)
        self._store = None if options.cache is None else open_store(options.cache)
        self._version = "" if options.cache is None else lists_key(run)

    def write(self, number: int, users: np.ndarray, told: OnUsers = lambda done: None) -> Shard:
        """Rank some users, write their lists and hand them to the store.

        Args:
            number: of the shard, from 0 on.
            users: by index, ``int[n]``.
            told: told how many users are done, after each part.
        """
        path = self.folder / shard_name(number)
        rows = cold = short = 0
        with replacing(path) as partial, _parquet(partial) as add:
            for part in np.split(users, np.arange(self._at_once, len(users), self._at_once)):
                known = self._known_of(part)
                ranked = self.model.rank(known.users, known.histories, self.options.k, known.banned)
                ids = self._ids_of(part)
                add(self._frame(ids, ranked))
                if self._store is not None:
                    self._store.put_lists(self._version, self._stored(ids, known.seen, ranked))
                rows += len(ranked.items.values)
                cold += int((known.histories.lengths == 0).sum())
                short += int((ranked.items.lengths < self.options.k).sum())
                told(len(part))
        return Shard(path.name, len(users), rows, cold, short, file_checksum(path))

    @property
    def _at_once(self) -> int:
        return self.model.ASKED_AT_ONCE

    def _ids_of(self, users: np.ndarray) -> list[str]:
        ids = self._users.ids
        return [ids[user] for user in users.tolist()]

    def _frame(self, ids: Sequence[str], ranked: Ranked) -> pl.DataFrame:
        lists, scores = ranked
        names = pl.Series(ids, dtype=pl.String)
        columns = {
            "user_id": names.gather(lists.row_of_value),
            "item_id": self._item_ids.gather(lists.values.astype(np.int64)),
            "score": scores.values,
            "rank": lists.place_of_value + 1,
        }
        return pl.DataFrame(columns, schema_overrides=COLUMNS).cast(COLUMNS)  # type: ignore[arg-type]

    def _known_of(self, users: np.ndarray) -> _Known:
        histories, everyone = self._histories.take(users), ItemFilter(None, self._hidden)
        if self._store is None:
            shown = replace(everyone, seen=histories if self.options.exclude_seen else None)
            return _Known(users, histories, shown, [0] * len(users))
        asked, rows, banned, seen = users.copy(), histories.rows(), list[np.ndarray](), list[int]()
        for place, user_id in enumerate(self._ids_of(users)):
            person = self._store.person(user_id)
            seen.append(person.seen)
            if person.forgotten:
                asked[place], rows[place] = -1, rows[place][:0]
            had, dismissed = self._events_of(int(asked[place]), person.events)
            rows[place] = np.concatenate([rows[place], had])
            kept = rows[place] if self.options.exclude_seen else had[:0]
            banned.append(np.concatenate([kept, dismissed]))
        shown = replace(everyone, seen=Ragged.of_rows(banned))
        return _Known(asked, Ragged.of_rows(rows), shown, seen)

    def _events_of(self, user: int, events: Sequence[StoredEvent]) -> tuple[np.ndarray, np.ndarray]:
        """Items that somebody had and dismissed since the data set was made, oldest first."""
        fresh = new_events(events, self._dataset, self._histories, user)
        return had_and_dismissed(fresh, self._index_of)

    def _index_of(self, item_id: str) -> int | None:
        return self._items.index_of(item_id) if item_id in self._items else None

    def _stored(
        self, ids: Sequence[str], seen: Sequence[int], ranked: Ranked
    ) -> Iterator[tuple[str, StoredList]]:
        names = self._items.ids
        parts = zip(ids, seen, ranked.items.rows(), ranked.scores.rows(), strict=True)
        for user_id, count, items, scores in parts:
            pairs = zip(items.tolist(), scores.astype(np.float32).tolist(), strict=True)
            yield user_id, StoredList(count, tuple((names[i], score) for i, score in pairs))


def shard_name(number: int) -> str:
    """``part-00000.parquet``."""
    return f"part-{number:05}.parquet"


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[pl.DataFrame], None]]:
    """A Parquet file to add tables to, a row group each; without any it has its columns alone."""
    from pyarrow.parquet import ParquetWriter

    schema = pl.DataFrame(schema=COLUMNS).to_arrow().schema
    with ParquetWriter(path, schema, compression="zstd") as writer:
        yield lambda frame: writer.write_table(frame.to_arrow().cast(schema))
