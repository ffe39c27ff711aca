"""What a comparison consists of: blocks of rows, one block a data set and task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgewise.evaluation.intervals import Estimate
from edgewise.experiments.layout import HONEST
from edgewise.experiments.paper import Paper

PAPER = "paper"
BEST, SECOND = 1, 2
LEVEL = 0.05
"""Below this, an adjusted p-value is called significant."""


@dataclass(frozen=True)
class Column:
    """A column of figures: one metric, as the paper prints it or as measured under a protocol."""

    metric: str
    origin: str

    @property
    def head(self) -> str:
        """As tables call it."""
        name = self.metric.replace("HitRate@", "HR@")
        if self.origin == PAPER:
            return f"{name}, paper"
        return name if self.origin == HONEST else f"{name}, {self.origin}"


@dataclass(frozen=True)
class Figure:
    """One figure of a table.

    Attributes:
        value: the mean over users, and over seeds where there are several.
        low, high: of the 95 % interval over users; None where unknown.
        seeds: each seed's mean, by seed; empty for a paper's figure.
        deviation: standard deviation over seeds; None with fewer than two.
        place: :data:`BEST`, :data:`SECOND` or 0.
        starred: whether it is better than every other row's, beyond chance.
    """

    value: float
    low: float | None = None
    high: float | None = None
    seeds: Mapping[int, float] = field(default_factory=dict)
    deviation: float | None = None
    place: int = 0
    starred: bool = False


@dataclass(frozen=True)
class Row:
    """A method's figures; a column that is missing has not been measured yet, or not printed."""

    method: str
    label: str
    figures: Mapping[Column, Figure]


@dataclass(frozen=True)
class Difference:
    """The reference less another row, in one column.

    Attributes:
        column: which.
        method, label: the other row.
        estimate: of the difference; without an interval where users are not at hand.
        p_users: by paired bootstrap over users, and ``p_holm`` adjusted by Holm for all
            differences of the block under one protocol.
        p_seeds: by paired t-test over seeds.
    """

    column: Column
    method: str
    label: str
    estimate: Estimate
    p_users: float | None = None
    p_holm: float | None = None
    p_seeds: float | None = None


@dataclass(frozen=True)
class Block:
    """One data set and task of a table.

    Attributes:
        dataset, task: of all its rows.
        columns: in order.
        rows: in order, some of them without any figure of ours.
        reference: the row that the differences are taken from; None without one.
        differences: see :class:`Difference`.
        conditions: under which ours were measured, in words, by protocol.
    """

    dataset: str
    task: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    reference: str | None = None
    differences: tuple[Difference, ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether any figure is ours."""
        return any(column.origin != PAPER for row in self.rows for column in row.figures)


@dataclass(frozen=True)
class Comparison:
    """A table or figure of a paper beside ours.

    Attributes:
        name: its folder, as ``elmrec/table-4``.
        paper: what is printed.
        blocks: those with figures of ours first.
        warnings: of reports that were measured under protocols that leak.
        settings: of our rows, flat, by method: what a figure's horizontal axis shows.
        pictures: files beside results, by title.
    """

    name: str
    paper: Paper
    blocks: tuple[Block, ...]
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
