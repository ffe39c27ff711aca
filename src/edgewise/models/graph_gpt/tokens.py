"""One vocabulary of words, users and items.

Text tokens come first, then one token a user, then one token an item, so that ids are never split.
With T text tokens, the token of graph node n (users first, then items) is T + n. Where prompts name
no user, users may do without tokens: those of items then follow the text's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewise.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from edgewise.data.splits import Split

_TEMPLATE_COUNT = 1000


class TokenSpace:
    """Numbers of words, users and items.

    Args:
        tokenizer: of the text.
        num_users, num_items: of the data set.
        with_users: whether users have tokens.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        num_users: int,
        num_items: int,
        with_users: bool = True,
    ) -> None:
        self.tokenizer = tokenizer
        self.num_text = len(tokenizer)
        self.num_users, self.num_items = num_users, num_items
        self.num_user_tokens = num_users if with_users else 0
        self._encoded: dict[str, np.ndarray] = {}

    def __repr__(self) -> str:
        return f"TokenSpace(text={self.num_text}, users={self.num_users}, items={self.num_items})"

    def __len__(self) -> int:
        return self.first_item + self.num_items

    @property
    def first_item(self) -> int:
        """The token of item 0."""
        return self.num_text + self.num_user_tokens

    @cached_property
    def end_token(self) -> int:
        """Ends a text.

        Raises:
            ConfigError: the tokenizer has none.
        """
        end = self.tokenizer.eos_token_id
        if end is None:
            raise ConfigError(
                f"the tokenizer {self.tokenizer.name_or_path!r} has no end token, with which "
                'texts are closed: name one as "eos_token" in its tokenizer_config.json'
            )
        return _number(end)

    @cached_property
    def pad_token(self) -> int:
        """Fills short rows; the end token where a tokenizer, such as GPT-2's, has none."""
        pad = self.tokenizer.pad_token_id
        return self.end_token if pad is None else _number(pad)

    @cached_property
    def blank_tokens(self) -> np.ndarray:
        """Which text tokens are white space alone, ``bool[T]``."""
        words = self.tokenizer.batch_decode([[token] for token in range(self.num_text)])
        return np.array([not str(word).strip() for word in words], dtype=bool)

    def user_token(self, user_index: int | np.ndarray):
        """The token of a user, or of each user of an array."""
        return self.num_text + user_index

    def item_token(self, item_index: int | np.ndarray):
        """The token of an item, or of each item of an array."""
        return self.first_item + item_index

    def nodes_of(self, tokens: np.ndarray) -> np.ndarray:
        """The graph node of each token, -1 for words, in the tokens' shape."""
        first = self.num_text + self.num_user_tokens - self.num_users
        return np.where(tokens < self.num_text, -1, tokens - first)

    def encode_text(self, text: str) -> np.ndarray:
        """The tokens of a text, ``int64``; kept, so that a template is split once."""
        if text not in self._encoded:
            row = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            encoded = np.array(row, dtype=np.int64)
            encoded.flags.writeable = False
            self._encoded[text] = encoded
        return self._encoded[text]


def _number(token: Any) -> int:
    return int(token)


def corpus_of(split: Split, templates: Sequence[str]) -> Iterator[str]:
    """The texts a tokenizer may learn from: templates, item texts, and reviews of train rows.

    Templates stand in every prompt: they are counted often, so that each word becomes one token.
    Every other text follows a colon or a comma, and is learned with the space before it.
    """
    for _ in range(_TEMPLATE_COUNT):
        yield from templates
    yield from (f" {text}" for text in _texts(split) if text)


def _texts(split: Split) -> Iterator[str | None]:
    catalog = split.dataset.catalog
    yield from catalog.title
    yield from catalog.brand
    yield from catalog.description
    for names in catalog.categories:
        yield from names
    for column in (split.train.summary, split.train.review):
        if column is not None:
            yield from column


def train_text_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    """A byte-level byte-pair tokenizer like GPT-2's, learned from the data's own texts.

    Every string can be spelled, so there is no unknown token.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    pad, end = "<|padding|>", "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[pad, end],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=end,
        clean_up_tokenization_spaces=False,
    )
