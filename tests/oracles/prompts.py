"""Prompts written out as text, and found again in it by searching."""

from __future__ import annotations

import re
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

_ENTITY = re.compile(r"(user|item)_(\d+)")


def written(template: str, user: int, **slots: Sequence[int]) -> str:
    """A template with its slots filled; user -1 is somebody unknown."""
    items = {name: " ".join(f"item_{i + 1}" for i in row) for name, row in slots.items()}
    text = template.format(user=f"user_{user + 1}", **items)
    return " ".join(text.split())


def nodes_and_order(
    tokenizer: PreTrainedTokenizerBase, text: str, num_users: int, num_items: int
) -> tuple[list[int], list[int], list[int]]:
    """Tokens of the whole text, and each one's node and order found by character offsets."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    entities = []
    for order, match in enumerate(_ENTITY.finditer(text), start=1):
        first = 0 if match[1] == "user" else num_users
        node = first + int(match[2]) - 1
        entities.append((match.start(), match.end(), node if match[2] != "0" else -2, order))
    nodes, orders = [], []
    for start, end in encoded["offset_mapping"]:
        # A token may carry the space before its word.
        inside = [e for e in entities if max(start, e[0]) < min(end, e[1])]
        assert len(inside) <= 1
        node, order = (inside[0][2], inside[0][3]) if inside else (-1, 0)
        nodes.append(num_users + num_items if node == -2 else node)
        orders.append(order)
    return encoded["input_ids"], nodes, orders
