"""What a page of tables consists of: whoever has tables fills these types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TableCell:
    """A cell.

    Attributes:
        text: what it says.
        value: what its column is sorted by; None stands last, whichever way.
        small: lines below it.
        mark: ``best``, ``second`` or empty.
        faint: whether it says that something is missing.
    """

    text: str
    value: float | str | None = None
    small: tuple[str, ...] = ()
    mark: str = ""
    faint: bool = False


@dataclass(frozen=True)
class Head:
    """A column's head: its own words below those that it shares with its neighbours.

    Attributes:
        text: its own words.
        group: those it shares.
        warning: whether what stands in the column leaks.
    """

    text: str
    group: str = ""
    warning: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table, the words around it, and a table that unfolds below it.

    Attributes:
        title: above it.
        heads: one a column, the first one's included.
        rows: cells, the first of which names the row.
        notes: below it.
        strong: numbers of rows that are the reader's main interest.
        more: title and table that unfold.
        folded: why only the title is seen until a click; empty where the table is seen.
    """

    title: str
    heads: Sequence[Head]
    rows: Sequence[Sequence[TableCell]]
    notes: Sequence[str] = ()
    strong: frozenset[int] = frozenset()
    more: PageTable | None = None
    folded: str = ""


@dataclass(frozen=True)
class PagePicture:
    """A picture.

    Attributes:
        title: what it shows.
        address: for ``<img>``.
        wide: whether it has several panels, and is scrolled rather than shrunk on a telephone.
    """

    title: str
    address: str
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor, title: of the table of contents.
        words: paragraphs, as plain text.
        warnings: in boxes on top.
        pictures, tables: in order.
    """

    anchor: str
    title: str
    words: Sequence[str] = ()
    warnings: Sequence[str] = ()
    pictures: Sequence[PagePicture] = ()
    tables: Sequence[PageTable] = ()
