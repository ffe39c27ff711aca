"""ELMRec as a recommender and explainer: how it is built, trained, asked and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from safetensors.torch import load_model
from transformers import T5Config, T5ForConditionalGeneration

from edgewise.config import check
from edgewise.data.ragged import Ragged
from edgewise.data.ranking import Ranked
from edgewise.data.splits import Split
from edgewise.decoding.constrained_beam import beam_search, rerank
from edgewise.decoding.diverse_beam import diverse_beam_search
from edgewise.decoding.exact_scores import score_candidates
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.models.base import (
    NoRandomStart,
    TorchRecommender,
    check_layers,
    check_sizes,
    chosen_scores,
)
from edgewise.models.elmrec.backbone import (
    build_t5,
    build_t5_like,
    build_tokenizer,
    is_from_scratch,
    orthogonal_item_tokens,
)
from edgewise.models.elmrec.batch import assemble, bounded_rows
from edgewise.models.elmrec.config import PRESETS, ELMRecConfig
from edgewise.models.elmrec.data import ELMRecData, build_data
from edgewise.models.elmrec.graph_embeddings import BuiltGraph, GraphFeatures, build_graph
from edgewise.models.elmrec.item_graphs import ItemGraphs, told_graphs
from edgewise.models.elmrec.model import ELMRecModel, build_item_head
from edgewise.models.elmrec.one_token import best_of_all, build_one_token_ids, scores_of_lists
from edgewise.models.elmrec.priors import ITEM_HEAD, TaskPriors, head_likelihood
from edgewise.models.elmrec.prompts import (
    EntityTokenTable,
    PromptWriter,
    TemplateChoice,
    build_entity_token_table,
)
from edgewise.models.item_priors import unknown_priors
from edgewise.models.item_start import item_start
from edgewise.models.list_mixing import mixed_lists
from edgewise.models.mixing import told_before
from edgewise.models.quantised import with_integers
from edgewise.models.tokenizers import load_tokenizer
from edgewise.models.warm_start import check_share
from edgewise.recommender import TASKS, ItemFilter, ScoreShare, Task
from edgewise.training.checkpoint import save_network
from edgewise.training.trainer import Stage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENS_AT_ONCE = 20_000
_SCORES_AT_ONCE = 5_000_000
_EXPLANATIONS_AT_ONCE = 16


class Encoded(NamedTuple):
    """Prompts ``rows`` as encoder states ``float[B, S, D]`` with their mask ``[B, S]``.

    ``shift`` is added to every decoder input, ``float[B, D]``; ``head_scores`` are those of the
    candidates of a direct prompt, ``float[B, C]``, or of all items for a sequential one,
    ``float[B, I]``. Each is None where there is none.
    """

    rows: range
    states: torch.Tensor
    mask: torch.Tensor
    shift: torch.Tensor | None
    head_scores: torch.Tensor | None


class ELMRec(TorchRecommender):
    """Recommends by a T5 whose whole-word embeddings carry the graph or the order of events.

    Paper: Wang et al., "Enhancing High-order Interaction Awareness in LLM-based Recommender Model",
    EMNLP 2024, arXiv 2409.19979. P5, POD and plain T5 are settings of the same parts.

    Example:
        >>> model = ELMRec.from_preset("tiny").fit(split)          # doctest: +SKIP
        >>> model.recommend(["user 1"], k=5).to_frame()            # doctest: +SKIP

    Attributes:
        tokenizer: of the language model.
        table: tokens of users, items and words.
        graph: features of the train graph, as they are after training.
        priors: mixed into the ranking tasks; None for the language model alone.
    """

    name, label = "elmrec", "ELMRec"
    SCORE_UNIT = "log-probability"
    SEARCHES = True
    ASKED_AT_ONCE = 128
    summary = (
        "A small T5 language model reads users and items as text. Each name it reads also carries "
        "a vector that has travelled along the graph of who bought what, so the model knows who is "
        "near whom before it reads a word."
    )
    node_vectors_summary = (
        "they have travelled along the graph: users who buy alike and items bought together lie "
        "together, and the graph was never told about shelves, it saw purchases alone"
    )
    paper = "Wang et al., EMNLP 2024, arXiv 2409.19979"
    Config = ELMRecConfig
    PRESETS = PRESETS
    TASKS = TASKS

    network: ELMRecModel
    tokenizer: PreTrainedTokenizerBase
    table: EntityTokenTable
    graph: GraphFeatures
    priors: TaskPriors | None = None
    _built: BuiltGraph
    _item_graphs: ItemGraphs | None

    # Learning

    def build(self, split: Split | None) -> ELMRecModel:
        """Tokenizer, spellings, language model, graph features and the network around them.

        Every random weight comes from one generator, in this order.
        """
        assert split is not None, "a saved ELMRec is read by _load_learned"
        config, num_users, num_items = self.config, len(self.data.users), len(self.data.items)
        backbone, rank = config.backbone, config.graph.rank
        generator = torch.Generator().manual_seed(config.seed)
        older = self.older
        self.tokenizer = build_tokenizer(backbone, split) if older is None else older.tokenizer
        self.table = self._entity_token_table()
        if older is None:
            t5 = build_t5(backbone, self.tokenizer, generator, rank)
        else:
            check_share(self.start_share, is_from_scratch(backbone.name), backbone.name)
            t5 = build_t5_like(older.network.t5, backbone)
        width = t5.config.d_model
        check(
            rank <= width,
            f"graph.rank = {rank}: the model {backbone.name!r} is {width} numbers wide; set at "
            "most that, or 0 for all",
        )
        if older is None and backbone.mimetic_init and is_from_scratch(backbone.name):
            orthogonal_item_tokens(t5, self.table.spellings.tokens, rank, generator)
        edges = BipartiteGraph.from_interactions(split.graph_edges(), num_users, num_items)
        known = None if older is None else older.graph
        graphs = self._item_graphs = ItemGraphs.of(split, self.data.histories, config.graph)
        self._built = build_graph(edges, config.graph, width, config.seed, known, graphs)
        start, prompts = None, config.prompts
        has_items = prompts.item_head and "sequential" in prompts.tasks
        if (has_items or prompts.ids == "one-token") and older is None:
            start = item_start(config.prompts.item_init, split, width, config.seed)
        return self._network(t5, self._built.lookup, generator, start)

    def _entity_token_table(self) -> EntityTokenTable:
        users, items = len(self.data.users), len(self.data.items)
        return build_entity_token_table(self.tokenizer, users, items, self.config.prompts.ids)

    def _network(
        self,
        t5: T5ForConditionalGeneration,
        graph: torch.nn.Module,
        generator: torch.Generator,
        start: np.ndarray | None = None,
    ) -> ELMRecModel:
        config = self.config
        width = t5.config.d_model
        histories = self.data.histories
        # The generator draws for the item head first.
        item_head = build_item_head(config.prompts, self.table, width, generator, histories, start)
        one_token = build_one_token_ids(
            config.prompts, self.table, width, generator, item_head, start
        )
        return ELMRecModel(
            t5,
            config.prompts,
            config.whole_words,
            graph,
            generator,
            config.graph.normalize,
            item_head,
            one_token,
        )

    def stages(self, split: Split) -> Sequence[Stage]:
        """One stage that alternates the tasks."""
        data = build_data(self.config, split, self.table, self.tokenizer, self._built.folds)
        self.tasks = data.tasks
        self._count_priors(split)
        return [Stage("training", data, self.config.training)]

    def plan(self, stages: Sequence[Stage]) -> tuple[tuple[str, str], ...]:
        """The examples of each task, the graph, and the length of the training."""
        (stage,) = stages
        assert isinstance(stage.data, ELMRecData)
        config, examples = self.config, stage.data.pool.examples
        rows: list[tuple[str, str]] = []
        for task in stage.data.tasks:
            kind = "explained pairs" if task == "explanation" else "users"
            words = (
                "" if task == "explanation" else f", {config.whole_words.kind(task)} whole words"
            )
            rows.append((task, f"{len(examples[task]):,} {kind}{words}"))
        graph = f"{config.graph.features} features, {config.graph.folds} folds"
        graph += told_graphs(self._item_graphs, config.graph)
        return (*rows, ("graph", graph), *super().plan(stages), *self._told_priors())

    def _count_priors(self, split: Split) -> None:
        self.priors = TaskPriors.of(split, self.data.histories, self.config, self.tasks)
        self._lacking = unknown_priors(split, self.config.priors.names)

    def _told_priors(self) -> tuple[tuple[str, str], ...]:
        return told_before(None if self.priors is None else self.priors.first, self._lacking)

    def trained(self, split: Split) -> None:
        """From here on the whole train graph is read; the weights of priors, by validation rows."""
        self.graph = self._built.learned()
        self.network.graph = self.graph.lookup().to(self.device)
        del self._built
        if self.priors is not None:
            self.priors.fit(self, split)

    def prepare(self, histories: Ragged) -> None:
        """The priors count anew, where that is set, what all users have by now."""
        if self.priors is not None:
            self.priors.prepare(histories, self.config.priors, self.config.seed)

    # Answering

    @property
    def answering(self) -> ELMRecModel:
        """The network, with matrices of integers where ``decoding.weights`` asks for them."""
        network = self.network
        if self.config.decoding.weights == "fp32":
            return network
        found = copy(network)
        found._modules = {**network._modules, "t5": with_integers(network.t5)}
        return found

    def rank_items(
        self, users: np.ndarray, histories: Ragged, hidden: ItemFilter, k: int
    ) -> Ranked:
        """Beam search over the catalogue for k + N items, then Section 4.2's reranking (Eq. 12).

        What the user has is banned inside the search, so that lists are full wherever k unseen
        items exist, or filtered out after it, as ``decoding.filtering`` says. With
        ``decoding.rerank`` off it may be listed whatever ``hidden`` says. Where ids are one token
        there is no search: all items are scored at once.
        """
        search = self.config.decoding
        seen = hidden.seen if search.rerank else None
        if self.network.one_token is not None:
            return best_of_all(self, users, histories, replace(hidden, seen=seen), k)
        after = None if seen is None or search.filtering == "during" else seen.rows()
        inside = replace(hidden, seen=None if after else seen)
        banned = inside.banned(len(users))
        items: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for part in self.read_histories(users, histories):
            found, likelihood = beam_search(
                self.answering.t5,
                part.states,
                part.mask,
                self.table.spellings.trie,
                num_beams=search.num_beams,
                num_results=k + (0 if seen is None else search.rerank_extra),
                banned=[banned[row] for row in part.rows],
                decoder_shift=part.shift,
                pointed=self.item_scores(part, histories),
                strength=self._spelling_strength("sequential"),
            )
            if after is not None:
                found, likelihood = rerank(found, likelihood, [after[r] for r in part.rows], k)
            exists = found >= 0
            items += [row[keep][:k] for row, keep in zip(found, exists, strict=True)]
            scores += [row[keep][:k] for row, keep in zip(likelihood, exists, strict=True)]
        return Ranked.of_rows(items, scores)

    def score_items(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """The exact log-likelihood of every item as the next one, ``float32[B, I]``."""
        everything = [np.arange(self.table.num_items)] * len(users)
        scores = self.score_lists(users, histories, Ragged.of_rows(everything), "sequential")
        return scores.reshape(len(users), self.table.num_items)

    def score_lists(
        self, users: np.ndarray, histories: Ragged, lists: Ragged, task: Task
    ) -> np.ndarray:
        """The exact log-likelihood of every item of each user's list, ``float32[total]``.

        The direct task puts the candidates into the prompt, the sequential one the history. With
        priors, scores of the direct task are log-probabilities among the candidates.
        """
        if task == "direct" and self.priors is not None:
            spoken = self.spoken(users, histories, lists)
            return mixed_lists(self.priors.mixtures[task], spoken, histories, lists)
        return self._list_scores(users, histories, lists, task)

    def spoken(self, users: np.ndarray, histories: Ragged, lists: Ragged) -> np.ndarray:
        """What the direct task's prompts and, where it was trained, the item head say of lists.

        Returns:
            Log-likelihoods up to a constant of each list, ``float32[1 or 2, total]``.
        """
        assert self.priors is not None
        prompted = self._list_scores(users, histories, lists, "direct")
        if ITEM_HEAD not in self.priors.mixtures["direct"].spoken:
            return prompted[None]
        found = [
            chosen_scores(cast(torch.Tensor, part.head_scores), lists.take(np.array(part.rows)))
            for part in self.read_histories(users, histories)
        ]
        return np.stack([prompted, np.concatenate(found)])

    def _list_scores(
        self, users: np.ndarray, histories: Ragged, lists: Ragged, task: Task
    ) -> np.ndarray:
        """:meth:`score_lists`, without priors in the direct task."""
        candidates = lists.rows()
        direct = task == "direct"
        if direct:
            template = self._templates.for_inference(task)
            prompts = self._writer.direct(users, candidates, template)
            parts = self.encoded(task, prompts, self._moved(task, users, histories))
        else:
            parts = self.read_histories(users, histories)
        among = self.config.prompts.direct_likelihood == "candidates"
        scores: list[np.ndarray] = []
        for part in parts:
            if self.network.one_token is not None:
                scores.append(scores_of_lists(self, part, histories, lists, task))
                continue
            scores += score_candidates(
                self.answering.t5,
                part.states,
                part.mask,
                self.table.spellings,
                [candidates[row] for row in part.rows],
                decoder_shift=part.shift,
                among_candidates=among and direct,
                pointed=part.head_scores if direct else None,
                pointed_items=None if direct else self.item_scores(part, histories),
                strength=self._spelling_strength(task),
            )
        return np.concatenate([*scores, np.empty(0)]).astype(np.float32)

    def shares(
        self, users: np.ndarray, histories: Ragged, items: np.ndarray
    ) -> list[tuple[ScoreShare, ...]]:
        """Of an item as the next one, before it is spelled: the item head and the priors.

        See :meth:`~edgewise.recommender.Recommender.score_shares`.
        """
        mixture = None if self.priors is None else self.priors.mixtures.get("sequential")
        if mixture is None:
            return super().shares(users, histories, items)
        return mixture.why(histories[0], items, self.head_likelihoods(users, histories))

    def learned_rows(self) -> tuple[tuple[str, str], ...]:
        """The weights of priors."""
        return () if self.priors is None else self.priors.learned_rows()

    def fitted_on_valid(self) -> np.ndarray:
        """Users whose rows fitted these weights."""
        return super().fitted_on_valid() if self.priors is None else self.priors.first.users

    def node_vectors(self) -> np.ndarray:
        """What whole words carry of users, then items (Eq. 7, or spectral), ``float32[N, D]``."""
        return self.graph.vectors

    def write_explanations(self, users: np.ndarray, items: np.ndarray) -> list[str]:
        """Why each user may like each item, in one line (diverse beam search)."""
        search = self.config.decoding
        template = self._templates.for_inference("explanation")
        prompts = self._writer.explanation(users, items, template)
        texts: list[str] = []
        for part in self.encoded("explanation", prompts, max_rows=_EXPLANATIONS_AT_ONCE):
            tokens = diverse_beam_search(
                self.network.t5,
                part.states,
                part.mask,
                num_beams=search.explanation_beams,
                num_groups=search.explanation_groups,
                diversity_penalty=search.diversity_penalty,
                min_new_tokens=search.min_explanation_tokens,
                max_new_tokens=self.config.prompts.explanation_tokens,
                eos=self.table.eos_id,
                pad=self.table.pad_id,
                decoder_shift=part.shift,
            )
            texts += [str(self.tokenizer.decode(row, skip_special_tokens=True)) for row in tokens]
        return [" ".join(text.split()) for text in texts]

    @torch.no_grad()
    def encoded(
        self,
        task: Task,
        prompts: Sequence[np.ndarray],
        user_embeddings: np.ndarray | None = None,
        max_rows: int | None = None,
    ) -> Iterator[Encoded]:
        """Encode prompts of any number, each once, a bounded number of tokens at a time.

        Args:
            task: of all prompts.
            prompts: one array of whole words each.
            user_embeddings: of :class:`~edgewise.models.elmrec.batch.Batch`, ``float32[B, D]``.
            max_rows: prompts at a time at most.
        """
        network = self.network if task == "explanation" else self.answering
        lengths = self.table.read.lengths
        tokens = [int(lengths[prompt].sum()) for prompt in prompts]
        for rows in bounded_rows(tokens, TOKENS_AT_ONCE, max_rows):
            batch = assemble(self.table, task, [prompts[row] for row in rows])
            if user_embeddings is not None:
                own = torch.from_numpy(user_embeddings[rows.start : rows.stop])
                batch = replace(batch, user_embeddings=own)
            batch = batch.to(self.device)
            states, mask = network.encode(batch)
            shift, scores = network.decoder_shift(batch), network.head_scores(batch, states)
            yield Encoded(rows, states, mask, shift, scores)

    def read_histories(self, users: np.ndarray, histories: Ragged) -> Iterator[Encoded]:
        """Prompts of the sequential task, encoded."""
        most = None if self.priors is None else self.priors.rows_at_once()
        if self.network.one_token is not None and most is None:
            most = max(1, _SCORES_AT_ONCE // self.table.num_items)
        return self.encoded("sequential", *self._sequential(users, histories), max_rows=most)

    def head_likelihoods(self, users: np.ndarray, histories: Ragged) -> torch.Tensor:
        """Of all items by the item head, ``float32[B, I]``; without one all are alike."""
        num_items = self.table.num_items
        if self.network.item_head is None:
            return head_likelihood(None, len(users), num_items)
        parts = self.read_histories(users, histories)
        return torch.cat([head_likelihood(each.head_scores, 0, num_items) for each in parts])

    def item_scores(self, part: Encoded, histories: Ragged) -> torch.Tensor | None:
        """Scores of all items in the catalogue's tree: the item head's, with the priors."""
        if self.priors is None:
            return part.head_scores
        known = histories.take(np.array(part.rows))
        return self.priors.item_scores(part.head_scores, known).to(part.states.device)

    def _spelling_strength(self, task: Task) -> float:
        told = self.priors.spelling if self.priors and task == "sequential" else None
        share = 1.0 if told is None else told
        return share * self.network.spelling_strength(task)

    def _sequential(
        self, users: np.ndarray, histories: Ragged
    ) -> tuple[list[np.ndarray], np.ndarray | None]:
        """Prompts for the item after each history, with the users' graph embeddings."""
        template = self._templates.for_inference("sequential")
        prompts = self._writer.sequential(users, histories.rows(), template)
        return prompts, self._moved("sequential", users, histories)

    def _moved(self, task: Task, users: np.ndarray, histories: Ragged) -> np.ndarray | None:
        """Graph embeddings of users that the train graph does not know as they are now.

        People not in the data are placed by their items. So are users who took other items since
        :meth:`fit`, for spectral features only: there a user's embedding is that of his items, as
        in the train graph.

        Returns:
            ``float32[B, D]``; None where the task reads no graph or nothing has moved.
        """
        if self.config.whole_words.kind(task) != "graph":
            return None
        known, spectral = self.data.histories, self.config.graph.features == "spectral"
        embeddings = self.graph.vectors[users]
        moved = False
        for row, (user, items) in enumerate(zip(users, histories.rows(), strict=True)):
            same = user >= 0 and (not spectral or set(items.tolist()) == set(known[user].tolist()))
            if not same:
                embeddings[row], moved = self.graph.new_user(items), True
        return embeddings if moved else None

    @property
    def _writer(self) -> PromptWriter:
        return PromptWriter(self.table, self.config.prompts.max_history)

    @property
    def _templates(self) -> TemplateChoice:
        return TemplateChoice.of(self.config.prompts)

    # Keeping

    def _save_learned(self, folder: Path) -> dict[str, Any]:
        save_network(self.network, folder / "model.safetensors")
        self.graph.save(folder / "graph.safetensors")
        self.tokenizer.save_pretrained(folder / "tokenizer")
        learned: dict[str, Any] = {"t5": self.network.t5.config.to_dict()}
        if self.priors is not None:
            self.prepare(self.data.histories)  # what is saved belongs to the histories beside it
            learned["priors"] = self.priors.save(folder)
        return learned

    def _load_learned(self, folder: Path, told: Mapping[str, Any]) -> None:
        self.tokenizer = load_tokenizer(folder / "tokenizer")
        num_users, num_items = len(self.data.users), len(self.data.items)
        self.table = self._entity_token_table()
        self.graph = GraphFeatures.load(folder / "graph.safetensors", self.config.graph)
        degrees, features = len(self.graph.item_degrees), len(self.graph.features)
        if (degrees, features) != (num_items, num_users + num_items):
            raise ValueError(f"graph.safetensors does not fit {num_users} users, {num_items} items")
        check_layers(told["t5"])
        t5_config = T5Config.from_dict(told["t5"])
        weights = folder / "model.safetensors"
        check_sizes(lambda: T5ForConditionalGeneration(t5_config), weights, "t5.")
        with NoRandomStart():
            t5 = T5ForConditionalGeneration(t5_config)
        self.network = self._network(t5, self.graph.lookup(), torch.Generator())
        load_model(self.network, folder / "model.safetensors")
        self.network.eval()
        if "priors" in told:
            self.priors = TaskPriors.load(folder, told["priors"], self.data.histories)
