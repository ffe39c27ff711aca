"""What looking prompts up saves over calling the tokenizer for each of them.

Run ``python benchmarks/prompts.py [--json FILE]``. Direct prompts of 100 candidates, one process;
both ways must give the same tokens.
"""

from __future__ import annotations

import time

import numpy as np
from measuring import best_time, report
from transformers import PreTrainedTokenizerBase

from edgewise.models.elmrec.batch import Batch, assemble
from edgewise.models.elmrec.prompts import (
    SHORT_TEMPLATE,
    TEMPLATES,
    EntityTokenTable,
    PromptWriter,
    all_templates,
    build_entity_token_table,
    spell_item,
    spell_user,
)
from edgewise.models.tokenizers import train_tokenizer

NUM_USERS, NUM_ITEMS = 22_363, 12_101
NUM_PROMPTS, NUM_CANDIDATES = 64, 100


def looked_up(
    table: EntityTokenTable, users: np.ndarray, candidates: np.ndarray, template: str
) -> Batch:
    prompts = PromptWriter(table).direct(users, list(candidates), template)
    return assemble(table, "direct", prompts)


def tokenised(
    tokenizer: PreTrainedTokenizerBase, users: np.ndarray, candidates: np.ndarray, template: str
) -> list[list[int]]:
    """Write each prompt out and call the tokenizer."""
    return [
        tokenizer(
            template.format(user=spell_user(user), candidates=" ".join(map(spell_item, row))),
            add_special_tokens=False,
        )["input_ids"]
        for user, row in zip(users.tolist(), candidates.tolist(), strict=True)
    ]


def compare(
    tokenizer: PreTrainedTokenizerBase, table: EntityTokenTable, template: str
) -> dict[str, float]:
    rng = np.random.default_rng(0)
    users = rng.integers(NUM_USERS, size=NUM_PROMPTS)
    candidates = rng.integers(NUM_ITEMS, size=(NUM_PROMPTS, NUM_CANDIDATES))
    batch = looked_up(table, users, candidates, template)
    rows = zip(batch.input_ids, batch.attention_mask, strict=True)
    found = [ids[mask == 1].tolist() for ids, mask in rows]
    assert found == tokenised(tokenizer, users, candidates, template)
    lookup = best_time(lambda: looked_up(table, users, candidates, template), repeats=20)
    calls = best_time(lambda: tokenised(tokenizer, users, candidates, template), repeats=3)
    return {
        "prompts": NUM_PROMPTS,
        "tokens_per_prompt": len(found[0]),
        "lookup_seconds": lookup,
        "tokenizer_seconds": calls,
        "times_faster": calls / lookup,
    }


def measure() -> dict[str, dict[str, float]]:
    tokenizer = train_tokenizer(all_templates(), 100)
    start = time.perf_counter()
    table = build_entity_token_table(tokenizer, NUM_USERS, NUM_ITEMS)
    built = time.perf_counter() - start
    return {
        "table": {"pieces": len(table.tokens), "build_seconds": built},
        "ids_alone": compare(tokenizer, table, SHORT_TEMPLATE["direct"]),
        "full_wording": compare(tokenizer, table, TEMPLATES["direct"][0]),
    }


if __name__ == "__main__":
    report(measure, __doc__)
