"""Splits whose graph and texts know rows that are to be found, as the papers' released code does.

They LEAK, and are here to explain published figures. Nothing asks for them but the protocols of
:mod:`edgewise.evaluation.protocols` that say so in every report.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgewise.configuration import check
from edgewise.data.explanations import deal_texts
from edgewise.data.interactions import Interactions
from edgewise.data.split import Split


def with_explained_edges(split: Split, edge_share: float, seed: int = 0) -> Split:
    """Edges are the rows whose texts are trained on: a random 80 % of all rows with a text.

    A text is trained on whatever part its row stands in, and its row becomes an edge: so does
    ELMRec's release, which builds the graph from the train part of the explanation task.

    Args:
        split: parts of the rows.
        edge_share: the share of all rows that become edges in a data set without texts.
        seed: of the deal.
    """
    rows = split.dataset.interactions
    texts = deal_texts(rows, seed)
    edges = texts.train if len(texts.train) else random_share(rows, edge_share, seed)
    return replace(split, edges=edges, text_rows=texts)


def with_all_edges(split: Split) -> Split:
    """Edges are the rows of all parts, as in the release of the graph-attentive GPT-2."""
    return replace(split, edges=split.dataset.interactions)


def random_share(rows: Interactions, share: float, seed: int) -> Interactions:
    """A seeded random share of the rows, in their order."""
    check(0 < share <= 1, f"edge_share = {share}: a share above 0 and up to 1 is wanted")
    chosen = np.random.default_rng(seed).permutation(len(rows))[: round(share * len(rows))]
    return rows.take(np.sort(chosen))
