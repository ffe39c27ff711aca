"""ELMRec's release as one side: ``python elmrec_release.py CHECKOUT DATA USERS BATCH``.

Runs in an environment of its own (``requirements.txt``). Nothing of the release is changed on disk:
in this process its graph stays on the processor, what it imports only for texts may be missing, and
decoding ends after as many tokens as an item's number has, because random weights, unlike trained
ones, would go on to the longest length.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import types
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch
from transformers import T5Config
from turns import (
    NUM_BEAMS,
    NUM_EXTRA,
    NUM_RESULTS,
    T5_SMALL,
    TRAINING_BATCH,
    TRAINING_STEPS,
    one_tokenizer,
)

sys.path.append(str(Path(__file__).parents[1]))
from sides import answer

_SETTINGS = {"alpha": 9, "sigma": 6, "L": 4}  # of Beauty, its Table 9
_NUM_NEGATIVES, _RATE = 99, 5e-4
# Some copies lack these three of POD's files; only the last one matters here.
_TEXTS = {
    "util.rouge": {"rouge": None},
    "util.bleu": {"compute_bleu": None},
    "model.templates": {
        f"{name}_templates": ["user_{} item_{}"] for name in ("exp", "seq", "topn")
    },
}


def import_release(checkout: str) -> tuple[Any, Any]:
    """Its modules ``model.module`` and ``util.utils``."""
    sys.path.insert(0, checkout)
    for name, values in _TEXTS.items():
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(values)
    from model import module  # type: ignore[import-not-found]
    from util import utils  # type: ignore[import-not-found]

    return module, utils


def main() -> None:
    checkout, folder, users, batch = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    torch.manual_seed(0)
    random.seed(0)
    module, utils = import_release(checkout)
    torch.Tensor.cuda = lambda self, *args, **kwargs: self  # type: ignore[method-assign]
    tokenizer, corpus = one_tokenizer(), utils.DataLoader(folder + "/")
    positive, negative = corpus.user2items_positive, corpus.user2items_negative
    sizes = len(positive), len(corpus.id2item)
    model = module.Solomon(T5Config(**T5_SMALL))
    model.init_graph_embeddings(*_SETTINGS.values(), corpus.train, *sizes)
    model.init_prompt(3, 3, "cpu")
    longest = max(len(tokenizer(str(n))["input_ids"]) for n in range(1, sizes[1] + 1))
    samplers = {
        "direct": utils.TopNSampler(positive, _NUM_NEGATIVES, sizes[1]),
        "sequential": utils.SeqSampler(positive),
    }
    encoder = utils.TrainBatchify(
        corpus.train, positive, _NUM_NEGATIVES, sizes[1], tokenizer, 20, TRAINING_BATCH
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE)

    def step(task: str) -> None:
        model.train()
        inputs = encoder.encode(*samplers[task].sample(TRAINING_BATCH))
        *prompt, target = inputs
        number, source, mask, whole_word = prompt
        optimizer.zero_grad()
        loss = model(number, source, whole_word, mask, labels=target).loss
        loss.backward()
        optimizer.step()
        loss.item()

    def train(task: str) -> int:
        for _ in range(TRAINING_STEPS[task]):
            step(task)
        return TRAINING_STEPS[task]

    rows = {
        "direct": utils.TopNBatchify(
            positive, negative, _NUM_NEGATIVES, sizes[1], tokenizer, batch
        ),
        "sequential": utils.SeqBatchify(positive, tokenizer, batch),
    }
    results = {"direct": NUM_RESULTS, "sequential": NUM_RESULTS + NUM_EXTRA}

    @torch.no_grad()
    def recommend(task: str) -> int:
        model.eval()
        asked = 0
        for _ in count():
            number, source, mask, whole_word, _ = rows[task].next_batch_test()
            found = model.beam_search(
                number,
                source,
                whole_word,
                mask,
                max_length=longest + 1,
                num_beams=NUM_BEAMS,
                num_return_sequences=results[task],
            )
            tokenizer.batch_decode(found, skip_special_tokens=True)
            asked += len(number)
            if asked >= users:
                return asked
        raise AssertionError

    def task(do: Callable[[str], int], name: str) -> Callable[[], int]:
        return lambda: do(name)

    answer(
        {f"train_{name}": task(train, name) for name in samplers}
        | {name: task(recommend, name) for name in rows}
    )


if __name__ == "__main__":
    main()
