"""Cells without a model: figures, pictures, a seal, and nothing done twice."""

from __future__ import annotations

import json

import pytest

from edgewise.data.dataset import load_dataset
from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.experiments.compare import compare
from edgewise.experiments.describing import describe_cell, picture_of, why_unfinished
from edgewise.experiments.grid import find_cells
from edgewise.experiments.results import find_results, read_result

DATA = 'preset = "tiny"\nkind = "data"\n'
VECTORS = 'preset = "tiny"\nkind = "vectors"\nrounds = [1, 2]\n'


@pytest.fixture
def described(layout, write_config):
    make_demo_shop(3, num_users=60, num_items=96).save(layout.runs / "data" / "shop")

    def describe(name, text):
        write_config(f"t/shop/{name}", text)
        (cell,) = find_cells(layout, [f"t/shop/{name}.toml"])
        describe_cell(cell, layout)
        return cell, read_result(layout.results / f"t/shop/{name}.json", layout.results)

    return describe


def test_statistics(layout, described):
    cell, result = described("statistics", DATA)
    figures = result.figures("data")
    assert figures["users"].mean == 60 and figures["items"].mean == 96
    rows = figures["interactions"].mean
    assert figures["average"].mean == pytest.approx(rows / 60)
    assert figures["density %"].mean == pytest.approx(100 * rows / (60 * 96))
    assert result.kind == "data" and len(result.data["checksum"]) == 64
    assert {"versions", "machine", "seed", "seal", "protocol"} <= result.content.keys()
    assert why_unfinished(cell, layout) is None


def test_texts_are_counted_where_a_method_reads_them(layout, described):
    _, result = described("texts", f'method = "graph-gpt"\n{DATA}')
    dataset = load_dataset(layout.runs / "data" / "shop")
    catalog = dataset.catalog
    lists = (catalog.title, catalog.brand, catalog.categories, catalog.description)
    of_items = sum(bool(each) for texts in lists for each in texts)
    count = result.figures("data")["content"].mean
    assert of_items < count <= of_items + 2 * len(leave_one_out(dataset).train)
    _, other = described("statistics", DATA)
    assert "content" not in other.figures("data")


def test_vectors_with_their_pictures(layout, described):
    pytest.importorskip("matplotlib")
    cell, result = described("maps", VECTORS)
    assert list(result.figures("users")) == ["round 1", "round 2", "chance"]
    pictures = [picture_of(result.file, kind) for kind in ("users", "items")]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert why_unfinished(cell, layout) is None
    found = compare([read_result(f, layout.results) for f in find_results(layout, "t")], layout)
    assert [*found.tables["t"].pictures.values()] == [str(path) for path in pictures]
    assert [block["task"][0] for block in found.blocks("t")] == ["users", "items"]


def test_other_rounds_are_described_again(layout, described, write_config):
    described("statistics", DATA)
    write_config("t/shop/statistics", DATA + "[data]\nk_core = 3\n")
    (cell,) = find_cells(layout, ["t"])
    assert why_unfinished(cell, layout) == "settings changed"
    content = json.loads((layout.results / "t/shop/statistics.json").read_text())
    assert content["recipe"] == {"kind": "data", "data": {}}
