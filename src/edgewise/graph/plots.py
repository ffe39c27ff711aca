"""Two-dimensional maps of whole-word embeddings, as in ELMRec's Figs. 7 and 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewise.errors import ConfigError, EdgewiseError
from edgewise.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def map_2d(
    features_by_layer: Mapping[str, np.ndarray],
    groups: np.ndarray,
    path: str | Path,
    *,
    group_names: Sequence[str] | None = None,
    seed: int = 0,
) -> Path:
    """Draw the same nodes side by side, one panel a layer, coloured by group.

    Vectors are scaled to length 1 first: propagation shrinks those of busy nodes, which would
    otherwise all fall into the middle. Projection by t-SNE, or by principal components where
    scikit-learn is absent.

    Args:
        features_by_layer: panel title -> ``[n, D]``.
        groups: a group number per node, ``int[n]``; negative numbers are drawn in grey.
        path: where to write; the suffix (``.png``, ``.svg``) chooses the format.
        group_names: names by group number, for a legend.
        seed: of t-SNE.

    Returns:
        The path written.

    Raises:
        ConfigError: rows and groups differ in number.
        EdgewiseError: matplotlib is not installed.
    """
    for title, features in features_by_layer.items():
        if len(features) != len(groups):
            raise ConfigError(
                f"panel {title!r} has {len(features)} rows, but groups has {len(groups)}: pass "
                f"one group number per row."
            )
    figure = _new_figure(len(features_by_layer))
    axes = figure.subplots(1, len(features_by_layer), squeeze=False)[0]
    for panel, (title, features) in zip(axes, features_by_layer.items(), strict=True):
        _draw(panel, title, project(features, seed), np.asarray(groups))
    if group_names is not None:
        _add_legend(figure, axes[0], group_names)
    return _save(figure, Path(path))


def project(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Directions of the vectors on a plane, ``[n, D] -> float[n, 2]``; deterministic."""
    features = np.asarray(features, dtype=np.float32)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = features / np.where(lengths > 0, lengths, 1)
    if len(directions) < 5:
        return principal_components(directions)
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        return principal_components(directions)
    perplexity = min(30.0, (len(directions) - 1) / 3)
    start = principal_components(directions)
    start = start / max(float(start[:, 0].std()), 1e-12) * 1e-4
    tsne = TSNE(perplexity=perplexity, init=start, random_state=seed, learning_rate="auto")  # type: ignore[arg-type]
    return tsne.fit_transform(directions)


def principal_components(features: np.ndarray) -> np.ndarray:
    """Coordinates on the two directions of greatest variance, ``float[n, 2]``."""
    centred = features - features.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    flat = (left * values)[:, :2]
    return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))


def _new_figure(num_panels: int) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EdgewiseError(
            "drawing a map needs matplotlib, which is not installed: pip install 'edgewise[plots]'"
        ) from error
    return Figure(figsize=(4.2 * num_panels, 4.4), layout="constrained")


def _draw(panel: Axes, title: str, points: np.ndarray, groups: np.ndarray) -> None:
    import matplotlib as mpl

    palette = mpl.colormaps["tab10" if groups.max(initial=0) < 10 else "tab20"]
    for group in np.unique(groups):
        mine = groups == group
        colour: Any = "0.8" if group < 0 else palette(int(group) % palette.N)
        panel.scatter(
            points[mine, 0], points[mine, 1], s=9, color=colour, linewidths=0,
            label=int(group), zorder=1 if group < 0 else 2,
        )  # fmt: skip
    panel.set(title=title, xticks=[], yticks=[])
    panel.set_box_aspect(1)
    panel.spines[:].set_color("0.8")


def _add_legend(figure: Figure, panel: Axes, names: Sequence[str]) -> None:
    handles, labels = panel.get_legend_handles_labels()
    named = [(h, names[int(g)]) for h, g in zip(handles, labels, strict=True) if int(g) >= 0]
    figure.legend(
        [handle for handle, _ in named],
        [name for _, name in named],
        loc="outside lower center",
        ncols=min(len(named), 6) or 1,
        frameon=False,
        markerscale=2,
    )


def _save(figure: Figure, path: Path) -> Path:
    kind = path.suffix[1:] or "png"
    with replacing(path) as partial:
        figure.savefig(partial, format=kind, dpi=150, bbox_inches="tight", pad_inches=0.1)
    return path
