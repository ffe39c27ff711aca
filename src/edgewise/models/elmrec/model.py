"""A pointer from the history to every item of the catalogue, for the sequential task.

The network of ELMRec: a T5 that reads ids together with whole-word vectors (Section 3).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from edgewise.data.ragged import Ragged
from edgewise.decoding.item_prior import continuation_bonus, node_bonus
from edgewise.decoding.trie import PrefixTrie, TokenTable
from edgewise.models.elmrec.batch import Batch
from edgewise.models.elmrec.config import PromptConfig, WholeWordConfig
from edgewise.models.elmrec.prompts import EntityTokenTable
from edgewise.recommender import TASKS, Task


class ItemHead(nn.Module):
    """One vector an item, read in sequential prompts and matched with the state of the history.

    Ids that are spelled in pieces leave thousands of items to be told apart by a few hundred
    tokens. Here every item keeps a vector of its own beside its spelling: it is added to the
    item's tokens in the prompt, and its dot product with what the encoder makes of the history up
    to the newest item is the item's bonus in the prefix tree. The decoder's own logits are added
    with a learned strength that starts at nothing.

    While training the encoder reads from left to right, so that the state of every item of the
    history can be matched with the item that came next: many lessons a prompt instead of one.

    Args:
        trie: the catalogue's prefix tree as the decoder spells it.
        num_users: U; item i is graph node ``U + i``.
        width: D.
        dropout: of the items' vectors where they are read, and of the states that are matched.
        generator: of the random start.
        usual_lessons: items of a history that follow another one, on average; read in training.
    """

    def __init__(
        self,
        trie: PrefixTrie,
        num_users: int,
        width: int,
        dropout: float,
        generator: torch.Generator,
        usual_lessons: float = 1.0,
    ) -> None:
        super().__init__()
        self.trie, self.num_users, self.dropout = trie, num_users, dropout
        self.usual_lessons = usual_lessons
        # Read times the root of the width, they are as long as the tokens they are added to.
        start = torch.randn(trie.num_items, width, generator=generator)
        self.vectors = nn.Parameter(start * width**-0.5)
        # A decoder that cannot spell yet would only disturb.
        self.strength = nn.Parameter(torch.zeros(()))
        self.query = nn.Linear(width, width)
        nn.init.eye_(self.query.weight)
        nn.init.zeros_(self.query.bias)

    def read(self, batch: Batch) -> torch.Tensor:
        """The vectors of the prompts' items at each of their tokens, ``[B, S, D]``."""
        item = self._items(batch)
        vectors = F.embedding(item.clamp(min=0), self.vectors)
        vectors = F.dropout(vectors, self.dropout, self.training)
        return vectors * (item >= 0)[..., None] * vectors.shape[-1] ** 0.5

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
        return total / (len(batch) * self.usual_lessons)

    def _items(self, batch: Batch) -> torch.Tensor:
        """The item of every token, -1 where there is none, ``int64[B, S]``."""
        item = batch.node - self.num_users
        return item.masked_fill((item < 0) | (item >= len(self.vectors)), -1)

    def _match(self, states: torch.Tensor) -> torch.Tensor:
        """``[n, D]`` -> ``float32[n, I]``."""
        with torch.autocast(states.device.type, enabled=False):
            states = F.dropout(states.float(), self.dropout, self.training)
            return self.query(states) @ self.vectors.T


def build_item_head(
    prompts: PromptConfig,
    table: EntityTokenTable,
    width: int,
    generator: torch.Generator,
    histories: Ragged | None = None,
) -> ItemHead | None:
    """The pointer, where the settings ask for it and the sequential task is among the tasks.

    Args:
        prompts: the settings.
        table: spells the items.
        width: D.
        generator: of the random start.
        histories: that it will be trained on.
    """
    if not prompts.item_head or "sequential" not in prompts.tasks:
        return None
    trie = TokenTable(*table.item_targets).trie
    lessons = 1.0 if histories is None else _usual_lessons(histories, prompts.max_history)
    return ItemHead(trie, table.num_users, width, prompts.item_dropout, generator, lessons)


def _usual_lessons(histories: Ragged, max_history: int) -> float:
    """How many items follow another one in a prompt, over the users that have a target besides."""
    lengths = histories.lengths[histories.lengths >= 2]
    lessons = np.minimum(lengths - 1, max_history) - 1
    return max(1.0, float(lessons.mean())) if len(lessons) else 1.0


_FIRST_MATCH = 4.0


class GraphTable(nn.Module):
    """Frozen graph features, looked up by node and fold.

    Args:
        table: ``float32[K + 1, N, D]``, the folds' features and last the whole train graph's.
    """

    table: torch.Tensor

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        num_tables, _, width = table.shape
        nobody = torch.zeros(num_tables, 1, width)
        self.register_buffer("table", torch.cat([table, nobody], dim=1), persistent=False)

    def forward(self, node: torch.Tensor, fold: torch.Tensor) -> torch.Tensor:
        """Vectors of nodes ``[B, S]`` (node N is somebody unknown, all zero) in fold ``[B]``."""
        num_tables, num_rows, width = self.table.shape
        rows = (fold % num_tables)[:, None] * num_rows + node
        return F.embedding(rows, self.table.view(-1, width))


class CandidateHead(nn.Module):
    """A bilinear match of two states, at the start a multiple of their dot product.

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


class ELMRecModel(nn.Module):
    """A T5 with whole-word vectors and distilled prompt vectors; ``model(batch)`` is the loss.

    The T5 is a member, reached through ``inputs_embeds``; its own code is untouched.

    Args:
        t5: the language model, width D.
        prompts: tasks and prompt vectors.
        whole_words: which vectors, how strong and where.
        graph: module from (node, fold) to vectors; None where no task needs it.
        num_nodes: users and items; this number stands for somebody not in the data.
        generator: of the random start of prompt and order vectors.
        normalize: scale every graph vector to a mean square of 1.
        item_head: points from histories to items, in the sequential task; None = off.
    """

    def __init__(
        self,
        t5: T5ForConditionalGeneration,
        prompts: PromptConfig,
        whole_words: WholeWordConfig,
        graph: nn.Module | None,
        num_nodes: int,
        generator: torch.Generator,
        normalize: bool = False,
        item_head: ItemHead | None = None,
    ) -> None:
        super().__init__()
        self.item_head = item_head
        self.t5, self.graph, self.num_nodes = t5, graph, num_nodes
        self.normalize = normalize
        self.prompts, self.whole_words = prompts, whole_words
        width = t5.config.d_model
        spread = t5.get_input_embeddings().weight.std().item()  # type: ignore[union-attr]

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * spread)

        self.prompt_vectors = normal(len(TASKS), prompts.num_prompt_embeddings, width)
        max_words = max(prompts.max_history + 2, prompts.num_negatives + 3)
        self.order_vectors = normal(max_words, width)
        self.no_entity = nn.Parameter(torch.zeros(width))
        self.candidate_head = (
            CandidateHead(width, graph_match=prompts.graph_match)
            if prompts.candidate_head
            else None
        )

    def embedding_parameters(self) -> list[torch.Tensor]:
        """Vectors that are read as inputs, for a learning rate of their own."""
        tokens = self.t5.get_input_embeddings().weight
        catalogue = [] if self.item_head is None else [self.item_head.vectors]
        return [tokens, self.prompt_vectors, self.order_vectors, self.no_entity, *catalogue]

    def whole_word_vectors(self, batch: Batch) -> torch.Tensor | None:
        """The vectors of Eq. 8 or Eq. 11 for every token, ``[B, S, D]``, times alpha."""
        kind = self.whole_words.kind(batch.task)
        if kind == "none":
            return None
        if kind == "graph":
            vectors = self._graph_vectors(batch.node, batch)
        else:
            order = batch.order.clamp(max=len(self.order_vectors) - 1)
            if kind == "random":
                order = self._disordered(order)
            vectors = F.embedding(order, self.order_vectors)
        return self.whole_words.alpha(batch.task) * vectors

    def _graph_vectors(self, node: torch.Tensor, batch: Batch) -> torch.Tensor:
        """What is read of nodes ``[B, S]``, ``[B, S, D]``; on words a vector of their own."""
        vectors = self._graph_features(node, batch)
        if self.normalize:
            vectors = F.normalize(vectors, dim=-1) * vectors.shape[-1] ** 0.5
        return torch.where((node < 0)[..., None], self.no_entity, vectors)

    def _graph_features(self, node: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Features of nodes ``[B, S]`` as each example may see them, ``[B, S, D]``."""
        assert self.graph is not None
        vectors = self.graph(node.clamp(min=0), batch.edge_fold)
        if batch.user_vectors is None:
            return vectors
        is_user = (node == batch.user[:, None])[..., None]
        return torch.where(is_user, batch.user_vectors[:, None], vectors)

    def decoder_shift(self, batch: Batch) -> torch.Tensor | None:
        """What is added to every decoder input: the user's graph vector, ``[B, D]``, or nothing."""
        scale = self.whole_words.decoder_alpha
        if not scale or self.whole_words.kind(batch.task) != "graph":
            return None
        return scale * self._graph_vectors(batch.user[:, None], batch)[:, 0]

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
            keys = torch.rand(1, len(self.order_vectors), generator=generator)
            keys = keys.to(order.device).repeat(len(order), 1)
        return _sorted_by(keys, order)

    def embed(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """What the encoder reads: ``[P; x + alpha w]`` of Section 3.1.

        Returns:
            inputs ``[B, S', D]`` and their mask ``[B, S']``.
        """
        mask = batch.attention_mask
        tokens = self.t5.get_input_embeddings()(batch.input_ids)
        if not self.prompts.text_prompt:
            tokens = torch.zeros_like(tokens)
        if self.points_at_catalogue(batch):
            assert self.item_head is not None
            tokens = tokens + self.item_head.read(batch)
        vectors = self.whole_word_vectors(batch)
        parts, masks = [tokens], [mask]
        if vectors is not None and self.whole_words.injection == "addition":
            parts = [tokens + vectors]
        elif vectors is not None:
            first = _first_token_of_each_word(batch.order)
            parts, masks = [vectors, tokens], [mask * first, mask]
        prompt = self.prompt_vectors[TASKS.index(batch.task)]
        if self.prompts.text_prompt and len(prompt):
            parts.insert(0, prompt.expand(len(batch), -1, -1))
            masks.insert(0, mask.new_ones(len(batch), len(prompt)))
        return torch.cat(parts, dim=1), torch.cat(masks, dim=1)

    def encode(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Encoder states ``[B, S', D]`` and their mask, computed once for any decoding."""
        inputs, mask = self.embed(batch)
        seen = _from_left_to_right(mask, inputs.dtype) if self.points_at_catalogue(batch) else mask
        states = self.t5.encoder(inputs_embeds=inputs, attention_mask=seen).last_hidden_state
        return states, mask

    def forward(self, batch: Batch) -> torch.Tensor:
        """Eq. 1: the mean over examples of the mean negative log-likelihood of target tokens.

        With ``direct_likelihood = candidates`` each step of a direct target is normalised over the
        tokens that lead to a candidate.
        """
        assert batch.labels is not None
        states, mask = self.encode(batch)
        logits = self._target_logits(batch, batch.labels, states, mask)
        logits = self._among_competitors(logits, batch, states)
        losses = F.cross_entropy(logits.transpose(1, 2), batch.labels, reduction="none")
        targets = batch.labels != -100
        loss = (losses.sum(dim=1) / targets.sum(dim=1)).mean()
        if self.training and self.points_at_catalogue(batch):
            assert self.item_head is not None
            loss = loss + self.item_head.history_loss(self._of_prompt(states, batch), batch)
        return loss

    def _among_competitors(
        self, logits: torch.Tensor, batch: Batch, states: torch.Tensor
    ) -> torch.Tensor:
        """Logits of target tokens, normalised as the task's settings say."""
        assert batch.labels is not None
        pointed = self.point(batch, states)
        if self.points_at_catalogue(batch):
            assert self.item_head is not None and pointed is not None
            trie = self.item_head.trie
            bonus = node_bonus(trie, pointed)
            steps = continuation_bonus(trie, batch.labels, bonus, logits.shape[2])
            return self.item_head.strength * logits + steps
        if batch.continuations is None or self.prompts.direct_likelihood == "vocabulary":
            return logits
        return _among_candidates(logits, batch.continuations, pointed)

    def points_at_catalogue(self, batch: Batch) -> bool:
        """Whether a batch's answers are matched with all items."""
        return batch.task == "sequential" and self.item_head is not None

    def spelling_strength(self, task: Task) -> float:
        """What the language model's logits of an item's spelling are multiplied by."""
        if task != "sequential" or self.item_head is None:
            return 1.0
        return float(self.item_head.strength.detach())

    def _of_prompt(self, states: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The states of the prompt's own tokens, ``[B, S, D]``."""
        return states[:, -batch.node.shape[1] :]

    def point(self, batch: Batch, states: torch.Tensor) -> torch.Tensor | None:
        """What a pointer says of each candidate, or of each item, ``float32[B, C]``; or None."""
        if self.points_at_catalogue(batch):
            assert self.item_head is not None
            return self.item_head(self._of_prompt(states, batch), batch)
        if batch.task == "direct" and self.candidate_head is not None:
            return self._point_at_candidates(batch, states)
        return None

    def _point_at_candidates(self, batch: Batch, states: torch.Tensor) -> torch.Tensor:
        """How well each candidate of a direct prompt goes with its user, ``float32[B, C]``.

        A pointer (Vinyals et al., arXiv 1506.03134) from the user's encoder state to the states of
        the candidates' first pieces, in prompt order; minus infinity where a list is shorter.
        """
        assert self.candidate_head is not None
        starts = _first_token_of_each_word(batch.order).bool()
        is_user = batch.node == batch.user[:, None]
        own = self._of_prompt(states, batch).float()
        users = own[torch.arange(len(own), device=own.device), is_user.int().argmax(dim=1)]
        row, column = (starts & ~is_user).nonzero(as_tuple=True)
        counts = torch.bincount(row, minlength=len(own))
        place = torch.arange(len(row), device=own.device) - (counts.cumsum(0) - counts)[row]
        scores = own.new_full((len(own), int(counts.max())), float("-inf"))
        pointed = self.candidate_head(users[row], own[row, column])
        if self.candidate_head.match_strength is not None:
            user = self._graph_features(batch.user[:, None], batch)[row, 0]
            item = self._graph_features(batch.node, batch)[row, column]
            pointed = pointed + self.candidate_head.match(user, item)
        return scores.index_put((row, place), pointed)

    def _target_logits(
        self, batch: Batch, labels: torch.Tensor, states: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """``float32[B, T, V]``."""
        inputs = self.t5.get_input_embeddings()(
            self.t5.prepare_decoder_input_ids_from_labels(labels)
        )
        shift = self.decoder_shift(batch)
        # Given labels the library would compute a loss of its own as well.
        return self.t5(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),  # type: ignore[arg-type]
            attention_mask=mask,
            decoder_inputs_embeds=inputs if shift is None else inputs + shift[:, None],
        ).logits.float()


def _from_left_to_right(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A mask to be added to attention scores: no token reads what follows it, or padding.

    Args:
        mask: 1 on tokens, ``[B, S]``.
        dtype: of the result.

    Returns:
        ``[B, 1, S, S]``.
    """
    length = mask.shape[1]
    readable = mask[:, None, None, :] * mask.new_ones(length, length).tril()
    return (1 - readable.to(dtype)) * torch.finfo(dtype).min


def _among_candidates(
    logits: torch.Tensor, continuations: torch.Tensor, pointed: torch.Tensor | None
) -> torch.Tensor:
    """Leave only tokens that lead to a candidate, with what a pointer says of each.

    A token gets the log of the summed ``exp`` of the pointers at the candidates it leads to, so
    that without the language model's logits the chain of steps is a softmax of pointers.

    Args:
        logits: ``[B, T, V]``.
        continuations: ``int64[B, T, C]``, the token by which each candidate goes on, -1 = none.
        pointed: ``[B, C]``.
    """
    leads = continuations >= 0
    if pointed is None:
        pointed = logits.new_zeros(leads.shape[0], leads.shape[2])
    values = pointed[:, None].expand(leads.shape).masked_fill(~leads, float("-inf"))
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
