"""TIGER: the next item's semantic id, generated code by code (Rajput et al., NeurIPS 2023).

Paper: "Recommender Systems with Generative Retrieval", arXiv 2305.05065. Every item is L codes of
small codebooks and one that tells items of equal codes apart
(:mod:`edgewise.models.semantic_ids`). A T5 from random weights reads the user and the codes of the
history, oldest first, and writes those of the item that comes next (sections 3.1 and 3.2):

    ``u, c_11 .. c_1L+1, c_21 .. c_tL+1  ->  c_t+1,1 .. c_t+1,L+1``

Each level has tokens of its own. A list is a beam search over the prefix tree of the catalogue's
ids, so that no id without an item is ever written, as the paper's free search sometimes does; a
candidate's score is its exact log-likelihood. Every item of a history but the first is a target,
after the ``max_history`` items before it.

Where we differ, or the paper is silent:

- **Ids** come from residual k-means, the paper's from an RQ-VAE. What is quantised is a vector of
  the train histories (``vectors``); the paper embeds title, price, brand and category by
  Sentence-T5. ``vectors=texts`` takes ``texts.encoder``: TF-IDF of words, or a sentence encoder.
- **An item without train rows** has a vector from its texts alone. By the other vectors all such
  items share their codes.
- **The user** is one of ``num_user_tokens`` tokens, as in the paper; which one is the user's number
  modulo that. People who are not in the data have none; ``user_dropout`` prepares for them.
- **Training** is by AdamW, its rate constant or falling as a cosine. The paper's rate of 0.01,
  falling by the inverse square root of the step, is too high for that.

Shapes: B prompts, S tokens of a prompt, C codes of an item (L + 1), I items, D hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from safetensors.torch import load_model
from torch import nn

from edgewise.config import MethodConfig, section, setting
from edgewise.data.ragged import Ragged
from edgewise.data.ranking import Ranked
from edgewise.data.sequences import POOLED_BATCHES, newest, padded
from edgewise.data.splits import Split
from edgewise.decoding.constrained_beam import beam_search
from edgewise.decoding.exact_scores import score_candidates
from edgewise.decoding.trie import TokenTable
from edgewise.errors import DataError
from edgewise.evaluation.metrics import parse_metric, ranking_metric
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.spectral import spectral_features
from edgewise.graph.transitions import transition_features
from edgewise.item_texts import ItemTexts, TextConfig
from edgewise.models import t5_forward
from edgewise.models.base import Examples, HeldOut, NoRandomStart, TensorBatch, TorchRecommender
from edgewise.models.saved_networks import T5_DEFAULTS, t5_of
from edgewise.models.semantic_ids import codes_like_old, residual_kmeans, with_collision_code
from edgewise.models.warm_start import REST
from edgewise.recommender import ItemFilter, Task
from edgewise.training.config import TrainingConfig
from edgewise.training.trainer import Stage

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

_PAD, _FIRST_TOKEN = 0, 2  # 1 is T5's end token, which ids of equal length do without
_PROMPTS_AT_ONCE = 256
_BEAMS_AT_ONCE = 8192


class TIGERConfig(MethodConfig):
    """Settings of TIGER."""

    vectors: Literal["transitions", "spectral", "texts"] = setting(
        "transitions",
        "What semantic ids are made of: transitions, which items follow each other in train "
        "histories; spectral, singular vectors of the train graph; texts, what texts.encoder makes "
        "of the catalogue, the nearest to the paper.",
    )
    vector_size: int = setting(64, "Numbers of such a vector; of texts, texts.size.", ge=1)
    num_levels: int = setting(3, "Codes of an item before the one that tells equals apart.", ge=1)
    num_codes: int = setting(256, "Codes of a level.", ge=1)
    num_user_tokens: int = setting(
        0, "Tokens that users are spread over; 0 = the user is not read.", ge=0
    )
    user_dropout: float = setting(
        0.1, "Share of training examples without a user, where users are read.", ge=0, le=1
    )
    max_history: int = setting(20, "The newest items of a history that are read.", ge=1)
    hidden_size: int = setting(128, "Width of the T5.", symbol="input dimension", ge=1)
    num_layers: int = setting(2, "Of the encoder, and of the decoder.", ge=1)
    num_heads: int = setting(4, "Of attention.", ge=1)
    head_size: int = setting(32, "Numbers of a head.", ge=1)
    inner_size: int = setting(512, "Width inside the feed-forward layers.", symbol="MLP", ge=1)
    dropout: float = setting(0.1, "In all layers.", ge=0, lt=1)
    num_beams: int = setting(20, "Of the search over the catalogue, at least.", ge=1)
    texts: TextConfig = section(TextConfig)
    training: TrainingConfig = section(
        TrainingConfig, epochs=200, batch_size=256, patience=10, validation_metric="NDCG@10"
    )


@dataclass(frozen=True)
class TIGERBatch(TensorBatch):
    """Prompts with the codes that follow them.

    Attributes:
        input_ids: tokens, right-padded, ``int64[B, S]``.
        attention_mask: 1 on tokens, ``int64[B, S]``.
        labels: tokens of the next item, ``int64[B, C]``; None where it is asked for.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor | None = None


class TIGERNetwork(nn.Module):
    """A stock T5 and the tokens of all items; ``network(batch)`` is the loss.

    Args:
        config: settings.
        codes: semantic ids, ``int64[I, C]``.
        num_collisions: codes of the last level.
        saved: a T5 that is not trained, see :mod:`edgewise.models.saved_networks`.
    """

    tokens: torch.Tensor

    def __init__(
        self, config: TIGERConfig, codes: np.ndarray, num_collisions: int, saved: bool = False
    ) -> None:
        super().__init__()
        users = config.num_user_tokens
        first = _FIRST_TOKEN + users + np.arange(config.num_levels + 1) * config.num_codes
        self.register_buffer("tokens", torch.from_numpy(codes + first))
        settings: dict[str, Any] = {
            "vocab_size": int(first[-1]) + num_collisions,
            "d_model": config.hidden_size,
            "d_kv": config.head_size,
            "d_ff": config.inner_size,
            "num_layers": config.num_layers,
            "num_decoder_layers": config.num_layers,
            "num_heads": config.num_heads,
            "dropout_rate": config.dropout,
            "pad_token_id": _PAD,
            "eos_token_id": 1,
            "decoder_start_token_id": _PAD,
        }
        self.t5 = t5_of({**T5_DEFAULTS, **settings}) if saved else _trainable(settings)

    def embedding_parameters(self) -> list[torch.Tensor]:
        """Token embeddings, which ``training.embedding_lr_multiplier`` is for."""
        return [self.t5.shared.weight]

    def forward(self, batch: TIGERBatch) -> torch.Tensor:
        """The mean negative log-likelihood of the codes of each next item."""
        return self.t5(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels
        ).loss

    def encode(self, batch: TIGERBatch) -> torch.Tensor:
        """What the decoder reads of prompts, ``float[B, S, D]``."""
        inputs = self.t5.get_input_embeddings()(batch.input_ids)
        return t5_forward.encode(self.t5, inputs, batch.attention_mask, causal=False)


def _trainable(settings: Mapping[str, Any]) -> T5ForConditionalGeneration:
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(T5Config(**settings))


class TIGER(TorchRecommender):
    """Writes the semantic id of the item that comes next; see the module.

    Attributes:
        table: how every item is spelled.
    """

    name, label = "tiger", "TIGER"
    SCORE_UNIT: ClassVar[str] = "log-probability"
    SEARCHES: ClassVar[bool] = True
    ASKED_AT_ONCE: ClassVar[int] = 128
    paper = "Rajput et al., NeurIPS 2023, arXiv 2305.05065"
    Config = TIGERConfig
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Seconds, for the demo and for tests.
        "tiny": {
            "vector_size": 16,
            "num_levels": 2,
            "num_codes": 16,
            "hidden_size": 64,
            "num_heads": 2,
            "num_layers": 1,
            "inner_size": 128,
            "training": {
                "epochs": 12,
                "batch_size": 64,
                "learning_rate": 5e-3,
                "precision": "fp32",
            },
        },
        # For data of Beauty's size on two cores.
        "cpu": {
            "inner_size": 256,
            "training": {
                "epochs": 7,
                "batch_size": 128,
                "learning_rate": 2e-3,
                "embedding_lr_multiplier": 5.0,
                "schedule": "cosine",
                "warmup_steps": 200,
                "precision": "fp32",
            },
        },
        # The paper's network, batches and user tokens, until validation stops it, for a GPU.
        "paper": {
            "vectors": "texts",
            "texts": {"size": 768},
            "num_user_tokens": 2000,
            "num_layers": 4,
            "num_heads": 6,
            "head_size": 64,
            "inner_size": 1024,
            "training": {"learning_rate": 1e-3, "warmup_steps": 1000, "schedule": "cosine"},
        },
    }
    LAYOUTS: ClassVar = {"t5.shared.weight": (REST,)}  # only codes of equals are added, at the end
    config: TIGERConfig
    network: TIGERNetwork
    table: TokenTable

    # Learning

    def build(self, split: Split | None) -> TIGERNetwork:
        assert split is not None, "a saved TIGER is read by _load_learned"
        config = self.config
        vectors = self._vectors(split)
        if self.older is None:
            codes, _ = residual_kmeans(vectors, config.num_codes, config.num_levels, config.seed)
        else:
            codes = codes_like_old(self.older.codes(), vectors)
        codes = with_collision_code(codes)
        return self._spelling(TIGERNetwork(config, codes, int(codes[:, -1].max()) + 1))

    def codes(self) -> np.ndarray:
        """Semantic ids without the code that tells equals apart, ``int64[I, L]``."""
        levels = np.arange(self.config.num_levels) * self.config.num_codes
        return self.table.tokens[:, :-1] - _FIRST_TOKEN - self.config.num_user_tokens - levels

    def _spelling(self, network: TIGERNetwork) -> TIGERNetwork:
        """The network, after the catalogue is spelled as it says."""
        tokens = network.tokens.numpy()
        self.table = TokenTable(tokens, np.full(len(tokens), tokens.shape[1]))
        return network

    def _vectors(self, split: Split) -> np.ndarray:
        """What semantic ids are made of, ``float[I, D]``."""
        config, num_items = self.config, len(self.data.items)
        if config.vectors == "texts":
            return ItemTexts.of(split.dataset, config.texts, self.name).vectors
        if config.vectors == "transitions":
            histories = self.data.histories
            return transition_features(histories, num_items, config.vector_size, config.seed)
        num_users = len(self.data.users)
        graph = BipartiteGraph.from_interactions(split.graph_edges(), num_users, num_items)
        return spectral_features(graph, config.vector_size, seed=config.seed).features[num_users:]

    def examples(self, split: Split) -> np.ndarray:
        """Every item of a history but the first is a target; how many items are read before it."""
        targets = Ragged.of_lengths(np.maximum(self.data.histories.lengths - 1, 0))
        if not len(targets.values):
            raise DataError(
                f"data set {split.dataset.name!r} has no user with two train rows, and {self.name} "
                "learns which item follows another: import more rows of each user, or fit a "
                "method that needs no order, such as ease or lightgcn"
            )
        self._targets = targets.row_of_value, targets.place_of_value + 1
        return np.minimum(self._targets[1], self.config.max_history)

    def stages(self, split: Split) -> Sequence[Stage]:
        config = self.config.training
        data = _OfEqualSize(self, split, self.examples(split), config.batch_size)
        return [Stage("training", data, config)]

    def training_batch(self, rows: np.ndarray, rng: np.random.Generator) -> TIGERBatch:
        users, ends = (part[rows] for part in self._targets)
        whole = self.data.histories.take(users)
        before = whole.keep(whole.place_of_value < ends[whole.row_of_value])
        targets = whole.values[whole.offsets[:-1] + ends]
        unknown = rng.random(len(users)) < self.config.user_dropout
        return self._prompts(np.where(unknown, -1, users), before, targets)

    def _prompts(
        self, users: np.ndarray, histories: Ragged, targets: np.ndarray | None = None
    ) -> TIGERBatch:
        """The user's token, if there is one, and the codes of the newest items, oldest first."""
        read = newest(histories, self.config.max_history)
        tokens = self.table.tokens[read.values]  # [n, C]
        lengths, count = read.lengths * tokens.shape[1], self.config.num_user_tokens
        rows = Ragged.of_lengths(lengths, tokens.reshape(-1))
        input_ids, mask = padded(rows, _PAD), padded(replace(rows, values=rows.values > 0), 0)
        if count:
            # Somebody without a token has padding in its place.
            known = users >= 0
            first = np.where(known, _FIRST_TOKEN + users % count, _PAD)
            input_ids = np.concatenate([first[:, None], input_ids], axis=1)
            mask = np.concatenate([known[:, None], mask], axis=1)
        labels = None if targets is None else torch.from_numpy(self.table.tokens[targets])
        return TIGERBatch(torch.from_numpy(input_ids), torch.from_numpy(mask).long(), labels)

    # Answering

    def rank_items(
        self, users: np.ndarray, histories: Ragged, hidden: ItemFilter, k: int
    ) -> Ranked:
        """Beam search over the catalogue, what must not be listed left out during the search."""
        items: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        banned, beams = hidden.banned(len(users)), self.config.num_beams
        at_once = max(1, min(_PROMPTS_AT_ONCE, _BEAMS_AT_ONCE // max(beams, k)))
        for rows, states, mask in self._encoded(users, histories, at_once):
            found, likelihood = beam_search(
                self.network.t5,
                states,
                mask,
                self.table.trie,
                num_beams=beams,
                num_results=k,
                banned=[banned[row] for row in rows],
            )
            exists = found >= 0
            items += [row[keep] for row, keep in zip(found, exists, strict=True)]
            scores += [row[keep] for row, keep in zip(likelihood, exists, strict=True)]
        return Ranked.of_rows(items, scores)

    def score_lists(
        self, users: np.ndarray, histories: Ragged, lists: Ragged, task: Task
    ) -> np.ndarray:
        """The exact log-likelihood of every item of each user's list, ``float32[total]``."""
        candidates, scores = lists.rows(), [np.empty(0, np.float32)]
        for rows, states, mask in self._encoded(users, histories, _PROMPTS_AT_ONCE):
            block = [candidates[row] for row in rows]
            scores += score_candidates(self.network.t5, states, mask, self.table, block)
        return np.concatenate(scores)

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """The exact log-likelihood of every item as the next one, ``float32[B, I]``."""
        everything = Ragged.of_rows([np.arange(len(self.data.items))] * len(users))
        return self.score_lists(users, histories, everything, "sequential").reshape(len(users), -1)

    @torch.no_grad()
    def _encoded(
        self, users: np.ndarray, histories: Ragged, at_once: int
    ) -> Iterator[tuple[range, torch.Tensor, torch.Tensor]]:
        """Rows of a part, the encoder's states ``[b, S, D]`` and their mask ``[b, S]``."""
        for start in range(0, len(users), at_once):
            rows = range(start, min(start + at_once, len(users)))
            batch = self._prompts(users[rows], histories.take(np.array(rows))).to(self.device)
            yield rows, self.network.encode(batch), batch.attention_mask

    @torch.no_grad()
    def measure(self, rows: HeldOut, metric: str) -> float:
        """The loss of validation rows, or what the places of their items in lists are worth."""
        histories = self.data.histories.take(rows.user)
        if metric == "loss":
            batch = self._prompts(rows.user, histories, rows.item).to(self.device)
            return float(self.network(batch))
        k = min(parse_metric(metric)[1], len(self.data.items))
        lists = self.rank_items(rows.user, histories, ItemFilter(histories), k).items.rows()
        places = [np.flatnonzero(row == item) for row, item in zip(lists, rows.item, strict=True)]
        ranks = np.array([place[0] + 1 if len(place) else k + 1 for place in places])
        return ranking_metric(metric, np.arange(len(ranks)), ranks)

    # Keeping

    def _save_learned(self, folder: Path) -> dict[str, Any]:
        num_codes = self.config.num_codes * self.config.num_levels
        first = _FIRST_TOKEN + self.config.num_user_tokens + num_codes
        told = {"num_collisions": self.network.t5.config.vocab_size - first}
        return {**super()._save_learned(folder), **told}

    def _load_learned(self, folder: Path, told: Mapping[str, Any]) -> None:
        shape = len(self.data.items), self.config.num_levels + 1
        codes = np.zeros(shape, dtype=np.int64)
        with NoRandomStart():
            network = TIGERNetwork(self.config, codes, told["num_collisions"], saved=True)
        load_model(network, folder / "model.safetensors")
        self.network = self._spelling(network)
        self.network.eval()


class _OfEqualSize(Examples):
    """Batches of one size, histories of about the same length together, which saves padding."""

    method: TIGER
    lengths: np.ndarray

    def _drawn(self, rng: np.random.Generator) -> list[np.ndarray]:
        order = rng.permutation(self.num_examples)
        size = self.batch_size * POOLED_BATCHES
        batches: list[np.ndarray] = []
        for pool in (order[n : n + size] for n in range(0, len(order), size)):
            rows = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [rows[n : n + self.batch_size] for n in range(0, len(rows), self.batch_size)]
        return [batches[n] for n in rng.permutation(len(batches))]

    def _measure(self, rows: HeldOut, metric: str) -> torch.Tensor:
        with torch.autocast(self.method.device.type, enabled=False):
            return torch.tensor(self.method.measure(rows, metric))
