from __future__ import annotations

import sys

import numpy as np
import pytest

from edgewise.errors import ConfigError, EdgewiseError
from edgewise.graph.plots import map_2d, principal_components, project


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((24, 5)).astype(np.float32)


def test_writes_one_picture_and_nothing_beside_it(tmp_path, vectors):
    pytest.importorskip("matplotlib")
    groups = np.arange(24) % 3 - 1
    panels = {"before": vectors, "after": vectors * 2}
    path = map_2d(panels, groups, tmp_path / "new" / "map.png", group_names=["soap", "scent"])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in path.parent.iterdir()] == ["map.png"]


def test_titles_and_group_names_are_drawn(tmp_path, vectors):
    pytest.importorskip("matplotlib")
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none"}):
        path = map_2d(
            {"layer 3": vectors}, np.zeros(24, int), tmp_path / "map.svg", group_names=["soap"]
        )
    text = path.read_text()
    assert "layer 3" in text
    assert "soap" in text


def test_titles_are_not_cut(tmp_path, vectors):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    groups = np.zeros(24, int)
    picture = imread(map_2d({"round 1": vectors, "round 2": vectors}, groups, tmp_path / "a.png"))
    assert (picture[:8, :, :3] == 1).all(), "ink at the upper edge"


def test_principal_components_keep_distances_on_a_plane():
    flat = np.random.default_rng(1).standard_normal((10, 2))
    turned = (
        np.pad(flat, ((0, 0), (0, 3))) @ np.linalg.qr(np.random.default_rng(2).random((5, 5))).Q
    )
    plane = principal_components(turned)
    distance = np.linalg.norm(plane[0] - plane[7])
    assert distance == pytest.approx(np.linalg.norm(flat[0] - flat[7]))


@pytest.mark.parametrize("size", [1, 3, 24])
def test_projection_is_finite_and_repeatable(vectors, size):
    vectors[0] = 0
    first, again = (project(vectors[:size], seed=1) for _ in range(2))
    assert first.shape == (size, 2)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)


def test_falls_back_to_principal_components(monkeypatch, vectors):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(project(vectors), principal_components(directions), atol=1e-6)


def test_a_missing_library_names_the_extra(monkeypatch, tmp_path, vectors):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EdgewiseError, match=r"edgewise\[plots\]"):
        map_2d({"a": vectors}, np.zeros(24, int), tmp_path / "map.png")
    assert not list(tmp_path.iterdir())


def test_rows_and_groups_must_match(tmp_path, vectors):
    with pytest.raises(ConfigError, match=r"'a' has 24 rows.*groups has 3"):
        map_2d({"a": vectors}, np.zeros(3, int), tmp_path / "map.png")
