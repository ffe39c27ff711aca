"""The same comparison in four formats: nothing missing ever looks like a number.

The page stands alone, hides nothing but what has not been run, and says first what leaks.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import polars as pl
import pytest

from edgewise.experiments.compare import Comparison
from edgewise.experiments.figures import BLOCK
from edgewise.experiments.tables import (
    LEGEND,
    latex,
    long_csv,
    markdown,
    markdown_tables,
    number,
    report_page,
)
from edgewise.reporting.render import latex_escaped

NAME = "p/figure-1"


def with_table(comparison: Comparison, **changes) -> Comparison:
    """The comparison with its table told otherwise."""
    return replace(comparison, tables={NAME: replace(comparison.tables[NAME], **changes)})


def with_dataset(comparison: Comparison, *more: pl.DataFrame) -> Comparison:
    """The comparison with more blocks."""
    return replace(comparison, figures=pl.concat([comparison.figures, *more]))


def beside_an_honest_one(comparison: Comparison) -> Comparison:
    """The table after its copy that does not leak."""
    copy = comparison.figures.with_columns(table=pl.lit("p/honest"))
    honest = replace(comparison.tables[NAME], warnings=())
    tables = {"p/honest": honest, **comparison.tables}
    return Comparison(pl.concat([copy, comparison.figures]), tables)


def test_markdown(comparison):
    text = markdown(comparison)
    assert (
        "## Effect of N & more" in text
        and "| HR@10, paper | HR@10, elmrec-released | HR@10 |" in text
    )
    (line,) = [line for line in text.splitlines() if line.startswith("| N = 0 | **0.6500**")]
    assert re.search(
        r"\| 1.0000 \| \*\*0.5250\*\*\* ± 0.0354 \(0.\d{4} to 0.\d{4}\) \| 60 \(", line
    )
    assert line.endswith(") | ≥ 40 |"), "60 users in 1.5 seconds, metrics included"
    (lost,) = [line for line in text.splitlines() if line.startswith("| Lost")]
    assert lost == "| Lost <one> | <u>0.3100</u> | not yet | not yet | - | - |"
    assert text.startswith("LEAKS: ") and text.count("LEAKS: ") == 1
    assert "N = 0 less the others:" in text and "A note." in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| N =")}
    assert widths == {7}


def test_csv_has_every_figure_and_seed(comparison):
    lines = list(csv.DictReader(io.StringIO(long_csv(comparison))))
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


def test_csv_says_which_figures_leak_and_what_to_note(comparison):
    lines = list(csv.DictReader(io.StringIO(long_csv(comparison))))
    leaks = {line["origin"]: line["leaks"] for line in lines}
    assert leaks == {"paper": "", "elmrec-released": "yes", "honest": "no"}
    notes = {line["origin"]: line["notes"] for line in lines}
    assert notes["paper"] == notes["honest"] == "A note."
    assert re.fullmatch(r"LEAKS: .*elmrec-released.* A note\.", notes["elmrec-released"])


def tabulars(text: str) -> list[list[str]]:
    """Heads and rows of every ``tabular``."""
    bodies = re.findall(r"\\begin\{tabular\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    return [re.findall(r"^(.*&.*) \\\\(?: \\hline)?$", body, re.MULTILINE) for body in bodies]


def test_latex_is_balanced_and_escaped(comparison):
    text = latex(comparison)
    assert r"Lost $<$one$>$" in text
    figures, _ = tabulars(text)
    assert len(figures) == 5 and {line.count("&") for line in figures} == {5}
    assert text.count("{") == text.count("}")
    assert r"\textbf{0.5250}$^*$" in text and r"\underline{0.3100}" in text


def test_why_rows_differ_stands_where_they_have_figures(comparison):
    paper = replace(
        comparison.tables[NAME].paper, differs={"n-0": "Other loss.", "lost": "Nobody ran it."}
    )
    told = with_table(comparison, paper=paper)
    for text in (markdown(told), markdown_tables(told), latex(told), report_page(told)):
        assert "N = 0: Other loss." in text and "Nobody ran it." not in text
    lines = csv.DictReader(io.StringIO(long_csv(told)))
    assert {line["method"] for line in lines if "Other loss." in line["notes"]} == {"n-0"}


def test_the_documentations_tables_say_what_the_tests_over_users_say(comparison):
    text = markdown_tables(comparison)
    # 63 of 120 users less 27 of 120, and less nobody.
    assert "Best by HR@10: N = 0. N = 0 less the others: n-5 +0.3000 (p < 0.001); Popul" in text


def test_latex_prints_warnings_differences_notes_and_the_legend(comparison):
    text = latex(comparison)
    assert text.startswith(r"\noindent\textbf{LEAKS: ")
    _, differences = tabulars(text)
    assert differences[0].startswith("less & metric & difference & p, users")
    assert len(differences) == 3 and {line.count("&") for line in differences} == {5}
    assert "N = 0 less the others:" in text and "A note." in text
    assert latex_escaped(LEGEND) in text
    hidden = [line for line in text.splitlines() if line.startswith("%")]
    assert hidden == ["% p/figure-1: Effect of N & more"]


def test_letters_that_latex_reads_as_commands():
    assert latex_escaped(r"a\b^c~d>e") == (
        r"a\textbackslash{}b\textasciicircum{}c\textasciitilde{}d$>$e"
    )
    assert latex_escaped("50 % & a_b") == r"50 \% \& a\_b"


def test_every_table_of_several_says_that_it_leaks(comparison):
    both = beside_an_honest_one(comparison)
    for text, start in ((markdown(both), "LEAKS"), (latex(both), r"\noindent\textbf{LEAKS")):
        assert text.startswith(start) and text.count("LEAKS") == 2


def test_a_row_that_was_measured_has_nothing_to_come(comparison):
    honest = comparison.figures.filter(origin="honest")
    unknown = [name for name in honest.columns if name not in (*BLOCK, "method", "label", "origin")]
    empty = honest.with_columns(
        pl.lit(None).cast(honest.schema[name]).alias(name) for name in unknown
    )
    more = with_dataset(comparison, empty.with_columns(metric=pl.lit("content")))
    lines = markdown(more).splitlines()
    measured = next(line for line in lines if line.startswith("| N = 0 |"))
    lost = next(line for line in lines if line.startswith("| Lost"))
    assert re.search(r"\| - \| [^|]* \| [^|]* \|$", measured)
    assert lost.endswith("| not yet | not yet | - | - |")


@pytest.mark.parametrize(
    ("value", "digits", "sign", "text"),
    [
        (22363, 4, "", "22,363"),
        (1.0, 4, "", "1.0000"),
        (0.5, 2, "", "0.50"),
        (0.07335, None, "", "0.07335"),
        (0.25, 4, "+", "+0.2500"),
    ],
)
def test_a_figure_is_spelled_alike_everywhere(value, digits, sign, text):
    assert number(value, digits, sign) == text


def test_the_page_stands_alone_and_hides_nothing(comparison):
    page = report_page(comparison)
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page) and "http" not in page
    assert "Lost &lt;one&gt;" in page and "Effect of N &amp; more" in page
    assert page.count("<tr") == page.count("</tr>") and page.count("<table") == 2
    assert page.count('class="leaks"') == 1
    cells = re.findall(r'<td class="number missing">(.*?)</td>', page)
    # Lost: released and honest; n-5 and Popularity: released. Not printed, and p-values unknown: -.
    assert cells.count("not yet") == 4 and set(cells) == {"not yet", "-"}
    assert re.findall(r'<td class="number missing"[^>]*data-value', page) == []


def test_a_box_below_the_title_says_that_figures_leak(comparison):
    body = report_page(comparison).partition("<body>")[2].lstrip()
    title = "<h1>What the papers print, and what we measured</h1>"
    assert body.startswith(f'{title}\n<p class="warning" role="note">LEAKS: ')
    assert body.count('class="warning"') == 1
    both = report_page(beside_an_honest_one(comparison))
    assert both.count('class="warning"') == 2
    section = both.rpartition("<section")[2]
    assert section.index('class="warning"') < section.index("<table")
    assert 'class="warning"' not in report_page(with_table(comparison, warnings=()))


def test_the_honest_column_stands_first(comparison):
    page = report_page(comparison)
    heads = re.findall(r'<th[^>]*><button type="button">(.*?)</button>', page)
    assert heads[:4] == ["row", "ours, honest", "paper", "ours, elmrec-released"]
    (first,) = re.findall(r"<tr[^>]*><th[^>]*>N = 0</th>(.*?)</tr>", page)
    assert re.findall(r'data-value="([\d.]+)"', first)[:3] == ["0.525", "0.65", "1.0"]


def test_what_has_not_been_run_is_folded(comparison):
    lost = comparison.figures.filter(method="lost").with_columns(dataset=pl.lit("far"))
    page = report_page(with_dataset(comparison, lost))
    folded = re.findall(r"<details><summary>(.*?)</summary>(.*?)</details>", page, re.DOTALL)
    titles = {title.partition(" <")[0]: body for title, body in folded}
    assert "Lost &lt;one&gt;" in titles["far, direct recommendation"]
    assert "<h3>shop, direct recommendation</h3>" in page


def test_one_picture_a_panel_and_those_beside_results(comparison, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "map.png"
    picture.write_bytes(PNG)
    other = comparison.figures.with_columns(dataset=pl.lit("far"))
    two = with_table(with_dataset(comparison, other), pictures={"shop, users": str(picture)})
    page = report_page(two)
    assert page.count('src="data:image/png;base64,') == 3
    assert page.count('<figure class="wide">') == 1
    assert "(far, direct recommendation)</figcaption>" in page


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da"
    "63fccfc0500f0004850180a9a5d4d40000000049454e44ae426082"
)
