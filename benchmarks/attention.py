"""What the graph costs a GPT-2's training, and what reading many users at a time saves.

Run ``python benchmarks/attention.py [--json FILE]``. Made-up shops, random weights of the preset
``cpu``. Both sides of a comparison run in turn in one process, and the fastest of several runs
counts, which other work disturbed least; only the ratios mean anything:

* training: whole steps (batch, forward, backward, optimizer) on the same prompts, with R and
  without. Distances within a history are constants, those within the content stage's lists of
  items that share a name are looked up in the index of the graph;
* recommending: ten items for each of many users in one call, against one call a user; both ways
  must find the same items.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from distances import BEAUTY, shop
from measuring import report

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.splits import Split
from edgewise.models.graph_gpt.attention_bias import build_distances
from edgewise.models.graph_gpt.backbone import build_gpt, build_tokens
from edgewise.models.graph_gpt.model import GraphGPTModel
from edgewise.models.graph_gpt.prompts import TEMPLATES
from edgewise.models.graph_gpt.recommender import GraphGPT
from edgewise.models.graph_gpt.stages import build_stage
from edgewise.training.trainer import TrainingData, uses_bf16

# Users, items, edges, and windows of a batch: Amazon Beauty, and long histories.
SHOPS = {"beauty": (*BEAUTY, 128), "long_histories": (2_000, 5_000, 100_000, 16)}
# Prompts of a batch of the content stage, second-order lists alone.
CONTENT_BATCH = 64
CONTENT = ("contents=false", "reviews=false", "events=false", "second_order=true", "window=20")
# Few of each, so that most lists fill the window.
NUM_BRANDS, NUM_CATEGORIES, CATEGORIES_PER_ITEM = 200, 250, 3
NUM_STEPS, NUM_ROUNDS = 4, 6
NUM_USERS, K = 256, 10


def catalog_of(num_items: int) -> Catalog:
    """Brands and categories by a power law, nothing else."""
    rng = np.random.default_rng(3)

    def names(kind: str, count: int, per_item: int) -> list[tuple[str, ...]]:
        weights = 1 / (1.0 + np.arange(count))
        drawn = rng.choice(count, (num_items, per_item), p=weights / weights.sum())
        return [tuple(f"{kind} {n}" for n in row) for row in drawn.tolist()]

    brands = tuple(brand for (brand,) in names("brand", NUM_BRANDS, 1))
    categories = tuple(names("category", NUM_CATEGORIES, CATEGORIES_PER_ITEM))
    return replace(Catalog.empty(num_items), brand=brands, categories=categories)


def split_of(num_users: int, num_items: int, num_edges: int) -> Split:
    """All rows for training, in any order."""
    graph = shop(num_users, num_items, num_edges)
    columns = graph.users.astype(np.int32), graph.items.astype(np.int32)
    rows = Interactions(*columns, timestamp=np.arange(graph.num_edges))
    users, items = (
        Vocabulary(tuple(f"{kind}{n}" for n in range(size)))
        for kind, size in (("u", num_users), ("i", num_items))
    )
    dataset = Dataset("made up", users, items, rows, catalog_of(num_items))
    nothing = rows.take(np.zeros(0, dtype=np.int64))
    return Split(dataset, rows, nothing, nothing, "leave-one-out")


class Trainer:
    """Steps of one stage.

    Args:
        split: what is learned from.
        kind: of attention, with the graph or without.
        preset: of the settings, whose first stage is trained.
        settings: that differ from it.
    """

    def __init__(self, split: Split, kind: str, preset: str, settings: Sequence[str]) -> None:
        config = GraphGPT.from_preset(preset, [f"attention.kind={kind}", *settings]).config
        tokens = build_tokens(config.backbone, split, TEMPLATES)
        gpt = build_gpt(config.backbone, tokens, torch.Generator().manual_seed(0))
        histories = split.known_before("valid")
        distances = build_distances(config.attention, histories, split.dataset.num_items)
        data = build_stage(config.stages[0], config, split, tokens, distances)
        assert data is not None
        self.data: TrainingData = data
        self.model = GraphGPTModel(gpt, tokens.num_text, tokens.num_users, config.attention)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.bf16 = uses_bf16("auto", torch.device("cpu"))

    def seconds(self, step: int) -> float:
        """One numbered batch, from its distances to the moved weights."""
        start = time.perf_counter()
        batch = self.data.batch(step, slice(None))
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.model(batch)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - start


def sequence(num_users: int, num_items: int, num_edges: int, batch_size: int) -> dict[str, float]:
    """The next item at every position of histories."""
    split = split_of(num_users, num_items, num_edges)
    return training(split, batch_size, "cpu", [f"training.sequence.batch_size={batch_size}"])


def content() -> dict[str, float]:
    """The name that the items of a list share."""
    settings = [f"content.{setting}" for setting in CONTENT]
    settings.append(f"training.content.batch_size={CONTENT_BATCH}")
    return training(split_of(*BEAUTY), CONTENT_BATCH, "cpu-stages", settings)


def training(
    split: Split, batch_size: int, preset: str, settings: Sequence[str]
) -> dict[str, float]:
    """The same batches for both, each several times."""
    graph, plain = (Trainer(split, kind, preset, settings) for kind in ("graph", "none"))
    times = np.array(
        [
            [(graph.seconds(step), plain.seconds(step)) for step in range(NUM_STEPS)]
            for _ in range(NUM_ROUNDS)
        ]
    )
    first, second = times.min(0).sum(0).tolist()
    batches = [graph.data.batch(step, slice(None)) for step in range(NUM_STEPS)]
    rows = sum(map(len, batches))
    return {
        "batch_size": batch_size,
        "tokens_per_prompt": sum(int(batch.attention_mask.sum()) for batch in batches) / rows,
        "with_graph_examples_per_second": rows / first,
        "without_examples_per_second": rows / second,
        "with_over_without": second / first,
    }


def seconds(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


def recommending() -> dict[str, float]:
    """Many users a call against one user a call, on a model that has not learned anything."""
    settings = ["training.sequence.max_minutes=1e-9", "attention.kind=graph"]
    model = GraphGPT.from_preset("cpu", settings).fit(split_of(*BEAUTY))
    users = np.random.default_rng(0).choice(BEAUTY[0], NUM_USERS, replace=False)

    def together() -> np.ndarray:
        return model.recommend(users, K).item_index

    def one_by_one() -> np.ndarray:
        return np.concatenate([model.recommend(users[n : n + 1], K).item_index for n in places])

    places, times = range(NUM_USERS), []
    for _ in range(4):
        (many, ours), (single, theirs) = seconds(together), seconds(one_by_one)
        # Sums in another order may swap items whose scores agree to the last digits.
        assert (ours == theirs).mean() > 0.99
        times.append((many, single))
    many, single = np.array(times).min(0).tolist()
    return {
        "users": NUM_USERS,
        "users_per_second": NUM_USERS / many,
        "one_by_one_users_per_second": NUM_USERS / single,
        "ratio": single / many,
    }


def measure() -> dict[str, dict[str, float]]:
    figures = {f"training_{name}": sequence(*sizes) for name, sizes in SHOPS.items()}
    return figures | {"training_content": content(), "recommending": recommending()}


if __name__ == "__main__":
    report(measure, __doc__)
