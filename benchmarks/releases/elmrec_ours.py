"""Our ELMRec as the other side: ``python elmrec_ours.py DATA USERS FORM``, by the public classes.

The paper's own form (preset ``paper-beauty``: trained graph embeddings, three soft prompts), the
tokenizer and random weights of the same size as the release, 32-bit floats. FORM ``int8`` answers
with matrices of 8-bit integers; ``one-token`` is the same as ``spelled`` with users and items as
one token each, scored by the two heads.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from layouts import NUM_NEGATIVES
from transformers import T5Config, T5ForConditionalGeneration
from turns import (
    NUM_BEAMS,
    NUM_EXTRA,
    NUM_RESULTS,
    T5_SMALL,
    TRAINING_BATCH,
    TRAINING_STEPS,
    one_tokenizer,
)

from edgewise import Dataset, ELMRec, leave_one_out
from edgewise.data.item_lists import CandidateLists
from edgewise.data.splits import Split
from edgewise.training.trainer import Stage

sys.path.append(str(Path(__file__).parents[1]))
from measuring import least_seconds
from sides import answer

_SETTINGS = (f"decoding.num_beams={NUM_BEAMS}", f"decoding.rerank_extra={NUM_EXTRA}")
_FORMS = {
    "spelled": (),
    "int8": ("decoding.weights=int8",),
    "one-token": (
        "prompts.ids=one-token",
        "prompts.candidate_head=true",
        "prompts.item_head=true",
        "prompts.direct_likelihood=candidates",
    ),
}


class Untrained(ELMRec):
    """Keeps its one stage of training for :func:`main` to take steps of."""

    kept: Stage

    def stages(self, split: Split) -> Sequence[Stage]:
        (self.kept,) = super().stages(split)
        return []

    def trained(self, split: Split) -> None:
        """Later: the graph must be trainable for steps of training."""


def main() -> None:
    split, users = leave_one_out(Dataset.load(sys.argv[1])), int(sys.argv[2])
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        backbone = Path(name) / "t5"
        T5ForConditionalGeneration(T5Config(**T5_SMALL)).save_pretrained(backbone)  # type: ignore
        one_tokenizer().save_pretrained(backbone)
        settings = [*_SETTINGS, *_FORMS[sys.argv[3]], f"backbone.name={backbone}"]
        model = Untrained.from_preset("paper-beauty", settings)
        model.fit(split, show_progress=False)
    network, pool = model.network, model.kept.data.pool  # type: ignore[attr-defined]
    trainable = network.graph
    ELMRec.trained(model, split)
    frozen = network.graph
    rate = model.config.training.learning_rate
    network.graph = trainable
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, fused=True)
    steps = {"direct": 0, "sequential": 0}

    def step(task: Any) -> None:
        network.graph = trainable
        network.train()
        batch = pool.batch(task, steps[task], TRAINING_BATCH)
        steps[task] += 1
        optimizer.zero_grad()
        loss = network(batch)
        loss.backward()
        optimizer.step()
        loss.item()

    def train(task: str) -> int:
        for _ in range(TRAINING_STEPS[task]):
            step(task)
        return TRAINING_STEPS[task]

    rng = np.random.default_rng(0)
    asked = rng.permutation(split.dataset.num_users)[:users]
    lists = [rng.permutation(split.dataset.num_items)[: NUM_NEGATIVES + 1] for _ in asked]
    candidates = CandidateLists.from_lists(asked, lists)

    def direct() -> int:
        network.graph = frozen
        network.eval()
        model.score_candidates(candidates, task="direct")
        return len(asked)

    def sequential() -> int:
        network.graph = frozen
        network.eval()
        model.recommend(asked, NUM_RESULTS)
        return len(asked)

    learning = {
        "train_direct": lambda: train("direct"),
        "train_sequential": lambda: train("sequential"),
    }
    answering = {"direct": direct, "sequential": sequential}
    integers = sys.argv[3] == "int8"
    answer(answering if integers else learning | answering, None if integers else least_seconds)


if __name__ == "__main__":
    main()
