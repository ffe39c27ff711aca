"""LLM4REC's release as one side: ``python llm4rec_release.py CHECKOUT DATA USERS``.

Runs in an environment of its own (``requirements.txt``). Nothing of the release is changed on disk:
its GPT-2 is read from the checkout beside the library's, its tokenizer, which needs files of
GPT-2's, is replaced by one that gives every word and every user and item one number, and its dense
matrix over all pairs is ones that take no memory, as its own script for prediction has them.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from transformers import GPT2Config
from turns import GPT2_SMALL, GPT2_WORDS

sys.path.append(str(Path(__file__).parents[1]))
from sides import answer

_WORD = re.compile(r"(user|item)_(\d+)|\w+|,")
_NUM_RESULTS = 40


class OneNumberEach:
    """What the release asks its tokenizer for.

    Args:
        num_users: whose numbers come before the items'.
    """

    def __init__(self, num_users: int) -> None:
        self._start = {"user": GPT2_WORDS, "item": GPT2_WORDS + num_users}
        self._words: dict[str, int] = {}

    def encode_batch(self, texts: Sequence[str]) -> tuple[list[list[int]], list[list[int]]]:
        rows = [[self._number(found) for found in _WORD.finditer(text)] for text in texts]
        size = max(map(len, rows))
        masks = [[1] * len(row) + [0] * (size - len(row)) for row in rows]
        return [row + [0] * (size - len(row)) for row in rows], masks

    def _number(self, found: re.Match[str]) -> int:
        kind, number = found.groups()
        if kind:
            return self._start[kind] + int(number)
        return self._words.setdefault(found[0], 1 + len(self._words))


def import_gpt2(checkout: Path) -> Any:
    """Its GPT-2 with a matrix added to the attention scores, as a module of the library's."""
    name = "transformers.models.gpt2.modeling_gpt2_of_release"
    file = checkout / "modified_transformer" / "modeling_gpt2.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None, file
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    checkout, folder, users = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    torch.manual_seed(0)
    random.seed(0)
    sys.path.insert(0, str(checkout / "src"))
    gpt2 = import_gpt2(checkout)
    data, models = importlib.import_module("libs.data"), importlib.import_module("libs.model")
    train = sp.load_npz(folder / "train_matrix.npz")
    num_users, num_items = train.shape
    nodes = num_users + num_items
    pairs = np.broadcast_to(np.float64(1), (nodes, nodes))
    config = GPT2Config(vocab_size=GPT2_WORDS, **GPT2_SMALL)
    config.num_users, config.num_items = num_users, num_items
    base = models.GPT4RecommendationBaseModel(config, gpt2.GPT2ModelWithBC(config))
    model = models.CollaborativeGPTwithItemRecommendHead(config, base).eval()
    rows = data.RecommendationGPTTestGeneratorBatch(OneNumberEach(num_users), train, train, pairs)
    asked = np.random.default_rng(0).permutation(num_users)[:users].tolist()
    collected = rows.collate_fn([rows[user] for user in asked])
    ids, known, targets, mask, bias = collected

    def fill() -> int:
        rows.get_bc_from_mapping(ids, ids, pairs)
        return 1

    @torch.no_grad()
    def predict() -> int:
        _, scores = model(ids, targets, mapping_graph_bc=bias, attention_mask=mask)
        scores[known > 0] = -float("inf")
        scores.topk(_NUM_RESULTS)
        return len(asked)

    answer({"bias": fill, "predict": predict})


if __name__ == "__main__":
    main()
