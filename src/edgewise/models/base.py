"""Recommenders with gradients: what a network shares with every other one.

A method in one file is a subclass of :class:`TorchRecommender` that says what its network is
(:meth:`~TorchRecommender.build`), what it reads in training (:meth:`~TorchRecommender.examples` and
:meth:`~TorchRecommender.training_batch`) and how it represents users and items
(:meth:`~TorchRecommender.encode`, :meth:`~TorchRecommender.item_vectors`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_model
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from edgewise.data.pairs import distinct
from edgewise.data.ragged import Ragged
from edgewise.data.ranking import Ranked, best_of_highest, best_of_rows
from edgewise.data.sequences import batches_by_length
from edgewise.data.splits import Split
from edgewise.errors import DataError
from edgewise.evaluation.metrics import parse_metric, ranking_metric
from edgewise.models.warm_start import Layout, check_start, start_warm, told_start
from edgewise.recommender import FitOptions, FitPlan, ItemFilter, Recommender, Task, Users
from edgewise.training.checkpoint import save_network
from edgewise.training.config import TrainingConfig
from edgewise.training.log import check_trackers
from edgewise.training.processes import rows_of_all
from edgewise.training.trainer import Average, Stage, train

# A hit or miss tells less of a row than its likelihood does.
_MAX_VALIDATION_ROWS = 5000
_ENCODED_AT_ONCE, _SCORES_ON_A_DEVICE = 512, 8_000_000
_USERS_FOR_COLUMNS = 512
_ORDER, _DRAW = 0, 1
_MAX_REDRAWS = 20
_MOST_LAYERS, _LARGEST_SIZE = 1000, 2**31
_RANDOM_FILLS = {"normal_", "uniform_", "trunc_normal_", "orthogonal_"} | {
    f"{who}_{how}_" for who in ("xavier", "kaiming") for how in ("normal", "uniform")
}


@dataclass(frozen=True)
class TensorBatch:
    """Tensors of the same rows; other fields are passed on as they are.

    Attributes:
        whole: the batch that this one is a process's part of; None where it is no part.
        part: which of its rows these are; None where they are all.
    """

    whole: Self | None = field(default=None, kw_only=True, repr=False)
    part: slice | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(next(iter(self._tensors().values())))

    @property
    def weight(self) -> int:
        """What the mean loss over this part counts among those of all parts: its terms."""
        return len(self)

    @property
    def of_all(self) -> Self:
        """The batch of all processes."""
        return self if self.whole is None else self.whole

    def place(self, device: torch.device) -> torch.Tensor:
        """The rows of the batch of all processes that these are, ``int64[B]``."""
        return torch.arange(len(self.of_all), device=device)[self.part or slice(None)]

    def rows_of_all(self, mine: torch.Tensor) -> torch.Tensor:
        """What all processes make of their rows, ``float[b, ...]``, in the whole batch's order."""
        return mine if self.whole is None else rows_of_all(mine, len(self.whole))

    def to(self, device: torch.device) -> Self:
        """The same batch on a device."""
        return replace(self, **{name: t.to(device) for name, t in self._tensors().items()})

    def take(self, part: slice) -> Self:
        """A process's part."""
        own = {name: t[part] for name, t in self._tensors().items()}
        return replace(self, **own, whole=self, part=part)

    def _tensors(self) -> dict[str, torch.Tensor]:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if isinstance(value, torch.Tensor)}


BatchMaker = Callable[[np.ndarray, np.random.Generator], TensorBatch]
"""Makes the batch of some examples, as :meth:`TorchRecommender.training_batch` does."""


@dataclass(frozen=True)
class HeldOut:
    """Validation rows: items to be found, one a row, both ``int64[B]``."""

    user: np.ndarray
    item: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def to(self, device: torch.device) -> HeldOut:
        """They stay where they are."""
        return self


class TorchRecommender(Recommender):
    """A recommender whose network is trained by :mod:`edgewise.training`.

    ``network(batch)`` is the mean loss of a batch.

    Attributes:
        network: fitted or loaded.
    """

    SCORE_UNIT: ClassVar[str] = "dot product of embeddings"
    LAYOUTS: ClassVar[Mapping[str, Layout]] = {}
    """Weights whose sizes do not tell what their rows are, and buffers that are learned; see
    :mod:`edgewise.models.warm_start`."""
    network: nn.Module
    older: Any = None
    """While :meth:`fit` runs: the fitted model of this method that it starts from, or None."""
    start_share: float = 1.0
    """While :meth:`fit` runs: what the weights of that model count against a fresh start."""

    # What a method says

    @abstractmethod
    def build(self, split: Split | None) -> nn.Module:
        """The network with random weights, drawn from torch's generator.

        Args:
            split: what it is going to be fitted on; None where saved weights will be loaded.
        """

    def examples(self, split: Split) -> int | np.ndarray:
        """How many examples an epoch has; prepares what :meth:`training_batch` needs.

        Returns:
            Their number, or the length of each, ``int64[n]``, where those of similar length are to
            share a batch.
        """
        raise NotImplementedError

    def training_batch(self, rows: np.ndarray, rng: np.random.Generator) -> TensorBatch:
        """Examples by their numbers ``int64[B]``, with what is drawn for them."""
        raise NotImplementedError

    def encode(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """Vectors whose dot product with :meth:`item_vectors` is the score, ``float[B, D]``.

        Arguments as for :meth:`~edgewise.recommender.Recommender.score_items`.
        """
        raise NotImplementedError

    def item_vectors(self) -> torch.Tensor:
        """Of all items, ``float[I, D]``."""
        raise NotImplementedError

    def stages(self, split: Split) -> Sequence[Stage]:
        """What is trained, in order; one stage of :meth:`examples` unless a method says more."""
        config = self.config.training
        data = Examples(self, split, self.examples(split), config.batch_size)
        return [Stage("training", data, config)]

    def pretraining(self, split: Split, make: BatchMaker, config: TrainingConfig) -> Stage:
        """A stage before the others on the same examples; its last weights are gone on from.

        Args:
            split: what is learned from.
            make: batches, which the network tells from those of training by their type.
            config: how long and how fast.
        """
        data = Examples(self, split, self.examples(split), config.batch_size, make)
        return Stage("pretraining", data, config)

    def plan(self, stages: Sequence[Stage]) -> tuple[tuple[str, str], ...]:
        """Rows of the plan that is told before the first step."""
        return tuple(
            (
                stage.name,
                f"at most {stage.config.epochs} epochs of {stage.data.steps_per_epoch:,} batches, "
                + (
                    "the last"
                    if _is_pretraining(stage)
                    else f"best by {stage.config.validation_metric}"
                ),
            )
            for stage in stages
        )

    def start(self, split: Split) -> None:
        """Called between the plan and the first step: what takes long to work out of the data."""

    def trained(self, split: Split) -> None:
        """Called when the best weights are in place."""

    # What all share

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def _fit(self, split: Split, options: FitOptions) -> None:
        if options.start_from is not None:
            check_start(self, options.start_from)
        self.older, self.start_share = options.start_from, options.start_share
        try:
            self._fit_network(split, options)
        finally:
            self.older, self.start_share = None, 1.0

    def _fit_network(self, split: Split, options: FitOptions) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(self.config.seed)
            self.network = self.build(split)
        stages = self.stages(split)
        for stage in stages:
            check_trackers(stage.config)
        done = [each for each in stages if self.older is not None and _is_pretraining(each)]
        stages = [each for each in stages if each not in done]
        if options.on_plan is not None:
            learned = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
            options.on_plan(FitPlan((*self.plan(stages), *told_start(self)), learned))
        self.start(split)
        if self.older is not None:
            start_warm(self, [each.on_end for each in done if each.on_end is not None])
        self.stage_curves = train(
            self.network,
            stages,
            seed=self.config.seed,
            folder=options.folder,
            resume=options.resume,
            show_progress=options.show_progress,
        )
        self.network.eval()
        with torch.no_grad():
            self.trained(split)

    @property
    def similarity_unit(self) -> str:
        """Of the method's own embeddings where it has :meth:`item_vectors`."""
        if not self.ranks_by_embeddings:
            return super().similarity_unit
        return "cosine of item embeddings"

    @torch.no_grad()
    def item_similarities(self, items: np.ndarray) -> np.ndarray:
        """Cosines of embeddings; see :meth:`~edgewise.recommender.Recommender.item_similarities`.

        A method without :meth:`item_vectors` answers by train co-occurrence.
        """
        if not self.ranks_by_embeddings:
            return super().item_similarities(items)
        vectors = F.normalize(self.item_vectors().float(), dim=1)
        return self.without_cold(items, (vectors[items] @ vectors.T).cpu().numpy())

    @property
    def ranks_by_embeddings(self) -> bool:
        """Where the method has :meth:`item_vectors`."""
        return type(self).item_vectors is not TorchRecommender.item_vectors

    @torch.no_grad()
    def user_embeddings(
        self, users: Users | None = None, *, histories: Ragged | None = None
    ) -> np.ndarray:
        """See :meth:`~edgewise.recommender.Recommender.user_embeddings`.

        Those of a language model are vectors of the users' tokens or of the graph, whatever the
        histories.
        """
        asked = np.arange(len(self.data.users)) if users is None else self.user_index(users)
        if not self.ranks_by_embeddings:
            return self._node_vectors()[asked]
        rows = self._histories_of(asked, histories)
        warm = np.flatnonzero(rows.lengths > 0)
        warm = warm[_by_length(rows.take(warm))]
        found = np.zeros((len(asked), self.item_vectors().shape[1]), np.float32)
        for start in range(0, len(warm), _ENCODED_AT_ONCE):
            part = warm[start : start + _ENCODED_AT_ONCE]
            found[part] = self.encode(asked[part], rows.take(part)).detach().float().cpu().numpy()
        return found

    @torch.no_grad()
    def item_embeddings(self) -> np.ndarray:
        """See :meth:`~edgewise.recommender.Recommender.item_embeddings`."""
        if not self.ranks_by_embeddings:
            return self._node_vectors()[len(self.data.users) :]
        return self.item_vectors().detach().float().cpu().numpy()

    def _node_vectors(self) -> np.ndarray:
        if not hasattr(self, "node_vectors"):
            raise self._no_embeddings()
        vectors: np.ndarray = self.node_vectors()  # type: ignore[attr-defined]
        return np.asarray(vectors, dtype=np.float32)

    @torch.no_grad()
    def scores(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """Scores of all items, ``float32[B, I]``, where the network is."""
        return _products(self.encode(users, histories), self.item_vectors().T)

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """See :meth:`scores`."""
        return self.scores(users, histories).cpu().numpy()

    def rank_items(
        self, users: np.ndarray, histories: Ragged, hidden: ItemFilter, k: int
    ) -> Ranked:
        parts: list[Ranked] = []
        order = _by_length(histories)
        for rows, found in self._scored_parts(order, users, histories):
            hide(found, hidden.take(rows))
            parts.append(best_items(found, k))
        return Ranked.concat(parts).put(order)

    def score_lists(
        self, users: np.ndarray, histories: Ragged, lists: Ragged, task: Task
    ) -> np.ndarray:
        scores = np.empty(len(lists.values), np.float32)
        places = Ragged(lists.offsets, np.arange(len(scores)))
        for rows, found in self._scored_parts(_by_length(histories), users, histories):
            scores[places.take(rows).values] = chosen_scores(found, lists.take(rows))
        return scores

    @torch.no_grad()
    def _scored_parts(
        self, order: np.ndarray, users: np.ndarray, histories: Ragged
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Some rows ``int64[b]`` at a time, in an order, and their scores ``float32[b, I]``."""
        columns = self.item_vectors().T
        if len(users) >= _USERS_FOR_COLUMNS:
            columns = columns.contiguous()  # multiplied faster, once they are there
        for start in range(0, len(users), _ENCODED_AT_ONCE):
            asked = order[start : start + _ENCODED_AT_ONCE]
            states = self.encode(users[asked], histories.take(asked))
            for part in self._parts(len(asked)):
                yield asked[part], _products(states[part[0] : part[-1] + 1], columns)

    @property
    def _scores_at_once(self) -> int:
        on_cpu = self.device.type == "cpu"
        return super()._scores_at_once if on_cpu else _SCORES_ON_A_DEVICE

    def _save_learned(self, folder: Path) -> dict[str, Any]:
        save_network(self.network, folder / "model.safetensors")
        return {}

    def _load_learned(self, folder: Path, told: Mapping[str, Any]) -> None:
        check_sizes(lambda: self.build(None), folder / "model.safetensors")
        with NoRandomStart():
            self.network = self.build(None)
        load_model(self.network, folder / "model.safetensors")
        self.network.eval()


class NoRandomStart(TorchFunctionMode):
    """Within, weights are not filled with random numbers, because those of a file replace them.

    On the device ``meta`` the random numbers would load ``torch._dynamo``, which takes longer than
    all else that ``edgewise recommend`` does.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", None) in _RANDOM_FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def check_sizes(make: Callable[[], nn.Module], file: Path, prefix: str = "") -> None:
    """Refuse settings that ask for other sizes than the weights have, before memory is taken.

    Args:
        make: the network, which is made without memory here.
        file: safetensors.
        prefix: of the network's names in the file.

    Raises:
        ValueError: a weight has another shape.
    """
    with torch.device("meta"), NoRandomStart():
        wanted = make().state_dict()
    with safe_open(file, framework="pt") as weights:
        for name in sorted({prefix + each for each in wanted} & {*weights.keys()}):
            found = list(weights.get_slice(name).get_shape())
            asked = list(wanted[name.removeprefix(prefix)].shape)
            if found != asked:
                raise ValueError(f"{file.name}: {name} has shape {found}, by the settings {asked}")


def check_layers(values: Mapping[str, Any]) -> None:
    """Refuse settings of a language model, read from a file, with sizes that none has.

    Raises:
        ValueError: names the setting.
    """
    for name, value in values.items():
        if isinstance(value, int) and "token_id" not in name:
            most = _MOST_LAYERS if "layer" in name else _LARGEST_SIZE
            if not 0 <= value <= most:
                raise ValueError(f"{name} = {value}: between 0 and {most} is wanted")


def hide(scores: torch.Tensor, hidden: ItemFilter) -> None:
    """Set the scores ``[B, I]`` of items that must not be listed to minus infinity."""
    if hidden.seen is not None:
        seen = torch.from_numpy(hidden.seen.values.astype(np.int64)).to(scores.device)
        scores[torch.from_numpy(hidden.seen.row_of_value).to(scores.device), seen] = -torch.inf
    if hidden.hidden is not None:
        scores[:, torch.from_numpy(hidden.hidden).to(scores.device)] = -torch.inf


def best_items(scores: torch.Tensor, k: int) -> Ranked:
    """The k best items of each row ``[B, I]``, best first; hidden ones never.

    Of equal scores those of lower index numbers come first.
    """
    if scores.device.type == "cpu":
        return best_of_rows(scores.numpy(), k)
    best = scores.topk(min(k + 1, scores.shape[1]))
    places, values = best.indices.cpu().numpy(), best.values.cpu().numpy()
    return best_of_highest(
        places, values, k, lambda rows: scores[torch.from_numpy(rows)].cpu().numpy()
    )


def chosen_scores(scores: torch.Tensor, lists: Ragged) -> np.ndarray:
    """Those of each row's ``[B, I]`` list, ``float32[total]``."""
    row, item = (torch.from_numpy(part) for part in (lists.row_of_value, lists.values))
    return scores[row.to(scores.device), item.long().to(scores.device)].cpu().numpy()


def _products(states: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    return (states @ columns).float()


def _by_length(histories: Ragged) -> np.ndarray:
    """Rows by rising length: those of similar length share a part, which is padded little."""
    return np.argsort(histories.lengths, kind="stable")


class Examples:
    """Shuffled examples of a method, and its ranking of validation rows.

    Every batch is a function of the seed and its number alone, so that runs resume exactly.

    Args:
        method: whose they are.
        split: what is learned from.
        examples: as :meth:`TorchRecommender.examples` gives them.
        batch_size: rows of a batch.
        pretraining: what batches are made by, in place of ``training_batch``, where a network is
            pre-trained; nothing is validated then, and the last epoch is kept.
    """

    def __init__(
        self,
        method: TorchRecommender,
        split: Split,
        examples: int | np.ndarray,
        batch_size: int,
        pretraining: BatchMaker | None = None,
    ) -> None:
        self.lengths = None if isinstance(examples, int) else examples
        num_examples = examples if isinstance(examples, int) else len(examples)
        if not num_examples:
            raise DataError(
                f"data set {split.dataset.name!r} has no example for {method.name} to learn from"
            )
        self.method, self.num_examples, self.batch_size = method, num_examples, batch_size
        self.pretraining = pretraining
        self.seed: int = method.config.seed
        if (metric := method.config.training.validation_metric) != "loss":
            parse_metric(metric)  # a misspelt one is refused before the first step
        self.valid = HeldOut(
            split.valid.user_index.astype(np.int64), split.valid.item_index.astype(np.int64)
        )
        self._epoch, self._batches = -1, list[np.ndarray]()

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every example comes once."""
        return -(-self.num_examples // self.batch_size)

    def batch(self, step: int, part: slice) -> TensorBatch:
        """Batch ``step`` of the run; ``part`` selects this process's rows.

        Of a batch with fewer rows than there are processes everyone gets all.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            rng = np.random.default_rng((self.seed, _ORDER, epoch))
            self._epoch, self._batches = epoch, self._drawn(rng)
        rows = self._batches[place]
        make = self.pretraining or self.method.training_batch
        batch = make(rows, np.random.default_rng((self.seed, _DRAW, step)))
        return batch.take(part) if 1 < (part.step or 1) <= len(rows) else batch

    def _drawn(self, rng: np.random.Generator) -> list[np.ndarray]:
        if self.lengths is not None:
            return batches_by_length(self.lengths, self.batch_size, rng)
        order = rng.permutation(self.num_examples)
        return [order[n : n + self.batch_size] for n in range(0, len(order), self.batch_size)]

    def validate(self, average: Average, metric: str) -> Mapping[str, float]:
        """A metric of a sample of validation rows, see :func:`mean_metric`."""
        batches = [] if self.pretraining else self._held_out
        return (
            {metric: average(batches, lambda rows: self._measure(rows, metric))} if batches else {}
        )

    @cached_property
    def _held_out(self) -> list[HeldOut]:
        known = self.method.data.histories.lengths[self.valid.user] > 0
        rng = np.random.default_rng((self.seed, _ORDER, 2**31))
        rows = rng.permutation(np.flatnonzero(known))[:_MAX_VALIDATION_ROWS]
        size = 256
        return [
            HeldOut(self.valid.user[part], self.valid.item[part])
            for part in (rows[n : n + size] for n in range(0, len(rows), size))
        ]

    def _measure(self, rows: HeldOut, metric: str) -> torch.Tensor:
        histories = self.method.data.histories.take(rows.user)
        scores = self.method.scores(rows.user, histories)
        return torch.tensor(mean_metric(metric, scores, rows.item, histories))


def _is_pretraining(stage: Stage) -> bool:
    return isinstance(stage.data, Examples) and stage.data.pretraining is not None


class UnseenItems:
    """Draws items that users have not taken, uniformly.

    Args:
        seen: of every user.
        num_items: I.
    """

    def __init__(self, seen: Ragged, num_items: int) -> None:
        self.num_items = num_items
        self._seen = distinct(seen.row_of_value * num_items + seen.values)

    def draw(self, users: np.ndarray, rng: np.random.Generator, *shape: int) -> np.ndarray:
        """Items of each user, ``int64[users, *shape]``; any, for one who took nearly all."""
        own = users.reshape(-1, *(1 for _ in shape)) * self.num_items
        items = rng.integers(self.num_items, size=(len(users), *shape))
        for _ in range(_MAX_REDRAWS):
            wanted = own + items
            place = np.searchsorted(self._seen, wanted).clip(max=len(self._seen) - 1)
            taken = self._seen[place] == wanted
            if not taken.any():
                break
            items[taken] = rng.integers(self.num_items, size=int(taken.sum()))
        return items


def mean_metric(metric: str, scores: torch.Tensor, targets: np.ndarray, seen: Ragged) -> float:
    """The mean over rows of what the place of a row's target among unseen items is worth.

    Args:
        metric: such as ``NDCG@10``, ties count against the target; or ``loss``, the cross-entropy
            of the softmax over all of them.
        scores: ``float[B, I]``; written to.
        targets: item indices, ``int64[B]``.
        seen: items of each row that do not count.
    """
    wanted = torch.from_numpy(targets).to(scores.device)[:, None]
    own = scores.gather(1, wanted)
    hide(scores, ItemFilter(seen))
    scores = scores.scatter(1, wanted, own)
    if metric == "loss":
        return float(nn.functional.cross_entropy(scores, wanted[:, 0]))
    rank = (scores >= own).sum(1)
    return ranking_metric(metric, np.arange(len(targets)), rank.cpu().numpy())
