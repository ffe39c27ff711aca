"""A split as RecBole's atomic files, and the lists of a peer as recommendations of ours.

Both packages then learn from the same rows and are asked about the same ones. Users and items are
called by their index numbers in the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.data.item_lists import Recommendations
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.files import write_text
from edgewise.item_texts import ItemAttributes

PARTS = ("train", "valid", "test")
_LIST = "item_id_list"
ATTRIBUTES = "attributes"


def write_atomic(
    split: Split, folder: Path, max_items: int | None, min_items: int | None = None
) -> dict[str, Any]:
    """Write ``peer/peer.{train,valid,test}.inter``, and ``peer/peer.item``, below a folder.

    Args:
        split: what is written.
        folder: RecBole's ``data_path``.
        max_items: of a row's history, the newest; None writes pairs without histories. With them,
            the train part has a row for each item that follows others, which is how RecBole cuts
            histories itself.
        min_items: items that a brand or category has at least, for models that read attributes;
            None writes none.

    Returns:
        The settings that tell RecBole what the files hold.
    """
    fields = {"user_id": "token", "item_id": "token"}
    if max_items is not None:
        fields[_LIST] = "token_seq"
    head = "\t".join(f"{name}:{kind}" for name, kind in fields.items())
    for part in PARTS:
        rows = _pairs(split, part) if max_items is None else _followed(split, part, max_items)
        write_text(folder / "peer" / f"peer.{part}.inter", "\n".join([head, *rows, ""]))
    settings: dict[str, Any] = {
        "data_path": str(folder),
        "benchmark_filename": list(PARTS),
        "load_col": {"inter": list(fields)},
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
    }
    if min_items is not None:
        write_text(folder / "peer" / "peer.item", "\n".join([*_attributes(split, min_items), ""]))
        settings["load_col"]["item"] = ["item_id", ATTRIBUTES]
    if max_items is not None:
        lists = {"alias_of_item_id": [_LIST], "MAX_ITEM_LIST_LENGTH": max_items}
        settings |= {**lists, "seq_len": {_LIST: max_items}}
    return settings


def _attributes(split: Split, min_items: int) -> Iterator[str]:
    yield f"item_id:token\t{ATTRIBUTES}:token_seq"
    matrix = ItemAttributes.of(split.dataset, min_items, "this peer").matrix
    for item in range(split.dataset.num_items):
        names = matrix.indices[matrix.indptr[item] : matrix.indptr[item + 1]]
        yield f"{item}\t{' '.join(map(str, names.tolist()))}"


def _pairs(split: Split, part: str) -> Iterator[str]:
    rows = split.train if part == "train" else split.held_out(part)
    for user, item in zip(rows.user_index.tolist(), rows.item_index.tolist(), strict=True):
        yield f"{user}\t{item}"


def _followed(split: Split, part: str, max_items: int) -> Iterator[str]:
    """Items with what their users had before them."""
    if part == "train":
        histories = split.known_before("valid")
        for user in range(len(histories)):
            items = histories[user].tolist()
            for end in range(1, len(items)):
                yield _row(user, items[end], items[max(0, end - max_items) : end])
        return
    known, rows = split.known_before(part), split.held_out(part)
    for user, item in zip(rows.user_index.tolist(), rows.item_index.tolist(), strict=True):
        yield _row(user, item, known[user][-max_items:].tolist())


def _row(user: int, item: int, history: list[int]) -> str:
    return f"{user}\t{item}\t{' '.join(map(str, history))}"


class ImportedLists:
    """Lists of another package, as a model that :func:`evaluate_sequential` may ask.

    Args:
        users: index numbers, ``int64[U]``.
        items: each user's best items first, seen ones may be among them, ``int64[U, K]``.
        scores: of these; items without a finite score are none, ``float[U, K]``.
    """

    tasks = ("sequential",)

    def __init__(self, users: np.ndarray, items: np.ndarray, scores: np.ndarray) -> None:
        self._row = {user: row for row, user in enumerate(users.tolist())}
        self._items, self._scores = items, scores

    def recommend(
        self,
        users: np.ndarray,
        k: int,
        *,
        histories: Ragged,
        exclude_seen: bool = True,
    ) -> Recommendations:
        """The k best of each user's list that the user has not seen."""
        found, scores = list[np.ndarray](), list[np.ndarray]()
        for user in users.tolist():
            row = self._row[user]
            keep = np.isfinite(self._scores[row])
            if exclude_seen:
                keep &= ~np.isin(self._items[row], histories[user])
            found.append(self._items[row][keep][:k])
            scores.append(self._scores[row][keep][:k])
        return Recommendations.from_lists(users, found, scores)
