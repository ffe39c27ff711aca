"""How long ranked lists really are, and what guessing scores on lists of that length.

A catalogue may be smaller than a list that is asked for, and a user may own nearly all of it. Such
lists are short, and figures on them high for no merit of a model; where nothing but the held-out
item is left, any list is right. Shapes: Q lists, U users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.evaluation.metrics import METRICS, Hits


@dataclass(frozen=True, eq=False)
class ListSizes:
    """The lists behind a report.

    Attributes:
        user_index: whose lists they are, ``int[Q]``.
        sizes: items to be ranked, the held-out one among them, ``int64[Q]``.
        findable: whether the held-out item stands in the list, ``bool[Q]``; None where a list has
            several held-out items, so that chance is not told.
    """

    user_index: np.ndarray
    sizes: np.ndarray
    findable: np.ndarray | None

    def settings(
        self, ks: Sequence[int], metrics: Sequence[str], asked: int | None, left_out: int
    ) -> dict[str, object]:
        """What a report keeps: mean and smallest list, short users, chance by metric.

        Args:
            ks, metrics: of the report, those of accuracy alone.
            asked: items of a list as it was asked for; None for the whole catalogue.
            left_out: users who were not measured because any list is right for them.
        """
        found: dict[str, object] = {
            "candidates_mean": float(self.sizes.mean()),
            "candidates_min": int(self.sizes.min()),
            "users_left_out": left_out,
        }
        if asked is not None:
            found["candidates_asked"] = asked
            found["users_short"] = len(np.unique(self.user_index[self.sizes < asked]))
        if self.findable is not None and metrics:
            found["chance"] = self.chance(ks, metrics)
        return found

    def chance(self, ks: Sequence[int], metrics: Sequence[str]) -> dict[str, float]:
        """The mean over users of every ``Metric@k`` where the order of each list is random.

        The held-out item then stands at every place with probability ``1 / size``, and a place
        beyond k earns nothing. A user's lists are averaged first, as in the report itself.
        """
        findable = np.ones(len(self.sizes), bool) if self.findable is None else self.findable
        _, user = np.unique(self.user_index, return_inverse=True)
        of_list = 1.0 / np.bincount(user)[user] / (user.max() + 1)
        found = {}
        for metric in metrics:
            for k in ks:
                longest = min(k, int(self.sizes.max()))
                places = Hits.from_ranks(np.arange(longest), np.arange(1, longest + 1))
                gains = np.concatenate([[0.0], np.cumsum(METRICS[metric](places, k))])
                expected = gains[np.minimum(self.sizes, longest)] / self.sizes
                found[f"{metric}@{k}"] = float((of_list * expected * findable).sum())
        return found


def list_notes(settings: Mapping[str, object], num_users: int) -> list[str]:
    """What must be said aloud of a report's lists; nothing where all are as long as asked.

    Args:
        settings: of the report.
        num_users: who were measured.
    """
    notes = []
    left_out, short = settings.get("users_left_out", 0), settings.get("users_short", 0)
    direct = settings.get("task") == "direct"
    if fitted := settings.get("users_fitted_on"):
        notes.append(
            f"{fitted:,} validation users whose rows fitted the weights of the priors are left out"
        )
    if left_out:
        why = (
            "have touched every item of the catalogue, so that no list can be made for them"
            if direct
            else "have nothing left but what is held out, so that any list is right for them"
        )
        notes.append(f"{_users(left_out)} {why}: left out of the figures")
    if short:
        notes.append(
            f"lists of {short:,} of {_users(num_users)} are shorter than asked, since the "
            f"catalogue has {settings['num_items']:,} items and they touched some: "
            f"{spelled_sizes(settings)}, where {settings['candidates_asked']:,} were asked for"
            f"{_guessed(settings)}"
        )
    return notes


def _guessed(settings: Mapping[str, object]) -> str:
    """What guessing scores by one metric: HitRate at the largest k, where it was measured."""
    chance = settings.get("chance")
    if not isinstance(chance, Mapping):
        return ""
    name = [*chance, *(each for each in chance if each.startswith("HitRate"))][-1]
    return f"; guessing scores {name} {chance[name]:.4f}"


def spelled_sizes(settings: Mapping[str, object]) -> str:
    """Mean and smallest list in words; one number where all are equally long."""
    mean, least = settings["candidates_mean"], settings["candidates_min"]
    if mean == least:
        return f"{least:,} items"
    return f"{mean:,.1f} items on average, {least:,} at least"


def _users(count: object) -> str:
    return f"{count:,} user{'' if count == 1 else 's'}"
