"""Write the tables of the documentation from the files under ``results/``.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->`` in ``README.md`` or a page of
``docs/``; everything around it is written by hand. A result that is missing gives a row "not run".
A name such as ``elmrec/table-4`` is a table of a paper, as ``edgewise compare`` makes it.

    python experiments/tables.py            # write
    python experiments/tables.py --check    # fail where a page is not up to date
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from benchmark_tables import BENCHMARK_TABLES
from measured import ROOT, Results
from paper_tables import is_paper_table, paper_table
from run_tables import RUN_TABLES

from edgewise.files import write_text

TABLES = RUN_TABLES | BENCHMARK_TABLES
PLACE = re.compile(r"(<!-- table: (?P<name>[\w/-]+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)


def pages() -> list[Path]:
    """Pages that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def filled(text: str, results: Results) -> str:
    """A page with its tables written anew.

    Raises:
        SystemExit: it asks for a table that does not exist.
    """

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        if is_paper_table(name):
            return f"{match[1]}\n{paper_table(name, results)}\n\n{match[3]}"
        if name not in TABLES:
            sys.exit(f"there is no table {name!r}; there are {', '.join(TABLES)}")
        return f"{match[1]}\n{markdown(TABLES[name](results))}\n\n{match[3]}"

    return PLACE.sub(table, text)


def markdown(rows: list[list[str]]) -> str:
    """A table whose first row is its head; first column left, the others right."""
    head, *body = rows
    rule = ["---", *["---:"] * (len(head) - 1)]
    body = [row + [""] * (len(head) - len(row)) for row in body]
    return "\n".join(_line(row) for row in [head, rule, *body])


def _line(row: list[str]) -> str:
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in row)}|"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the documentation's tables from results.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on differences")
    check = parser.parse_args().check
    results = Results(ROOT / "results")
    stale: list[str] = []
    for page in pages():
        old = page.read_text(encoding="utf-8")
        new = filled(old, results)
        if new != old:
            stale.append(page.relative_to(ROOT).as_posix())
            if not check:
                write_text(page, new)
    if unshown := results.unasked():
        sys.exit(f"no table shows results/{', results/'.join(unshown)}: add one")
    if check and stale:
        sys.exit(f"{', '.join(stale)}: not up to date; run python experiments/tables.py")
    print(f"written: {', '.join(stale)}" if stale else "up to date")


if __name__ == "__main__":
    main()
