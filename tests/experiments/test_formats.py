"""The same comparison in four formats: nothing missing ever looks like a number."""

from __future__ import annotations

import csv
import io
import re

import pytest

from edgewise.experiments.blocks import Comparison
from edgewise.experiments.comparing import compare
from edgewise.experiments.figures import drawn, save_figures
from edgewise.experiments.formats import latex, long_csv, markdown
from edgewise.experiments.html import report_page
from edgewise.experiments.results import find_results, read_result

TEXT = """# title: Effect of N & more
# source: a paper
# reference: n-0
# released: elmrec-released
# panel: n-* | decoding.num_extra_candidates | N
dataset,task,method,label,HitRate@10
shop,direct,n-0,N = 0,0.65
shop,direct,lost,Lost <one>,0.31
"""


@pytest.fixture
def comparison(layout, write_result) -> Comparison:
    (layout.experiments / "p/figure-1").mkdir(parents=True)
    (layout.experiments / "p/figure-1/paper.csv").write_text(TEXT)
    for seed in (0, 1):
        for n, hits in ((0, 30), (5, 12)):
            users = {"HitRate@10": [1.0] * (hits + 3 * seed) + [0.0] * (60 - hits - 3 * seed)}
            place = f"p/figure-1/shop/n-{n}-seed{seed}"
            changes = [f"decoding.num_extra_candidates={n}"]
            write_result(place, users, changes=changes, baseline={"HitRate@10": [0.0] * 60})
    write_result("p/figure-1/shop/n-0@elmrec-released-seed0", {"HitRate@10": [1.0] * 60})
    files = find_results(layout, "p/figure-1")
    (found,) = compare([read_result(file, layout.results) for file in files], layout)
    return found


def test_markdown(comparison):
    text = markdown([comparison])
    assert (
        "## Effect of N & more" in text
        and "| HR@10, paper | HR@10, elmrec-released | HR@10 |" in text
    )
    (line,) = [line for line in text.splitlines() if line.startswith("| N = 0 | **0.6500**")]
    assert re.search(r"\| 1.0000 \| \*\*0.5250\*\*\* ± 0.0354 \(0.\d{4} to 0.\d{4}\) \|$", line)
    (lost,) = [line for line in text.splitlines() if line.startswith("| Lost")]
    assert lost == "| Lost <one> | <u>0.3100</u> | not yet | not yet |"
    assert "LEAKS: " in text and "N = 0 less the others:" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| N =")}
    assert widths == {5}


def test_csv_has_every_figure_and_seed(comparison):
    lines = list(csv.DictReader(io.StringIO(long_csv([comparison]))))
    assert len(lines) == 4 * 3
    by_place = {(line["method"], line["origin"]): line for line in lines}
    honest = by_place["n-0", "honest"]
    assert float(honest["value"]) == pytest.approx(0.525) and honest["seeds"] == "2"
    assert honest["per_seed"] == "0:0.5 1:0.55" and honest["place"] == "1"
    assert by_place["lost", "honest"]["value"] == "not yet"
    assert by_place["n-5", "paper"]["value"] == "-"
    five = by_place["n-5", "honest"]
    assert float(five["less_than_reference"]) == pytest.approx(0.3)
    assert float(five["p_holm"]) >= float(five["p_users"]) > 0


def test_latex_is_balanced_and_escaped(comparison):
    text = latex([comparison])
    assert r"Lost $<$one$>$" in text or r"Lost $<$one>" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == 4 and {line.count("&") for line in body} == {3}
    assert text.count("{") == text.count("}")
    assert r"\textbf{0.5250}$^*$" in text and r"\underline{0.3100}" in text
    assert text.startswith("% LEAKS")


def test_the_page_stands_alone_and_hides_nothing(comparison):
    page = report_page([comparison])
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page) and "http" not in page
    assert "Lost &lt;one&gt;" in page and "Effect of N &amp; more" in page
    assert page.count("<tr") == page.count("</tr>") and page.count("<table") == 2
    assert page.count('class="leaks"') == 1
    cells = re.findall(r'<td class="number missing">(.*?)</td>', page)
    # Lost: released and honest; n-5 and Popularity: released. Not printed, and p-values unknown: -.
    assert cells.count("not yet") == 4 and set(cells) == {"not yet", "-"}
    assert re.findall(r'<td class="number missing"[^>]*data-value', page) == []


def test_a_picture_in_the_page_and_as_files(comparison, tmp_path):
    pytest.importorskip("matplotlib")
    assert 'src="data:image/png;base64,' in report_page([comparison])
    written = save_figures([comparison], tmp_path / "figures")
    assert [path.name for path in written] == ["p-figure-1.png", "p-figure-1.svg"]
    svg = drawn(comparison, "svg")
    assert svg is not None and svg == drawn(comparison, "svg")


def test_a_table_has_no_picture(comparison):
    from dataclasses import replace

    bare = replace(comparison, name="p/table-1", paper=replace(comparison.paper, panels=()))
    assert drawn(bare) is None
