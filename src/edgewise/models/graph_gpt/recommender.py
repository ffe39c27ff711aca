"""The graph-attentive GPT-2 as a recommender and explainer.

Shapes: B users or prompts, S tokens, T text tokens, I items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_model
from transformers import GPT2Config, GPT2Model

from edgewise.config import check
from edgewise.data.ragged import Ragged
from edgewise.data.ranking import Ranked
from edgewise.data.splits import Split
from edgewise.graph.transitions import transition_features
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
    attention_implementation,
    build_gpt,
    build_gpt_like,
    build_tokens,
    start_items,
)
from edgewise.models.graph_gpt.batch import Distances, assemble
from edgewise.models.graph_gpt.config import PRESETS, DecodingConfig, GraphGPTConfig, StageName
from edgewise.models.graph_gpt.model import GraphGPTModel
from edgewise.models.graph_gpt.prompts import TEMPLATES, HistoryWriter, explanation_prompt
from edgewise.models.graph_gpt.stages import build_stages
from edgewise.models.graph_gpt.stages.content import ContentData
from edgewise.models.graph_gpt.tokens import TokenSpace
from edgewise.models.item_priors import unknown_priors
from edgewise.models.mixing import PriorMixture, told_before
from edgewise.models.tokenizers import load_tokenizer
from edgewise.models.warm_start import ITEMS, REST, USERS, check_share
from edgewise.recommender import ItemFilter, ScoreShare, Task
from edgewise.training.trainer import Stage

_PAIRS_AT_ONCE = 1_000_000
_SCORES_AT_ONCE = 5_000_000
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

    LAYOUTS: ClassVar = {"gpt.wte.weight": (REST, USERS, ITEMS)}

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
            self.tokens = TokenSpace(self.older.tokens.tokenizer, *sizes)
            gpt = build_gpt_like(self.older.network.gpt, backbone, self.tokens)
        if backbone.item_init == "transitions" and self.older is None:
            histories, size = self.data.histories, gpt.config.hidden_size
            vectors = transition_features(histories, num_items, size, seed)
            start_items(gpt, self.tokens, vectors, backbone.init_std)
        self._read_graph(split.graph_histories())
        return self._around(gpt)

    def _read_graph(self, edges: Ragged) -> None:
        self.edges = edges
        self.distances = build_distances(self.config.attention, edges, self.tokens.num_items)

    def _around(self, gpt: GPT2Model) -> GraphGPTModel:
        sizes = self.tokens.num_text, self.tokens.num_users
        return GraphGPTModel(gpt, *sizes, self.config.attention, self.config.lambda_v)

    def stages(self, split: Split) -> list[Stage]:
        """Content, events, predictive and sequence, as the configuration asks for them.

        Raises:
            DataError: the data has nothing to learn recommending from.
        """
        config = self.config
        stages = build_stages(config, split, self.tokens, self.distances, self.network)
        self.trained_stages = tuple(s for s in config.stages if s in {t.name for t in stages})
        self.mixture = PriorMixture.of(split, self.data.histories, config.priors, config.seed)
        self._lacking = unknown_priors(split, config.priors.names)
        explains = any(isinstance(s.data, ContentData) and s.data.has_reasons for s in stages)
        self.tasks = (*_RANKING, "explanation") if explains else _RANKING
        return stages

    def plan(self, stages: Sequence[Stage]) -> tuple[tuple[str, str], ...]:
        attention = self.config.attention
        gates = ", learned strengths" if attention.gates else ""
        path = f", {attention.path} paths" if attention.kind == "graph" else ""
        return (
            ("attention", f"{attention.kind}{path}{gates}"),
            *((stage.name, _size(stage)) for stage in stages),
            *told_before(self.mixture, self._lacking),
        )

    def trained(self, split: Split) -> None:
        """The weights of the priors, by validation rows."""
        if self.mixture is not None:
            config = self.config
            self.mixture.fit(split, config.priors, config.seed, self._all_language_likelihoods)

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
        for rows, likelihood in self.likelihoods(users, histories):
            hide(likelihood, hidden.take(rows))
            order.append(rows)
            parts.append(best_items(likelihood, k))
        return Ranked.concat(parts).put(np.concatenate(order))

    def score_lists(
        self, users: np.ndarray, histories: Ragged, lists: Ragged, task: Task
    ) -> np.ndarray:
        """The log-likelihood, among all items, of every item of each list, ``float32[total]``."""
        scores = np.empty(len(lists.values), np.float32)
        places = Ragged(lists.offsets, np.arange(len(scores)))
        for rows, likelihood in self.likelihoods(users, histories):
            scores[places.take(rows).values] = chosen_scores(likelihood, lists.take(rows))
        return scores

    def scores(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """Log-likelihoods of all items, ``float32[B, I]``, where the network is."""
        return self._in_order(self.likelihoods(users, histories), len(users))

    def _all_language_likelihoods(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        return self._in_order(self.language_likelihoods(users, histories), len(users))

    def _in_order(
        self, parts: Iterator[tuple[np.ndarray, torch.Tensor]], num_users: int
    ) -> torch.Tensor:
        scores = torch.empty(num_users, self.tokens.num_items, device=self.device)
        for rows, likelihood in parts:
            scores[torch.from_numpy(rows).to(self.device)] = likelihood
        return scores

    @torch.no_grad()
    def likelihoods(
        self, users: np.ndarray, histories: Ragged
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Log-likelihoods of all items after each user's history, priors mixed in.

        Yields:
            Rows ``int64[b]``, and ``float32[b, I]`` that the caller may write to.
        """
        for rows, likelihood in self.language_likelihoods(users, histories):
            if self.mixture is not None:
                likelihood = self.mixture.mixed(likelihood, histories.take(rows))
            yield rows, likelihood

    @torch.no_grad()
    def language_likelihoods(
        self, users: np.ndarray, histories: Ragged
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Those of the language model alone (Eq. 7), as :meth:`likelihoods`.

        Prompts of similar length are read together, a bounded number of tokens at a time.
        """
        prompts = self.writer.prompts(users, histories)
        lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        most = max(1, _SCORES_AT_ONCE // max(1, self.tokens.num_items))
        for part in bounded_parts(lengths[order], _PAIRS_AT_ONCE, most):
            rows = order[part]
            chosen = [prompts[row] for row in rows]
            graph = self.distances
            batch = assemble(self.tokens, chosen, distances=graph, user_index=users[rows])
            logits = self.network.next_item_logits(batch.to(self.device))
            yield rows, logits.log_softmax(-1)

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
        likelihood = self._all_language_likelihoods(users, histories)
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
        """The embeddings of the tokens of users, then items, ``float32[N, D]``."""
        table = self.network.gpt.get_input_embeddings().weight
        return table[self.tokens.num_text :].detach().float().cpu().numpy()

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
        self.tokens = TokenSpace(load_tokenizer(folder / "tokenizer"), *sizes)
        found = told["gpt"]["vocab_size"]
        if found != len(self.tokens):
            raise ValueError(
                f"the network has {found} tokens, but words, users and items make "
                f"{len(self.tokens)}"
            )
        edges = load_file(folder / "edges.safetensors")
        self._read_graph(Ragged(edges["offsets"], edges["items"]))
        implementation = attention_implementation()
        check_layers(told["gpt"])
        gpt = GPT2Config.from_dict(told["gpt"], attn_implementation=implementation)
        check_sizes(lambda: GPT2Model(gpt), folder / "model.safetensors", "gpt.")
        with NoRandomStart():
            self.network = self._around(GPT2Model(gpt))
        load_model(self.network, folder / "model.safetensors")
        self.network.eval()
        self.trained_stages = tuple(told["stages"])
        if "priors" in told:
            self.mixture = PriorMixture.load(folder, told["priors"], self.data.histories)


def _size(stage: Stage) -> str:
    examples: int = stage.data.num_examples  # type: ignore[attr-defined]
    epochs, steps = stage.config.epochs, stage.data.steps_per_epoch
    return f"{examples:,} examples, at most {epochs} epochs of {steps:,} batches"


def bounded_parts(lengths: np.ndarray, budget: int, most: int) -> Iterator[slice]:
    """Split rows of rising lengths so that no part has more than ``budget`` pairs of tokens.

    Args:
        lengths: tokens of each row, rising.
        budget: rows times the longest one squared, at most; a single row may exceed it.
        most: rows of a part at most.
    """
    start = 0
    while start < len(lengths):
        sizes = np.arange(1, min(most, len(lengths) - start) + 1)
        fits = sizes * lengths[start : start + len(sizes)] ** 2 <= budget
        stop = start + max(1, int(np.count_nonzero(fits)))
        yield slice(start, stop)
        start = stop
