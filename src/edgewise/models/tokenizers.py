"""Tokenizers: a checkpoint's own, or a small one trained on the data set's texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edgewise.errors import ConfigError
from edgewise.parsing import parse_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from edgewise.data.splits import Split

_PAD, _EOS, _UNKNOWN = "<pad>", "</s>", "<unk>"
_DIGITS_PER_PIECE = 2
_TOKENS, _SETTINGS = "tokenizer.json", "tokenizer_config.json"
# Classes of the library; what they do is all in tokenizer.json.
_IN_ONE_FILE = ("TokenizersBackend", "GPT2Tokenizer", "T5Tokenizer")


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


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder of ours, the library's or one that stands in for it.

    Raises:
        ConfigError: there is none.
    """
    try:
        files = {name: (folder / name).read_text(encoding="utf-8") for name in (_TOKENS, _SETTINGS)}
        # Some numbers are longer than any of ours.
        settings = parse_json(files[_SETTINGS], numbers_as_text=True)
        tidy = settings.get("clean_up_tokenization_spaces") or settings["backend"] != "tokenizers"
        if settings["tokenizer_class"] in _IN_ONE_FILE and not tidy:
            return cast("PreTrainedTokenizerBase", SavedTokenizer(folder, files, settings))
    except Exception:  # whatever is wrong with the files, the library says it
        pass
    return load_tokenizer(folder)


class SavedTokenizer:
    """A tokenizer that was saved by the library, read without it: importing it takes long.

    Args:
        folder: where it was saved.
        files: the texts of the files there by their names, which are saved again.
        settings: what ``tokenizer_config.json`` says.
    """

    def __init__(self, folder: Path, files: dict[str, str], settings: dict[str, Any]) -> None:
        from tokenizers import Tokenizer

        self.name_or_path, self._files = str(folder), files
        self._tokenizer = Tokenizer.from_str(files[_TOKENS])
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        special = (settings.get(name) for name in ("pad_token", "eos_token", "unk_token"))
        self.pad_token_id, self.eos_token_id, self.unk_token_id = map(self._number, special)

    def _number(self, token: Any) -> int | None:
        token = token["content"] if isinstance(token, dict) else token
        return None if token is None else self._tokenizer.token_to_id(token)

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def get_vocab(self) -> dict[str, int]:
        """Numbers of tokens."""
        return self._tokenizer.get_vocab()

    def __call__(
        self, text: str | Sequence[str], add_special_tokens: bool = True, **_: object
    ) -> dict[str, Any]:
        """Numbers of a text's tokens, or of each text's, as ``input_ids``."""
        if isinstance(text, str):
            return {"input_ids": self._tokenizer.encode(text, None, False, add_special_tokens).ids}
        rows = self._tokenizer.encode_batch_fast([*text], False, add_special_tokens)
        return {"input_ids": [row.ids for row in rows]}

    def decode(self, tokens: Any, skip_special_tokens: bool = False) -> str:
        """The text of tokens: numbers, or an array or tensor of them."""
        numbers = tokens.tolist() if hasattr(tokens, "tolist") else [*tokens]
        return self._tokenizer.decode(numbers, skip_special_tokens=skip_special_tokens)

    def batch_decode(self, rows: Iterable[Any]) -> list[str]:
        """The text of each row of tokens."""
        return [self.decode(row) for row in rows]

    def save_pretrained(self, folder: Path) -> None:
        """Write the files that it was read from."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self._files.items():
            (folder / name).write_text(text, encoding="utf-8")
