"""The baseline every model is printed beside: the same popular items for everybody."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.errors import ConfigError, EdgewiseError, ModelFolderError, UnknownIdError
from edgewise.files import read_model, writing_model

_KIND = "popularity"
_ARRAYS = "arrays.safetensors"


class Popularity:
    """Ranks items by how many rows took them: train rows, or those of newer histories.

    Ragged given later (train plus validation rows, when test is predicted) are counted too, so
    that the baseline is as strong as what it may know allows; histories of a few users leave the
    counts of the train rows as they are.

    Equal counts are ordered by a seeded shuffle of the items: where item numbers follow the order
    of appearance, "lower number first" would be a hidden hint.

    Args:
        seed: of the shuffle.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._counts = np.empty(0, dtype=np.int64)
        self._tie_break = np.empty(0)
        self._histories: Ragged | None = None

    def __repr__(self) -> str:
        fitted = "not fitted" if self._histories is None else f"{len(self._counts)} items"
        return f"Popularity(seed={self.seed}, {fitted})"

    def fit(self, split: Split) -> Self:
        """Count the train rows of every item."""
        num_items = split.dataset.num_items
        self._counts = np.bincount(split.train.item_index, minlength=num_items)
        self._tie_break = np.random.default_rng(self.seed).permutation(num_items) / num_items
        self._histories = split.known_before("valid")
        return self

    def recommend(
        self, users: np.ndarray, k: int = 10, *, histories: Ragged | None = None
    ) -> Recommendations:
        """The k most popular items outside each user's history (by default the train rows).

        A score is the item's count plus a fraction below 1 that orders equal counts.
        """
        if k < 1:
            raise ConfigError(f"k={k}: must be 1 or more")
        known = self._known(histories)
        scores = self._scores(known)
        seen = [_history(known, int(user)) for user in users]
        ranking = np.argsort(-scores)
        lists = [_first_unseen(ranking, items, k) for items in seen]
        return Recommendations.from_lists(users, lists, [scores[items] for items in lists])

    def score_candidates(
        self, candidates: CandidateLists, *, histories: Ragged | None = None
    ) -> np.ndarray:
        """Every candidate's score, ``float64[total]``."""
        return self._scores(self._known(histories))[candidates.items]

    def save(self, folder: str | Path) -> None:
        """Write the model folder, whole or not at all."""
        known = self._known(None)
        learned = {"counts": self._counts, "tie_break": self._tie_break}
        arrays = learned | {"offsets": known.offsets, "items": known.values}
        with writing_model(folder, _KIND, {"seed": self.seed}) as partial:
            save_file(arrays, partial / _ARRAYS)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a folder written by :meth:`save`.

        Raises:
            ModelFolderError: the folder is missing, truncated, altered or another model's.
        """
        settings = read_model(folder, _KIND)
        try:
            arrays = load_file(Path(folder) / _ARRAYS)
            model = cls(settings["seed"])
            model._counts, model._tie_break = arrays["counts"], arrays["tie_break"]
            model._histories = Ragged(arrays["offsets"], arrays["items"])
        except (OSError, KeyError, SafetensorError) as error:
            raise ModelFolderError(
                f"{folder} cannot be read ({error}): fit the model and save it again."
            ) from error
        return model

    def _known(self, histories: Ragged | None) -> Ragged:
        if self._histories is None:
            raise EdgewiseError("Popularity is not fitted: call fit(split) or load(folder) first")
        return self._histories if histories is None else histories

    def _scores(self, known: Ragged) -> np.ndarray:
        """Counts, plus fractions below 1 that order equal counts, ``float64[I]``."""
        newer = np.bincount(known.values, minlength=len(self._counts))
        if len(newer) > len(self._counts):
            raise UnknownIdError(
                f"histories hold item_index {len(newer) - 1}, but Popularity was fitted on "
                f"{len(self._counts)} items; fit it on the data set the histories belong to"
            )
        return np.maximum(self._counts, newer) + self._tie_break


def _history(histories: Ragged, user: int) -> np.ndarray:
    if not 0 <= user < len(histories):
        raise UnknownIdError(
            f"user_index {user}: histories cover users 0 to {len(histories) - 1}; pass histories "
            "that include this user"
        )
    return histories[user]


def _first_unseen(ranking: np.ndarray, seen: np.ndarray, k: int) -> np.ndarray:
    # k unseen items are always among the first k + len(seen).
    head = ranking[: k + len(seen)]
    return head[~np.isin(head, seen)][:k]
