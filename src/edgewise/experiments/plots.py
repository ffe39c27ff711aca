"""Lines and bars as the content of a picture file; it knows nothing of papers.

Comparisons as pictures: figures over a setting as lines, other figures as bars.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.errors import EdgewiseError
from edgewise.experiments.compare import PAPER, Block, Column, Comparison, Row
from edgewise.experiments.published import Panel as PaperPanel
from edgewise.experiments.tables import heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture


_COLOURS = ("#2f81f7", "#d9730d", "#2da44e", "#8250df", "#bf3989", "#0a7ea4")
_INK, _FAINT = "#1f2328", "#d0d7de"
_WIDTH, _HEIGHT = 4.1, 3.1
_BAR, _GAP, _FRAME = 0.12, 0.16, 1.1
_NAME_LETTERS, _TITLE_LETTERS, _LEGEND_LETTERS = 22, 48, 44
_DPI, _NUM_COLOURS = 150, 64


@dataclass(frozen=True)
class Series:
    """One colour: values with their standard deviations.

    Attributes:
        name: in the legend.
        at: places on the axis of a setting, or numbers of bars.
        values, deviations: one a place.
    """

    name: str
    at: Sequence[float]
    values: Sequence[float]
    deviations: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """One panel: bars where they have names, else lines over ``axis``."""

    title: str
    series: Sequence[Series]
    axis: str = ""
    bars: Sequence[str] = ()

    @property
    def height(self) -> float:
        """Inches: every bar has its room."""
        if not self.bars:
            return _HEIGHT
        return _FRAME + len(self.bars) * (len(self.series[: len(_COLOURS)]) * _BAR + _GAP)


def draw(sketches: Sequence[Panel], suffix: str = "png") -> bytes:
    """Panels, two in a row, as a file's content: ``png`` or ``svg``.

    Raises:
        EdgewiseError: matplotlib is not installed.
    """
    wide = min(len(sketches), 2)
    heights = [
        max(sketch.height for sketch in sketches[first : first + wide])
        for first in range(0, len(sketches), wide)
    ]
    picture = _new_picture(_WIDTH * wide, sum(heights))
    places = picture.subfigures(len(heights), wide, squeeze=False, height_ratios=heights)
    for place, sketch in zip(places.ravel(), sketches, strict=False):
        _panel(place, sketch)
    return _saved(picture, suffix)


def compressed(png: bytes) -> bytes:
    """The same picture in few colours; as it is where Pillow, part of ``plots``, is absent."""
    try:
        from PIL import Image
    except ImportError:
        return png
    small = BytesIO()
    with Image.open(BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(_NUM_COLOURS, dither=Image.Dither.NONE)
        few.save(small, "PNG", optimize=True)
    return min(small.getvalue(), png, key=len)


def _new_picture(width: float, height: float) -> Picture:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise EdgewiseError(
            "drawing figures needs matplotlib, which is not installed: "
            "pip install 'edgewise[plots]'"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def _panel(place: Any, sketch: Panel) -> None:
    axes = place.subplots()
    if sketch.bars:
        _draw_bars(axes, sketch)
    else:
        _draw_lines(axes, sketch)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    place.suptitle(textwrap.fill(sketch.title, _TITLE_LETTERS), color=_INK, fontsize=10)
    longest = max((len(each.name) for each in sketch.series), default=0)
    columns = max(1, min(len(sketch.series), _LEGEND_LETTERS // (longest + 4)))
    style = {"frameon": False, "fontsize": 9, "labelcolor": _INK}
    place.legend(loc="outside lower center", ncols=columns, **style)


def _draw_lines(axes: Axes, sketch: Panel) -> None:
    for each, colour in zip(sketch.series, _COLOURS, strict=False):
        axes.errorbar(
            each.at,
            each.values,
            yerr=each.deviations,
            label=each.name,
            color=colour,
            marker="o",
            markersize=4,
            capsize=3,
        )
    axes.set_xlabel(sketch.axis, color=_INK, fontsize=9)


def _draw_bars(axes: Axes, sketch: Panel) -> None:
    series = sketch.series[: len(_COLOURS)]
    room = _BAR * len(series) / (_BAR * len(series) + _GAP)
    width = room / max(len(series), 1)
    for place, (each, colour) in enumerate(zip(series, _COLOURS, strict=False)):
        at = [x + (place - (len(series) - 1) / 2) * width for x in each.at]
        errors = {"xerr": each.deviations, "error_kw": {"ecolor": _INK, "elinewidth": 1}}
        axes.barh(at, each.values, width * 0.92, label=each.name, color=colour, **errors)
    names = [textwrap.fill(name, _NAME_LETTERS) for name in sketch.bars]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _saved(picture: Picture, suffix: str) -> bytes:
    """The file's content; without a date and random names, so that equal figures are equal."""
    from matplotlib import rc_context

    buffer = BytesIO()
    metadata: dict[str, Any] = {"Date": None} if suffix == "svg" else {}
    frame: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.08}
    with rc_context({"svg.hashsalt": "edgewise"}):
        picture.savefig(buffer, format=suffix, dpi=_DPI, metadata=metadata, **frame)
    return compressed(buffer.getvalue()) if suffix == "png" else buffer.getvalue()


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


def _sketches(comparison: Comparison) -> Iterator[Panel]:
    for block in comparison.blocks:
        if not block.measured or block.task in _STATISTICS:
            continue
        if comparison.paper.panels:
            for panel in comparison.paper.panels:
                points = _points(comparison, block, panel)
                if points:
                    yield Panel(heading(block), _series(block, points), axis=panel.label)
        elif comparison.name.rpartition("/")[2].startswith("figure"):
            yield _bars(block)


def _points(comparison: Comparison, block: Block, panel: PaperPanel) -> list[tuple[float, Row]]:
    """Rows of ours by the value on the horizontal axis."""
    patterns = panel.methods.split()
    rows = [row for row in block.rows if any(fnmatch(row.method, each) for each in patterns)]
    values = ((comparison.settings.get(row.method, {}).get(panel.setting), row) for row in rows)
    found = [(float(value), row) for value, row in values if isinstance(value, int | float)]
    return sorted(found, key=lambda point: point[0])


def _bars(block: Block) -> Panel:
    rows = [row for row in block.rows if any(column in row.figures for column in _ours(block))]
    series = _series(block, [(float(place), row) for place, row in enumerate(rows)])
    return Panel(heading(block), series, bars=[row.label for row in rows])


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
