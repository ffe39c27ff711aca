"""T5 folders as people have them: a sentencepiece model, and random weights of a tiny size."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from edgewise.models.elmrec.prompts import all_templates


def save_sentencepiece_tokenizer(folder: Path) -> Path:
    """Train a sentencepiece model on templates and ids, and save it the way T5 is distributed."""
    sentencepiece = pytest.importorskip("sentencepiece")
    numbers = [f"{n} {n * 37 % 1000}" for n in range(300)]
    ids = [f"user_{n * 7} item_{n * 13}" for n in range(300)]
    lines = [*all_templates(), *numbers, *ids]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=220,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(model.getvalue())
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    return folder


def save_tiny_t5(folder: Path) -> Path:
    """A T5 checkpoint of random weights with that tokenizer."""
    import torch
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    save_sentencepiece_tokenizer(folder)
    size = len(AutoTokenizer.from_pretrained(str(folder))) + 3  # as T5's, larger than its tokenizer
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=size,
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=1,
        num_decoder_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder
