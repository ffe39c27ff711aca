"""A made-up log of any size: skewed, with tastes and habits, and never in memory as a whole.

Run ``python benchmarks/made_up.py FILE [--scale 10] [--seed 0]``. At scale 10 it has 30,000,000
rows of 1,000,000 users and 200,000 items; smaller scales have proportionally fewer of each. The
name ends in ``.csv`` or ``.parquet``. Columns: ``user_id, item_id, timestamp, rating``.

- Histories have log-normal lengths, of at least three rows.
- Items have a popularity of about one over their rank (Zipf's law), each in one of 64 categories.
- A user takes three rows of five from three categories of his own, chosen by popularity as well.
- Every fourth row is what usually follows the item before it: one of the same category.
- Rows come in sessions: a few minutes apart within one, days between them; users join over time.
- A user's repetitions stay in the log, as in real ones; an import keeps the last of them.

Users are drawn and written 50,000 at a time, in no order within such a block; the same arguments
give the same file. In Python: :func:`write_log`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

ROWS, USERS, ITEMS = 3_000_000, 100_000, 20_000
"""At scale 1."""
_BLOCK = 50_000
_CATEGORIES, _FAVOURITES = 64, 3
_TASTE, _HABIT, _SESSION = 0.6, 0.25, 0.6  # shares of rows
_LEAST = 3
_START, _DAY, _DAYS = 1_500_000_000, 86_400, 2000


@dataclass(frozen=True)
class Sizes:
    """Of a log: ``of_scale`` gives those of the benchmarks."""

    rows: int
    users: int
    items: int

    @classmethod
    def of_scale(cls, scale: float) -> Sizes:
        """Scale 10 is 30 million rows of a million users and 200,000 items."""
        return cls(*(round(scale * size) for size in (ROWS, USERS, ITEMS)))


@dataclass(frozen=True)
class _World:
    """What does not depend on users.

    Attributes:
        until: cumulative popularity of the items, which stand by category, ``float64[I]``.
        starts: the cumulative popularity at which each category begins, and 1, ``float64[C + 1]``.
        follower: what usually comes after each item, ``int32[I]``.
        number: of each item in its id, so that ids tell neither category nor popularity.
    """

    until: np.ndarray
    starts: np.ndarray
    follower: np.ndarray
    number: np.ndarray

    @classmethod
    def of(cls, num_items: int, rng: np.random.Generator) -> _World:
        category = np.sort(rng.integers(0, min(_CATEGORIES, num_items), num_items))
        popularity = (1.0 + rng.permutation(num_items) + 20.0) ** -1.0
        until = np.cumsum(popularity / popularity.sum())
        until[-1] = 1.0
        first = np.searchsorted(category, np.arange(category[-1] + 1))
        starts = np.append(np.append(0.0, until)[first], 1.0)
        followers = _drawn(until, _between(starts, category, rng.random(num_items)))
        return cls(until, starts, followers, rng.permutation(num_items))


def write_log(path: Path, sizes: Sizes, seed: int = 0) -> None:
    """Write the log as CSV or Parquet, as the name ends; see the top of this file."""
    with path.open("wb") as file:
        if path.suffix == ".csv":
            for number, block in enumerate(blocks(sizes, seed)):
                block.write_csv(file, include_header=not number)
            return
        from pyarrow.parquet import ParquetWriter

        writer = None
        for block in blocks(sizes, seed):
            table = block.to_arrow()
            writer = writer or ParquetWriter(file, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()


def blocks(sizes: Sizes, seed: int = 0) -> Iterator[pl.DataFrame]:
    """The rows of 50,000 users at a time."""
    world_rng, lengths_rng, *_ = np.random.default_rng(seed).spawn(2)
    world = _World.of(sizes.items, world_rng)
    lengths = _lengths(sizes, lengths_rng)
    for number, start in enumerate(range(0, sizes.users, _BLOCK)):
        rng = np.random.default_rng([seed, number])
        yield _rows(world, start, lengths[start : start + _BLOCK], rng)


def _lengths(sizes: Sizes, rng: np.random.Generator) -> np.ndarray:
    """Log-normal, and exactly all rows together, ``int64[U]``."""
    share = rng.lognormal(0, 1, sizes.users)
    free = sizes.rows - _LEAST * sizes.users
    ends = np.round(np.cumsum(share / share.sum()) * free).astype(np.int64)
    return _LEAST + np.diff(ends, prepend=0)


def _rows(
    world: _World, first_user: int, lengths: np.ndarray, rng: np.random.Generator
) -> pl.DataFrame:
    """The rows of some users in a random order."""
    user = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.cumsum(lengths) - lengths
    items = _items(world, user, starts, rng)
    times = _times(user, starts, lengths, rng)
    order = rng.permutation(len(user))
    table = pl.DataFrame(
        {
            "user_id": (first_user + user)[order],
            "item_id": world.number[items[order]],
            "timestamp": times[order],
            "rating": rng.choice(6, len(user), p=[0, 0.05, 0.05, 0.1, 0.3, 0.5]).astype(np.int8),
        }
    )
    return table.with_columns(
        pl.format("u{}", "user_id").alias("user_id"), pl.format("i{}", "item_id").alias("item_id")
    )


def _items(
    world: _World, user: np.ndarray, starts: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """What each row takes: by popularity, by taste, or by habit after the row before it."""
    num_categories = len(world.starts) - 1
    favourite = np.searchsorted(world.starts, rng.random((len(starts), _FAVOURITES)), "right") - 1
    mine = favourite[user, rng.integers(0, _FAVOURITES, len(user))].clip(max=num_categories - 1)
    place = rng.random(len(user))
    by_taste = rng.random(len(user)) < _TASTE
    items = _drawn(world.until, np.where(by_taste, _between(world.starts, mine, place), place))
    by_habit = rng.random(len(user)) < _HABIT
    by_habit[starts] = False
    # The first of a run of habits goes before the next, which follows it.
    since = np.arange(len(user))
    since -= np.maximum.accumulate(np.where(by_habit, 0, since))
    for step in range(1, int(since.max(initial=0)) + 1):
        rows = np.flatnonzero(since == step)
        items[rows] = world.follower[items[rows - 1]]
    return items


def _times(
    user: np.ndarray, starts: np.ndarray, lengths: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Seconds since 1970 of each row, rising within a user, ``int64``."""
    in_session = rng.random(len(user)) < _SESSION
    joined = rng.random(len(lengths)) ** 0.7 * (_DAYS - 1) * _DAY
    # So long that everybody's last row is likely to fall within the time that is left.
    pause = ((_DAYS * _DAY - joined) / (lengths * (1 - _SESSION) + 1)).clip(max=60 * _DAY) / 2
    gaps = np.where(in_session, 300.0, pause[user]) * rng.exponential(1, len(user))
    gaps[starts] = 0
    passed = np.cumsum(gaps)
    return (_START + (joined - passed[starts])[user] + passed).astype(np.int64)


def _drawn(until: np.ndarray, place: np.ndarray) -> np.ndarray:
    return np.searchsorted(until, place, "right").clip(max=len(until) - 1).astype(np.int32)


def _between(starts: np.ndarray, category: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Uniform numbers put into the range of a category."""
    return starts[category] + place * (starts[category + 1] - starts[category])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("file", type=Path, help="a name that ends in .csv or .parquet")
    parser.add_argument("--scale", type=float, default=1.0, help="10 is 30 million rows")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.file.suffix not in (".csv", ".parquet"):
        parser.error(f"{given.file}: the name must end in .csv or .parquet")
    write_log(given.file, Sizes.of_scale(given.scale), given.seed)


if __name__ == "__main__":
    main()
