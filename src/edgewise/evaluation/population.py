"""Who is measured: the held-out rows of all users, of some, or of a seeded sample."""

from __future__ import annotations

import numpy as np

from edgewise.data.interactions import Interactions
from edgewise.data.split import Split
from edgewise.errors import ConfigError, EdgewiseError


def held_out_rows(split: Split, part: str) -> Interactions:
    """The rows to be predicted; refuses a part that has none."""
    if part not in ("valid", "test"):
        raise ConfigError(f"part={part!r}: held-out rows are in 'valid' and 'test'")
    held_out = split.held_out(part)
    if not len(held_out):
        raise EdgewiseError(
            f"data set {split.dataset.name!r} has no {part} rows under the {split.kind} split: "
            "nothing can be measured; use another split or more data"
        )
    return held_out


def choose_users(
    held_out: Interactions, users: np.ndarray | None, max_users: int | None, seed: int
) -> np.ndarray:
    """The users to be measured, ascending, ``int32[U]``."""
    having = np.unique(held_out.user_index)
    if users is None:
        return sample(having, max_users, seed, "max_users")
    chosen = np.unique(np.asarray(users, dtype=np.int32))
    without = np.setdiff1d(chosen, having)
    if len(without):
        raise EdgewiseError(
            f"{len(without)} of the given users have no held-out rows, first user_index "
            f"{without[0]}; leave them out"
        )
    return sample(chosen, max_users, seed, "max_users")


def sample(rows: np.ndarray, limit: int | None, seed: int, option: str) -> np.ndarray:
    """At most ``limit`` of the rows, drawn from the seed, in their order; all where it is None."""
    if limit is None or limit >= len(rows):
        return rows
    if limit < 1:
        raise ConfigError(f"{option}={limit}: must be 1 or more, or None for all")
    return np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
