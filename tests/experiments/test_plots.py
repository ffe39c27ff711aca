"""Pictures: nothing covers anything else, nothing is cut, and every one of them becomes a file."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import polars as pl
import pytest

from edgewise.experiments.compare import Comparison
from edgewise.experiments.plots import (
    Panel,
    Series,
    compressed,
    draw,
    drawn,
    drawn_panels,
    save_figures,
)

pytest.importorskip("matplotlib")

NAME = "p/figure-1"
NAMES = ["Without the history's own edges", "Learned strengths (beyond the paper)"]
BARS = Panel(
    "musical_instruments, sequential recommendation",
    [Series(name, [0, 1], [0.4, 0.3], [0.01, 0.02]) for name in ("Recall@20", "NDCG@100")],
    bars=NAMES,
)
LINES = Panel("shop", [Series("HR@10", [1, 2], [0.4, 0.3], [0.0, 0.1])], axis="alpha")


@pytest.fixture
def pictures(monkeypatch):
    """Pictures as matplotlib holds them, laid out, when their files are written."""
    import matplotlib.figure

    found = []
    save = matplotlib.figure.Figure.savefig

    def keep(picture, *args, **options):
        save(picture, *args, **options)
        picture.draw_without_rendering()
        found.append(picture)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    return found


@pytest.mark.parametrize("sketch", [BARS, LINES])
def test_the_legend_stands_below_and_labels_apart(pictures, sketch):
    draw([sketch, sketch])
    (picture,) = pictures
    for panel in picture.subfigs:
        (axes,), (legend,) = panel.axes, panel.legends
        assert not legend.get_window_extent().overlaps(axes.get_tightbbox())
        labels = [each.get_window_extent() for each in axes.get_yticklabels() if each.get_text()]
        for lower, upper in pairwise(labels):
            assert not lower.overlaps(upper)
        (title,) = (each.get_window_extent() for each in panel.texts)
        assert panel.bbox.x0 <= title.x0 and title.x1 <= panel.bbox.x1
        assert not title.overlaps(axes.get_window_extent())


def test_bars_have_names_and_room():
    more = replace(BARS, bars=[*NAMES, "Popularity"])
    assert more.height > BARS.height and LINES.height == replace(LINES, title="far").height


def test_two_panels_in_a_file_and_each_alone(comparison):
    other = comparison.figures.with_columns(dataset=pl.lit("far"))
    two = replace(comparison, figures=pl.concat([comparison.figures, other]))
    panels = dict(drawn_panels(two, NAME))
    assert list(panels) == ["shop, direct recommendation", "far, direct recommendation"]
    assert all(content.startswith(b"\x89PNG") for content in panels.values())
    both = drawn(two, NAME)
    assert both is not None and width(both) > 1.8 * width(next(iter(panels.values())))


def width(png: bytes) -> int:
    return int.from_bytes(png[16:20], "big")


def test_files_are_equal_and_those_beside_results_are_copied(comparison, tmp_path):
    picture = tmp_path / "elmrec-users.png"
    picture.write_bytes(draw([LINES]))
    about = replace(comparison.tables[NAME], pictures={"shop, users": str(picture)})
    beside = replace(comparison, tables={NAME: about})
    written = save_figures(beside, tmp_path / "figures")
    names = ["p-figure-1.png", "p-figure-1.svg", "p-figure-1-shop-users.png"]
    assert [path.name for path in written] == names
    assert written[2].read_bytes() == picture.read_bytes()
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(names)
    svg = drawn(comparison, NAME, "svg")
    assert svg is not None and svg == drawn(comparison, NAME, "svg")


def test_few_colours_are_the_same_picture(comparison):
    content = draw([LINES])
    again = compressed(content)
    assert len(again) <= len(content) and width(again) == width(content)


def test_a_table_has_no_picture_and_a_figure_without_a_setting_has_bars(comparison):
    about = comparison.tables[NAME]
    bare = replace(about, paper=replace(about.paper, panels=()))
    table = comparison.figures.with_columns(table=pl.lit("p/table-1"))
    assert drawn(Comparison(table, {"p/table-1": bare}), "p/table-1") is None
    bars = replace(comparison, tables={NAME: bare})
    assert drawn(bars, NAME) is not None
    one = comparison.figures.filter(origin="honest").drop_nulls("value")
    longer = one.with_columns(deviation=None, label=pl.concat_str([pl.col("method")] * 9))
    assert drawn(replace(bars, figures=longer), NAME) is not None
