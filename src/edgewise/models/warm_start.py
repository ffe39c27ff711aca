"""Warm start: a network for data that have grown takes over the weights of one fitted before.

Grown data have the old users and items as a prefix of theirs. The network is built for the new
sizes as usual; then every weight is taken from the old one. Along a dimension that has a row for
each user or item the old rows go to their places, wherever the new numbers put them, and a new row
is the mean of its neighbours' rows: of a new item, those that its users have, of a new user, those
who have its items, by train rows alone; the mean of all old rows where there are none.

What a dimension means is told by its size: U rows are users, I items, U + I first the ones and then
the others. A table with another layout is named in
:attr:`~edgewise.models.base.TorchRecommender.LAYOUTS`, of blocks ``users``, ``items`` and ``rest``,
the last of them for all other rows. Buffers are worked out anew unless they stand there, too.

Shapes: U users, I items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from edgewise.config import check, flat_settings, to_dict
from edgewise.data.dataset import Vocabulary
from edgewise.data.pairs import distinct
from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError, DataError

if TYPE_CHECKING:
    import scipy.sparse as sp

    from edgewise.data.fitted import FittedData
    from edgewise.models.base import TorchRecommender
    from edgewise.recommender import Recommender

Layout = tuple[str, ...]
USERS, ITEMS, REST = "users", "items", "rest"

FREE_SECTIONS = ("training", "pretraining", "decoding", "priors")
FREE_SETTINGS = ("seed", "dropout", "loss", "num_negatives", "calibration", "l2")
_FREE = (
    f"only {', '.join(f'{name}.*' for name in FREE_SECTIONS)} and {', '.join(FREE_SETTINGS)} may "
    "change in a warm start"
)
_ANEW = "fit anew, without --from (start_from)"


def check_start(model: Recommender, older: Recommender) -> None:
    """Refuse to start from a model of another method, other settings or other data.

    Args:
        model: about to be fitted; it knows its data already.
        older: fitted.

    Raises:
        ConfigError: another method, or a setting that must stay.
        DataError: the data are not the old ones grown, or rows are held out now of which the old
            model has learned.
    """
    check(
        type(model) is type(older),
        f"a {model.name} cannot start from a fitted {older.name}: name a model of its own method, "
        f"or {_ANEW}",
    )
    _check_settings(model, older)
    _check_grown(model.data, older.data)
    _check_honest(model.data, older.data)


def _check_settings(model: Recommender, older: Recommender) -> None:
    before, now = (flat_settings(to_dict(each.config)) for each in (older, model))
    for name in before | now:
        free = name.split(".")[0] in FREE_SECTIONS or name.split(".")[-1] in FREE_SETTINGS
        same = before.get(name) == now.get(name)
        check(
            free or same,
            f"{name} = {now.get(name)!r}, but {before.get(name)!r} in the model that is started "
            f"from: {_FREE}. Leave it as it was, or {_ANEW}",
        )


def _check_grown(now: FittedData, before: FittedData) -> None:
    for old, new in ((before.users, now.users), (before.items, now.items)):
        if new.ids[: len(old)] != old.ids:
            raise DataError(_unrelated(old, new, now.name, before.name))


def _unrelated(old: Vocabulary, new: Vocabulary, name: str, older_name: str) -> str:
    pairs = enumerate(zip(old.ids, new.ids, strict=False))
    place = next((n for n, (a, b) in pairs if a != b), min(len(old), len(new)))
    found = repr(new.ids[place]) if place < len(new) else "nobody" if old.kind == "user" else "none"
    return (
        f"data set {name!r} is not {older_name!r} grown: {old.kind} {place} was {old.ids[place]!r} "
        f"and is {found} now. Append new rows to the data set that the model was fitted on "
        f"(ids keep their numbers), or {_ANEW}"
    )


def _check_honest(now: FittedData, before: FittedData) -> None:
    """Refuse train rows of the old model that are none now, whatever the kind of split.

    Only such rows can be among those held out now. It is enough for every kind: rows that train now
    are known before any held-out one is asked for.
    """
    users = users_with_lost_rows(before.histories, now.histories, len(now.items))
    if len(users):
        raise DataError(
            f"{len(users):,} users, such as {now.users.ids[users[0]]!r}, have train rows of the "
            "model that is started from which do not train now: they are held out, and what it "
            "learned of them would flatter every figure, or they are gone. In a leave-one-out "
            "split that happens to users of two rows who got one more; a ratio split holds out "
            "more rows of whoever has more. Wait for further rows, split both by leave-one-out or "
            f"by time, or {_ANEW}"
        )


def told_start(model: TorchRecommender) -> tuple[tuple[str, str], ...]:
    """Rows of the plan: what is taken over and what is new; none without a model to start from."""
    if model.older is None:
        return ()
    old, new = model.older.data, model.data
    taken = sum(each.numel() for each in model.older.network.parameters())
    words = f"{taken:,} parameters of the model of {old.name} ({old.checksum[:12]})"
    if model.start_share < 1:
        words += f", which count {model.start_share:g}, a fresh start the rest"
    users, items = len(new.users) - len(old.users), len(new.items) - len(old.items)
    grown = f"{users:,} users and {items:,} items, which start as the mean of their neighbours"
    return (("starts from", words), ("new", grown if users + items else "no users, no items"))


def users_with_lost_rows(before: Ragged, now: Ragged, num_items: int) -> np.ndarray:
    """Users who have an item more often before than now, rising, ``int64``.

    Args:
        before, now: items of each user; users are numbered alike.
        num_items: I.
    """
    (old, counts), (new, new_counts) = (
        np.unique(rows.row_of_value * num_items + rows.values, return_counts=True)
        for rows in (before, now)
    )
    place = np.searchsorted(new, old).clip(max=max(len(new) - 1, 0))
    left = np.where(new[place] == old, new_counts[place], 0) if len(new) else np.zeros_like(counts)
    return distinct(old[left < counts] // num_items)


@dataclass(frozen=True, eq=False)
class Growth:
    """By how much data have grown, and who is near the new ones.

    Attributes:
        before, now: users and items, by name of their block.
        histories: all train rows, ``float32[U, I]`` of zeros and ones.
    """

    before: Mapping[str, int]
    now: Mapping[str, int]
    histories: sp.csr_array

    @classmethod
    def of(cls, before: FittedData, now: FittedData, histories: sp.csr_array) -> Growth:
        """From the old data to the new."""
        old, new = ({USERS: len(each.users), ITEMS: len(each.items)} for each in (before, now))
        return cls(old, new, histories)

    def new(self, kind: str) -> int:
        """How many users or items are new."""
        return self.now[kind] - self.before[kind]

    def layout(self, before: int, now: int) -> Layout | None:
        """What a dimension of these sizes holds; None where sizes do not tell."""
        for blocks in ((USERS,), (ITEMS,), (USERS, ITEMS)):
            if (before, now) == tuple(sum(at[b] for b in blocks) for at in (self.before, self.now)):
                return blocks
        return None

    def placed(self, kind: str, rows: torch.Tensor) -> torch.Tensor:
        """Rows for those who are new, from the old ones' ``[n, ...]``: means of neighbours."""
        new, old = self.new(kind), self.before[kind]
        import scipy.sparse as sp

        taken = self.histories if kind == USERS else sp.csr_array(self.histories.T)
        flat = rows.flatten(1) if rows.dim() > 1 else rows[:, None]
        table = np.pad(flat.float().cpu().numpy(), [(0, 0), (0, 1)], constant_values=1.0)
        # To the other side and back: what is shared, and in the last column how much there is.
        across = _means(sp.csr_array(taken[:old].T)) @ table
        found = _means(taken[old:]) @ across
        share = found[:, -1:]
        mean = table[:, :-1].mean(0) if old else np.zeros(table.shape[1] - 1, table.dtype)
        near = np.divide(found[:, :-1], share, out=np.zeros_like(found[:, :-1]), where=share > 0)
        values = np.where(share > 0, near, mean)
        return torch.from_numpy(values).to(rows).reshape(new, *rows.shape[1:])

    def along(
        self, weight: torch.Tensor, dimension: int, size: int, blocks: Layout | None
    ) -> torch.Tensor | None:
        """A weight made longer along one dimension.

        Args:
            weight: the old one.
            dimension: which.
            size: it is to have.
            blocks: what it holds; None: its size tells. The result is None where that does not.
        """
        told = blocks or self.layout(weight.shape[dimension], size)
        if told is None:
            return None
        rows, parts, start = weight.movedim(dimension, 0), list[torch.Tensor](), 0
        known = [name for name in told if name != REST]
        rest = len(rows) - sum(self.before[name] for name in known)
        for name in told:
            length = rest if name == REST else self.before[name]
            part = rows[start : start + length]
            parts.append(part)
            start += length
            if name != REST:
                parts.append(self.placed(name, part))
            elif more := size - sum(self.now[name] for name in known) - rest:
                parts.append(part.mean(0, keepdim=True).expand(more, *part.shape[1:]))
        return torch.cat(parts).movedim(0, dimension)


def start_warm(model: TorchRecommender, then: Sequence[Callable[[], None]]) -> None:
    """Let a network that was just built begin with the weights of the one it starts from.

    Args:
        model: whose network it is.
        then: called once they are taken over; what earlier stages, which are not repeated, ended
            with.
    """
    fresh = weights_of(model.network) if model.start_share < 1 else {}
    growth = Growth.of(model.older.data, model.data, model.matrix(model.data.histories))
    take_over(model.network, model.older.network, growth, model.LAYOUTS)
    for call in then:
        call()
    blend(model.network, fresh, model.start_share)


@torch.no_grad()
def take_over(
    network: nn.Module, older: nn.Module, growth: Growth, layouts: Mapping[str, Layout]
) -> None:
    """Set the weights of a network to those of one for the data before they grew.

    A weight that the old network does not have keeps its start.

    Args:
        network: for the grown data; changed.
        older: the old one.
        growth: from its data to these.
        layouts: of weights whose sizes do not tell what they hold, and of buffers that are taken.

    Raises:
        ConfigError: a weight has a shape that the growth of the data does not explain.
    """
    weights = older.state_dict()
    for name, weight in _taken(network, layouts):
        if (found := weights.get(name)) is None:
            continue
        shape = found.shape
        for place, size in enumerate(weight.shape):
            if found is not None and found.dim() == weight.dim() and found.shape[place] != size:
                found = growth.along(found, place, size, layouts.get(name))
        if found is None or found.shape != weight.shape:
            raise ConfigError(
                f"{name} has shape {list(weight.shape)}, but {list(shape)} in the model that is "
                f"started from, which new users and items do not explain; {_ANEW}"
            )
        weight.copy_(found)


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the weights that are learned."""
    return {name: each.detach().clone() for name, each in network.named_parameters()}


@torch.no_grad()
def blend(network: nn.Module, fresh: Mapping[str, torch.Tensor], share: float) -> None:
    """Move learned weights towards a fresh start (shrink and perturb).

    A network that goes on from where it fitted the old rows closely generalises worse than one that
    begins anew; part of a fresh start repairs much of that (Ash and Adams, "On Warm-Starting Neural
    Network Training", NeurIPS 2020, arXiv 1910.08475).

    Args:
        network: with the old weights.
        fresh: some of its weights before they were taken over; the others stay.
        share: what the old ones count.
    """
    for name, weight in network.named_parameters():
        if name in fresh and weight.requires_grad:
            weight.mul_(share).add_(fresh[name].to(weight), alpha=1 - share)


def check_share(share: float, from_scratch: bool, checkpoint: str) -> None:
    """Refuse to mix a checkpoint's weights with random ones.

    Raises:
        ConfigError: that is asked for.
    """
    check(
        share == 1 or from_scratch,
        f"start_share = {share:g} would mix weights that began as the checkpoint {checkpoint!r} "
        "with random ones: leave it (--start-share) at 1",
    )


def _taken(network: nn.Module, layouts: Mapping[str, Layout]) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters, each once, and the buffers that are named."""
    yield from network.named_parameters()
    yield from ((name, each) for name, each in network.named_buffers() if name in layouts)


def _means(rows: sp.csr_array) -> sp.csr_array:
    """Rows that sum to 1, or to 0 where nothing is in them."""
    total = np.asarray(rows.sum(axis=1), dtype=np.float32)
    scale = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    import scipy.sparse as sp

    scaled = sp.csr_array(rows, copy=True, dtype=np.float32)
    scaled.data *= np.repeat(scale, np.diff(scaled.indptr))
    return scaled
