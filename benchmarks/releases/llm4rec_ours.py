"""Our graph-attentive GPT-2 as the other side: ``python llm4rec_ours.py DATA USERS WEIGHTS``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from turns import GPT2_SMALL

from edgewise import Dataset, GraphGPT, leave_one_out
from edgewise.data.splits import Split
from edgewise.models.graph_gpt.batch import assemble
from edgewise.training.trainer import Stage

sys.path.append(str(Path(__file__).parents[1]))
from measuring import least_seconds
from sides import answer

_NUM_RESULTS = 40
_SETTINGS = ("backbone.name=gpt2", f"backbone.max_tokens={GPT2_SMALL['n_positions']}")


class Untrained(GraphGPT):
    """With random weights."""

    def stages(self, split: Split) -> list[Stage]:
        super().stages(split)
        return cast(list[Stage], [])

    def plan(self, stages: Sequence[Stage]) -> tuple[tuple[str, str], ...]:
        return ()


def main() -> None:
    split, users = leave_one_out(Dataset.load(sys.argv[1])), int(sys.argv[2])
    settings = (*_SETTINGS, f"decoding.weights={sys.argv[3]}")
    model = Untrained.from_preset("paper-from-scratch", settings).fit(split)
    histories = split.known_before("test")
    asked = np.random.default_rng(0).permutation(split.dataset.num_users)[:users]

    @torch.no_grad()
    def fill() -> int:
        prompts = model.writer.prompts(asked, histories.take(asked))
        batch = assemble(model.tokens, prompts, distances=model.distances, user_index=asked)
        model.network.mask(batch)
        return 1

    def predict() -> int:
        model.recommend(asked, _NUM_RESULTS, histories=histories)
        return len(asked)

    if sys.argv[3] == "int8":
        answer({"predict": predict})
    else:
        answer({"bias": fill, "predict": predict}, least_seconds)


if __name__ == "__main__":
    main()
