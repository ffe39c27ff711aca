"""Why a user may like an item: what the run writes, if that is worth reading, and the graph's say.

A text that comes no closer to what users write than one sentence for everybody looks like an
explanation all the same. So the run's own measurement stands beside it, and where it is no better
the reasons of the graph, which are facts of the train rows, come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgewise.data.dataset import Dataset, histories_of
from edgewise.data.ragged import Ragged
from edgewise.errors import EdgewiseError
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.influence import shared_takers, speaking_items
from edgewise.recommender import ScoreShare
from edgewise.runs.evaluate import (
    Conditions,
    TaskResult,
    evaluate_task,
    measured_texts,
    save_result,
    saved_result,
    worse_texts,
)
from edgewise.runs.predict import OnProgress
from edgewise.runs.run import Run

_MEASURED_PAIRS = 100
_NAMED_ITEMS, _NAMED_PARTS = 2, 3
_LEAST_SHARE = 0.05


@dataclass(frozen=True)
class SpeakingItem:
    """An item of the user's history that connects him with the explained one.

    Attributes:
        item_id, title: which it is.
        share: of what reaches the user from the explained item, between 0 and 1.
        shared_users: other users who took both, in the train rows.
    """

    item_id: str
    title: str
    share: float
    shared_users: int


@dataclass(frozen=True)
class Explanation:
    """Why a user may like an item.

    Attributes:
        user_id, item_id, title: the pair.
        text: what the run writes; None where it was not trained to explain.
        warning: why the text is not to be relied on; None where it is better than the most
            frequent text, and where there is none.
        reason: the graph's, in words.
        items: of the history that speak for it, strongest first.
        no_text: why there is no text, where there is none.
    """

    user_id: str
    item_id: str
    title: str
    text: str | None
    warning: str | None
    reason: str
    items: list[SpeakingItem]
    no_text: str = ""

    @property
    def is_trusted(self) -> bool:
        """Whether the text goes before the graph's reason."""
        return self.text is not None and self.warning is None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The text, or the graph's reason with the text after it."""
        if self.is_trusted:
            return [f"{self.title}: {self.text}"]
        wrote = self.no_text if self.text is None else self.text
        label = "" if self.text is None else "the run writes: "
        return [f"{self.title}: {self.reason}", f"({label}{wrote})"]


def explain_pair(
    run: Run, user: str, item: str, on_progress: OnProgress | None = None
) -> Explanation:
    """The text of a run, what is known of its worth, and the reasons of the train graph.

    Args:
        run: opened.
        user, item: raw ids.
        on_progress: told (done, total) pairs where texts have to be measured first.

    Raises:
        UnknownIdError: the data set has no such user or item.
    """
    dataset = run.dataset
    user_index, item_index = dataset.users.index_of(user), dataset.items.index_of(item)
    no_text = "" if "explanation" in run.model.tasks else "this run was not trained to explain"
    if not no_text and run.growth is not None and not run.growth.knows(user_index, item_index):
        no_text = "the run writes of users and items that it was fitted on alone"
    text = None if no_text else run.model.explain([(user_index, item_index)])[0]
    warning = None if no_text else text_warning(run, on_progress)
    items, reason = graph_reason(run, user_index, item_index)
    title = dataset.item_label(item_index)
    return Explanation(user, item, title, text, warning, reason, items, no_text)


@dataclass(frozen=True)
class NamedItem:
    """An item of the history that speaks in a part of a score.

    Attributes:
        item_id, title: which it is.
        share: of what all of the history says there, between 0 and 1.
    """

    item_id: str
    title: str
    share: float


@dataclass(frozen=True)
class ScorePart:
    """A part of an item's score.

    Attributes:
        name: of the part, such as ``texts`` or ``language model``.
        share: of all parts, by size; below 0 where it speaks against the item.
        evidence: how far it lifts the item above the mean of all items, in the score's unit.
        reason: in words, with titles.
        items: of the history that speak in it, strongest first.
    """

    name: str
    share: float
    evidence: float
    reason: str
    items: list[NamedItem]

    @property
    def line(self) -> str:
        """``55 % texts: titles like "Brush Roll"``."""
        return f"{100 * abs(self.share):.0f} % {self.name}: {self.reason}"


@dataclass(frozen=True)
class ScoreReason:
    """What makes up the score of an item for a user.

    Attributes:
        user_id, item_id, title: the pair.
        parts: strongest first; empty where the score has none.
        note: why there are none, or which rows the score is of; empty where all is usual.
    """

    user_id: str
    item_id: str
    title: str
    parts: list[ScorePart]
    note: str = ""

    def text(self) -> str:
        """The strongest parts in one sentence, and the note."""
        for_it = [part.line for part in self.parts if part.share >= _LEAST_SHARE][:_NAMED_PARTS]
        told = "; ".join(for_it) or "nothing speaks for it more than for others"
        against = [part.line for part in self.parts if part.share <= -_LEAST_SHARE][:1]
        lines = [f"{self.title}: {told}", *(f"(against it {line})" for line in against)]
        return "\n".join([*lines, *([f"({self.note})"] if self.note else [])])

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def score_reasons(
    run: Run, user: int, items: np.ndarray, histories: Ragged | None = None
) -> list[list[ScorePart]]:
    """The parts of each item's score in words, strongest first; empty lists where it has none.

    Args:
        run: opened.
        user: by index.
        items: by index, ``int64[n]``.
        histories: of all users; everything that the data set tells if left out, as
            ``edgewise recommend`` reads.
    """
    dataset = run.dataset
    if histories is None:
        histories = histories_of(dataset.num_users, dataset.interactions)
    found = run.model.score_shares(user, items, histories)
    return [[_told(dataset, share) for share in shares] for shares in found]


def without_parts(run: Run) -> str:
    """What is said of a run whose scores have no parts."""
    return f"this run of {run.label} mixes no item priors: its scores have no parts to tell"


def strongest(parts: Sequence[ScorePart]) -> str:
    """The part that speaks most for an item, as one line; empty where none does."""
    return next((part.line for part in parts if part.share > 0), "")


def score_reason(run: Run, user: str, item: str) -> ScoreReason:
    """What makes up the score that an item has for a user, by everything the data set tells.

    Of an item that the user has, it is the score before he took it first.

    Args:
        run: opened.
        user, item: raw ids.

    Raises:
        UnknownIdError: the data set has no such user or item.
    """
    dataset = run.dataset
    user_index, item_index = dataset.users.index_of(user), dataset.items.index_of(item)
    histories = histories_of(dataset.num_users, dataset.interactions)
    taken, note = np.flatnonzero(histories[user_index] == item_index), ""
    if len(taken):
        place = histories.place_of_value < taken[0]
        histories = histories.keep((histories.row_of_value != user_index) | place)
        note = f"{user} has it: this is its score before, after {taken[0]:,} items"
    (parts,) = score_reasons(run, user_index, np.array([item_index]), histories)
    if not parts and not histories.lengths[user_index]:
        note = f"nothing is known of {user} before: people without a history get popular items"
    elif not parts:
        note = without_parts(run)
    return ScoreReason(user, item, dataset.item_label(item_index), parts, note)


def _told(dataset: Dataset, share: ScoreShare) -> ScorePart:
    items = [
        NamedItem(dataset.items.ids[item], dataset.item_label(item), part)
        for item, part in share.items
    ]
    titles = " and ".join(f'"{each.title}"' for each in items[:_NAMED_ITEMS])
    reason = f"{share.reason} {titles}" if titles else share.reason
    return ScorePart(share.name, share.share, share.evidence, reason, items)


def text_warning(run: Run, on_progress: OnProgress | None = None) -> str | None:
    """Why a run's explanations are not to be relied on; None if they beat the most frequent text.

    What was evaluated counts, on test rows before validation rows. Where nothing was, up to 100
    validation pairs are measured and kept beside the run's other results.
    """
    try:
        found = _measured(run, on_progress)
    except EdgewiseError as error:
        return f"the run's explanations cannot be measured ({error})"
    if found is None:
        return "no review is held out: whether the run's explanations are worth reading is unknown"
    return worse_texts(found)


def _measured(run: Run, on_progress: OnProgress | None) -> TaskResult | None:
    for part in ("test", "valid"):
        if found := saved_result(run.folder, run.label, "explanation", part):
            return found
    if not len(measured_texts(run, "valid")):
        return None
    conditions = Conditions(part="valid", max_users=_MEASURED_PAIRS)
    found = evaluate_task(run, "explanation", conditions, on_progress)
    with suppress(OSError):  # a run that cannot be written to is measured again
        save_result(found, run, conditions, run.folder / "evaluation")
    return found


def graph_reason(run: Run, user: int, item: int) -> tuple[list[SpeakingItem], str]:
    """The items that speak for an item, and the same in words: who else took both.

    Args:
        run: opened; the edges are its train rows.
        user, item: by index.
    """
    dataset = run.dataset
    graph = BipartiteGraph.from_interactions(run.split.train, dataset.num_users, dataset.num_items)
    speaking, shares = speaking_items(graph, user, item)
    counts = shared_takers(graph, user, item)
    items = [
        SpeakingItem(dataset.items.ids[i], dataset.item_label(i), float(share), int(counts[i]))
        for i, share in zip(speaking.tolist(), shares, strict=True)
    ]
    return items, _in_words(dataset, user, int(counts[item]), items)


def _in_words(dataset: Dataset, user: int, takers: int, items: list[SpeakingItem]) -> str:
    if items:
        named = [
            f"{_people(each.shared_users)} who also bought {each.title}"
            for each in items[:_NAMED_ITEMS]
        ]
        return f"bought by {' and by '.join(named)}"
    if not takers:
        return "nobody else bought it in the train rows: the graph has no reason"
    has = f"anything else that {dataset.users.ids[user]} has"
    return f"bought by {_people(takers)}, none of whom bought {has}"


def _people(count: int) -> str:
    return f"{count:,} {'person' if count == 1 else 'people'}"
