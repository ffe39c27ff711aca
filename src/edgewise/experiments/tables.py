"""Tables by their names: folders below ``experiments/`` that hold data sets or a ``paper.csv``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edgewise.experiments.layout import Layout
from edgewise.experiments.paper import FILE, read_paper
from edgewise.experiments.results import Result, find_results, read_result


def tables_below(layout: Layout, name: str) -> Iterator[str]:
    """Tables that bear the name or stand in a folder of the name, in the order of numbers."""
    bare = name.removeprefix(f"{layout.experiments}/").removeprefix(f"{layout.results}/")
    place = layout.experiments / bare.rstrip("/")
    papers = sorted(place.rglob(FILE), key=_by_number) if place.is_dir() else []
    for paper in papers:
        yield paper.parent.relative_to(layout.experiments).as_posix()


def results_of(layout: Layout, name: str, *, allow_unsealed: bool = False) -> list[Result]:
    """The results that a name stands for, with those that its tables borrow from others.

    Args:
        layout: where everything is.
        name: a file, a folder, or a table.
        allow_unsealed: see :func:`edgewise.experiments.results.read_result`.

    Raises:
        EdgewiseError: there is nothing of the name, or a file cannot be believed.
    """
    tables = list(tables_below(layout, name))
    files = find_results(layout, name, bool(tables))
    own = [read_result(file, layout.results, allow_unsealed=allow_unsealed) for file in files]
    return own + [result for table in tables for result in _borrowed(layout, table, allow_unsealed)]


def _borrowed(layout: Layout, table: str, allow_unsealed: bool) -> Iterator[Result]:
    """Rows of other tables, for data sets of which this table has rows of its own."""
    paper = read_paper(layout.experiments / table)
    own = {row.dataset for row in paper.rows} | {
        file.parent.name
        for place, suffix in ((layout.experiments, "toml"), (layout.results, "json"))
        for file in (place / table).glob(f"*/*.{suffix}")
    }
    for source, method in paper.also:
        for file in sorted((layout.results / source).glob(f"*/{method}*.json")):
            if file.parent.name not in own:
                continue
            found = read_result(file, layout.results, allow_unsealed=allow_unsealed)
            if found.place.method == method and not found.place.raw_lists:
                yield replace(found, place=replace(found.place, table=table), home=found.place)


def _by_number(path: Path) -> tuple[str, str, int]:
    """``table-2`` before ``table-10``, tables before figures."""
    kind, _, number = path.parent.name.partition("-")
    order = {"table": "0", "figure": "1"}.get(kind, kind)
    return str(path.parent.parent), order, int(number) if number.isdigit() else 0
