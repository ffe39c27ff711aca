"""Sizes and the tokenizer that both sides share, whatever versions their environments have."""

from __future__ import annotations

from typing import Any

VOCABULARY = 32_128
T5_SMALL = {
    "vocab_size": VOCABULARY,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_decoder_layers": 6,
    "num_heads": 8,
    "n_positions": 512,
    "dropout_rate": 0.1,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}
GPT2_SMALL = {"n_layer": 12, "n_embd": 768, "n_head": 12, "n_positions": 1024}
GPT2_WORDS = 50_257
TRAINING_BATCH = 8
TRAINING_STEPS = {"direct": 2, "sequential": 6}  # of one turn: batches differ
NUM_BEAMS, NUM_RESULTS, NUM_EXTRA = 20, 10, 10


def one_tokenizer() -> Any:
    """The tokenizer of both sides: as T5's, ``item_1234`` is ``item``, ``_`` and groups of digits.

    T5's own would have to be fetched; its groups of digits are of about the same length.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    groups = [f"{n:0{width}d}" for width in (1, 2) for n in range(10**width)]
    letters = [chr(code) for code in range(33, 127) if not chr(code).isdigit()]
    pieces = [*groups, *letters, "user", "item"]
    marked = ["\u2581", *("\u2581" + piece for piece in pieces)]
    vocabulary = ["<pad>", "</s>", "<unk>", *marked, *pieces]
    # Every piece costs the same, so that the fewest are taken.
    scored = [(piece, -1.0) for piece in dict.fromkeys(vocabulary)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
