"""Comparisons as pictures: figures over a setting as lines, other figures as bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.errors import EdgewiseError
from edgewise.experiments.blocks import PAPER, Block, Column, Comparison, Row
from edgewise.experiments.paper import Panel
from edgewise.experiments.spelling import heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

_COLOURS = ("#2f81f7", "#d9730d", "#2da44e", "#8250df", "#bf3989", "#0a7ea4")
_INK, _FAINT = "#1f2328", "#d0d7de"
_WIDTH, _HEIGHT = 4.2, 3.1
_STATISTICS = ("data", "time", "users", "items")


def save_figures(comparisons: Sequence[Comparison], folder: Path) -> list[Path]:
    """Write a PNG and an SVG for every comparison that can be drawn, whole or not at all."""
    written = []
    for each in comparisons:
        for suffix in ("png", "svg"):
            content = drawn(each, suffix)
            if content is None:
                continue
            path = folder / f"{each.name.replace('/', '-')}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.partial")
            partial.write_bytes(content)
            partial.replace(path)
            written.append(path)
    return written


def drawn(comparison: Comparison, suffix: str = "png") -> bytes | None:
    """The picture as a file's content; None where nothing of ours can be drawn."""
    panels = list(_panels(comparison))
    if not panels:
        return None
    picture = _new_picture(len(panels))
    for axes, (block, panel) in zip(picture.axes, panels, strict=True):
        if panel is None:
            _draw_bars(axes, block)
        else:
            _draw_lines(axes, comparison, block, panel)
        _style(axes, heading(block))
    return _saved(picture, suffix)


def _saved(picture: Picture, suffix: str) -> bytes:
    """The file's content; without a date and random names, so that equal figures are equal."""
    from matplotlib import rc_context

    buffer = BytesIO()
    metadata: dict[str, Any] = {"Date": None} if suffix == "svg" else {}
    with rc_context({"svg.hashsalt": "edgewise"}):
        picture.savefig(buffer, format=suffix, dpi=110, metadata=metadata)
    return buffer.getvalue()


def _panels(comparison: Comparison) -> Iterator[tuple[Block, Panel | None]]:
    for block in comparison.blocks:
        if not block.measured or block.task in _STATISTICS:
            continue
        if comparison.paper.panels:
            matching = (p for p in comparison.paper.panels if len(_points(comparison, block, p)))
            yield from ((block, panel) for panel in matching)
        elif comparison.name.rpartition("/")[2].startswith("figure"):
            yield block, None


def _new_picture(num_panels: int) -> Picture:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise EdgewiseError(
            "drawing figures needs matplotlib, which is not installed: "
            "pip install 'edgewise[plots]'"
        ) from None
    wide = min(num_panels, 2)
    tall = -(-num_panels // wide)
    picture = Figure(figsize=(_WIDTH * wide, _HEIGHT * tall), layout="constrained")
    picture.subplots(tall, wide, squeeze=False)
    for spare in picture.axes[num_panels:]:
        spare.remove()
    return picture


def _points(comparison: Comparison, block: Block, panel: Panel) -> list[tuple[float, Row]]:
    """Rows of ours by the value on the horizontal axis."""
    patterns = panel.methods.split()
    rows = [row for row in block.rows if any(fnmatch(row.method, each) for each in patterns)]
    values = ((comparison.settings.get(row.method, {}).get(panel.setting), row) for row in rows)
    found = [(float(value), row) for value, row in values if isinstance(value, int | float)]
    return sorted(found, key=lambda point: point[0])


def _draw_lines(axes: Axes, comparison: Comparison, block: Block, panel: Panel) -> None:
    points = _points(comparison, block, panel)
    for column, colour in zip(_ours(block), _COLOURS, strict=False):
        there = [(x, row.figures[column]) for x, row in points if column in row.figures]
        if there:
            axes.errorbar(
                [x for x, _ in there],
                [figure.value for _, figure in there],
                yerr=[figure.deviation or 0.0 for _, figure in there],
                label=column.head,
                color=colour,
                marker="o",
                markersize=4,
                capsize=3,
            )
    axes.set_xlabel(panel.label, color=_INK)


def _draw_bars(axes: Axes, block: Block) -> None:
    rows = [row for row in block.rows if any(column in row.figures for column in _ours(block))]
    columns = _ours(block)[: len(_COLOURS)]
    width = 0.8 / max(len(columns), 1)
    for place, (column, colour) in enumerate(zip(columns, _COLOURS, strict=False)):
        there = [(x, row.figures[column]) for x, row in enumerate(rows) if column in row.figures]
        axes.bar(
            [x + place * width for x, _ in there],
            [figure.value for _, figure in there],
            width,
            yerr=[figure.deviation or 0.0 for _, figure in there],
            label=column.head,
            color=colour,
        )
    middle = (len(columns) - 1) * width / 2
    labels = [row.label.replace(" (", "\n(") for row in rows]
    axes.set_xticks([x + middle for x in range(len(rows))], labels, rotation=20, ha="right")


def _ours(block: Block) -> list[Column]:
    return [column for column in block.columns if column.origin != PAPER]


def _style(axes: Axes, title: str) -> None:
    axes.set_title(title, color=_INK, fontsize=10)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK)
