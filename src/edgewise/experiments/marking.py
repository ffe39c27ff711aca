"""Which figures of a column are best and second best, and which are so beyond chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgewise.experiments.blocks import BEST, LEVEL, SECOND, Block, Column, Figure, Row


def marked(block: Block, better: str) -> Block:
    """The block with best, second best and stars; none of them where no figure is good or bad.

    Equal figures share their place. A star says that the reference is better than every other row
    of the column with a Holm-adjusted p-value below .05.
    """
    if better == "none":
        return block
    places = dict(_places(block, 1 if better == "high" else -1))
    starred = set(_starred(block, 1 if better == "high" else -1))

    def with_marks(row: Row, column: Column, figure: Figure) -> Figure:
        place = places.get((column, figure.value), 0)
        return replace(figure, place=place, starred=(row.method, column) in starred)

    rows = tuple(
        replace(row, figures={c: with_marks(row, c, f) for c, f in row.figures.items()})
        for row in block.rows
    )
    return replace(block, rows=rows)


def _places(block: Block, sign: int) -> Iterator[tuple[tuple[Column, float], int]]:
    for column in block.columns:
        values = {row.figures[column].value for row in block.rows if column in row.figures}
        best = sorted(values, key=lambda value: -sign * value)
        if len(best) > 1:
            yield (column, best[0]), BEST
            yield (column, best[1]), SECOND


def _starred(block: Block, sign: int) -> Iterator[tuple[str, Column]]:
    for column in block.columns:
        mine = [each for each in block.differences if each.column == column]
        sure = [
            each.p_holm is not None and each.p_holm < LEVEL and sign * each.estimate.mean > 0
            for each in mine
        ]
        if mine and all(sure) and block.reference is not None:
            yield block.reference, column
