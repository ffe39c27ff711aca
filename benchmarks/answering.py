"""How fast the graph-attentive GPT-2 answers, against reading and scoring everything.

Run ``python benchmarks/answering.py RUN [--data FOLDER] [--users N] [--wide N] [--json FILE]`` on a
run with priors, such as those that ``edgewise reproduce priors`` leaves. The plain way is what the
formulas say: every token goes through every layer, likelihoods are normalised, every prior fills a
row as long as the catalogue, and the mixture is normalised again. The ways take turns on the same
users, with one thread; figures are ratios of medians of seconds of processor, which other work does
not stretch. ``wide`` is a network of GPT-2 small's size with random weights in place of the run's,
for which accuracy means nothing: the share of equal places in lists tells what 8-bit matrices
change. Of the run's own network NDCG@10 of test rows is told as well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from measuring import keep
from transformers import GPT2Config, GPT2Model

from edgewise.config import updated
from edgewise.data.ragged import Ragged
from edgewise.data.ranking import Ranked
from edgewise.evaluation.evaluate import evaluate_sequential
from edgewise.models.base import best_items, hide
from edgewise.models.graph_gpt.backbone import FROM_SCRATCH, attention_implementation
from edgewise.models.graph_gpt.batch import assemble
from edgewise.models.graph_gpt.recommender import GraphGPT, bounded_parts
from edgewise.models.mixing import PriorMixture
from edgewise.recommender import ItemFilter
from edgewise.runs.run import Run, open_run

_ROUNDS = 3


@torch.no_grad()
def plain_lists(
    model: GraphGPT, mixture: PriorMixture | None, users: np.ndarray, histories: Ragged
) -> Ranked:
    """What :meth:`GraphGPT.rank_items` answers, the plain way."""
    prompts = model.writer.prompts(users, histories)
    lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
    order, parts = np.argsort(lengths, kind="stable"), list[Ranked]()
    most = max(1, 5_000_000 // model.tokens.num_items)
    for part in bounded_parts(lengths[order], 1_000_000, 2**40, most):
        rows = order[part]
        graph = model.distances
        chosen = [prompts[row] for row in rows]
        batch = assemble(model.tokens, chosen, distances=graph, user_index=users[rows])
        states = model.network.hidden(batch)[torch.arange(len(rows)), batch.last]
        likelihood = model.network.item_logits(states).log_softmax(-1)
        own = histories.take(rows)
        if mixture is not None:
            likelihood = plain_mixture(mixture, likelihood, own)
        hide(likelihood, ItemFilter(own))
        parts.append(best_items(likelihood, 10))
    return Ranked.concat(parts).put(order)


def plain_mixture(
    mixture: PriorMixture, likelihood: torch.Tensor, histories: Ragged
) -> torch.Tensor:
    """Log-probabilities under the mixture, one whole prior after the other."""
    own = mixture.user_weights(histories, likelihood)
    total = mixture.neutral(likelihood) * own[:, :1]
    flat = total.view(-1)
    for place, (prior, size) in enumerate(zip(mixture.priors, mixture.sizes, strict=True), 1):
        scores = prior.scores(histories)
        if sp.issparse(scores):
            rows = np.repeat(np.arange(len(histories)), np.diff(scores.indptr))
            values = torch.from_numpy(scores.data).div_(float(size)).log1p_()
            values *= own[torch.from_numpy(rows), place]
            flat.numpy()[rows * total.shape[1] + scores.indices] += values.numpy()
        else:
            values = torch.from_numpy(scores / size).log1p_()
            total.addcmul_(values, own[:, place : place + 1])
    return total.log_softmax(1)


def in_turns(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The median seconds of processor of each way, after one round that is not counted."""
    rounds = []
    for _ in range(1 + _ROUNDS):
        times = []
        for run in ways.values():
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        rounds.append(times)
    return dict(zip(ways, np.median(rounds[1:], axis=0).tolist(), strict=True))


def measured(model: GraphGPT, num_users: int) -> dict[str, Any]:
    """Users a second of every way, and how far their answers lie apart."""
    users = np.random.default_rng(0).choice(len(model.data.users), num_users, replace=False)
    histories = model.data.histories.take(users)
    mixture, config = model.mixture, model.config
    integers = updated(config, {"decoding": {"weights": "int8"}})

    def lists(with_priors: bool, config: Any) -> Ranked:
        model.mixture, model.config = (mixture if with_priors else None), config
        try:
            return model.rank_items(users, histories, ItemFilter(histories), 10)
        finally:
            model.mixture = mixture

    ways: dict[str, Callable[[], Ranked]] = {
        "plain": lambda: plain_lists(model, None, users, histories),
        "now": lambda: lists(False, config),
        "int8": lambda: lists(False, integers),
        "plain_priors": lambda: plain_lists(model, mixture, users, histories),
        "now_priors": lambda: lists(True, config),
    }
    found = {name: run() for name, run in ways.items()}
    model.config = config
    seconds = in_turns(ways)
    model.config = config
    figures = {f"{name}_users_per_second": num_users / each for name, each in seconds.items()}
    return {
        "users": num_users,
        **figures,
        "times": seconds["plain"] / seconds["now"],
        "times_priors": seconds["plain_priors"] / seconds["now_priors"],
        "times_int8": seconds["plain"] / seconds["int8"],
        "priors_take": 1 - seconds["now"] / seconds["now_priors"],
        "plain_priors_take": 1 - seconds["plain"] / seconds["plain_priors"],
        "priors_take_of_plain": 1 - seconds["plain"] / seconds["now_priors"],
        "score_difference": apart(found["plain"], found["now"]),
        "score_difference_priors": apart(found["plain_priors"], found["now_priors"]),
        "equal_items_int8": float((found["int8"].items.values == found["now"].items.values).mean()),
    }


def apart(first: Ranked, second: Ranked) -> float:
    """The largest difference of the scores of the same places of two sets of lists."""
    return float(np.abs(first.scores.values - second.scores.values).max())


def widened(model: GraphGPT) -> None:
    """Put a network of GPT-2 small's size with random weights in place of a model's own."""
    torch.manual_seed(0)
    settings = GPT2Config(
        vocab_size=len(model.tokens),
        n_positions=1024,
        bos_token_id=0,
        eos_token_id=0,
        activation_function="gelu_pytorch_tanh",
        attn_implementation=attention_implementation(),  # pyright: ignore[reportCallIssue]
        **FROM_SCRATCH["gpt2"],
    )
    model.network = model._around(GPT2Model(settings)).eval()


def accuracy(run: Run, users: int) -> dict[str, float]:
    """NDCG@10 of test rows with matrices of floats and of integers."""
    found, config = {}, run.model.config
    for weights in ("fp32", "int8"):
        run.model.config = updated(config, {"decoding": {"weights": weights}})
        report = evaluate_sequential(
            run.model, run.split, "test", ks=(10,), metrics=("NDCG",), max_users=users
        )
        found[f"ndcg_{weights}"] = report.metrics["NDCG@10"].mean
    run.model.config = config
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, help="where the run's data set stands now")
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--wide", type=int, default=64, help="users of the wide network")
    parser.add_argument("--measured", type=int, default=10_000, help="users whose NDCG is told")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    run = open_run(given.run, given.data)
    figures = dict[str, Any]()

    def told(name: str, row: dict[str, Any]) -> None:
        figures[name] = row
        print(name, *(f"{key} {value:.4g}" for key, value in row.items()), flush=True)

    told("own", {**measured(run.model, given.users), **accuracy(run, given.measured)})
    widened(run.model)
    told("wide", measured(run.model, given.wide))
    if given.json:
        keep(given.json, figures)


if __name__ == "__main__":
    main()
