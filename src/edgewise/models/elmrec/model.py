"""The network of ELMRec: a T5 that reads ids together with whole-word embeddings (Section 3).

What the encoder reads is ``[P; x + alpha w]`` (Section 3.1): soft-prompt embeddings P, token
embeddings x, and for every token the whole-word embedding w of its user or item: of the graph
(Eq. 8), or of the order of appearance (Eq. 11). Two heads go beyond the paper:
:class:`ItemHead` for the sequential task and :class:`CandidateHead` for the direct one.

Shapes: B prompts, S source tokens, T target tokens, C candidates, I items, V tokens of the
vocabulary, D hidden size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgewise.data.ragged import Ragged
from edgewise.decoding.item_prior import continuation_bonus, node_bonus
from edgewise.decoding.trie import PrefixTrie
from edgewise.models import t5_forward
from edgewise.models.elmrec.batch import Batch
from edgewise.models.elmrec.config import PromptConfig, WholeWordConfig
from edgewise.models.elmrec.one_token import OneTokenIds, start_at
from edgewise.models.elmrec.prompts import EntityTokenTable
from edgewise.recommender import TASKS, Task

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

_FIRST_MATCH = 4.0


class ELMRecModel(nn.Module):
    """A T5 with whole-word and soft-prompt embeddings; ``model(batch)`` is the loss.

    The T5 is a member, reached through ``inputs_embeds``; its own code is untouched.

    Args:
        t5: the language model, width D.
        prompts: tasks and soft prompts.
        whole_words: which whole-word embeddings, how strong and where.
        graph: module from (node, fold) to features, see
            :mod:`edgewise.models.elmrec.graph_embeddings`; None where no task needs it.
        generator: of the random start of soft-prompt and order embeddings.
        normalize: scale every graph embedding to a mean square of 1.
        item_head: matches histories with items, in the sequential task; None = off.
        one_token: what is read of users and items that are one token; None where ids are spelled.
    """

    def __init__(
        self,
        t5: T5ForConditionalGeneration,
        prompts: PromptConfig,
        whole_words: WholeWordConfig,
        graph: nn.Module | None,
        generator: torch.Generator,
        normalize: bool = False,
        item_head: ItemHead | None = None,
        one_token: OneTokenIds | None = None,
    ) -> None:
        super().__init__()
        self.item_head, self.one_token = item_head, one_token
        self.t5, self.graph, self.normalize = t5, graph, normalize
        self.prompts, self.whole_words = prompts, whole_words
        width = t5.config.d_model
        spread = t5.get_input_embeddings().weight.std().item()  # type: ignore[union-attr]

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * spread)

        self.prompt_embeddings = normal(len(TASKS), prompts.num_prompt_embeddings, width)
        max_words = max(prompts.max_history + 2, prompts.num_negatives + 3)
        self.order_embeddings = normal(max_words, width)
        self.no_entity = nn.Parameter(torch.zeros(width))
        self.candidate_head = (
            CandidateHead(width, graph_match=prompts.graph_match)
            if prompts.candidate_head
            else None
        )
        if one_token is not None and "explanation" not in prompts.tasks:
            for each in (t5.decoder.block, t5.decoder.final_layer_norm):  # nothing is written
                each.requires_grad_(False)

    def embedding_parameters(self) -> list[torch.Tensor]:
        """Embeddings that are read as inputs, for a learning rate of their own."""
        tokens = self.t5.get_input_embeddings().weight
        items = [] if self.item_head is None else [self.item_head.embeddings]
        own = [] if self.one_token is None else list(self.one_token.parameters())
        return [tokens, self.prompt_embeddings, self.order_embeddings, self.no_entity, *items, *own]

    # The loss

    def forward(self, batch: Batch) -> torch.Tensor:
        """Eq. 1: the mean over examples of the mean negative log-likelihood of target tokens.

        With ``direct_likelihood = candidates`` each step of a direct target is normalised over the
        tokens that lead to a candidate, with an item head each step of a sequential one over those
        that lead to an item; where ids are one token, over candidates and items themselves.
        """
        assert batch.labels is not None
        states, mask = self.encode(batch)
        if self.one_token is not None and batch.task != "explanation":
            scores = self.head_scores(batch, states)
            assert scores is not None
            loss = F.cross_entropy(scores.float(), batch.labels[:, 0])
            return loss + self._history_loss(batch, states)
        logits = self._target_logits(batch, batch.labels, states, mask)
        logits = self._among_competitors(logits, batch, states)
        losses = F.cross_entropy(logits.transpose(1, 2), batch.labels, reduction="none")
        targets = batch.labels != -100
        loss = (losses.sum(dim=1) / targets.sum(dim=1)).mean()
        return loss + self._history_loss(batch, states)

    def _history_loss(self, batch: Batch, states: torch.Tensor) -> torch.Tensor | float:
        if not (self.training and self.uses_item_head(batch)):
            return 0.0
        assert self.item_head is not None
        return self.item_head.history_loss(_of_prompt(states, batch), batch)

    def _target_logits(
        self, batch: Batch, labels: torch.Tensor, states: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """``float32[B, T, V]``."""
        inputs = self.t5.get_input_embeddings()(
            self.t5.prepare_decoder_input_ids_from_labels(labels)
        )
        shift = self.decoder_shift(batch)
        inputs = inputs if shift is None else inputs + shift[:, None]
        return self.t5.lm_head(t5_forward.decode(self.t5, inputs, states, mask)).float()

    def _among_competitors(
        self, logits: torch.Tensor, batch: Batch, states: torch.Tensor
    ) -> torch.Tensor:
        """Logits of target tokens, normalised as the task's settings say."""
        assert batch.labels is not None
        scores = self.head_scores(batch, states)
        if self.uses_item_head(batch):
            assert self.item_head is not None and scores is not None
            trie = self.item_head.trie
            steps = continuation_bonus(
                trie, batch.labels, node_bonus(trie, scores), logits.shape[2]
            )
            return self.item_head.strength * logits + steps
        if batch.continuations is None or self.prompts.direct_likelihood == "vocabulary":
            return logits
        return _among_candidates(logits, batch.continuations, scores)

    # What encoder and decoder read

    def encode(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Encoder states ``[B, S', D]`` and their mask, computed once for any decoding."""
        inputs, mask = self.embed(batch)
        return t5_forward.encode(self.t5, inputs, mask, self.uses_item_head(batch)), mask

    def embed(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """What the encoder reads: ``[P; x + alpha w]`` of Section 3.1.

        Returns:
            inputs ``[B, S', D]`` and their mask ``[B, S']``.
        """
        mask = batch.attention_mask
        words = self.t5.get_input_embeddings()
        one_token = self.one_token
        tokens = words(batch.input_ids) if one_token is None else one_token(batch.input_ids, words)
        if not self.prompts.text_prompt:
            tokens = torch.zeros_like(tokens)
        if self.uses_item_head(batch) and self.one_token is None:
            assert self.item_head is not None
            tokens = tokens + self.item_head.read(batch)
        whole_words = self.whole_word_embeddings(batch)
        parts, masks = [tokens], [mask]
        if whole_words is not None and self.whole_words.injection == "addition":
            parts = [tokens + whole_words]
        elif whole_words is not None:
            first = _first_token_of_each_word(batch.order)
            parts, masks = [whole_words, tokens], [mask * first, mask]
        prompt = self.prompt_embeddings[TASKS.index(batch.task)]
        if self.prompts.text_prompt and len(prompt):
            parts.insert(0, prompt.expand(len(batch), -1, -1))
            masks.insert(0, mask.new_ones(len(batch), len(prompt)))
        return torch.cat(parts, dim=1), torch.cat(masks, dim=1)

    def whole_word_embeddings(self, batch: Batch) -> torch.Tensor | None:
        """Those of Eq. 8 or Eq. 11 for every token, ``[B, S, D]``, times alpha."""
        kind = self.whole_words.kind(batch.task)
        if kind == "none":
            return None
        if kind == "graph":
            embeddings = self._graph_embeddings(batch.node, batch)
        else:
            order = batch.order.clamp(max=len(self.order_embeddings) - 1)
            if kind == "random":
                order = self._disordered(order)
            embeddings = F.embedding(order, self.order_embeddings)
        return self.whole_words.alpha(batch.task) * embeddings

    def decoder_shift(self, batch: Batch) -> torch.Tensor | None:
        """Added to every decoder input: the user's graph embedding, ``[B, D]``, or nothing."""
        scale = self.whole_words.decoder_alpha
        if not scale or self.whole_words.kind(batch.task) != "graph":
            return None
        return scale * self._graph_embeddings(batch.user[:, None], batch)[:, 0]

    def _graph_embeddings(self, node: torch.Tensor, batch: Batch) -> torch.Tensor:
        """What is read of nodes ``[B, S]``, ``[B, S, D]``; on words an embedding of their own."""
        embeddings = self._graph_features(node, batch)
        if self.normalize:
            embeddings = F.normalize(embeddings, dim=-1) * embeddings.shape[-1] ** 0.5
        return torch.where((node < 0)[..., None], self.no_entity, embeddings)

    def _graph_features(self, node: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Features of nodes ``[B, S]`` as each example may see them, ``[B, S, D]``."""
        assert self.graph is not None
        features = self.graph(node.clamp(min=0), batch.edge_fold)
        if batch.user_embeddings is None:
            return features
        is_user = (node == batch.user[:, None])[..., None]
        return torch.where(is_user, batch.user_embeddings[:, None], features)

    def _disordered(self, order: torch.Tensor) -> torch.Tensor:
        """Shuffle the indices of each example's words, keeping 0 and what belongs together.

        Training draws a new order for every example. Inference has one order for all, so that an
        answer depends neither on chance nor on the other prompts of a batch.
        """
        if self.training:
            count = int(order.max()) + 1
            keys = torch.rand(len(order), count, device=order.device)
        else:
            generator = torch.Generator().manual_seed(0)
            keys = torch.rand(1, len(self.order_embeddings), generator=generator)
            keys = keys.to(order.device).repeat(len(order), 1)
        return _sorted_by(keys, order)

    # The heads

    def uses_item_head(self, batch: Batch) -> bool:
        """Whether a batch's answers are matched with all items."""
        return batch.task == "sequential" and self.item_head is not None

    def spelling_strength(self, task: Task) -> float:
        """What the language model's logits of an item's spelling are multiplied by."""
        if task != "sequential" or self.item_head is None:
            return 1.0
        return float(self.item_head.strength.detach())

    def head_scores(self, batch: Batch, states: torch.Tensor) -> torch.Tensor | None:
        """What a head says of each candidate ``float32[B, C]`` or each item ``[B, I]``; or None."""
        if self.uses_item_head(batch):
            assert self.item_head is not None
            return self.item_head(_of_prompt(states, batch), batch)
        if batch.task == "direct" and self.candidate_head is not None:
            return self._candidate_scores(batch, states)
        return None

    def _candidate_scores(self, batch: Batch, states: torch.Tensor) -> torch.Tensor:
        """How well each candidate of a direct prompt goes with its user, ``float32[B, C]``.

        The user's encoder state is matched with the states of the candidates' first tokens, in
        prompt order; minus infinity where a list is shorter.
        """
        assert self.candidate_head is not None
        starts = _first_token_of_each_word(batch.order).bool()
        is_user = batch.node == batch.user[:, None]
        own = _of_prompt(states, batch).float()
        users = own[torch.arange(len(own), device=own.device), is_user.int().argmax(dim=1)]
        row, column = (starts & ~is_user).nonzero(as_tuple=True)
        counts = torch.bincount(row, minlength=len(own))
        place = torch.arange(len(row), device=own.device) - (counts.cumsum(0) - counts)[row]
        scores = own.new_full((len(own), int(counts.max())), float("-inf"))
        found = self.candidate_head(users[row], own[row, column])
        if self.candidate_head.match_strength is not None:
            user = self._graph_features(batch.user[:, None], batch)[row, 0]
            item = self._graph_features(batch.node, batch)[row, column]
            found = found + self.candidate_head.match(user, item)
        return scores.index_put((row, place), found)


class ItemHead(nn.Module):
    """One embedding an item, read in sequential prompts and matched with the history's state.

    Ids that are spelled in several tokens leave thousands of items to be told apart by a few
    hundred. Here every item keeps an embedding of its own beside its spelling: it is added to the
    item's tokens in the prompt, and its dot product with what the encoder makes of the history up
    to the newest item is the item's bonus in the prefix tree. The decoder's own logits are added
    with a learned strength that starts at nothing.

    While training the encoder reads from left to right, so that the state of every item of the
    history can be matched with the item that came next: many targets a prompt instead of one.

    Args:
        trie: the catalogue's prefix tree as the decoder spells it.
        num_users: U; item i is graph node ``U + i``.
        width: D.
        dropout: of the items' embeddings where they are read, and of the states that are matched.
        generator: of the random start.
        usual_targets: items of a history that follow another one, on average; read in training.
    """

    def __init__(
        self,
        trie: PrefixTrie,
        num_users: int,
        width: int,
        dropout: float,
        generator: torch.Generator,
        usual_targets: float = 1.0,
    ) -> None:
        super().__init__()
        self.trie, self.num_users, self.dropout = trie, num_users, dropout
        self.usual_targets = usual_targets
        # Read times the root of the width, they are as long as the tokens they are added to.
        start = torch.randn(trie.num_items, width, generator=generator)
        self.embeddings = nn.Parameter(start * width**-0.5)
        # A decoder that cannot spell yet would only disturb.
        self.strength = nn.Parameter(torch.zeros(()))
        self.query = nn.Linear(width, width)
        nn.init.eye_(self.query.weight)
        nn.init.zeros_(self.query.bias)

    def read(self, batch: Batch) -> torch.Tensor:
        """The embeddings of the prompts' items at each of their tokens, ``[B, S, D]``."""
        item = self._items(batch)
        embeddings = F.embedding(item.clamp(min=0), self.embeddings)
        embeddings = F.dropout(embeddings, self.dropout, self.training)
        return embeddings * (item >= 0)[..., None] * embeddings.shape[-1] ** 0.5

    def forward(self, states: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The bonus of every item for prompts with encoder states ``[B, S, D]``, ``[B, I]``.

        A prompt without an item is asked at its last token.
        """
        place = torch.arange(states.shape[1], device=states.device)
        newest = torch.where(self._items(batch) >= 0, place, -1).amax(dim=1)
        last_token = batch.attention_mask.sum(dim=1) - 1
        newest = torch.where(newest < 0, last_token, newest)
        return self._match(states[torch.arange(len(states), device=states.device), newest])

    def history_loss(self, states: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Negative log-likelihood of each history item given those before it.

        Summed over a batch and divided by the items that so many prompts hold on average, so that
        long histories count by their length and the mean over parts of a batch is the whole one's.
        """
        item = self._items(batch)
        after = item[:, 1:]
        closes = (item[:, :-1] >= 0) & (batch.order[:, :-1] != batch.order[:, 1:])
        closes &= after >= 0
        found = self._match(states[:, :-1][closes])
        total = F.cross_entropy(found, after[closes], reduction="sum")
        return total / (len(batch) * self.usual_targets)

    def _items(self, batch: Batch) -> torch.Tensor:
        """The item of every token, -1 where there is none, ``int64[B, S]``."""
        item = batch.node - self.num_users
        return item.masked_fill((item < 0) | (item >= len(self.embeddings)), -1)

    def _match(self, states: torch.Tensor) -> torch.Tensor:
        """``[n, D]`` -> ``float32[n, I]``."""
        with torch.autocast(states.device.type, enabled=False):
            states = F.dropout(states.float(), self.dropout, self.training)
            return self.query(states) @ self.embeddings.T


def build_item_head(
    prompts: PromptConfig,
    table: EntityTokenTable,
    width: int,
    generator: torch.Generator,
    histories: Ragged,
    start: np.ndarray | None = None,
) -> ItemHead | None:
    """The item head, where the settings ask for it and the sequential task is among the tasks.

    Args:
        prompts: the settings.
        table: spells the items.
        width: D.
        generator: of the random start.
        histories: that it will be trained on.
        start: of the embeddings, ``float32[I, D]`` with a mean square of 1 in each row; items
            whose row is zero, or all where it is None, start at random.
    """
    if not prompts.item_head or "sequential" not in prompts.tasks:
        return None
    # The answer is no part of the prompt, and the first item of the prompt is no target.
    lengths = histories.lengths[histories.lengths >= 2]
    targets = np.minimum(lengths - 1, prompts.max_history) - 1
    usual = max(1.0, float(targets.mean())) if len(targets) else 1.0
    trie = table.spellings.trie
    head = ItemHead(trie, table.num_users, width, prompts.item_dropout, generator, usual)
    start_at(head.embeddings, start)
    return head


class CandidateHead(nn.Module):
    """A bilinear match of two states, at the start a multiple of their dot product.

    A pointer network (Vinyals et al., arXiv 1506.03134) over the candidates of a direct prompt.

    Args:
        width: D.
        strength: that multiple.
        graph_match: add the dot product of the graph's features, as long as they are, with a
            learned strength.
    """

    def __init__(self, width: int, strength: float = 0.1, graph_match: bool = False) -> None:
        super().__init__()
        self.match_strength = nn.Parameter(torch.tensor(_FIRST_MATCH)) if graph_match else None
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        for linear in (self.query, self.key):
            nn.init.eye_(linear.weight)
            linear.weight.data *= strength**0.5
        nn.init.zeros_(self.query.bias)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """``[n, D]`` and ``[n, D]`` -> ``[n]``."""
        with torch.autocast(users.device.type, enabled=False):
            return (self.query(users) * self.key(items)).sum(dim=-1)

    def match(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """What the graph's features ``[n, D]`` say by themselves, ``[n]``."""
        assert self.match_strength is not None
        return self.match_strength * (users * items).mean(dim=-1)


def _of_prompt(states: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The states of the prompt's own tokens, ``[B, S, D]``."""
    return states[:, -batch.node.shape[1] :]


def _among_candidates(
    logits: torch.Tensor, continuations: torch.Tensor, scores: torch.Tensor | None
) -> torch.Tensor:
    """Leave only tokens that lead to a candidate, with what the candidate head says of each.

    A token gets the log of the summed ``exp`` of the scores of the candidates it leads to, so that
    without the language model's logits the chain of steps is a softmax of the scores.

    Args:
        logits: ``[B, T, V]``.
        continuations: ``int64[B, T, C]``, the token by which each candidate goes on, -1 = none.
        scores: ``[B, C]``.
    """
    leads = continuations >= 0
    if scores is None:
        scores = logits.new_zeros(leads.shape[0], leads.shape[2])
    values = scores[:, None].expand(leads.shape).masked_fill(~leads, float("-inf"))
    tokens = continuations.clamp(min=0)
    # Each token's own highest: far below another token's, its sum would round to nothing.
    nothing = torch.full_like(logits, float("-inf"))
    highest = nothing.scatter_reduce(2, tokens, values.detach(), "amax")
    nowhere = highest.isinf()
    highest = highest.masked_fill(nowhere, 0.0)
    weight = (values - highest.gather(2, tokens)).exp()
    total = torch.zeros_like(logits).scatter_add(2, tokens, weight)
    bonus = total.masked_fill(nowhere, 1.0).log() + highest
    return (logits + bonus).masked_fill(nowhere, torch.finfo(logits.dtype).min)


def _sorted_by(keys: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Renumber the words ``1..n`` of each row by their keys ``float[B, > n]`` in ``[0, 1)``."""
    keys[:, 0] = -1.0
    present = torch.arange(keys.shape[1], device=order.device)[None] <= order.amax(1, keepdim=True)
    shuffled = keys.masked_fill(~present, 2.0).argsort(dim=1)
    return shuffled.gather(1, order)


def _first_token_of_each_word(order: torch.Tensor) -> torch.Tensor:
    """1 on the first token of every user or item, ``int64[B, S]``."""
    before = F.pad(order[:, :-1], (1, 0))
    return ((order > 0) & (order != before)).long()
