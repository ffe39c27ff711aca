"""Models build their graph from the edges that the split gives, and know no protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgewise.models
from edgewise.data.dataset import Interactions
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.evaluation.protocols import with_all_edges, with_explained_edges
from edgewise.models.elmrec import recommender as elmrec
from edgewise.models.graph_gpt import recommender as graph_gpt


class StoppedError(Exception):
    """Ends a fit as soon as the graph is known."""


@pytest.fixture(params=["honest", "explanations", "all"])
def split(request) -> Split:
    honest = leave_one_out(make_demo_shop(0, num_users=30, num_items=60))
    changed = {
        "honest": honest,
        "explanations": with_explained_edges(honest, 0.5),
        "all": with_all_edges(honest),
    }
    return changed[request.param]


def distinct(rows: Interactions) -> set[tuple[int, int]]:
    return {*zip(rows.user_index.tolist(), rows.item_index.tolist(), strict=True)}


def test_elmrec(split, monkeypatch):
    def catch(graph, *rest):
        raise StoppedError({*zip(graph.users.tolist(), graph.items.tolist(), strict=True)})

    monkeypatch.setattr(elmrec, "build_graph", catch)
    with pytest.raises(StoppedError) as caught:
        elmrec.ELMRec.from_preset("tiny").fit(split)
    assert caught.value.args[0] == distinct(split.graph_edges())


def test_graph_gpt(split, monkeypatch):
    def catch(config, histories, num_items):
        users = np.repeat(np.arange(len(histories)), histories.lengths)
        raise StoppedError({*zip(users.tolist(), histories.values.tolist(), strict=True)})

    monkeypatch.setattr(graph_gpt, "build_distances", catch)
    with pytest.raises(StoppedError) as caught:
        graph_gpt.GraphGPT.from_preset("tiny").fit(split)
    assert caught.value.args[0] == distinct(split.graph_edges())


def test_no_model_knows_a_protocol():
    folder = Path(next(iter(edgewise.models.__path__)))
    for file in [*folder.rglob("*.py"), *(folder.parent / "baselines").rglob("*.py")]:
        text = file.read_text(encoding="utf-8")
        assert "evaluation.protocols" not in text, file
        assert "-released" not in text, file


@pytest.mark.parametrize("include_own_edges", ["true", "false"])
def test_a_loaded_graph_gpt_reads_the_same_edges(split, tmp_path, include_own_edges):
    settings = [
        "stages=events",
        "training.events.epochs=1",
        f"attention.include_own_edges={include_own_edges}",
    ]
    fitted = graph_gpt.GraphGPT.from_preset("tiny", settings).fit(split)
    fitted.save_pretrained(tmp_path / "model")
    loaded = graph_gpt.GraphGPT.from_pretrained(tmp_path / "model")
    nodes = np.arange(90).reshape(1, -1)
    first, second = (each.distances.among(nodes) for each in (fitted, loaded))
    np.testing.assert_array_equal(first, second)
    joined = first[0, split.test.user_index, 30 + split.test.item_index] == 1
    assert joined.all() == (distinct(split.test) <= distinct(split.graph_edges()))
