"""Cells without a model: figures, pictures, a seal, and nothing done twice.

Vectors coloured by the node they share are pure where the graph is, mixed where it is not.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgewise.data.dataset import Dataset
from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import EdgewiseError
from edgewise.experiments.compare import compare
from edgewise.experiments.describing import describe_cell, dots_of, picture_of
from edgewise.experiments.grid import find_cells
from edgewise.experiments.results import find_results, read_result, why_unfinished
from edgewise.graph.bipartite import BipartiteGraph

DATA = 'preset = "tiny"\nkind = "data"\n'
VECTORS = 'preset = "tiny"\nkind = "vectors"\nrounds = [1, 2]\n'


@pytest.fixture
def described(layout, write_config):
    make_demo_shop(3, num_users=60, num_items=96).save(layout.runs / "data" / "shop")

    def describe(name, text):
        write_config(f"t/shop/{name}", text)
        (cell,) = find_cells(layout, [f"t/shop/{name}"])
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
    dataset = Dataset.load(layout.runs / "data" / "shop")
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


def islands(num_islands: int, size: int) -> BipartiteGraph:
    """Shops apart from each other, in each of which everybody took everything."""
    pairs = [
        (size * island + user, size * island + item)
        for island in range(num_islands)
        for user in range(size)
        for item in range(size)
    ]
    users, items = np.array(pairs, dtype=np.int32).T
    return BipartiteGraph(num_islands * size, num_islands * size, users, items)


def test_islands_become_pure_and_the_random_start_is_not():
    users, items = dots_of(islands(6, 12), rounds=(0, 3))
    assert (users.kind, items.kind) == ("users", "items")
    for dots in (users, items):
        assert len(dots.nodes) == 72 and len(set(dots.groups)) == 6
        found = dots.purities()
        assert found["chance"] == pytest.approx(11 / 71)
        assert found["round 0"] == pytest.approx(11 / 71, abs=0.08)
        assert found["round 3"] > 0.95


def test_groups_share_no_member_and_a_colour_shares_a_node():
    graph = islands(3, 8)
    users, items = dots_of(graph, rounds=(1,))
    assert len(set(users.nodes)) == len(users.nodes) and users.nodes.max() < graph.num_users
    assert items.nodes.min() >= graph.num_users
    taken = set(zip(graph.users.tolist(), graph.items.tolist(), strict=True))
    for group in set(users.groups):
        members = users.nodes[users.groups == group]
        shared = [i for i in range(graph.num_items) if all((u, i) in taken for u in members)]
        assert shared


def test_the_same_seed_gives_the_same_dots():
    first, again = (dots_of(islands(3, 8), rounds=(2,), seed=5)[0] for _ in range(2))
    np.testing.assert_array_equal(first.features["round 2"], again.features["round 2"])
    other = dots_of(islands(3, 8), rounds=(2,), seed=6)[0]
    assert not np.array_equal(first.features["round 2"], other.features["round 2"])


def test_a_graph_without_busy_nodes_is_refused():
    with pytest.raises(EdgewiseError, match="too few busy nodes"):
        dots_of(islands(3, 2), rounds=(1,))
