"""Held-out interactions among the edges of the graph."""

from __future__ import annotations

from edgewise.audit.findings import Figure, Finding, Subject
from edgewise.audit.pairs import Pairs, visible_share
from edgewise.data.split import Split

_EDGES = Subject("graph-edges", "graph")


def held_out_edges(edges: Pairs, split: Split) -> Finding:
    """Share of test and validation rows that a model meets as edges of its graph.

    Args:
        edges: what the graph is built from.
        split: where the held-out rows are.
    """
    test, valid = (visible_share(split, part, edges) for part in ("test", "valid"))
    figures = Figure("test rows that are edges", test), Figure("validation rows", valid)
    if not test and not valid:
        return _EDGES.ok("no held-out row is an edge of the graph", *figures)
    return _EDGES.leak(
        "the graph joins users with the very items that they are asked for; to be one step away "
        "is the answer",
        *figures,
        repair="build the graph from train rows alone (protocol honest)",
    )
