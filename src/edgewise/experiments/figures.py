"""Comparisons as pictures: figures over a setting as lines, other figures as bars."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from edgewise.experiments.blocks import PAPER, Block, Column, Comparison, Row
from edgewise.experiments.drawing import Series, Sketch, draw
from edgewise.experiments.paper import Panel
from edgewise.experiments.spelling import heading

_STATISTICS = ("data", "time", "users", "items")


def save_figures(comparisons: Sequence[Comparison], folder: Path) -> list[Path]:
    """Write a PNG and an SVG for every comparison that can be drawn, whole or not at all.

    Pictures that stand beside results are copied.
    """
    written = []
    for each in comparisons:
        name = each.name.replace("/", "-")
        for suffix in ("png", "svg"):
            content = drawn(each, suffix)
            if content is not None:
                written.append(_written(folder / f"{name}.{suffix}", content))
        for title, file in each.pictures.items():
            words = re.sub(r"[^\w.]+", "-", title)
            path = folder / f"{name}-{words}{Path(file).suffix}"
            written.append(_written(path, Path(file).read_bytes()))
    return written


def drawn(comparison: Comparison, suffix: str = "png") -> bytes | None:
    """All panels as one file's content; None where nothing of ours can be drawn."""
    sketches = list(_sketches(comparison))
    return draw(sketches, suffix) if sketches else None


def drawn_panels(comparison: Comparison) -> Iterator[tuple[str, bytes]]:
    """Every panel as a PNG of its own, with its title."""
    for sketch in _sketches(comparison):
        yield sketch.title, draw([sketch])


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    return partial.replace(path)


def _sketches(comparison: Comparison) -> Iterator[Sketch]:
    for block in comparison.blocks:
        if not block.measured or block.task in _STATISTICS:
            continue
        if comparison.paper.panels:
            for panel in comparison.paper.panels:
                points = _points(comparison, block, panel)
                if points:
                    yield Sketch(heading(block), _series(block, points), axis=panel.label)
        elif comparison.name.rpartition("/")[2].startswith("figure"):
            yield _bars(block)


def _points(comparison: Comparison, block: Block, panel: Panel) -> list[tuple[float, Row]]:
    """Rows of ours by the value on the horizontal axis."""
    patterns = panel.methods.split()
    rows = [row for row in block.rows if any(fnmatch(row.method, each) for each in patterns)]
    values = ((comparison.settings.get(row.method, {}).get(panel.setting), row) for row in rows)
    found = [(float(value), row) for value, row in values if isinstance(value, int | float)]
    return sorted(found, key=lambda point: point[0])


def _bars(block: Block) -> Sketch:
    rows = [row for row in block.rows if any(column in row.figures for column in _ours(block))]
    series = _series(block, [(float(place), row) for place, row in enumerate(rows)])
    return Sketch(heading(block), series, bars=[row.label for row in rows])


def _series(block: Block, points: Sequence[tuple[float, Row]]) -> list[Series]:
    """One a column of ours, with the rows that have its figure."""
    found = []
    for column in _ours(block):
        there = [(x, row.figures[column]) for x, row in points if column in row.figures]
        if there:
            figures = [figure for _, figure in there]
            values = [figure.value for figure in figures]
            deviations = [figure.deviation or 0.0 for figure in figures]
            found.append(Series(column.head, [x for x, _ in there], values, deviations))
    return found


def _ours(block: Block) -> list[Column]:
    return [column for column in block.columns if column.origin != PAPER]
