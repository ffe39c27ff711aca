"""What users and items as one token save over spelled ones (``prompts.ids``).

Run ``python benchmarks/one_token.py [--json FILE]``. Both forms of ELMRec learn from the same rows
in one process, one thread and in turns: a step of training (batch, loss, gradient, optimiser) of
the direct and of the sequential task, and answers to users. Sizes are those of ``cpu-spelled``,
and T5-small's with the paper's 99 negatives; each spells ids with a tokenizer of its own data, so
that one has about two sub-words, and four in T5-small's own tokenizer.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from measuring import Figures, report, seconds

from edgewise.data.item_lists import CandidateLists
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.elmrec.data import ELMRecData, build_data
from edgewise.models.elmrec.recommender import ELMRec
from edgewise.recommender import Task
from edgewise.training.trainer import parameter_groups

NUM_USERS, NUM_ITEMS = 500, 12_000
FORMS = ("spelled", "one-token")
SIZES = {
    "cpu": ("prompts.num_negatives=24", "training.batch_size=32"),
    "t5-small": (
        "backbone.name=t5-small",
        "backbone.mimetic_init=false",
        "prompts.num_negatives=99",
        "training.batch_size=8",
    ),
}
TASKS: tuple[Task, ...] = ("direct", "sequential")
COMMON = ("prompts.tasks=direct,sequential", "priors.names=", "graph.num_folds=2")
ASKED = {"cpu": 64, "t5-small": 4}


class Learner:
    """One form of ELMRec, a few steps old."""

    def __init__(self, split: Split, size: str, form: str) -> None:
        settings = (*COMMON, *SIZES[size], f"prompts.ids={form}", "training.max_minutes=0.01")
        self.model = ELMRec.from_preset("cpu-spelled", settings).fit(split, show_progress=False)
        self.data: ELMRecData = build_data(
            self.model.config, split, self.model.table, self.model.tokenizer, None
        )
        groups = parameter_groups(self.model.network, 5.0)
        self.optimizer = torch.optim.AdamW(groups, lr=5e-4, fused=True)
        self.taken = 0

    def step(self, task: Task) -> None:
        """One batch of a task."""
        network = self.model.network.train()
        batch = self.data.pool.batch(task, self.taken, self.data.batch_size)
        network(batch).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.taken += 1

    def answer(self, task: Task, users: np.ndarray) -> None:
        """Scores of 100 candidates each, or the best 10 of all items."""
        self.model.network.eval()
        if task == "sequential":
            self.model.recommend(users, 10)
            return
        rng = np.random.default_rng(0)
        lists = [rng.permutation(NUM_ITEMS)[:100] for _ in users]
        self.model.score_candidates(CandidateLists.from_lists(users, lists), task="direct")

    def tokens(self, task: Task) -> int:
        """Of the longest prompt of a batch."""
        return self.data.pool.batch(task, 0, self.data.batch_size).input_ids.shape[1]


def in_turns(runs: list[Callable[[], None]], repeats: int) -> list[float]:
    """Medians of seconds; the first round warms up."""
    rounds = [[seconds(run) for run in runs] for _ in range(repeats + 1)][1:]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def compare(learners: list[Learner], task: Task, size: str) -> dict[str, float]:
    """One task, both forms."""
    repeats = 10 if size == "cpu" else 2
    steps = in_turns([lambda each=each: each.step(task) for each in learners], repeats)
    users = np.arange(ASKED[size])
    asked = in_turns(
        [lambda each=each: each.answer(task, users) for each in learners], max(1, repeats // 3)
    )
    tokens = [each.tokens(task) for each in learners]
    return {
        "spelled_tokens": tokens[0],
        "one_token_tokens": tokens[1],
        "spelled_step_seconds": steps[0],
        "one_token_step_seconds": steps[1],
        "step_ratio": steps[0] / steps[1],
        "spelled_users_per_second": len(users) / asked[0],
        "one_token_users_per_second": len(users) / asked[1],
        "answer_ratio": asked[0] / asked[1],
    }


def measure() -> Figures:
    torch.set_num_threads(1)
    split = leave_one_out(make_demo_shop(0, NUM_USERS, NUM_ITEMS))
    split = replace(split, valid=split.valid.take(np.empty(0, np.int64)))  # nothing is validated
    figures: Figures = {}
    for size in SIZES:
        learners = [Learner(split, size, form) for form in FORMS]
        for task in TASKS:
            name = f"{task}_{size}".replace("-", "_")
            figures[name] = compare(learners, task, size)
            print(name, figures[name], flush=True)
    return figures


if __name__ == "__main__":
    report(measure, __doc__)
