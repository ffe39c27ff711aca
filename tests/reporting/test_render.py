"""Templates: what they show is escaped, and nothing that they ask for may be missing."""

from __future__ import annotations

from importlib.resources import files

import pytest
from jinja2 import UndefinedError

from edgewise.reporting.render import data_address, latex_escaped, render


def test_letters_that_latex_reads_as_commands():
    assert latex_escaped(r"a\b^c~d>e") == (
        r"a\textbackslash{}b\textasciicircum{}c\textasciitilde{}d$>$e"
    )
    assert latex_escaped("50 % & a_b") == r"50 \% \& a\_b"


def test_a_value_that_is_not_given_is_an_error():
    with pytest.raises(UndefinedError, match="warnings"):
        render("comparison.md")


def test_pages_escape_and_texts_do_not():
    block = {"heading": "<a & b>", "columns": [], "rows": [], "tested": "", "effort_heads": []}
    told = {"blocks": [block], "notes": [], "differs": []}
    assert "<a & b>" in render("blocks.md", warnings=["<w>"], tables=[told])
    table = {"name": "t", "title": "<a & b>", "anchor": "t", "pictures": [], "blocks": []}
    table |= {"warnings": [], "source": [], "notes": [], "differs": []}
    values = {"warnings": ["<w>"], "legend": "", "difference_heads": [], "of_runs": False}
    values["tables"] = [table]
    page = render("comparison.html", version="0", nothing_yet="", **values)
    assert "&lt;a &amp; b&gt;" in page and "<w>" not in page
    assert "% t: <a & b>" in render("comparison.tex", **values)


def test_templates_are_part_of_the_package_and_load_nothing_from_other_hosts():
    templates = list(files("edgewise.reporting").joinpath("templates").iterdir())
    assert len(templates) == 10
    for each in templates:
        assert each.name.endswith(".j2") and "http" not in each.read_text()


def test_a_picture_becomes_its_own_address():
    assert data_address(b"png") == "data:image/png;base64,cG5n"
