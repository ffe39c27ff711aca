"""The page: it stands alone, hides nothing but what has not been run, and says first what leaks."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edgewise.experiments.tables import report_page


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


def test_a_box_above_everything_says_that_figures_leak(comparison):
    body = report_page([comparison]).partition("<body>")[2].lstrip()
    assert body.startswith('<p class="warning" role="note">LEAKS: ')
    assert body.count('class="warning"') == 1
    both = report_page([replace(comparison, warnings=()), comparison])
    assert both.count('class="warning"') == 2
    section = both.rpartition("<section")[2]
    assert section.index('class="warning"') < section.index("<table")
    assert 'class="warning"' not in report_page([replace(comparison, warnings=())])


def test_the_honest_column_stands_first(comparison):
    page = report_page([comparison])
    heads = re.findall(r'<th[^>]*><button type="button">(.*?)</button>', page)
    assert heads[:4] == ["row", "ours, honest", "paper", "ours, elmrec-released"]
    (first,) = re.findall(r"<tr[^>]*><th[^>]*>N = 0</th>(.*?)</tr>", page)
    assert re.findall(r'data-value="([\d.]+)"', first) == ["0.525", "0.65", "1.0"]


def test_what_has_not_been_run_is_folded(comparison):
    (block,) = comparison.blocks
    rows = [row for row in block.rows if row.method == "lost"]
    empty = replace(block, dataset="far", rows=tuple(rows), differences=())
    page = report_page([replace(comparison, blocks=(block, empty))])
    folded = re.findall(r"<details><summary>(.*?)</summary>(.*?)</details>", page, re.DOTALL)
    titles = {title.partition(" <")[0]: body for title, body in folded}
    assert "Lost &lt;one&gt;" in titles["far, direct recommendation"]
    assert "<h3>shop, direct recommendation</h3>" in page


def test_one_picture_a_panel_and_those_beside_results(comparison, tmp_path):
    pytest.importorskip("matplotlib")
    other = replace(comparison.blocks[0], dataset="far")
    picture = tmp_path / "map.png"
    picture.write_bytes(PNG)
    two = replace(
        comparison,
        blocks=(*comparison.blocks, other),
        pictures={"shop, users": str(picture)},
    )
    page = report_page([two])
    assert page.count('src="data:image/png;base64,') == 3
    assert page.count('<figure class="wide">') == 1
    assert "(far, direct recommendation)</figcaption>" in page


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da"
    "63fccfc0500f0004850180a9a5d4d40000000049454e44ae426082"
)
