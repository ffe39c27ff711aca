"""Time: what is learned from later than it is asked about, ties, and rows that stand twice."""

from __future__ import annotations

import numpy as np

from edgewise.audit.findings import Figure, Finding, Subject
from edgewise.audit.pairs import pair_keys
from edgewise.data.interactions import Interactions
from edgewise.data.split import Split

_LATER = Subject("later-events", "order")
_TIES = Subject("tie-order", "order")
_TWICE = Subject("repeated-rows", "order")
_NO_TIMES = "the data set has no times"
_SIGMAS = 5.0


def later_events(split: Split) -> Finding:
    """Train rows that are newer than the test rows they help to predict.

    A user's own later rows are a leak wherever a split follows time. Those of other users are a
    leak under a split by time; under leave-one-out they come with the split, and a warning says
    how many there are. A ratio split deals rows without regard to time.
    """
    train, test = split.train, split.test
    if train.timestamp is None or test.timestamp is None:
        return _LATER.not_applicable(_NO_TIMES)
    if not len(train) or not len(test):
        return _LATER.not_applicable("a part has no rows")
    own = _own_later(train, test)
    later = 1 - np.searchsorted(np.sort(train.timestamp), test.timestamp, "right") / len(train)
    figures = (
        Figure("train rows newer than a test row, on average", float(later.mean())),
        Figure("test rows with newer train rows of their own user", own),
    )
    if not later.any():
        return _LATER.ok("nothing is learned from later than it is asked about", *figures)
    repair = "split by time (--split time, protocol temporal) to predict the future from the past"
    meaning = "what others did later is known in training: trends and new items are no surprise"
    if split.kind == "time" or (split.kind == "leave-one-out" and own):
        return _LATER.leak(f"{meaning}, although the split says otherwise", *figures, repair=repair)
    return _LATER.warning(f"{meaning}; this comes with {split.kind}", *figures, repair=repair)


def tie_order(split: Split) -> Finding:
    """Whether rows of equal time stand in the order of their ids or numbers.

    Where they do, the order that a split by last row trusts is the order of the ids, and the
    held-out item is often the largest of its day.
    """
    rows, ids = split.dataset.interactions, split.dataset.items.ids
    if rows.timestamp is None:
        return _TIES.not_applicable(_NO_TIMES)
    tied = np.flatnonzero((np.diff(rows.user_index) == 0) & (np.diff(rows.timestamp) == 0))
    places = np.empty(len(ids), dtype=np.int64)
    places[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    by_number, number_steps = _ascending(rows.item_index, tied)
    by_id, id_steps = _ascending(places[rows.item_index], tied)
    if not id_steps:
        return _TIES.not_applicable("no two rows of a user share a time")
    figures = (
        Figure("ties in ascending order of the raw id", by_id),
        Figure("of the number in use", by_number),
        Figure("users whose last row shares its time with the one before", _last_tied(rows, tied)),
        Figure("such rows of all", float(len(tied)), "rows"),
    )
    repair = "use exact times, or shuffle rows of equal time before the import"
    if _far_from_half(by_number, number_steps):
        meaning = "rows of equal time follow the item numbers that a model reads: the last one, "
        return _TIES.leak(meaning + "which is held out, has the largest", *figures, repair=repair)
    if _far_from_half(by_id, id_steps):
        meaning = "rows of equal time follow their raw ids; numbers in use do not show it, "
        return _TIES.warning(
            meaning + "but the order within a day is no order of events", *figures, repair=repair
        )
    return _TIES.ok("rows of equal time follow neither id nor number", *figures)


def repeated_rows(split: Split) -> Finding:
    """Held-out rows whose user and item occur in an earlier part.

    The same row twice, time included, is a leak, and so is a repetition where there are no times
    to tell the two apart; taking an item again at another time is a warning.
    """
    if not len(split.test) and not len(split.valid):
        return _TWICE.not_applicable("no held-out row")
    pairs = _repeated(split, with_time=False)
    rows = _repeated(split, with_time=split.dataset.interactions.timestamp is not None)
    figures = (
        Figure("held-out rows of a known pair", pairs),
        Figure("of the same time as well", rows),
    )
    repair = "keep one row of each user and item: import with --duplicates last"
    if rows:
        return _TWICE.leak(
            "the same row is learned from and asked about: to remember is to win",
            *figures,
            repair=repair,
        )
    if pairs:
        return _TWICE.warning(
            "users took held-out items before: a recommender of unseen items must miss them, and "
            "the graph knows the pair",
            *figures,
            repair=repair,
        )
    return _TWICE.ok("no held-out row repeats a user and item of an earlier part", *figures)


def _own_later(train: Interactions, test: Interactions) -> float:
    """Share of test rows with a newer train row of the same user."""
    assert train.timestamp is not None and test.timestamp is not None
    num_users = 1 + int(max(train.user_index.max(), test.user_index.max()))
    newest = np.full(num_users, np.iinfo(np.int64).min)
    np.maximum.at(newest, train.user_index, train.timestamp)
    return float((newest[test.user_index] > test.timestamp).mean())


def _ascending(values: np.ndarray, first: np.ndarray) -> tuple[float, int]:
    """Share of steps up among the steps from each given row to the next, and their number."""
    step = values[first + 1].astype(np.int64) - values[first]
    moved = step[step != 0]
    return (float((moved > 0).mean()) if len(moved) else 0.0), len(moved)


def _last_tied(rows: Interactions, tied: np.ndarray) -> float:
    """Share of users whose last row is the second of a tied pair of rows."""
    last = np.append(np.flatnonzero(np.diff(rows.user_index)), len(rows) - 1)
    return float(np.isin(last, tied + 1).mean())


def _far_from_half(share: float, trials: int) -> bool:
    return trials > 0 and abs(share - 0.5) > _SIGMAS * 0.5 / np.sqrt(trials)


def _repeated(split: Split, *, with_time: bool) -> float:
    """Share of held-out rows that occur in a part before theirs."""
    parts = [_row_keys(split, part, with_time) for part in (split.train, split.valid, split.test)]
    again = np.concatenate(
        [np.isin(parts[1], parts[0]), np.isin(parts[2], np.concatenate(parts[:2]))]
    )
    return float(again.mean())


def _row_keys(split: Split, rows: Interactions, with_time: bool) -> np.ndarray:
    keys, times = pair_keys(rows, split.dataset.num_items), split.dataset.interactions.timestamp
    if not with_time or times is None or rows.timestamp is None:
        return keys
    moments = np.unique(times)
    return keys * len(moments) + np.searchsorted(moments, rows.timestamp)
