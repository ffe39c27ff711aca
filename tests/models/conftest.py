"""Two real tokenizers, one trained on a shop's texts and one of T5's kind; what loading loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.checkpoints import save_sentencepiece_tokenizer

from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.elmrec.prompts import all_templates
from edgewise.models.tokenizers import corpus_of, load_tokenizer, train_tokenizer


@pytest.fixture(scope="session")
def trained_tokenizer():
    """Ours, trained on the demo shop's texts."""
    split = leave_one_out(make_demo_shop(0, 60, 48))
    return train_tokenizer(corpus_of(split, all_templates()), 300)


@pytest.fixture(scope="session")
def t5_tokenizer(tmp_path_factory):
    """T5's kind: a sentencepiece model in a folder, read by the library."""
    return load_tokenizer(save_sentencepiece_tokenizer(tmp_path_factory.mktemp("t5")))


@pytest.fixture(scope="session", params=["trained", "t5"])
def tokenizer(request):
    return request.getfixturevalue(f"{request.param}_tokenizer")


def libraries_to_answer(folder: Path) -> set[str]:
    """Which of the heavy ones are loaded when a saved model recommends."""
    code = f"""
import sys
from edgewise import load_model
load_model({str(folder)!r}).recommend([0], 3)
heavy = {{"torch", "torch._dynamo", "transformers", "accelerate", "pandas", "sklearn"}}
print(*sorted(heavy & sys.modules.keys()))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return set(done.stdout.split())
