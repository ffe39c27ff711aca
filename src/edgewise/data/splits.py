"""Train, validation and test parts: the one place where held-out rows live.

Rows are held out in three ways: leave-one-out, a share of each user's rows, and global time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np

from edgewise.config import check
from edgewise.data.dataset import Dataset, Interactions, histories_of
from edgewise.data.hashing import id_keys, keyed_uniform
from edgewise.data.pairs import pair_keys
from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError, DataError

SPLIT_KINDS = ("leave-one-out", "ratio", "time")
Fractions = tuple[float, float, float]
_TRAIN, _VALID, _TEST = 0, 1, 2
# A user needs one row in each part; with fewer rows all of them train.
_MIN_ROWS = 3
# Sets the draw of cold items apart from other draws of the same seed.
_COLD = 1
# Keeps 0.1 * 30 rows at 3 although the product of floats may fall just beside it.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class TextRows:
    """Rows whose texts are trained on, choose the epoch, and are tested."""

    train: Interactions
    valid: Interactions
    test: Interactions


@dataclass(frozen=True)
class Split:
    """Three parts of one data set's rows.

    Models are fitted on ``train`` and choose their best epoch on ``valid``; ``test`` is read by
    evaluation alone. What becomes an edge of the graph, and which texts are read, is the split's
    to say, so that the same model can be fitted under other conditions than honest ones.

    Attributes:
        dataset: the data set that was split (vocabularies and catalogue).
        train, valid, test: disjoint rows; each part keeps users' order of time.
        kind: ``leave-one-out``, ``ratio`` or ``time``.
        seed: of the random choices made, where the kind makes any.
        edges: rows that become edges where they are not the train rows, see
            :mod:`edgewise.evaluation.protocols`; None otherwise.
        text_rows: rows whose texts are read where they do not part as the rows do; None otherwise.
        cold_share: of the items, whose rows are in ``test`` alone, see :func:`with_cold_items`.
        first_events: their rows that a model is told after its training; None otherwise.
    """

    dataset: Dataset
    train: Interactions
    valid: Interactions
    test: Interactions
    kind: str
    seed: int = 0
    edges: Interactions | None = None
    text_rows: TextRows | None = None
    cold_share: float = 0.0
    first_events: Interactions | None = None

    def __repr__(self) -> str:
        data, parts = self.dataset, (self.train, self.valid, self.test)
        rows = " + ".join(f"{len(part):,}" for part in parts)
        return (
            f"Split({data.name}: {data.num_users:,} users, {data.num_items:,} items, {self.kind}, "
            f"{rows} train, validation and test rows)"
        )

    def cold_items(self) -> np.ndarray:
        """The items that are kept out of training, ``bool[I]``."""
        return cold_items(self.dataset, self.cold_share, self.seed)

    def graph_edges(self) -> Interactions:
        """The rows that become edges of the graph: train rows, unless the split says otherwise."""
        return self.train if self.edges is None else self.edges

    def graph_histories(self) -> Ragged:
        """The same edges, as each user's items."""
        return histories_of(self.dataset.num_users, self.graph_edges())

    def of_users(self, chosen: np.ndarray) -> Split:
        """The rows of some users alone, edges and texts included; all numbers stay.

        Args:
            chosen: ``bool[U]``.
        """

        def own(rows: Interactions) -> Interactions:
            return rows.take(np.flatnonzero(chosen[rows.user_index]))

        texts = self.text_rows
        return replace(
            self,
            dataset=replace(self.dataset, interactions=own(self.dataset.interactions)),
            train=own(self.train),
            valid=own(self.valid),
            test=own(self.test),
            edges=None if self.edges is None else own(self.edges),
            text_rows=texts
            and TextRows(*(own(rows) for rows in (texts.train, texts.valid, texts.test))),
        )

    def held_out(self, part: str) -> Interactions:
        """The rows to be predicted: ``valid`` or ``test``."""
        return {"valid": self.valid, "test": self.test}[part]

    def known_before(self, part: str) -> Ragged:
        """What may be known when a part is predicted: train, and validation before test.

        Before test, first events of cold items, too, where the split has any.
        """
        known = [self.train] if part == "valid" else [self.train, self.valid]
        if part == "test" and self.first_events is not None:
            return self._in_order([*known, self.first_events])
        return histories_of(self.dataset.num_users, *known)

    def _in_order(self, parts: Sequence[Interactions]) -> Ragged:
        """Rows of several parts, each pair where it first stands in the data set."""
        num_users, num_items = self.dataset.num_users, self.dataset.num_items
        keys = pair_keys(self.dataset.interactions, num_items)
        order = np.argsort(keys, kind="stable")
        told = np.concatenate([pair_keys(part, num_items) for part in parts])
        places = order[np.searchsorted(keys, told, sorter=order)]
        users, items = np.divmod(told[np.argsort(places, kind="stable")], num_items)
        return Ragged.of_lengths(np.bincount(users, minlength=num_users), items.astype(np.int32))


def split_by_name(dataset: Dataset, kind: str, seed: int = 0) -> Split:
    """Split by the name a user typed: ``leave-one-out``, ``ratio`` or ``time``.

    Raises:
        ConfigError: there is no such split.
        DataError: a split by time of a data set that cannot be split by time.
    """
    if kind == "leave-one-out":
        return leave_one_out(dataset)
    if kind == "ratio":
        return ratio_split(dataset, seed)
    if kind == "time":
        return time_split(dataset)
    close = get_close_matches(kind, SPLIT_KINDS, n=1, cutoff=0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"unknown split {kind!r}: choose one of {', '.join(SPLIT_KINDS)}.{hint}")


def leave_one_out(dataset: Dataset) -> Split:
    """Each user's last row is test, the one before it validation.

    Users with fewer than three rows train only. Among rows of equal time the source's order
    decides, as it does everywhere in :class:`~edgewise.data.interactions.Interactions`.
    """
    lengths = np.bincount(dataset.interactions.user_index, minlength=dataset.num_users)
    ends = np.cumsum(lengths)[lengths >= _MIN_ROWS]
    part = np.full(len(dataset.interactions), _TRAIN, dtype=np.int8)
    part[ends - 1], part[ends - 2] = _TEST, _VALID
    return _assemble(dataset, part)


def ratio_split(dataset: Dataset, seed: int = 0, fractions: Fractions = (0.8, 0.1, 0.1)) -> Split:
    """A random share of each user's rows: validation and test get ``max(1, share)`` rows each.

    Shares are rounded down, and a user of three or more rows keeps at least one in each part;
    users with fewer train only. A user's draw depends on the seed, the spelling of the user's id
    and the number of the user's rows, and on nothing else in the data set.

    Args:
        dataset: the data set.
        seed: of the draw.
        fractions: shares of train, validation and test, which sum to 1.
    """
    _check_fractions(fractions)
    rows = dataset.interactions.by_user(dataset.num_users)
    users, place = rows.row_of_value, rows.place_of_value
    size = rows.lengths[users]
    draw = keyed_uniform(seed, id_keys(dataset.users)[users], place)
    shuffled_place = np.empty_like(place)
    shuffled_place[rows.ranked(draw)] = place
    num_test = np.minimum(_share(fractions[2], size), size - 2)
    num_valid = np.minimum(_share(fractions[1], size), size - num_test - 1)
    is_test = shuffled_place < num_test
    is_valid = shuffled_place < num_test + num_valid
    part = np.select([size < _MIN_ROWS, is_test, is_valid], [_TRAIN, _TEST, _VALID], _TRAIN)
    return _assemble(dataset, part, kind="ratio", seed=seed)


def time_split(dataset: Dataset, fractions: Fractions = (0.8, 0.1, 0.1)) -> Split:
    """Earlier rows train, later ones are held out, with the same two moments for all users.

    The moments are quantiles of all timestamps, and rows at a moment belong to the earlier part,
    so no row that trains is newer than one held out. Held-out rows may have users and items
    that never train.

    Raises:
        DataError: the data set has no times, or too many equal ones to fill all parts.
    """
    _check_fractions(fractions)
    times = dataset.interactions.timestamp
    if times is None:
        raise DataError(
            f"data set {dataset.name!r} has no timestamps and cannot be split by time: import a "
            "source with a timestamp column, or split by 'leave-one-out' or 'ratio'"
        )
    last = np.ceil(np.cumsum(fractions[:2]) * len(times) - _ROUNDING).astype(np.int64) - 1
    moments = np.sort(times)[last] if len(times) else np.empty(0, np.int64)
    part = np.searchsorted(moments, times, side="left")
    sizes = np.bincount(part, minlength=3)
    if (sizes == 0).any():
        raise DataError(
            f"data set {dataset.name!r} cannot be split by time at {fractions}: the parts would "
            f"have {sizes[0]}, {sizes[1]} and {sizes[2]} rows, because too many of the "
            f"{len(times)} rows share a time; change the fractions or split by 'leave-one-out'"
        )
    return _assemble(dataset, part, kind="time")


def cold_items(dataset: Dataset, share: float, seed: int) -> np.ndarray:
    """A seeded share of the items, ``bool[I]``; each one's draw reads its id's spelling alone."""
    return keyed_uniform(seed, id_keys(dataset.items), _COLD) < share


def with_cold_items(split: Split, share: float, seed: int = 0) -> Split:
    """The split with a share of the items as new to the model as if they came after training.

    Their rows leave the train and the validation part; their rows of the test part stay, and are
    targets about which nothing but the catalogue is known.

    Args:
        split: of the rows.
        share: of all items, between 0 and 1.
        seed: of the draw.

    Raises:
        ConfigError: the share is none, or the split's edges or texts are not of its train rows.
        DataError: no train row is left.
    """
    check(0 < share < 1, f"cold_items = {share:g}: a share above 0 and below 1 is wanted")
    alone = split.edges is None and split.text_rows is None
    check(alone, "cold items need a protocol that does not leak, such as honest or temporal")
    is_cold = cold_items(split.dataset, share, seed)
    train, valid = (
        rows.take(np.flatnonzero(~is_cold[rows.item_index])) for rows in (split.train, split.valid)
    )
    if not len(train):
        raise DataError(
            f"data set {split.dataset.name!r}: cold_items = {share:g} leaves no train row of "
            f"{len(split.train):,}; take a smaller share"
        )
    return replace(split, train=train, valid=valid, cold_share=share, seed=seed)


def with_first_events(split: Split, most: int) -> Split:
    """The split whose cold items get their first rows back once the model is trained.

    Those are the earliest rows that :func:`with_cold_items` took away, or drawn ones where the data
    set has no times. Test rows are never among them.

    Args:
        split: with cold items.
        most: rows of an item.

    Raises:
        ConfigError: the split has no cold items.
    """
    check(split.cold_share > 0, "first events are those of cold items, and the split has none")
    rows, num_items = split.dataset.interactions, split.dataset.num_items
    away = split.cold_items()[rows.item_index]
    away &= ~np.isin(pair_keys(rows, num_items), pair_keys(split.test, num_items))
    places = np.flatnonzero(away)
    users, items = rows.user_index[places], rows.item_index[places]
    drawn = keyed_uniform(split.seed, id_keys(split.dataset.users)[users], items)
    times = drawn if rows.timestamp is None else rows.timestamp[places]
    order = np.lexsort((drawn, times, items))
    by_item = Ragged.of_lengths(np.bincount(items, minlength=num_items), places[order])
    first = by_item.values[by_item.place_of_value < most]
    return replace(split, first_events=rows.take(np.sort(first)))


def _share(fraction: float, size: np.ndarray) -> np.ndarray:
    return np.maximum(1, np.floor(fraction * size + _ROUNDING).astype(np.int64))


def _check_fractions(fractions: Fractions) -> None:
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ConfigError(
            f"fractions must be three positive numbers that sum to 1, as in (0.8, 0.1, 0.1); "
            f"got {fractions}"
        )


def _assemble(
    dataset: Dataset, part: np.ndarray, kind: str = "leave-one-out", seed: int = 0
) -> Split:
    part = part.astype(np.int8)
    train, valid, test = (dataset.interactions.part(part, n) for n in (_TRAIN, _VALID, _TEST))
    return Split(dataset, train, valid, test, kind=kind, seed=seed)
