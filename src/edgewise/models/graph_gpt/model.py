"""A stock GPT-2 over words, users and items whose attention mask carries the graph.

Shapes: B batch, S tokens, D hidden, H heads, L layers, T text tokens, U users, I items.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from edgewise.models.graph_gpt.attention_bias import (
    attention_mask,
    bias_table,
    gated,
    graph_bias,
    meaningless_bias,
)
from edgewise.models.graph_gpt.batch import IGNORED, PromptBatch
from edgewise.models.graph_gpt.config import AttentionConfig
from edgewise.models.graph_gpt.reading import KeyCache, Keys, last_states, read, shared_words
from edgewise.models.item_head import ItemLoss, item_cross_entropy
from edgewise.models.saved_networks import with_fast_gelu
from edgewise.training.processes import union_of_all

if TYPE_CHECKING:
    from transformers import GPT2Model


@dataclass(frozen=True)
class Series:
    """What batches of prompts that follow each other share; weights must not move meanwhile.

    Attributes:
        gpt: reads them: the network's own, or a quantised one.
        columns: of :meth:`GraphGPTModel.item_columns`, where they are many.
        words: see :func:`~edgewise.models.graph_gpt.reading.last_states`.
    """

    gpt: GPT2Model
    columns: torch.Tensor | None = None
    words: dict[tuple[int, ...], dict[int, Keys]] = field(default_factory=dict)


class GraphGPTModel(nn.Module):
    """The graph-attentive GPT-2 (Section 3.2).

    Args:
        gpt: stock or saved, with T + U + I embeddings.
        num_text: T.
        num_users: U that have tokens.
        attention: R.
        lambda_v: lambda_V of the pull towards an anchor, see :meth:`hold_on_to_content`.
        item_loss: of batches that come with sampled items; None for the softmax over all.
        label_smoothing: of items as targets, while training.
    """

    bias_table: torch.Tensor
    anchor: torch.Tensor | None

    def __init__(
        self,
        gpt: GPT2Model,
        num_text: int,
        num_users: int,
        attention: AttentionConfig,
        lambda_v: float = 0.0,
        item_loss: ItemLoss | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.gpt = with_fast_gelu(gpt)
        self.num_text, self.first_item = num_text, num_text + num_users
        self.attention, self.lambda_v = attention, lambda_v
        self.item_loss = item_loss
        self.sparse_gradients = item_loss is not None and item_loss.sparse
        gpt.wte.sparse = self.sparse_gradients
        self.label_smoothing = label_smoothing
        self.register_buffer("bias_table", bias_table(attention), persistent=False)
        self.register_buffer("anchor", None, persistent=False)
        if attention.gates and attention.kind != "none":
            self._add_gates()

    def _add_gates(self) -> None:
        """Let every layer multiply R by a strength of its own and of each head."""
        shape = self.gpt.config.n_layer, self.gpt.config.n_head
        self.gates = nn.Parameter(torch.ones(shape))
        for layer, block in enumerate(self.gpt.h):
            block.attn.register_forward_pre_hook(partial(self._gate, layer), with_kwargs=True)  # pyright: ignore[reportAttributeAccessIssue]

    def _gate(self, layer: int, _: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        mask = gated(kwargs["attention_mask"], self.gates[layer])
        return args, {**kwargs, "attention_mask": mask}

    def embedding_parameters(self) -> list[torch.Tensor]:
        """For a learning rate of their own."""
        return [self.gpt.wte.weight]

    # Reading

    def mask(self, batch: PromptBatch) -> torch.Tensor:
        """Causality, padding and R in one additive mask, ``float[B, 1, S, S]``."""
        bias = None
        if self.attention.kind == "graph":
            assert batch.distance is not None, "attention.kind=graph needs the batch's distances"
            bias = graph_bias(batch.distance, self.bias_table)
        elif self.attention.kind == "meaningless":
            bias = meaningless_bias(batch.node)
        return attention_mask(batch.attention_mask, bias)

    def hidden(self, batch: PromptBatch) -> torch.Tensor:
        """What the model makes of every token, ``float[B, S, D]``."""
        return self.read(batch.input_ids, self.mask(batch))[0]

    def read(
        self,
        input_ids: torch.Tensor,
        mask: torch.Tensor,
        past: KeyCache | None = None,
        keep: bool = False,
    ) -> tuple[torch.Tensor, KeyCache | None]:
        """Go on reading after what a cache holds.

        Args:
            input_ids: the new tokens, ``int64[B, N]``.
            mask: their rows of the mask, over all tokens so far, ``float[B, 1, N, S]``.
            past: keys and values of the tokens before, or None.
            keep: return a cache that holds the new tokens as well.

        Returns:
            ``float[B, N, D]``, and the cache or None.
        """
        past = KeyCache({}) if keep and past is None else past
        return read(self.gpt, input_ids, mask, past), past

    def last_hidden(self, batch: PromptBatch, series: Series | None = None) -> torch.Tensor:
        """What the model makes of each prompt's last token, ``float[B, D]``.

        Args:
            batch: prompts.
            series: what batches that follow each other share.
        """
        if self.training:  # dropout is drawn for all tokens
            rows = torch.arange(len(batch), device=batch.input_ids.device)
            return self.hidden(batch)[rows, batch.last]
        last = batch.last
        shared = shared_words(batch.input_ids, batch.node, last)
        gpt, words = (self.gpt, None) if series is None else (series.gpt, series.words)
        return last_states(gpt, batch.input_ids, self.mask(batch), last, shared, words)

    # Predicting

    def text_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores of every text token, ``float[..., T]``."""
        return F.linear(hidden, self.gpt.wte.weight[: self.num_text])

    def item_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores of every item (Eq. 7), ``float[..., I]``; no other token's row is multiplied."""
        return F.linear(hidden, self.gpt.wte.weight[self.first_item :])

    def next_item_logits(self, batch: PromptBatch, series: Series | None = None) -> torch.Tensor:
        """Scores of every item as what follows each prompt, ``float32[B, I]``.

        Arguments as for :meth:`last_hidden`.
        """
        states = self.last_hidden(batch, series)
        columns = None if series is None else series.columns
        logits = self.item_logits(states) if columns is None else states @ columns
        return logits.float()

    def item_columns(self) -> torch.Tensor:
        """The items' embeddings, one a column, which are multiplied faster; ``float[D, I]``."""
        return self.gpt.wte.weight[self.first_item :].T.contiguous()

    # Learning

    def forward(self, batch: PromptBatch) -> torch.Tensor:
        """The mean loss of a batch."""
        if batch.positives is None:
            loss = self._next_token_loss(batch)
        else:
            loss = self._multinomial_loss(batch, batch.positives)
        if self.training and self.anchor is not None:
            loss = loss + self.lambda_v * self._distance_to_content(batch, self.anchor)
        return loss

    def _next_token_loss(self, batch: PromptBatch) -> torch.Tensor:
        """Eq. 5, averaged over the positions that have a target."""
        wanted = batch.targets != IGNORED
        states = self.hidden(batch)[wanted]
        if batch.space == "text":
            loss = F.cross_entropy(self.text_logits(states), batch.targets[wanted])
        elif batch.negatives is not None and self.item_loss is not None:
            sampled = batch.targets[wanted], batch.negatives, self.first_item
            loss = self.item_loss(states, self.gpt.wte.weight, *sampled)
        else:
            items = self.gpt.wte.weight[self.first_item :]
            smoothing = self.label_smoothing if self.training else 0.0
            targets = batch.targets[wanted]
            loss = item_cross_entropy(states, items, targets, smoothing, batch.bonus)
        if batch.targets_per_row is None:
            return loss
        # Parts of a batch are weighed by their rows, but may have more or fewer targets a row.
        return loss * (len(states) / (len(batch) * batch.targets_per_row))

    def _multinomial_loss(self, batch: PromptBatch, positives: torch.Tensor) -> torch.Tensor:
        """Eq. 6: minus the log-likelihood of a row's positives, summed, averaged over rows."""
        likelihood = self.next_item_logits(batch).log_softmax(-1)
        return -likelihood[positives[:, 0], positives[:, 1]].sum() / len(batch)

    def hold_on_to_content(self) -> None:
        """Keep the users' and items' embeddings as they are now as an anchor.

        The release has one GPT-2 with two sets of user and item embeddings, one for texts and one
        for interactions, which it trains in turn, adding lambda_V times the squared distance
        between the two sets to either loss. Here there is one set, and the stages follow each
        other: what the content stage made of it is kept, and the later stages are pulled towards
        that.
        """
        if self.lambda_v > 0:
            self.anchor = self.gpt.wte.weight[self.num_text :].detach().clone()

    def _distance_to_content(self, batch: PromptBatch, anchor: torch.Tensor) -> torch.Tensor:
        """The squared distance from the anchor, averaged over the batch's users and items."""
        nodes = union_of_all(batch.node[batch.node >= 0])
        if not len(nodes):
            return anchor.new_zeros(())
        moved = F.embedding(self.num_text + nodes, self.gpt.wte.weight) - anchor[nodes]
        return moved.square().sum(-1).mean()
