"""Prompts of the three tasks: templates, and how users and items are spelled in them.

A template is words and slots separated by single spaces, so that every word is tokenised apart from
its neighbours. Slots: ``{user}``, ``{item}``, ``{history}`` (items, oldest first) and
``{candidates}``. The short template of a task, ids alone, follows the distilled soft prompt
(ELMRec, Section 3.1, Fig. 2).

Every *whole word* (P5's term: a user, an item, or one word of a template) is tokenised once, and a
prompt is an array of whole words to be looked up. They are numbered users first, then items, then
somebody unknown, then words of templates, so that one below ``num_nodes`` is a node of the
user-item graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgewise.data.ragged import Ragged
from edgewise.decoding.trie import TokenTable
from edgewise.errors import ConfigError, DataError
from edgewise.models.elmrec.config import PromptConfig
from edgewise.recommender import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHORT_TEMPLATE: dict[Task, str] = {
    "explanation": "{user} {item}",
    "sequential": "{user} {history}",
    "direct": "{user} {candidates}",
}

TEMPLATES: dict[Task, tuple[str, ...]] = {
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

_SLOTS = ("{user}", "{item}", "{history}", "{candidates}")


def all_templates() -> Iterator[str]:
    """The full templates of all tasks."""
    for templates in TEMPLATES.values():
        yield from templates


@dataclass(frozen=True)
class TemplateChoice:
    """Which template a prompt follows.

    Attributes:
        rate: share of training batches with a full template; 1 where no soft prompt stands in for
            it.
    """

    rate: float

    @classmethod
    def of(cls, prompts: PromptConfig) -> TemplateChoice:
        """As the settings say."""
        return cls(prompts.template_rate if prompts.num_prompt_embeddings else 1.0)

    def draw(self, task: Task, rng: np.random.Generator) -> str:
        """A template for one training batch."""
        short = rng.random() >= self.rate
        choices = (SHORT_TEMPLATE[task],) if short else TEMPLATES[task]
        return choices[int(rng.integers(len(choices)))]

    def for_inference(self, task: Task) -> str:
        """The template that recommendations and validation use."""
        return SHORT_TEMPLATE[task] if self.rate < 1 else TEMPLATES[task][0]


def spell_user(index: int) -> str:
    """A user as text; numbers start at 1, and ``user_0`` is somebody not in the data."""
    return f"user_{index + 1}"


def spell_item(index: int) -> str:
    """An item as text; numbers start at 1."""
    return f"item_{index + 1}"


@dataclass(frozen=True, eq=False)
class EntityTokenTable:
    """Tokens of all whole words.

    Attributes:
        num_users, num_items: U and I; words ``0..U - 1`` are users, the next I are items.
        tokens: what each whole word is spelled with, ``int64``.
        template_words: number of each word that occurs in a template.
        pad_id, eos_id: of the tokenizer.
        first_entity: where a user or item is read as one token, the number of the first user's;
            that of whole word w is ``first_entity + w``. None where ids are read as spelled.
    """

    num_users: int
    num_items: int
    tokens: Ragged
    template_words: dict[str, int]
    pad_id: int
    eos_id: int
    first_entity: int | None = None

    @property
    def num_nodes(self) -> int:
        """Users and items."""
        return self.num_users + self.num_items

    @property
    def unknown_user(self) -> int:
        """The whole word that stands for somebody not in the data."""
        return self.num_nodes

    @cached_property
    def read(self) -> Ragged:
        """What the encoder reads of each whole word, ``int64``."""
        if self.first_entity is None:
            return self.tokens
        entities = np.arange(self.unknown_user + 1)
        words = self.tokens.take(np.arange(len(entities), len(self.tokens)))
        lengths = np.concatenate([np.ones_like(entities), words.lengths])
        return Ragged.of_lengths(
            lengths, np.concatenate([self.first_entity + entities, words.values])
        )

    @cached_property
    def spellings(self) -> TokenTable:
        """Every item's tokens with the end token, as the decoder writes them."""
        items = self.tokens.take(np.arange(self.num_users, self.num_nodes))
        lengths = items.lengths + 1
        table = np.full((self.num_items, int(lengths.max())), self.pad_id, dtype=np.int64)
        table[items.row_of_value, items.place_of_value] = items.values
        table[np.arange(self.num_items), items.lengths] = self.eos_id
        return TokenTable(table, lengths)

    def target(self, item: int) -> np.ndarray:
        """The tokens of an item as an answer, end token included; its number where it is one."""
        if self.first_entity is not None:
            return np.array([item], dtype=np.int64)
        return self.spellings.tokens[item, : self.spellings.lengths[item]]


def build_entity_token_table(
    tokenizer: PreTrainedTokenizerBase,
    num_users: int,
    num_items: int,
    ids: Literal["spelled", "one-token"] = "spelled",
) -> EntityTokenTable:
    """Tokenise every user, every item and every word of every template, each once.

    Args:
        tokenizer: of the language model.
        num_users, num_items: U and I.
        ids: how users and items are read, as ``prompts.ids`` says.

    Raises:
        ConfigError: the tokenizer cannot tell two items apart.
    """
    entities = [spell_user(u) for u in range(num_users)] + [spell_item(i) for i in range(num_items)]
    words = sorted({word for text in all_templates() for word in text.split(" ")} - set(_SLOTS))
    texts = [*entities, spell_user(-1), *words]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    first_word = len(entities) + 1
    pad_id, eos_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    table = EntityTokenTable(
        num_users,
        num_items,
        Ragged.of_rows([np.array(row, dtype=np.int64) for row in encoded]),
        {word: first_word + n for n, word in enumerate(words)},
        int(pad_id),  # pyright: ignore[reportArgumentType]
        int(eos_id),  # pyright: ignore[reportArgumentType]
        None if ids == "spelled" else len(tokenizer),
    )
    try:
        _ = table.spellings
    except DataError as error:
        raise ConfigError(
            "the tokenizer spells two items alike (it lacks digits); use another backbone or "
            f"tokenizer: {error}"
        ) from error
    return table


@dataclass(frozen=True)
class PromptWriter:
    """Fills templates with users and items; a user index of -1 is somebody not in the data.

    Attributes:
        table: numbers all whole words.
        max_history: a longer history keeps its newest items.
    """

    table: EntityTokenTable
    max_history: int = 20

    def explanation(
        self, users: np.ndarray, items: np.ndarray, template: str = SHORT_TEMPLATE["explanation"]
    ) -> list[np.ndarray]:
        """Prompts for what each user would say about each item."""
        return self._write(template, users, list(items[:, None]))

    def sequential(
        self,
        users: np.ndarray,
        histories: Sequence[np.ndarray],
        template: str = SHORT_TEMPLATE["sequential"],
    ) -> list[np.ndarray]:
        """Prompts for the item after each history, oldest item first."""
        return self._write(template, users, [row[-self.max_history :] for row in histories])

    def direct(
        self,
        users: np.ndarray,
        candidates: Sequence[np.ndarray],
        template: str = SHORT_TEMPLATE["direct"],
    ) -> list[np.ndarray]:
        """Prompts for the best of each user's candidates."""
        return self._write(template, users, candidates)

    def _write(
        self, template: str, users: np.ndarray, items: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """One array of whole words a user; ``items`` fill the slot that is not the user's."""
        spelled = np.where(users < 0, self.table.unknown_user, users).astype(np.int64)
        columns: list[Sequence[np.ndarray]] = []
        for word in template.split(" "):
            if word == "{user}":
                columns.append(list(spelled[:, None]))
            elif word in _SLOTS:
                columns.append([row + self.table.num_users for row in items])
            else:
                columns.append([np.array([self.table.template_words[word]])] * len(users))
        return [np.concatenate(row) for row in zip(*columns, strict=True)]
