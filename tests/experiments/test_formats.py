"""The same comparison in three formats: nothing missing ever looks like a number."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from edgewise.experiments.compare import Column
from edgewise.experiments.tables import LEGEND, escaped, latex, long_csv, markdown


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
    assert text.startswith("LEAKS: ") and text.count("LEAKS: ") == 1
    assert "N = 0 less the others:" in text and "A note." in text
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


def test_csv_says_which_figures_leak_and_what_to_note(comparison):
    lines = list(csv.DictReader(io.StringIO(long_csv([comparison]))))
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
    text = latex([comparison])
    assert r"Lost $<$one$>$" in text
    figures, _ = tabulars(text)
    assert len(figures) == 5 and {line.count("&") for line in figures} == {3}
    assert text.count("{") == text.count("}")
    assert r"\textbf{0.5250}$^*$" in text and r"\underline{0.3100}" in text


def test_latex_prints_warnings_differences_notes_and_the_legend(comparison):
    text = latex([comparison])
    assert text.startswith(r"\noindent\textbf{LEAKS: ")
    _, differences = tabulars(text)
    assert differences[0].startswith("less & metric & difference & p, users")
    assert len(differences) == 3 and {line.count("&") for line in differences} == {5}
    assert "N = 0 less the others:" in text and "A note." in text
    assert escaped(LEGEND) in text
    hidden = [line for line in text.splitlines() if line.startswith("%")]
    assert hidden == ["% p/figure-1: Effect of N & more"]


def test_letters_that_latex_reads_as_commands():
    assert escaped(r"a\b^c~d>e") == (r"a\textbackslash{}b\textasciicircum{}c\textasciitilde{}d$>$e")
    assert escaped("50 % & a_b") == r"50 \% \& a\_b"


def test_every_table_of_several_says_that_it_leaks(comparison):
    both = [replace(comparison, warnings=()), comparison]
    for text, start in ((markdown(both), "LEAKS"), (latex(both), r"\noindent\textbf{LEAKS")):
        assert text.startswith(start) and text.count("LEAKS") == 2


def test_a_row_that_was_measured_has_nothing_to_come(comparison):
    (block,) = comparison.blocks
    more = replace(block, columns=(*block.columns, Column("content", "honest")))
    lines = markdown([replace(comparison, blocks=(more,))]).splitlines()
    measured = next(line for line in lines if line.startswith("| N = 0 |"))
    lost = next(line for line in lines if line.startswith("| Lost"))
    assert measured.endswith("| - |") and lost.endswith("| not yet | not yet |")
