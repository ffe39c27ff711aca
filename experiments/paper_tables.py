"""Tables of the papers beside ours, from committed results alone: users' rows are not committed."""

from __future__ import annotations

import re

from measured import ROOT, Results

from edgewise.experiments.compare import compare
from edgewise.experiments.grid import CONFIGS, Layout
from edgewise.experiments.published import paper_file
from edgewise.experiments.tables import markdown_tables, results_of


def is_paper_table(name: str) -> bool:
    """Whether a table of the documentation is one of a paper, such as ``elmrec/table-4``."""
    return paper_file(CONFIGS, name).is_file()


def paper_table(name: str, results: Results) -> str:
    """Data sets and tasks of which we have figures, as Markdown."""
    layout = Layout(results=results.folder, runs=ROOT / "no-runs")
    found = results_of(layout, name)
    results.asked.update(each.file.relative_to(results.folder).as_posix() for each in found)
    (comparison,) = compare(found, layout, [name])
    lines = "\n".join(markdown_tables(comparison)).strip()
    return re.sub(r"\n{3,}", "\n\n", lines) or "not run"
