"""Papers' figures: how files are read, and that those of the project are what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.errors import ConfigError
from edgewise.evaluation.protocols import PROTOCOLS
from edgewise.experiments.grid import CONFIGS, table_names
from edgewise.experiments.published import Panel, Paper, printed_tables, read_paper

TEXT = """# title: A table
# source: somebody, Table 9
# reference: full
# note: first
# note: second
# differs: none | Ours has another loss.
# also: other/table full-wide as full
# also: other/table half
# panel: n-* | decoding.rerank_extra | N
dataset,task,method,label,HitRate@10,NDCG@10
toys,direct,full,"Full, whole",0.5,0.25
toys,direct,none,Nothing,,0.1
"""


def read(folder: Path, text: str) -> Paper:
    (folder / "t.csv").write_text(text)
    return read_paper(folder, "t")


def test_everything_is_read(tmp_path):
    paper = read(tmp_path, TEXT)
    assert (paper.title, paper.source, paper.reference) == ("A table", "somebody, Table 9", "full")
    assert paper.notes == ("first", "second")
    assert paper.differs == {"none": "Ours has another loss."}
    assert paper.also == (("other/table", "full-wide", "full"), ("other/table", "half", "half"))
    assert paper.panels == (Panel("n-*", "decoding.rerank_extra", "N"),)
    assert paper.metrics == ("HitRate@10", "NDCG@10")
    first, second = paper.printed("toys", "direct")
    assert (first.label, first.figures) == ("Full, whole", {"HitRate@10": 0.5, "NDCG@10": 0.25})
    assert second.figures == {"NDCG@10": 0.1}
    assert paper.label("none", "sequential") == "Nothing" and paper.label("own", "direct") == "own"


def test_a_table_without_a_paper(tmp_path):
    assert read_paper(tmp_path, "a/table-9") == Paper(title="table-9")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# title", "# titel", "line 1: unknown key 'titel'. Did you mean 'title'"),
        ("0.25", "O.25", "line 11: could not convert"),
        (",0.25", "", "line 11: 5 columns instead of 6"),
        ("dataset,task", "task,dataset", "line 10: columns must begin with dataset,task"),
        ("n-* |", "n-*", "line 9: a panel is names"),
        ("none | Ours", "none: Ours", "line 6: a difference is method | sentence"),
        ("none | Ours", "nine | Ours", "differs: no row 'nine'. Did you mean 'none'"),
        ("# note: first", "# digits: x", "line 4: digits: a number, or any"),
        ("# source", "# better: best\n# source", "better: best"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, old, new, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, TEXT.replace(old, new, 1))


COMMITTED = list(printed_tables(CONFIGS, "."))


def test_the_projects_own_files():
    elmrec = {
        *(f"elmrec/table-{n}" for n in range(1, 9)),
        *(f"elmrec/figure-{n}" for n in range(5, 9)),
    }
    assert elmrec | {"graph-gpt/table-1", "graph-gpt/table-2"} <= set(COMMITTED)
    assert set(COMMITTED) <= set(table_names(CONFIGS))


def test_tables_are_found_by_name_in_the_order_of_numbers(tmp_path):
    names = ("figure-5", "table-10", "table-2")
    for name in names:
        (tmp_path / "p").mkdir(exist_ok=True)
        (tmp_path / f"p/{name}.csv").touch()
    assert list(printed_tables(tmp_path, "p")) == ["p/table-2", "p/table-10", "p/figure-5"]
    assert list(printed_tables(tmp_path, "p/table-2")) == ["p/table-2"]
    assert not list(printed_tables(tmp_path, "q"))


@pytest.mark.parametrize("table", COMMITTED)
def test_a_committed_file_can_be_shown(table):
    paper = read_paper(CONFIGS, table)
    assert paper.title
    assert paper.source or not any(row.figures for row in paper.rows), "printed by whom?"
    assert paper.released is None or paper.released in PROTOCOLS
    keys = [(row.dataset, row.task, row.method) for row in paper.rows]
    assert len(set(keys)) == len(keys)
    for row in paper.rows:
        if row.task in ("direct", "sequential"):
            assert all(0 < value < 1 for value in row.figures.values())


@pytest.mark.parametrize(
    ("table", "row", "metric", "value"),
    [
        ("elmrec/table-2", ("beauty", "direct", "elmrec"), "HitRate@10", 0.6794),
        ("elmrec/table-2", ("sports", "direct", "ncl"), "NDCG@5", 0.3131),
        ("elmrec/table-3", ("toys", "sequential", "s3-rec"), "HitRate@10", 0.0700),
        ("elmrec/table-4", ("beauty", "direct", "without-graph"), "NDCG@10", 0.1650),
        ("elmrec/table-5", ("toys", "direct", "prepending"), "HitRate@10", 0.2362),
        ("elmrec/table-6", ("sports", "sequential", "graph-sequential"), "NDCG@10", 0.0407),
        ("elmrec/table-7", ("beauty", "sequential", "n-5"), "HitRate@10", 0.0744),
        ("elmrec/table-8", ("beauty", "time", "elmrec"), "training", 2 * 3600 + 8 * 60 + 48),
        ("graph-gpt/table-2", ("am-food", "sequential", "full"), "NDCG@100", 0.1119),
    ],
)
def test_figures_as_printed(table, row, metric, value):
    paper = read_paper(CONFIGS, table)
    (found,) = [r for r in paper.rows if (r.dataset, r.task, r.method) == row]
    assert found.figures[metric] == value
