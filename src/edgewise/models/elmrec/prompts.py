"""The wordings of the three tasks, as data.

A wording is words and slots separated by single spaces, so that every word is tokenised apart from
its neighbours. Slots: ``{user}``, ``{item}``, ``{history}`` (items, oldest first) and
``{candidates}``. The short wording of a task, ids alone, follows the distilled prompt vectors
(Section 3.1, Fig. 2).

Every user, item and word tokenised once; prompts are then looked up, not tokenised.

A *piece* is a user, an item or one word of a wording. Pieces are numbered users first, then items,
then words, so that a piece below ``num_nodes`` is a node of the user-item graph.

Prompts of the three tasks as pieces, ready to be looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from edgewise.errors import ConfigError
from edgewise.recommender import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


SHORT_WORDING: dict[Task, str] = {
    "explanation": "{user} {item}",
    "sequential": "{user} {history}",
    "direct": "{user} {candidates}",
}

WORDINGS: dict[Task, tuple[str, ...]] = {
    "explanation": (
        "Tell {user} in one line why {item} is worth having .",
        "What would {user} say about {item} ?",
        "Write a short reason for {user} to take {item} .",
        "How does {item} suit {user} ?",
        "Sum up what {user} thinks of {item} .",
    ),
    "sequential": (
        "So far {user} took {history} . What comes next ?",
        "Here is the list of {user} in order of time : {history} . Name the next item .",
        "After {history} , which item will {user} take ?",
        "Continue the history of {user} : {history}",
        "Given {history} , guess what {user} wants next .",
    ),
    "direct": (
        "Choose one item for {user} among {candidates} .",
        "Which of these would {user} like best ? {candidates}",
        "Candidates for {user} : {candidates} . Pick one .",
        "From {candidates} , select the item that fits {user} .",
        "Look at {candidates} . What should we show to {user} ?",
    ),
}


SLOTS = ("{user}", "{item}", "{history}", "{candidates}")


def spell_user(index: int) -> str:
    """A user as text; numbers start at 1, and ``user_0`` is somebody not in the data."""
    return f"user_{index + 1}"


def spell_item(index: int) -> str:
    """An item as text; numbers start at 1."""
    return f"item_{index + 1}"


@dataclass(frozen=True)
class EntityTokenTable:
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


def build_entity_token_table(
    tokenizer: PreTrainedTokenizerBase, num_users: int, num_items: int
) -> EntityTokenTable:
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
    table = EntityTokenTable(
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


def _check_items_differ(table: EntityTokenTable) -> None:
    targets, _ = table.item_targets
    if len(np.unique(targets, axis=0)) < table.num_items:
        raise ConfigError(
            "the tokenizer spells two items alike (it lacks digits); use another backbone or "
            "tokenizer"
        )


def wordings_of(task: Task, *, short: bool) -> tuple[str, ...]:
    """The wordings of a task: ids alone, or the several full ones."""
    return (SHORT_WORDING[task],) if short else WORDINGS[task]


@dataclass(frozen=True)
class PromptWriter:
    """Fills wordings with users and items.

    A user index of -1 stands for somebody not in the data.

    Attributes:
        table: pieces of all entities and words.
        max_history: a longer history keeps its newest items.
    """

    table: EntityTokenTable
    max_history: int = 20

    def explanation(
        self, users: np.ndarray, items: np.ndarray, wording: str = SHORT_WORDING["explanation"]
    ) -> list[np.ndarray]:
        """Prompts for what each user would say about each item."""
        return self._write(wording, users, item=[np.array([item]) for item in items])

    def sequential(
        self,
        users: np.ndarray,
        histories: Sequence[np.ndarray],
        wording: str = SHORT_WORDING["sequential"],
    ) -> list[np.ndarray]:
        """Prompts for the item after each history, oldest item first."""
        newest = [history[-self.max_history :] for history in histories]
        return self._write(wording, users, history=newest)

    def direct(
        self,
        users: np.ndarray,
        candidates: Sequence[np.ndarray],
        wording: str = SHORT_WORDING["direct"],
    ) -> list[np.ndarray]:
        """Prompts for the best of each user's candidates."""
        return self._write(wording, users, candidates=candidates)

    def _write(
        self, wording: str, users: np.ndarray, **slots: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        user_pieces = np.where(users < 0, self.table.unknown_user, users)
        columns: list[Sequence[np.ndarray]] = []
        for word in wording.split(" "):
            if word == "{user}":
                columns.append(list(user_pieces[:, None]))
            elif word in SLOTS:
                items = slots[word.strip("{}")]
                columns.append([row + self.table.num_users for row in items])
            else:
                columns.append([np.array([self.table.words[word]])] * len(users))
        return [np.concatenate(row) for row in zip(*columns, strict=True)]
