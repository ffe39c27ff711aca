"""Tokenizers: a checkpoint's own, or a small one trained on the data set's texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from edgewise.data.splits import Split

_PAD, _EOS, _UNKNOWN = "<pad>", "</s>", "<unk>"
_DIGITS_PER_PIECE = 2


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    """A byte-pair tokenizer of the texts that spells an id of up to six digits in three pieces.

    An id's word and underscore with its first two digits is one piece, and so is every further
    group of up to two digits: ``item_1234`` is ``item_12 34`` whatever the texts were. First groups
    and later ones never share a piece, so that few embeddings have to be told apart at each step.

    Args:
        texts: what to learn sub-words from.
        vocab_size: number of learned sub-words, special tokens and id pieces not counted.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[_PAD, _EOS, _UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    groups = list(_digit_groups())
    starts = [
        AddedToken(word + group, lstrip=True, normalized=False)
        for word in ("user_", "item_")
        for group in groups
    ]
    tokenizer.add_tokens(starts + groups)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        eos_token=_EOS,
        unk_token=_UNKNOWN,
        clean_up_tokenization_spaces=False,
    )


def _digit_groups() -> Iterator[str]:
    for width in range(1, _DIGITS_PER_PIECE + 1):
        for number in range(10**width):
            yield f"{number:0{width}d}"


def corpus_of(split: Split, templates: Iterable[str]) -> Iterator[str]:
    """The texts a tokenizer may learn from: templates, titles, and reviews of train rows."""
    yield from templates
    yield from split.dataset.catalog.title
    for column in (split.train.summary, split.train.review):
        if column is not None:
            yield from column


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint, by hub name or local folder.

    Raises:
        ConfigError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(source))
    except Exception as error:  # a folder of somebody else may break transformers anywhere
        reason = " ".join(str(error).rstrip(".").split())
        raise ConfigError(
            f"no tokenizer could be loaded from {str(source)!r}: {reason}. Give a folder that "
            "holds tokenizer.json or spiece.model, or a hub name that this machine can reach."
        ) from error
