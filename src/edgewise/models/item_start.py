"""Where embeddings of items start: at random, from transitions, or from transitions and texts.

Beyond the papers.

Shapes: I items, D hidden size.
"""

from __future__ import annotations

import numpy as np

from edgewise.data.splits import Split
from edgewise.graph.transitions import transition_features
from edgewise.item_texts import TFIDF, ItemTexts, TextConfig, item_sentences


def item_start(kind: str, split: Split, width: int, seed: int) -> np.ndarray | None:
    """Where item embeddings start, from train rows and the catalogue.

    Args:
        kind: random; transitions, of train histories; or texts, half of the numbers those of
            transitions and half of the catalogue's texts, where it has some.
        split: whose train rows and catalogue are read.
        width: D.
        seed: of the start of singular vectors.

    Returns:
        ``float32[I, D]`` with a mean square of 1 in each row, zeros for items of which nothing is
        known; None for a random start.
    """
    if kind == "random":
        return None
    num_items, histories = split.dataset.num_items, split.known_before("valid")
    if kind == "transitions" or not any(map(str.strip, item_sentences(split.dataset.catalog))):
        return transition_features(histories, num_items, width, seed)
    half = width // 2
    encoder = TextConfig(encoder=TFIDF, size=width - half)
    texts = ItemTexts.of(split.dataset, encoder, "item_init=texts").vectors
    paths = transition_features(histories, num_items, half, seed) / half**0.5
    both = np.concatenate([paths, texts], 1)
    length = np.linalg.norm(both, axis=1, keepdims=True)
    scale = np.divide(width**0.5, length, out=np.zeros_like(length), where=length > 0)
    return (both * scale).astype(np.float32)
