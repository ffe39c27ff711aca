"""Whom and what a mean hides: metrics of users by history, popularity of the target, transition.

Groups are made by train rows alone, from what a report keeps of each user:

==============  ==================================================================================
``history``     how many train rows the user has: 1, 2-3, 4-7, 8 or more
``popularity``  how many train rows the held-out item has: none, 1-4, 5-19, 20 or more
``transition``  whether train rows lead from the newest item that the model is told to the held-out
                one: ``seen``, some user took the two one after the other; ``two hops``, such steps
                lead there through one item between them; ``new``, neither
``cold``        whether the held-out item was kept out of training (``--cold-items``)
==============  ==================================================================================

A user with several held-out items, of different groups, stands under ``mixed``, since reports keep
means of users, not of items.

Shapes: Q held-out rows, U users, I items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from edgewise.data.dataset import histories_of
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.errors import EdgewiseError
from edgewise.evaluation.protocols import known_under
from edgewise.evaluation.report import Group, RankingReport
from edgewise.evaluation.statistics import Bootstrap, bootstrap_means
from edgewise.graph.transition_counts import item_transitions

if TYPE_CHECKING:
    from rich.table import Table

Grouping = Literal["history", "popularity", "transition", "cold"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)
MIXED = "mixed"

_HISTORY = ((0, "no train row"), (1, "1"), (2, "2-3"), (4, "4-7"), (8, "8+"))
_POPULARITY = ((0, "0"), (1, "1-4"), (5, "5-19"), (20, "20+"))
_TRANSITION = ("seen", "two hops", "new", "no history")
_COLD = ("warm", "cold")
_SHOWN = ("HitRate", "NDCG")


def groups_of(report: RankingReport, split: Split, by: Grouping) -> tuple[Group, ...]:
    """The metrics of each group of a report's users, groups without users left out.

    Args:
        report: of lists; its rows are read.
        split: that it was measured on.
        by: what makes the groups.

    Raises:
        EdgewiseError: groups by cold items of a split that has none.
    """
    part = str(report.settings["part"])
    names, label = user_labels(split, part, by, known_under(report.protocol, split, part))
    mine = label[report.per_user["user_index"].to_numpy()]
    columns = report.per_user.columns[2:]
    values = report.per_user.select(columns).to_numpy()
    bootstrap = Bootstrap(**report.settings["bootstrap"])  # type: ignore[arg-type]
    found = []
    for place, name in enumerate(names):
        rows = np.flatnonzero(mine == place)
        if len(rows):
            means = bootstrap_means(values[rows], bootstrap)
            found.append(Group(name, len(rows), dict(zip(columns, means, strict=True))))
    return tuple(found)


def user_labels(
    split: Split, part: str, by: Grouping, known: Ragged
) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of all groups, ``mixed`` at the end, and each user's, ``int64[U]``; -1 for none.

    Args:
        split: whose train rows make the groups.
        part: of the held-out rows.
        by: what makes the groups.
        known: what the model is told of each user.
    """
    names, label = _row_labels(split, part, by, known)
    users, num_users = split.held_out(part).user_index, split.dataset.num_users
    lowest, highest = np.full(num_users, len(names)), np.full(num_users, -1)
    np.minimum.at(lowest, users, label)
    np.maximum.at(highest, users, label)
    mixed = (highest >= 0) & (lowest < highest)
    return (*names, MIXED), np.where(mixed, len(names), highest)


def _row_labels(
    split: Split, part: str, by: Grouping, known: Ragged
) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of groups, and the group of each held-out row, ``int64[Q]``."""
    rows, train = split.held_out(part), split.train
    if by == "history":
        lengths = np.bincount(train.user_index, minlength=split.dataset.num_users)
        return _in_steps(lengths[rows.user_index], _HISTORY)
    if by == "popularity":
        counts = np.bincount(train.item_index, minlength=split.dataset.num_items)
        return _in_steps(counts[rows.item_index], _POPULARITY)
    if by == "transition":
        return _TRANSITION, _transitions(split, rows.user_index, rows.item_index, known)
    if not split.cold_share:
        raise EdgewiseError(
            "groups by cold: the run has no items that were kept out of training; fit one with "
            "--cold-items 0.1, or group by popularity"
        )
    return _COLD, split.cold_items()[rows.item_index].astype(np.int64)


def _in_steps(
    counts: np.ndarray, steps: Sequence[tuple[int, str]]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Counts by the last step that they reach."""
    least, names = zip(*steps, strict=True)
    return names, np.searchsorted(least, counts, side="right") - 1


def _transitions(split: Split, users: np.ndarray, targets: np.ndarray, known: Ragged) -> np.ndarray:
    """0 seen, 1 two hops, 2 new, 3 no history, of each held-out row, ``int64[Q]``."""
    histories = histories_of(split.dataset.num_users, split.train)
    step = item_transitions(histories, split.dataset.num_items, 1, backward=0.0)
    found = np.full(len(users), 3)
    having = np.flatnonzero(known.lengths[users])
    newest = known.values[known.offsets[1:][users[having]] - 1]
    after, before = step[newest], step.T.tocsr()[targets[having]]
    seen = np.asarray(step[newest, targets[having]]).ravel() > 0
    reached = np.asarray(after.multiply(before).sum(axis=1)).ravel() > 0
    found[having] = np.select([seen, reached], [0, 1], 2)
    return found


def groups_table(reports: Mapping[str, RankingReport], by: str) -> Table:
    """Systems side by side, HitRate and NDCG of the longest lists in a row for each group.

    Args:
        reports: of the same users, with these groups.
        by: what makes the groups.
    """
    from rich.table import Table

    first, *_ = reports.values()
    table = Table("group", "users", "metric", title=f"by {by}")
    for name in reports:
        table.add_column(name, justify="right")
    has_chance = any(group.chance for group in first.groups[by])
    if has_chance:
        table.add_column("chance", justify="right")
    for place, group in enumerate(first.groups[by]):
        for number, metric in enumerate(shown_metrics(group)):
            told = (group.name, f"{group.num_users:,}") if number == 0 else ("", "")
            cells = [_cell(each.groups[by][place], metric) for each in reports.values()]
            chance = [f"{group.chance[metric]:.4f}" if metric in group.chance else "-"]
            table.add_row(*told, metric, *cells, *(chance if has_chance else []))
    return table


def shown_metrics(group: Group) -> list[str]:
    """HitRate and NDCG of the longest lists, those that were measured; else the first metric."""
    longest: dict[str, str] = {}
    for name in group.metrics:
        longest[name.partition("@")[0]] = name
    return [longest[name] for name in _SHOWN if name in longest] or [next(iter(group.metrics))]


def _cell(group: Group, metric: str) -> str:
    found = group.metrics[metric]
    return f"{found.mean:.4f} ({found.low:.4f} to {found.high:.4f})"
