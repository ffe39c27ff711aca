"""How much faster the package decodes than the library's ``generate`` does.

Both sides run in one process on the same random weights and the same encoded prompts, so only the
ratios mean anything:

* direct: the exact log-likelihood of 100 candidates a user, against a 20-beam ``generate``;
* catalogue: a 20-beam search over all items, against ``generate`` with 20 beams and
  ``prefix_allowed_tokens_fn``.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import keep, seconds
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from edgewise.decoding import TokenTable, beam_search, score_candidates

NUM_ITEMS = 12_101
NUM_CANDIDATES = 100
NUM_BEAMS = 20
EOS = 1
FIRST_PIECE = 100
DIRECT_TARGET, CATALOGUE_TARGET = 10.0, 3.0


def small_model() -> T5ForConditionalGeneration:
    return _random_model(
        T5Config(vocab_size=4000, d_model=128, d_kv=32, d_ff=512, num_layers=2, num_heads=4)
    )


def t5_small_model() -> T5ForConditionalGeneration:
    return _random_model(T5Config(vocab_size=32_128))


def _random_model(config: T5Config) -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    config.decoder_start_token_id = 0
    return T5ForConditionalGeneration(config).eval()


def catalogue() -> TokenTable:
    """Items spelled in three pieces: a constant word, then two pieces of their number."""
    items = np.arange(NUM_ITEMS)
    word = np.full(NUM_ITEMS, FIRST_PIECE)
    pieces = [word, FIRST_PIECE + 1 + items // 100, FIRST_PIECE + 200 + items % 100]
    tokens = np.stack([*pieces, np.full(NUM_ITEMS, EOS)], axis=1)
    return TokenTable(tokens, np.full(NUM_ITEMS, 4))


@torch.no_grad()
def encode(
    model: T5ForConditionalGeneration, num_users: int, length: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Random prompts of about the given length, encoded once for both sides."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, model.config.vocab_size, (num_users, length), generator=generator)
    spread = length // 10
    lengths = length - torch.randint(0, spread + 1, (num_users, 1), generator=generator)
    mask = (torch.arange(length) < lengths).long()
    return model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state, mask


def library_beams(
    model: T5ForConditionalGeneration, hidden: Tensor, mask: Tensor, allowed: Callable | None
) -> Tensor:
    """The library's beam search over spellings of four tokens, from encoded prompts."""
    library: Any = model
    return library.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
        attention_mask=mask,
        num_beams=NUM_BEAMS,
        num_return_sequences=NUM_BEAMS,
        max_new_tokens=4,
        do_sample=False,
        prefix_allowed_tokens_fn=allowed,
    )


def allowed_next(table: TokenTable) -> Callable[[int, Tensor], list[int]]:
    """The usual dictionary from a prefix to the tokens that may follow."""
    following: dict[tuple[int, ...], set[int]] = {}
    for row in table.tokens.tolist():
        for place, token in enumerate(row):
            following.setdefault(tuple(row[:place]), set()).add(token)
    lists = {prefix: sorted(tokens) for prefix, tokens in following.items()}
    return lambda _, ids: lists.get(tuple(ids[1:].tolist()), [EOS])


def compare(
    ours: Callable[[], object],
    library: Callable[[], object],
    num_users: int,
    repeats: int,
    target: float,
) -> dict[str, float]:
    """Medians of runs taken in turn, so that other work on the machine meets both sides."""
    runs = [(seconds(ours), seconds(library)) for _ in range(repeats + 1)][1:]
    return {
        "users_per_second": num_users / statistics.median(first for first, _ in runs),
        "library_users_per_second": num_users / statistics.median(second for _, second in runs),
        "ratio": statistics.median(second / first for first, second in runs),
        "target": target,
    }


def direct(
    model: T5ForConditionalGeneration, table: TokenTable, users: int, repeats: int
) -> dict[str, float]:
    hidden, mask = encode(model, users, 305, seed=1)
    rng = np.random.default_rng(2)
    lists = [rng.choice(NUM_ITEMS, NUM_CANDIDATES, replace=False) for _ in range(users)]
    return compare(
        lambda: score_candidates(model, hidden, mask, table, lists),
        lambda: library_beams(model, hidden, mask, None),
        users,
        repeats,
        DIRECT_TARGET,
    )


def from_catalogue(
    model: T5ForConditionalGeneration, table: TokenTable, users: int, repeats: int
) -> dict[str, float]:
    hidden, mask = encode(model, users, 80, seed=3)
    allowed = allowed_next(table)
    trie = table.trie
    return compare(
        lambda: beam_search(model, hidden, mask, trie, NUM_BEAMS, NUM_BEAMS),
        lambda: library_beams(model, hidden, mask, allowed),
        users,
        repeats,
        CATALOGUE_TARGET,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--t5-small", action="store_true", help="T5-small's size, random weights")
    parser.add_argument("--users", type=int, default=16, help="prompts decoded together")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    model = t5_small_model() if options.t5_small else small_model()
    table = catalogue()
    report: dict[str, object] = {
        "model": "t5-small" if options.t5_small else "d_model 128, 2 + 2 layers",
        "direct": direct(model, table, options.users, options.repeats),
        "catalogue": from_catalogue(model, table, options.users, options.repeats),
    }
    print(json.dumps(report, indent=2))
    if options.json:
        keep(options.json, report)


if __name__ == "__main__":
    main()
