"""Every user, item and word tokenised once; prompts are then looked up, not tokenised.

A *piece* is a user, an item or one word of a wording. Pieces are numbered users first, then items,
then words, so that a piece below ``num_nodes`` is a node of the user-item graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from edgewise.errors import ConfigError
from edgewise.prompts.templates import SHORT_WORDING, WORDINGS, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SLOTS = ("{user}", "{item}", "{history}", "{candidates}")


def spell_user(index: int) -> str:
    """A user as text; numbers start at 1, and ``user_0`` is somebody not in the data."""
    return f"user_{index + 1}"


def spell_item(index: int) -> str:
    """An item as text; numbers start at 1."""
    return f"item_{index + 1}"


@dataclass(frozen=True)
class PieceTable:
    """Tokens of all pieces as compressed rows.

    Attributes:
        num_users, num_items: pieces ``0..num_users - 1`` are users, the next ``num_items`` items.
        unknown_user: the piece that stands for a user not in the data.
        offsets: ``int64[pieces + 1]``.
        tokens: ``int64[offsets[-1]]``.
        words: piece of each word that occurs in a wording.
        pad_id, eos_id: of the tokenizer.
    """

    num_users: int
    num_items: int
    unknown_user: int
    offsets: np.ndarray
    tokens: np.ndarray
    words: dict[str, int]
    pad_id: int
    eos_id: int

    @property
    def num_nodes(self) -> int:
        """Users and items."""
        return self.num_users + self.num_items

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each piece, ``int64[pieces]``."""
        return np.diff(self.offsets)

    def tokens_of(self, piece: int) -> np.ndarray:
        """The tokens of one piece."""
        return self.tokens[self.offsets[piece] : self.offsets[piece + 1]]

    @cached_property
    def item_targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Every item's tokens with the end token, right-padded.

        Returns:
            tokens ``int64[I, T]`` and lengths ``int64[I]``.
        """
        first, last = self.num_users, self.num_nodes
        lengths = self.lengths[first:last] + 1
        table = np.full((self.num_items, int(lengths.max())), self.pad_id, dtype=np.int64)
        rows = np.repeat(np.arange(self.num_items), lengths - 1)
        flat = self.tokens[self.offsets[first] : self.offsets[last]]
        columns = np.arange(len(flat)) - np.repeat(
            self.offsets[first:last] - self.offsets[first], lengths - 1
        )
        table[rows, columns] = flat
        table[np.arange(self.num_items), lengths - 1] = self.eos_id
        return table, lengths


def build_piece_table(
    tokenizer: PreTrainedTokenizerBase, num_users: int, num_items: int
) -> PieceTable:
    """Tokenise every user, every item and every word of every wording, each once.

    Raises:
        ConfigError: the tokenizer cannot tell two items apart.
    """
    entities = [spell_user(u) for u in range(num_users)] + [spell_item(i) for i in range(num_items)]
    words = sorted(_wording_words())
    texts = [*entities, spell_user(-1), *words]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in encoded], out=offsets[1:])
    tokens = np.fromiter((t for row in encoded for t in row), dtype=np.int64, count=offsets[-1])
    first_word = len(entities) + 1
    pad_id, eos_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    table = PieceTable(
        num_users,
        num_items,
        len(entities),
        offsets,
        tokens,
        {word: first_word + n for n, word in enumerate(words)},
        int(pad_id),  # pyright: ignore[reportArgumentType]
        int(eos_id),  # pyright: ignore[reportArgumentType]
    )
    _check_items_differ(table)
    return table


def _wording_words() -> set[str]:
    wordings = [w for task in WORDINGS.values() for w in task]
    return {word for wording in wordings for word in wording.split(" ")} - set(SLOTS)


def _check_items_differ(table: PieceTable) -> None:
    targets, _ = table.item_targets
    if len(np.unique(targets, axis=0)) < table.num_items:
        raise ConfigError(
            "the tokenizer spells two items alike (it lacks digits); use another backbone or "
            "tokenizer"
        )


def wordings_of(task: Task, *, short: bool) -> tuple[str, ...]:
    """The wordings of a task: ids alone, or the several full ones."""
    return (SHORT_WORDING[task],) if short else WORDINGS[task]
