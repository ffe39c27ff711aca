"""Rows that a table borrows from another one."""

from __future__ import annotations

from edgewise.experiments.compare import compare
from edgewise.experiments.tables import results_of

TEXT = """# title: Prompts
# also: p/table-2 full
dataset,task,method,label
*,direct,full,Entire prompt
*,direct,short,Short prompt
"""


def test_rows_are_borrowed_for_data_sets_that_the_table_has(layout, write_config, write_result):
    write_config("p/figure-4/shop/short")
    (layout.configs / "p/figure-4.csv").write_text(TEXT)
    for dataset in ("shop", "far"):
        write_result(f"p/table-2/{dataset}/full", {"HitRate@10": [1.0, 0.0]})
    found = results_of(layout, "p/figure-4")
    assert [each.place.path for each in found] == ["p/figure-4/shop/full"]
    (comparison,) = compare(found, layout, ["p/figure-4"])
    (block,) = comparison.blocks
    assert block.dataset == "shop"
    assert [row.label for row in block.rows] == ["Entire prompt", "Short prompt"]
