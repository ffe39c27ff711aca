"""How much faster ELMRec's T5 trains and reads prompts than by the library's own forward pass.

Both sides have the same weights of T5-small's size, the same prompts (ids spelled in sub-words) and
the same settings of the paper's form: trained graph features, the whole vocabulary's softmax,
dropout 0.1. The other side is the library's T5 on the padded batch, and propagation over the whole
graph in every step. Both run in one process in turns on one thread, in processor time. The least
seconds are those of our side's products of matrices at the peak of the thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Figures, keep, least_seconds
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from edgewise.data.ragged import Ragged
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.models import t5_forward
from edgewise.models.elmrec.batch import Batch, assemble
from edgewise.models.elmrec.config import PromptConfig, WholeWordConfig
from edgewise.models.elmrec.graph_embeddings import TrainedGraphTable
from edgewise.models.elmrec.model import ELMRecModel
from edgewise.models.elmrec.prompts import EntityTokenTable, PromptWriter
from edgewise.models.layers import TrainedPropagation
from edgewise.recommender import Task

# As many as Amazon Beauty has.
NUM_USERS, NUM_ITEMS, NUM_EDGES = 22_363, 12_101, 160_000
NUM_CANDIDATES = 100
WORDS = {"user": 4, "item": 5}
UNDERSCORE, FIRST_DIGITS = 3, 100
Forward = tuple[Callable[..., Tensor], Callable[..., Tensor]]


def spelled(word: str, index: int) -> list[int]:
    """An id as sub-words: its word, an underscore, and digits in pairs."""
    digits = str(index)
    pairs = [digits[place : place + 2] for place in range(0, len(digits), 2)]
    return [WORDS[word], UNDERSCORE, *(FIRST_DIGITS * len(pair) + int(pair) for pair in pairs)]


def spellings() -> EntityTokenTable:
    users = [spelled("user", user + 1) for user in range(NUM_USERS)]
    items = [spelled("item", item + 1) for item in range(NUM_ITEMS)]
    rows = [np.array(row) for row in (*users, *items, spelled("user", 0))]
    return EntityTokenTable(NUM_USERS, NUM_ITEMS, Ragged.of_rows(rows), {}, pad_id=0, eos_id=1)


def network() -> ELMRecModel:
    rng = np.random.default_rng(0)
    users = rng.integers(0, NUM_USERS, NUM_EDGES)
    items = rng.zipf(1.3, NUM_EDGES) * 7919 % NUM_ITEMS
    users, items = np.divmod(np.unique(users * NUM_ITEMS + items), NUM_ITEMS)
    graph = BipartiteGraph(NUM_USERS, NUM_ITEMS, users.astype(np.int32), items.astype(np.int32))
    torch.manual_seed(0)
    config = T5Config(vocab_size=32_128, dropout_rate=0.1)
    config.decoder_start_token_id = 0
    t5 = T5ForConditionalGeneration(config)
    table = TrainedGraphTable(TrainedPropagation(graph, config.d_model, 4, 6.0, seed=0))
    generator = torch.Generator().manual_seed(0)
    return ELMRecModel(t5, PromptConfig(), WholeWordConfig(), table, generator)


def batch(table: EntityTokenTable, task: Task, size: int) -> Batch:
    """Prompts with random items; those of the sequential task are of any length up to 20 items."""
    rng = np.random.default_rng(1)
    direct = task == "direct"
    lengths = np.full(size, NUM_CANDIDATES) if direct else rng.integers(1, 21, size)
    items = [rng.choice(NUM_ITEMS, length, replace=False) for length in lengths]
    writer, users = PromptWriter(table), rng.integers(0, NUM_USERS, size)
    prompts = (writer.direct if direct else writer.sequential)(users, items)
    return assemble(table, task, prompts, [table.target(row[0]) for row in items])


def library_encode(t5: Any, inputs: Tensor, mask: Tensor, causal: bool) -> Tensor:
    assert not causal
    return t5.encoder(inputs_embeds=inputs, attention_mask=mask).last_hidden_state


def library_decode(t5: Any, inputs: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    output = t5.decoder(
        inputs_embeds=inputs, encoder_hidden_states=states, encoder_attention_mask=mask
    )
    return output.last_hidden_state * t5.config.d_model**-0.5


class WholeGraph(torch.nn.Module):
    """The same features, propagated at all nodes."""

    def __init__(self, table: TrainedGraphTable) -> None:
        super().__init__()
        self.propagation = table.propagation

    def forward(self, node: Tensor, fold: Tensor) -> Tensor:
        return torch.nn.functional.embedding(node, self.propagation())


class Sides:
    """The network as it is, and as the library computes it."""

    def __init__(self, model: ELMRecModel) -> None:
        assert isinstance(model.graph, TrainedGraphTable)
        self.model = model
        self.ours = (t5_forward.encode, t5_forward.decode, model.graph)
        self.librarys = (library_encode, library_decode, WholeGraph(model.graph))

    def take(self, side: str) -> ELMRecModel:
        t5_forward.encode, t5_forward.decode, self.model.graph = getattr(self, side)
        return self.model


def compare(sides: Sides, work: Callable[[ELMRecModel], object], repeats: int) -> dict[str, float]:
    """Medians of processor seconds, the sides in turns after a first round that is not counted."""
    taken: dict[str, list[float]] = {"ours": [], "librarys": []}
    for _ in range(repeats + 1):
        for side, seconds in taken.items():
            model = sides.take(side)
            start = time.process_time()
            work(model)
            seconds.append(time.process_time() - start)
    ours, theirs = (statistics.median(seconds[1:]) for seconds in taken.values())
    model = sides.take("ours")
    return {
        "seconds": ours,
        "library_seconds": theirs,
        "ratio": theirs / ours,
        "least_seconds": least_seconds(lambda: work(model)),
    }


def training_step(batch: Batch, optimizer: torch.optim.Optimizer) -> Callable[[ELMRecModel], None]:
    def step(model: ELMRecModel) -> None:
        model.train()
        model(batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def reading(batch: Batch) -> Callable[[ELMRecModel], None]:
    inputs: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def read(model: ELMRecModel) -> None:
        model.eval()
        if not inputs:
            inputs.append(model.embed(batch))
        t5_forward.encode(model.t5, *inputs[0], False)

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--direct", type=int, default=8, help="prompts of the direct task")
    parser.add_argument("--sequential", type=int, default=64, help="and of the sequential one")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table, model = spellings(), network()
    sides = Sides(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    report: Figures = {}
    tasks: tuple[tuple[Task, int], ...] = (
        ("direct", options.direct),
        ("sequential", options.sequential),
    )
    for task, size in tasks:
        prompts = batch(table, task, size)
        works = {"reading": reading(prompts), "training": training_step(prompts, optimizer)}
        for name, work in works.items():
            report[f"{name}_{task}"] = {
                "prompts": size,
                "longest": prompts.input_ids.shape[1],
                **compare(sides, work, options.repeats),
            }
            print(name, task, report[f"{name}_{task}"], flush=True)
    if options.json:
        keep(options.json, report)


if __name__ == "__main__":
    main()
