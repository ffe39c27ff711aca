"""The graph-attentive GPT-2 as a recommender and explainer.

Shapes: B users or prompts, S tokens, T text tokens, I items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_model

from edgewise.config import check
from edgewise.data.ragged import Ragged
from edgewise.data.ranking import Ranked
from edgewise.data.splits import Split
from edgewise.models.base import (
    NoRandomStart,
    TorchRecommender,
    best_items,
    check_layers,
    check_sizes,
    chosen_scores,
    hide,
)
from edgewise.models.graph_gpt.attention_bias import attention_mask, build_distances
from edgewise.models.graph_gpt.backbone import (
    FROM_SCRATCH,
    build_gpt,
    build_gpt_like,
    build_tokens,
    start_items,
)
from edgewise.models.graph_gpt.batch import Distances, assemble
from edgewise.models.graph_gpt.config import PRESETS, DecodingConfig, GraphGPTConfig, StageName
from edgewise.models.graph_gpt.model import GraphGPTModel, Series
from edgewise.models.graph_gpt.prompts import TEMPLATES, HistoryWriter, explanation_prompt
from edgewise.models.graph_gpt.stages import build_stages
from edgewise.models.graph_gpt.stages.content import ContentData
from edgewise.models.graph_gpt.stages.sequence import loss_of
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.models.item_head import ItemLoss, has_sparse_gradients, told_gradients
from edgewise.models.item_priors import unknown_priors
from edgewise.models.item_start import item_start
from edgewise.models.mixing import PriorMixture, told_before
from edgewise.models.prior_features import log_normalisers, normalise
from edgewise.models.quantised import with_integers
from edgewise.models.saved_networks import gpt2_of
from edgewise.models.tokenizers import read_tokenizer
from edgewise.models.training_priors import TrainingPriors
from edgewise.models.warm_start import ITEMS, REST, USERS, Layout, check_share
from edgewise.recommender import ItemFilter, ScoreShare, Task
from edgewise.training.trainer import Stage

if TYPE_CHECKING:
    from transformers import GPT2Model

_PAIRS_AT_ONCE = 1_000_000
# Of the widest layer, or scores of items: so few that memory is used again, not asked for anew.
_NUMBERS_AT_ONCE, _NUMBERS_AT_ONCE_ON_GPU = 1_000_000, 32_000_000
_USERS_FOR_COLUMNS = 64
_TEXTS_AT_ONCE = 64
_RANKING: tuple[Task, ...] = ("sequential", "direct")


class GraphGPT(TorchRecommender):
    """Recommends by a GPT-2 whose attention is biased by the user-item graph.

    Paper: "LLM-Enhanced User-Item Interactions: Leveraging Edge Information for Optimized
    Recommendations", whose authors call their code LLM4REC; see docs/graph-attention.md. Direct and
    sequential recommendation are one and the same for this model: the next item after a history
    (Section 3.5, Eq. 7). Prompts of people who are not in the data hold no user's token; the items
    they have count as edges, as train items do.

    Example:
        >>> model = GraphGPT.from_preset("tiny").fit(split)        # doctest: +SKIP
        >>> model.recommend(np.array([0, 1]), k=5)                 # doctest: +SKIP

    Attributes:
        tokens: numbers of words, users and items.
        edges: of the graph that attention reads, each user's items.
        distances: in that graph; None where attention does without.
        trained_stages: in the order in which they were trained.
        mixture: of the language model and item priors; None for the language model alone.
    """

    name, label = "graph-gpt", "Graph-attentive GPT-2"
    SCORE_UNIT = "log-probability"
    summary = (
        "A small GPT-2 language model reads every user and every item as one word of its own. "
        "Where it decides which words to attend to, two of these words that are near each other in "
        "the graph of who bought what are raised, so the model looks first at what is near."
    )
    node_vectors_summary = (
        "they are the model's own words for users and items, learned from texts and purchases"
    )
    paper = "Wang et al. 2024, arXiv 2402.09617"
    Config = GraphGPTConfig
    PRESETS = PRESETS
    TASKS: ClassVar[tuple[Task, ...]] = (*_RANKING, "explanation")

    @property
    def LAYOUTS(self) -> Mapping[str, Layout]:  # noqa: N802  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the table of tokens."""
        users = (USERS,) if self.config.backbone.user_tokens else ()
        return {"gpt.wte.weight": (REST, *users, ITEMS)}

    network: GraphGPTModel  # pyright: ignore[reportIncompatibleVariableOverride]
    tokens: TokenSpace
    edges: Ragged
    distances: Distances | None
    trained_stages: tuple[StageName, ...]
    mixture: PriorMixture | None = None

    # Learning

    def build(self, split: Split | None) -> GraphGPTModel:
        """The vocabulary, the graph and the network, whose draws are those of ``seed`` alone."""
        assert split is not None, "a saved network knows its own sizes"
        backbone, seed, num_items = self.config.backbone, self.config.seed, split.dataset.num_items
        if self.older is None:
            self.tokens = build_tokens(backbone, split, TEMPLATES)
            gpt = build_gpt(backbone, self.tokens, torch.Generator().manual_seed(seed))
        else:  # words keep their numbers
            check_share(self.start_share, backbone.name in FROM_SCRATCH, backbone.name)
            sizes = split.dataset.num_users, num_items
            self.tokens = TokenSpace(self.older.tokens.tokenizer, *sizes, backbone.user_tokens)
            gpt = build_gpt_like(self.older.network.gpt, backbone, self.tokens)
        if backbone.item_init != "random" and self.older is None:
            vectors = item_start(backbone.item_init, split, gpt.config.n_embd, seed)
            assert vectors is not None
            start_items(gpt, self.tokens, vectors, backbone.init_std)
        self._read_graph(split.graph_histories())
        return self._around(gpt)

    def _read_graph(self, edges: Ragged) -> None:
        self.edges = edges
        self.distances = build_distances(self.config.attention, edges, self.tokens.num_items)

    def _around(self, gpt: GPT2Model) -> GraphGPTModel:
        config, sizes = self.config, (self.tokens.num_text, self.tokens.num_user_tokens)
        smoothing, loss = config.sequence.label_smoothing, self._item_loss()
        return GraphGPTModel(gpt, *sizes, config.attention, config.lambda_v, loss, smoothing)

    def _item_loss(self) -> ItemLoss | None:
        """Of the sequence stage, where it samples items."""
        counts = self.data.item_counts
        name, asked = loss_of(self.config, len(counts)), self.config.training.sequence
        sparse = has_sparse_gradients(asked.embedding_gradients, name, len(counts))
        if name == "softmax":
            return None
        alone = self.config.stages == ("sequence",)  # others read and move all tokens
        num_negatives = self.config.sequence_loss.num_negatives
        return ItemLoss(name, counts, num_negatives, sparse=sparse and alone)

    def stages(self, split: Split) -> list[Stage]:
        """Content, events, predictive and sequence, as the configuration asks for them.

        Raises:
            DataError: the data has nothing to learn recommending from.
        """
        config = self.config
        self.mixture = PriorMixture.of(split, self.data.histories, config.priors, config.seed)
        told = None
        if config.sequence.residual and self.mixture is not None:
            rest = self.mixture, config.priors, config.seed
            told = TrainingPriors.of(split, self.data.histories, *rest)
        stages = build_stages(config, split, self.tokens, self.distances, self.network, told)
        self.trained_stages = tuple(s for s in config.stages if s in {t.name for t in stages})
        self._lacking = unknown_priors(split, config.priors.names)
        explains = any(isinstance(s.data, ContentData) and s.data.has_reasons for s in stages)
        self.tasks = (*_RANKING, "explanation") if explains else _RANKING
        return stages

    def plan(self, stages: Sequence[Stage]) -> tuple[tuple[str, str], ...]:
        attention, loss = self.config.attention, self.network.item_loss
        gates = ", learned strengths" if attention.gates else ""
        path = f", {attention.path} paths" if attention.kind == "graph" else ""
        return (
            ("attention", f"{attention.kind}{path}{gates}"),
            *((stage.name, _size(stage)) for stage in stages),
            *((("loss", f"{loss.name} (sequence_loss.name)"),) if loss is not None else ()),
            *told_gradients(self.network),
            *told_before(self.mixture, self._lacking),
        )

    def trained(self, split: Split) -> None:
        """The weights of the priors, by validation rows."""
        if self.mixture is not None:
            config = self.config
            self.mixture.fit(split, config.priors, config.seed, self.language_likelihoods)

    def prepare(self, histories: Ragged) -> None:
        """The priors count anew, where that is set, what all users have by now."""
        if self.mixture is not None:
            self.mixture.prepare(histories, self.config.priors, self.config.seed)

    # Recommending

    def rank_items(
        self, users: np.ndarray, histories: Ragged, hidden: ItemFilter, k: int
    ) -> Ranked:
        """The k likeliest items of each user and their log-likelihoods (Eq. 7), best first."""
        order, parts = [np.empty(0, np.int64)], list[Ranked]()
        for rows, scores in self.next_scores(users, histories):
            totals = log_normalisers(scores).cpu().numpy()
            hide(scores, hidden.take(rows))
            order.append(rows)
            parts.append(_lowered(best_items(scores, k), totals))
        return Ranked.concat(parts).put(np.concatenate(order))

    def score_lists(
        self, users: np.ndarray, histories: Ragged, lists: Ragged, task: Task
    ) -> np.ndarray:
        """The log-likelihood, among all items, of every item of each list, ``float32[total]``."""
        scores = np.empty(len(lists.values), np.float32)
        places = Ragged(lists.offsets, np.arange(len(scores)))
        for rows, found in self.next_scores(users, histories):
            asked, totals = lists.take(rows), log_normalisers(found).cpu().numpy()
            chosen = chosen_scores(found, asked) - totals[asked.row_of_value]
            scores[places.take(rows).values] = chosen
        return scores

    def scores(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """Log-likelihoods of all items, ``float32[B, I]``, where the network is."""
        return self._in_order(self.next_scores(users, histories), len(users))

    def language_likelihoods(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """Those of the language model alone (Eq. 7), likewise."""
        return self._in_order(self.language_scores(users, histories), len(users))

    def _in_order(
        self, parts: Iterator[tuple[np.ndarray, torch.Tensor]], num_users: int
    ) -> torch.Tensor:
        found = torch.empty(num_users, self.tokens.num_items, device=self.device)
        for rows, scores in parts:
            found[torch.from_numpy(rows).to(self.device)] = normalise(scores)
        return found

    @torch.no_grad()
    def next_scores(
        self, users: np.ndarray, histories: Ragged
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Log-likelihoods of all items up to a constant of each user, priors mixed in.

        Yields:
            Rows ``int64[b]``, and ``float32[b, I]`` that the caller may write to.
        """
        for rows, scores in self.language_scores(users, histories):
            if self.mixture is not None:
                scores = self.mixture.mix(scores, histories.take(rows))
            yield rows, scores

    @torch.no_grad()
    def language_scores(
        self, users: np.ndarray, histories: Ragged
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Those of the language model alone (Eq. 7), as :meth:`next_scores`.

        Prompts of similar length are read together, as many at a time as what is made of them fits
        a processor's cache.
        """
        prompts = self.writer.prompts(users, histories)
        lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        network, integers = self.network, self.config.decoding.weights == "int8"
        columns = network.item_columns() if len(users) >= _USERS_FOR_COLUMNS else None
        series = Series(with_integers(network.gpt) if integers else network.gpt, columns)
        for part in bounded_parts(lengths[order], *self._at_once()):
            rows = order[part]
            chosen = [prompts[row] for row in rows]
            graph = self.distances
            batch = assemble(self.tokens, chosen, distances=graph, user_index=users[rows])
            yield rows, network.next_item_logits(batch.to(self.device), series)

    def _at_once(self) -> tuple[int, int, int]:
        """Pairs of tokens, tokens and rows that are read together at most."""
        on_cpu = self.device.type == "cpu"
        numbers = _NUMBERS_AT_ONCE if on_cpu else _NUMBERS_AT_ONCE_ON_GPU
        inner = 4 * self.network.gpt.config.n_embd
        scores = numbers // max(1, self.tokens.num_items)
        return _PAIRS_AT_ONCE, max(1, numbers // inner), max(1, scores)

    @property
    def writer(self) -> HistoryWriter:
        """Of the prompts that the last stage learned to recommend from."""
        return HistoryWriter.of(self.config, self.tokens, self.trained_stages)

    # Explaining

    def shares(
        self, users: np.ndarray, histories: Ragged, items: np.ndarray
    ) -> list[tuple[ScoreShare, ...]]:
        """Those of the mixture; see :meth:`~edgewise.recommender.Recommender.score_shares`."""
        if self.mixture is None:
            return super().shares(users, histories, items)
        likelihood = self.language_likelihoods(users, histories)
        return self.mixture.why(histories[0], items, likelihood)

    def learned_rows(self) -> tuple[tuple[str, str], ...]:
        """The weights of the mixture."""
        return () if self.mixture is None else self.mixture.learned_rows()

    def fitted_on_valid(self) -> np.ndarray:
        """Users whose rows fitted these weights."""
        return super().fitted_on_valid() if self.mixture is None else self.mixture.users

    def require(self, task: str) -> None:
        """See :meth:`~edgewise.recommender.Recommender.require`; says how to learn explaining."""
        _ = self.data
        check(
            task != "explanation" or task in self.tasks,
            f"this GraphGPT was not trained for the explanation task, only for "
            f"{', '.join(self.tasks)}: fit one with content in stages and content.reviews on a "
            "data set that has reviews",
        )
        super().require(task)

    def node_vectors(self) -> np.ndarray:
        """The embeddings of the tokens of users, then items, ``float32[N, D]``.

        A user without a token is the mean of the items of the train history.
        """
        table = self.network.gpt.get_input_embeddings().weight
        vectors = table[self.tokens.num_text :].detach().float().cpu().numpy()
        if self.tokens.num_user_tokens == self.tokens.num_users:
            return vectors
        histories = self.data.histories
        counts = np.maximum(histories.lengths, 1).astype(np.float32)
        return np.concatenate([self.matrix(histories) @ vectors / counts[:, None], vectors])

    def write_explanations(self, users: np.ndarray, items: np.ndarray) -> list[str]:
        """Why each user may like each item, in the words that the content stage learned."""
        prompts = [
            explanation_prompt(user, item, self.tokens)
            for user, item in zip(users.tolist(), items.tolist(), strict=True)
        ]
        texts = map(self.tokens.tokenizer.decode, self.write(prompts, self.config.decoding))
        return [" ".join(str(text).split()) for text in texts]

    def write(self, prompts: Sequence[np.ndarray], config: DecodingConfig) -> list[list[int]]:
        """The text that follows each prompt, the likeliest token at every step.

        Args:
            prompts: tokens of each, all of one length.
            config: the shortest and the longest text.
        """
        texts: list[list[int]] = []
        for start in range(0, len(prompts), _TEXTS_AT_ONCE):
            texts += self._written(prompts[start : start + _TEXTS_AT_ONCE], config)
        return texts

    @torch.no_grad()
    def _written(self, prompts: Sequence[np.ndarray], config: DecodingConfig) -> list[list[int]]:
        network, end = self.network, self.tokens.end_token
        batch = assemble(self.tokens, prompts, space="text", distances=self.distances)
        batch = batch.to(self.device)
        states, past = network.read(batch.input_ids, network.mask(batch), keep=True)
        present, written = batch.attention_mask, batch.input_ids[:, :0]
        for length in range(config.explanation_tokens):
            logits = network.text_logits(states[:, -1]).float()
            logits[:, self._never(may_end=length >= config.min_explanation_tokens)] = -torch.inf
            logits[self._blank_again(written)] = -torch.inf
            token = logits.argmax(-1, keepdim=True)
            written = torch.cat([written, token], 1)
            if (written == end).any(1).all():
                break
            # A word has no place in the graph: it looks at all tokens before it with R = 0.
            present = torch.cat([present, torch.ones_like(token)], 1)
            mask = attention_mask(present, None)[:, :, -1:]
            states, past = network.read(token, mask, past, keep=True)
        return [row[: row.index(end)] if end in row else row for row in written.tolist()]

    def _never(self, may_end: bool) -> list[int]:
        end, pad = self.tokens.end_token, self.tokens.pad_token
        return [pad] * (pad != end) + [end] * (not may_end)

    def _blank_again(self, written: torch.Tensor) -> torch.Tensor:
        """White space after white space, which could go on for ever, ``bool[B, T]``."""
        blank = torch.from_numpy(self.tokens.blank_tokens).to(written.device)
        last = written[:, -1:]
        return blank[last].any(1)[:, None] & blank

    # Keeping

    def _save_learned(self, folder: Path) -> dict[str, Any]:
        self.tokens.tokenizer.save_pretrained(folder / "tokenizer")
        edges = {"offsets": self.edges.offsets, "items": self.edges.values}
        save_file(
            {name: np.ascontiguousarray(array) for name, array in edges.items()},
            folder / "edges.safetensors",
        )
        gpt = self.network.gpt.config.to_dict()
        learned = {**super()._save_learned(folder), "gpt": gpt, "stages": list(self.trained_stages)}
        if self.mixture is not None:
            self.prepare(self.data.histories)  # what is saved belongs to the histories beside it
            learned["priors"] = self.mixture.save(folder)
        return learned

    def _load_learned(self, folder: Path, told: Mapping[str, Any]) -> None:
        sizes = len(self.data.users), len(self.data.items)
        with_users = self.config.backbone.user_tokens
        self.tokens = TokenSpace(read_tokenizer(folder / "tokenizer"), *sizes, with_users)
        found = told["gpt"]["vocab_size"]
        if found != len(self.tokens):
            raise ValueError(
                f"the network has {found} tokens, but words, users and items make "
                f"{len(self.tokens)}"
            )
        edges = load_file(folder / "edges.safetensors")
        self._read_graph(Ragged(edges["offsets"], edges["items"]))
        check_layers(told["gpt"])
        check_sizes(lambda: gpt2_of(told["gpt"]), folder / "model.safetensors", "gpt.")
        with NoRandomStart():
            self.network = self._around(gpt2_of(told["gpt"]))
        load_model(self.network, folder / "model.safetensors")
        self.network.eval()
        self.trained_stages = tuple(told["stages"])
        if "priors" in told:
            self.mixture = PriorMixture.load(folder, told["priors"], self.data.histories)


def _lowered(found: Ranked, by: np.ndarray) -> Ranked:
    """The same lists, the scores of each less a number, ``float32[B]``."""
    scores = found.scores
    lower = scores.values - by[scores.row_of_value]
    return Ranked(found.items, Ragged(scores.offsets, lower))


def _size(stage: Stage) -> str:
    examples: int = stage.data.num_examples  # type: ignore[attr-defined]
    epochs, steps = stage.config.epochs, stage.data.steps_per_epoch
    return f"{examples:,} examples, at most {epochs} epochs of {steps:,} batches"


def bounded_parts(lengths: np.ndarray, pairs: int, tokens: int, most: int) -> Iterator[slice]:
    """Split rows of rising lengths so that no part is too large; a single row may be.

    Args:
        lengths: tokens of each row, rising.
        pairs: rows times the longest one squared, at most.
        tokens: rows times the longest one, at most.
        most: rows of a part at most.
    """
    start = 0
    while start < len(lengths):
        sizes = np.arange(1, min(most, len(lengths) - start) + 1)
        longest = lengths[start : start + len(sizes)]
        fits = (sizes * longest**2 <= pairs) & (sizes * longest <= tokens)
        stop = start + max(1, int(np.count_nonzero(fits)))
        yield slice(start, stop)
        start = stop
