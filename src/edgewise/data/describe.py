"""What a data set looks like: sizes, histories, ties, repetitions, cold and popular items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewise.data.dataset import Dataset, Interactions
from edgewise.data.pairs import num_distinct, pair_keys
from edgewise.errors import ConfigError
from edgewise.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DAY = 86_400
COLD = 5
QUANTILES = {"min": 0.0, "25%": 0.25, "median": 0.5, "75%": 0.75, "95%": 0.95, "max": 1.0}


@dataclass(frozen=True)
class DatasetInfo:
    """Figures about a data set; shares lie between 0 and 1.

    Attributes:
        name: of the data set.
        interactions, users, items: sizes.
        density: share of all pairs of a user and an item that occur.
        history_lengths: rows a user: quantiles (values that occur) and ``mean``.
        same_day_ties: share of consecutive rows of a user that fall on the same day (UTC), whose
            order is therefore doubtful; None without times or without a user of two rows.
        duplicates: rows beyond the first of their user and item.
        cold_items: items with fewer than 5 rows.
        items_never_in_train: items that occur only in rows that leave-one-out holds out.
        top_1_percent, top_10_percent: share of the rows that is about the most popular items.
        titled_items: items with a title.
        has_times, has_ratings, has_reviews: which columns there are.
    """

    name: str
    interactions: int
    users: int
    items: int
    density: float
    history_lengths: dict[str, float]
    same_day_ties: float | None
    duplicates: int
    cold_items: int
    items_never_in_train: int
    top_1_percent: float
    top_10_percent: float
    titled_items: int
    has_times: bool
    has_ratings: bool
    has_reviews: bool


def describe(dataset: Dataset) -> DatasetInfo:
    """The figures of a data set."""
    rows = dataset.interactions
    lengths = np.bincount(rows.user_index, minlength=dataset.num_users)
    popularity = np.bincount(rows.item_index, minlength=dataset.num_items)
    pairs = num_distinct(pair_keys(rows, dataset.num_items))
    return DatasetInfo(
        name=dataset.name,
        interactions=len(rows),
        users=dataset.num_users,
        items=dataset.num_items,
        density=pairs / max(1, dataset.num_users * dataset.num_items),
        history_lengths=_history_lengths(lengths),
        same_day_ties=same_day_ties(rows),
        duplicates=len(rows) - pairs,
        cold_items=int((popularity < COLD).sum()),
        items_never_in_train=_never_in_train(rows, lengths, popularity),
        top_1_percent=_popular_share(popularity, 0.01),
        top_10_percent=_popular_share(popularity, 0.10),
        titled_items=sum(map(bool, dataset.catalog.title)),
        has_times=rows.timestamp is not None,
        has_ratings=rows.rating is not None,
        has_reviews=rows.review is not None,
    )


def same_day_ties(rows: Interactions) -> float | None:
    """Share of consecutive rows of a user on the same day; None where there are no such rows."""
    if rows.timestamp is None:
        return None
    same_user = np.diff(rows.user_index) == 0
    same_day = np.diff(rows.timestamp // DAY) == 0
    return float(same_day[same_user].mean()) if same_user.any() else None


def plot(dataset: Dataset, file: str | Path) -> None:
    """Draw history lengths and item popularity side by side.

    Raises:
        ConfigError: matplotlib is not installed, or cannot write such a file.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError(
            "--plot needs matplotlib; install it with: pip install 'edgewise[plots]'"
        ) from None
    rows, file = dataset.interactions, Path(file)
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    _plot_lengths(left, np.bincount(rows.user_index, minlength=dataset.num_users))
    _plot_popularity(right, np.bincount(rows.item_index, minlength=dataset.num_items))
    figure.suptitle(dataset.name)
    if file.suffix[1:] not in figure.canvas.get_supported_filetypes():
        raise ConfigError(f"--plot {file}: the name must end in .png, .svg or .pdf")
    with replacing(file) as partial:
        figure.savefig(partial, format=file.suffix[1:], dpi=150)


def _history_lengths(lengths: np.ndarray) -> dict[str, float]:
    if not len(lengths):
        return {}
    values = np.quantile(lengths, list(QUANTILES.values()), method="inverted_cdf")
    return {**dict(zip(QUANTILES, values.tolist(), strict=True)), "mean": float(lengths.mean())}


def _never_in_train(rows: Interactions, lengths: np.ndarray, popularity: np.ndarray) -> int:
    """Items with rows, all of them among the last two of users with at least three."""
    ends = np.cumsum(lengths)[lengths >= 3]
    in_train = np.ones(len(rows), dtype=bool)
    in_train[ends - 1] = in_train[ends - 2] = False
    train = np.bincount(rows.item_index[in_train], minlength=len(popularity))
    return int(((popularity > 0) & (train == 0)).sum())


def _popular_share(popularity: np.ndarray, share: float) -> float:
    top = np.sort(popularity)[::-1][: int(np.ceil(share * len(popularity)))]
    return float(top.sum() / max(1, popularity.sum()))


def _plot_lengths(axes: Axes, lengths: np.ndarray) -> None:
    edges = np.geomspace(1, max(2, lengths.max(initial=1)) + 1, 30)
    axes.hist(lengths, bins=np.unique(edges.astype(int)).tolist())
    axes.set(xscale="log", yscale="log", xlabel="history length", ylabel="users")
    _plain_ticks(axes)


def _plot_popularity(axes: Axes, popularity: np.ndarray) -> None:
    """Items without rows have no place on a logarithmic scale."""
    taken = np.sort(popularity[popularity > 0])[::-1]
    axes.plot(np.arange(1, len(taken) + 1), taken)
    axes.set(xscale="log", yscale="log", xlabel="item, most popular first", ylabel="rows")
    _plain_ticks(axes)


def _plain_ticks(axes: Axes) -> None:
    """Numbers as people write them, at 1, 2 and 5 of each decade while there are few decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        few = high / max(low, 1e-9) < 1e3
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
