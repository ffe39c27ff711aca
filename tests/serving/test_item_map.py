"""The layout of the map: what is similar lies close together, the same each time."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from edgewise.data.dataset import Dataset
from edgewise.data.splits import leave_one_out
from edgewise.models.item_knn import ItemKNN
from edgewise.serving.item_map import ItemMap, item_map, layout


def cliques(sizes: list[int]) -> sp.csr_array:
    """Groups of points, all connected within and none between."""
    blocks = [np.ones((size, size)) - np.eye(size) for size in sizes]
    return sp.csr_array(sp.block_diag(blocks))


@pytest.mark.parametrize("sizes", [[12, 12], [6, 20, 9]])
def test_points_of_a_group_are_closest_to_each_other(sizes: list[int]) -> None:
    places = layout(cliques(sizes))
    group = np.repeat(np.arange(len(sizes)), sizes)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (group[distances.argmin(axis=1)] == group).all()
    same = group[:, None] == group[None]
    np.fill_diagonal(distances, 0)
    assert distances[same].mean() < 0.5 * distances[~same].mean()


def test_the_seed_decides_alone() -> None:
    edges = cliques([8, 8])
    np.testing.assert_array_equal(layout(edges, 3), layout(edges, 3))
    assert not np.allclose(layout(edges, 3), layout(edges, 4))


@pytest.mark.parametrize("size", [0, 1, 2])
def test_too_few_points_for_a_plane(size: int) -> None:
    places = layout(sp.csr_array(np.ones((size, size)) - np.eye(size)))
    assert places.shape == (size, 2)
    assert np.isfinite(places).all()


def test_items_without_similar_ones_are_not_on_the_map() -> None:
    rows = [("a", item) for item in "vwxyz"] + [("b", item) for item in "vwxyz"]
    rows += [("c", "alone"), ("c", "v"), ("c", "w")]
    dataset = Dataset.from_frame(
        {
            "user_id": [user for user, _ in rows],
            "item_id": [item for _, item in rows],
            "timestamp": list(range(len(rows))),
        }
    )
    model = ItemKNN().fit(leave_one_out(dataset))
    found = item_map(model)
    known = {int(item) for item in found.item_index}
    expected = {item for item in range(dataset.num_items) if len(model.similar_items([item], 1))}
    assert known == expected
    assert found.fits(dataset.num_items)
    assert ((found.places >= 0) & (found.places <= 1)).all()


@pytest.mark.parametrize(
    "item_index, places",
    [
        (np.array([0, 9]), np.zeros((2, 2), np.float32)),
        (np.array([0, 1]), np.zeros((3, 2), np.float32)),
        (np.array([0, 1]), np.full((2, 2), np.nan, np.float32)),
        (np.array([0.0, 1.0]), np.zeros((2, 2), np.float32)),
    ],
)
def test_a_map_of_something_else_does_not_fit(item_index: np.ndarray, places: np.ndarray) -> None:
    assert not ItemMap(item_index, places).fits(5)
