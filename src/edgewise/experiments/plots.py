"""Comparisons as pictures: figures over a setting as lines, other figures as bars.

:func:`draw` knows nothing of papers: it makes a file of panels, each of which has a legend below it
and as much room as its bars need.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from edgewise.errors import EdgewiseError
from edgewise.evaluation.groups import shown_metrics
from edgewise.evaluation.report import RankingReport
from edgewise.experiments.compare import Comparison
from edgewise.experiments.figures import PAPER
from edgewise.experiments.published import Panel as PaperPanel
from edgewise.experiments.tables import column_head, heading, is_measured
from edgewise.files import replacing

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
    """One colour: values with their standard deviations, or with how far intervals reach.

    Attributes:
        name: in the legend.
        at: places on the axis of a setting, or numbers of bars.
        values, deviations: one a place; deviations may be two rows, below and above.
    """

    name: str
    at: Sequence[float]
    values: Sequence[float]
    deviations: Sequence[float] | tuple[Sequence[float], Sequence[float]]


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


def draw(panels: Sequence[Panel], suffix: str = "png") -> bytes:
    """Panels, two in a row, as a file's content: ``png`` or ``svg``.

    Raises:
        EdgewiseError: matplotlib is not installed.
    """
    wide = min(len(panels), 2)
    heights = [
        max(panel.height for panel in panels[first : first + wide])
        for first in range(0, len(panels), wide)
    ]
    picture = _new_picture(_WIDTH * wide, sum(heights))
    places = picture.subfigures(len(heights), wide, squeeze=False, height_ratios=heights)
    for place, panel in zip(places.ravel(), panels, strict=False):
        _draw_panel(place, panel)
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


def _draw_panel(place: Any, panel: Panel) -> None:
    axes = place.subplots()
    if panel.bars:
        _draw_bars(axes, panel)
    else:
        _draw_lines(axes, panel)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    place.suptitle(textwrap.fill(panel.title, _TITLE_LETTERS), color=_INK, fontsize=10)
    longest = max((len(each.name) for each in panel.series), default=0)
    columns = max(1, min(len(panel.series), _LEGEND_LETTERS // (longest + 4)))
    style = {"frameon": False, "fontsize": 9, "labelcolor": _INK}
    place.legend(loc="outside lower center", ncols=columns, **style)


def _draw_lines(axes: Axes, panel: Panel) -> None:
    for each, colour in zip(panel.series, _COLOURS, strict=False):
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
    axes.set_xlabel(panel.axis, color=_INK, fontsize=9)


def _draw_bars(axes: Axes, panel: Panel) -> None:
    series = panel.series[: len(_COLOURS)]
    room = _BAR * len(series) / (_BAR * len(series) + _GAP)
    width = room / max(len(series), 1)
    for place, (each, colour) in enumerate(zip(series, _COLOURS, strict=False)):
        at = [x + (place - (len(series) - 1) / 2) * width for x in each.at]
        errors = {"xerr": each.deviations, "error_kw": {"ecolor": _INK, "elinewidth": 1}}
        axes.barh(at, each.values, width * 0.92, label=each.name, color=colour, **errors)
    names = [textwrap.fill(name, _NAME_LETTERS) for name in panel.bars]
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


def group_panels(reports: Mapping[str, RankingReport]) -> list[Panel]:
    """One panel for each grouping: systems as bars with their intervals."""
    first, *_ = reports.values()
    panels = []
    for by, groups in first.groups.items():
        metric = shown_metrics(groups[0])[-1]
        series = []
        for name, report in reports.items():
            means = [group.metrics[metric] for group in report.groups[by]]
            below = [each.mean - (each.low or 0) for each in means]
            above = [(each.high or 0) - each.mean for each in means]
            values = [each.mean for each in means]
            series.append(Series(name, range(len(means)), values, (below, above)))
        bars = [f"{group.name} ({group.num_users:,})" for group in groups]
        panels.append(Panel(f"{metric} by {by} (users)", series, bars=bars))
    return panels


_STATISTICS = ("data", "time", "users", "items")


def save_figures(comparison: Comparison, folder: Path) -> list[Path]:
    """Write a PNG and an SVG for every table that can be drawn, whole or not at all.

    Pictures that stand beside results are copied.
    """
    written = []
    for table, about in comparison.tables.items():
        name = table.replace("/", "-")
        for suffix in ("png", "svg"):
            content = drawn(comparison, table, suffix)
            if content is not None:
                written.append(_written(folder / f"{name}.{suffix}", content))
        for title, file in about.pictures.items():
            words = re.sub(r"[^\w.]+", "-", title)
            path = folder / f"{name}-{words}{Path(file).suffix}"
            written.append(_written(path, Path(file).read_bytes()))
    return written


def drawn(comparison: Comparison, table: str, suffix: str = "png") -> bytes | None:
    """All panels of a table as one file's content; None where nothing of ours can be drawn."""
    panels = list(_panels(comparison, table))
    return draw(panels, suffix) if panels else None


def drawn_panels(comparison: Comparison, table: str) -> Iterator[tuple[str, bytes]]:
    """Every panel of a table as a PNG of its own, with its title."""
    for panel in _panels(comparison, table):
        yield panel.title, draw([panel])


def _written(path: Path, content: bytes) -> Path:
    with replacing(path) as partial:
        partial.write_bytes(content)
    return path


def _panels(comparison: Comparison, table: str) -> Iterator[Panel]:
    """Lines over a setting where the paper has such panels, bars in its other figures."""
    about = comparison.tables[table]
    for block in comparison.blocks(table):
        if not is_measured(block) or block["task"][0] in _STATISTICS:
            continue
        for panel in about.paper.panels:
            figures = _over_setting(block, panel, about.settings)
            if len(figures):
                yield Panel(heading(block), _series(block, figures), axis=panel.label)
        if not about.paper.panels and table.rpartition("/")[2].startswith("figure"):
            figures = _ours(block)
            rows = figures.select("method", "label").unique(maintain_order=True)
            figures = figures.join(rows.with_row_index("at"), on=["method", "label"])
            series = _series(block, figures)
            yield Panel(heading(block), series, bars=rows["label"].to_list())


def _over_setting(
    block: pl.DataFrame, panel: PaperPanel, settings: Mapping[str, Mapping[str, object]]
) -> pl.DataFrame:
    """Our figures with the value on the horizontal axis, ascending, as ``at``."""
    patterns = panel.methods.split()
    places = {
        method: float(value)
        for method, own in settings.items()
        if any(fnmatch(method, each) for each in patterns)
        and isinstance(value := own.get(panel.setting), int | float)
    }
    at = pl.col("method").replace_strict(places, default=None, return_dtype=pl.Float64)
    figures = _ours(block).with_columns(at=at).drop_nulls("at")
    return figures.sort("at", maintain_order=True)


def _ours(block: pl.DataFrame) -> pl.DataFrame:
    return block.filter(pl.col("origin") != PAPER, pl.col("value").is_not_null())


def _series(block: pl.DataFrame, figures: pl.DataFrame) -> list[Series]:
    """One a column of ours, with the rows that have its figure, at their places ``at``."""
    found = []
    for metric, origin in block.select("metric", "origin").unique(maintain_order=True).rows():
        own = figures.filter(metric=metric, origin=origin)
        if len(own):
            columns = (own["at"], own["value"], own["deviation"].fill_null(0.0))
            found.append(Series(column_head(metric, origin), *(c.to_list() for c in columns)))
    return found
