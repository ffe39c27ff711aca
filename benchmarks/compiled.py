"""Whether ``torch.compile`` makes T5-small's encoder faster on a processor, against ours without.

Random weights, one thread, eight direct prompts of about 360 tokens, in turns; seconds of
processor, which other work does not stretch. ``compiling`` is what the first call takes.
"""

from __future__ import annotations

import time
from statistics import median

import torch
from measuring import Figures, report
from transformers import T5Config, T5ForConditionalGeneration

from edgewise.models.t5_forward import encode

_PROMPTS, _TOKENS, _ROUNDS = 8, 360, 3


def measure() -> Figures:
    """Prompts a second of three ways, and seconds of compiling."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    t5 = T5ForConditionalGeneration(T5Config(vocab_size=100)).eval()
    inputs = torch.randn(_PROMPTS, _TOKENS, t5.config.d_model)
    mask = torch.ones(_PROMPTS, _TOKENS, dtype=torch.int64)
    compiled = torch.compile(t5.encoder)
    ways = {
        "ours": lambda: encode(t5, inputs, mask, False),
        "library": lambda: t5.encoder(inputs_embeds=inputs, attention_mask=mask),
        "compiled": lambda: compiled(inputs_embeds=inputs, attention_mask=mask),
    }
    rounds: list[dict[str, float]] = []
    with torch.no_grad():
        for _ in range(1 + _ROUNDS):
            times = {}
            for name, run in ways.items():
                start = time.process_time()
                run()
                times[name] = time.process_time() - start
            rounds.append(times)
    took = {name: median(times[name] for times in rounds[1:]) for name in ways}
    rates = {f"{name}_prompts_per_second": _PROMPTS / each for name, each in took.items()}
    ratio = took["library"] / took["compiled"]
    return {
        "encoder": {
            **rates,
            "times_of_compiling": ratio,
            "compiling_seconds": rounds[0]["compiled"],
        }
    }


if __name__ == "__main__":
    report(measure, __doc__)
