"""Every setting of ELMRec, P5 and POD.

Named settings: sizes for this machine, and the papers' own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgewise.config import check, nearest, updated
from edgewise.recommender import TASKS, Task
from edgewise.training.config import TrainingConfig

WholeWordKind = Literal["graph", "incremental", "random", "none"]


@dataclass(frozen=True)
class BackboneConfig:
    """The language model.

    Attributes:
        name: ``tiny``, ``cpu`` or ``t5-small`` start from random weights of that size with a
            tokenizer trained on the data; anything else is a T5 checkpoint, by local folder or
            hub name (``google-t5/t5-small``), with its own tokenizer.
        vocab_size: sub-words of a trained tokenizer.
        dropout: in all layers.
        similarity_start: random weights start with attention that looks for similar vectors
            (query times key close to the identity) instead of attention without a preference.
    """

    name: str = "cpu"
    vocab_size: int = 2000
    dropout: float = 0.1
    similarity_start: bool = True


@dataclass(frozen=True)
class PromptConfig:
    """What the language model reads.

    Attributes:
        tasks: tasks that are trained, alternating batch by batch (Section A.1.4).
        num_prompt_vectors: P distilled vectors before each task's prompt; 0 = full wordings only.
        wording_rate: share of training batches that carry a full wording beside the vectors.
        text_prompt: off feeds whole-word vectors alone (Table 4, "w/o Text Prompt").
        max_history: items of a sequential prompt at most.
        segments: ``random`` segments of the history (the paper), ``prefix``, all of the history
            up to a random target, or ``whole``, up to the last train item; the last leaves the
            earlier items to ``catalogue_pointer``.
        num_negatives: candidates beside the positive while training direct recommendation.
        direct_likelihood: of a candidate, over all token sequences (Eq. 1) or, as a beyond-paper
            variant, under the condition that the answer is one of the candidates; in training and
            in recommending alike.
        pointer: adds to a candidate's likelihood a learned match of the encoder's states of user
            and candidate, which the decoder alone must read out of a sum over all candidates;
            needs ``direct_likelihood = candidates``. Beyond the paper.
        graph_match: adds to that match the dot product of the graph features of user and candidate,
            at their own lengths, with a learned strength; ``graph.normalize`` hides the lengths
            from the language model, and with them who buys much and what sells. Beyond the paper.
        catalogue_pointer: gives every item a trained vector, which is read in sequential prompts
            beside the item's spelling and matched with the encoder's state of the history; the
            answer is then normalised over the catalogue's items. Beyond the paper.
        item_dropout: of those vectors and of that state.
        explanation_tokens: length of an explanation at most.
        explanations: ``interaction`` keeps a text with its row's part; ``random`` is the papers'
            80/10/10 split of texts, in which test pairs are trained on.
        unknown_user_rate: share of training examples whose user is spelled as unknown.
    """

    tasks: tuple[Task, ...] = TASKS
    num_prompt_vectors: int = 3
    wording_rate: float = 0.2
    text_prompt: bool = True
    max_history: int = 20
    segments: Literal["random", "prefix", "whole"] = "random"
    num_negatives: int = 99
    direct_likelihood: Literal["vocabulary", "candidates"] = "vocabulary"
    pointer: bool = False
    graph_match: bool = False
    catalogue_pointer: bool = False
    item_dropout: float = 0.2
    explanation_tokens: int = 20
    explanations: Literal["interaction", "random"] = "interaction"
    unknown_user_rate: float = 0.05


@dataclass(frozen=True)
class WholeWordConfig:
    """Whole-word vectors of each task (Section 3.2) and how they enter.

    Attributes:
        direct, sequential, explanation: ``graph`` (Eq. 8), ``incremental`` (Eq. 11), ``random``
            (the same indices in disorder, Table 6) or ``none``.
        direct_scale, sequential_scale, explanation_scale: alpha.
        decoder_scale: adds the user's graph vector, times this, to every input of the decoder where
            the task's kind is ``graph``, so that its first cross-attention can already ask for
            what is near the user. Beyond the paper; 0 = off.
        injection: ``addition`` to the token embeddings, or ``prepending`` one vector a word before
            the prompt (Table 5).
    """

    direct: WholeWordKind = "graph"
    sequential: WholeWordKind = "incremental"
    explanation: WholeWordKind = "graph"
    direct_scale: float = 1.0
    sequential_scale: float = 1.0
    explanation_scale: float = 1.0
    decoder_scale: float = 0.0
    injection: Literal["addition", "prepending"] = "addition"

    def kind(self, task: Task) -> WholeWordKind:
        """The kind of whole-word vectors of a task."""
        return getattr(self, task)

    def scale(self, task: Task) -> float:
        """Alpha of a task."""
        return getattr(self, f"{task}_scale")


@dataclass(frozen=True)
class GraphConfig:
    """Features of users and items from the train graph.

    Attributes:
        features: ``random`` propagation (Eqs. 4-7), frozen; ``trained``, the same with layer 0 as a
            parameter; ``spectral``, orthonormalised between steps.
        num_propagation_layers: L of the random features.
        init_std: sigma, the standard deviation of layer 0.
        variant: ``mean`` of layers 0..L (Eq. 7) or ``shifted``, of layers 1..L+1 (Eq. 15).
        num_iterations: round trips of the subspace iteration.
        rank: singular vectors that spectral features keep, in the first columns; the others stay
            zero and leave room for the tokens' own vectors. 0 = as many as the model is wide.
        power: spectral features are scaled by the singular values to this power.
        normalize: give every node's vector the same length, so that users with few items are heard
            as well as the others. Beyond the paper.
        num_folds: edge folds of cross-fitting; 0 = off; None = 5 for spectral features, else off.
    """

    features: Literal["random", "trained", "spectral"] = "spectral"
    num_propagation_layers: int = 4
    init_std: float = 1.0
    variant: Literal["mean", "shifted"] = "mean"
    num_iterations: int = 8
    rank: int = 0
    power: float = 0.5
    normalize: bool = False
    num_folds: int | None = None

    @property
    def folds(self) -> int:
        """The number of edge folds, 0 = off."""
        if self.num_folds is None:
            return 5 if self.features == "spectral" else 0
        return self.num_folds


@dataclass(frozen=True)
class DecodingConfig:
    """How recommendations and explanations are searched.

    Attributes:
        num_beams: of the catalogue search.
        num_extra_candidates: N, searched beyond k before filtering and reranking (Section 4.2).
        rerank: filter what the user already has and rerank; off shows the raw list, which may
            hold items of the history (Table 4, "w/o Reranking").
        filtering: leave out what the user has ``during`` the search, so that lists are full and N
            decides about the width of the search alone, or ``after`` it, as the paper does: a list
            is short where more than N of its items were seen.
        explanation_beams, explanation_groups: of the diverse beam search; one group is plain beam.
        diversity_penalty: subtracted for each use of a token by an earlier group.
        min_explanation_tokens: an explanation is at least this long.
    """

    num_beams: int = 20
    num_extra_candidates: int = 15
    rerank: bool = True
    filtering: Literal["during", "after"] = "during"
    explanation_beams: int = 21
    explanation_groups: int = 3
    diversity_penalty: float = 1.0
    min_explanation_tokens: int = 10


@dataclass(frozen=True)
class ELMRecConfig:
    """All settings of a run; ``seed`` fixes every random choice in it."""

    seed: int = 0
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)
    whole_words: WholeWordConfig = field(default_factory=WholeWordConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)

    def __post_init__(self) -> None:
        prompts, decoding = self.prompts, self.decoding
        check(
            not prompts.pointer or prompts.direct_likelihood == "candidates",
            "prompts.pointer needs prompts.direct_likelihood=candidates",
        )
        check(
            not prompts.graph_match or (prompts.pointer and self.whole_words.direct == "graph"),
            "prompts.graph_match needs prompts.pointer=true and whole_words.direct=graph",
        )
        check(len(prompts.tasks) > 0, "prompts.tasks is empty: name at least one task")
        check(len(set(prompts.tasks)) == len(prompts.tasks), "prompts.tasks names a task twice")
        check(0 <= prompts.wording_rate <= 1, "prompts.wording_rate must lie in 0..1")
        check(0 <= prompts.unknown_user_rate <= 1, "prompts.unknown_user_rate must lie in 0..1")
        check(prompts.max_history >= 1, "prompts.max_history must be at least 1")
        check(prompts.num_negatives >= 1, "prompts.num_negatives must be at least 1")
        check(prompts.num_prompt_vectors >= 0, "prompts.num_prompt_vectors must not be negative")
        check(
            0 <= decoding.min_explanation_tokens <= prompts.explanation_tokens,
            "decoding.min_explanation_tokens must lie in 0..prompts.explanation_tokens",
        )
        check(decoding.num_extra_candidates >= 0, "decoding.num_extra_candidates is negative")
        check(0 <= prompts.item_dropout < 1, "prompts.item_dropout must lie in 0..1, 1 excluded")
        check(0 <= self.backbone.dropout < 1, "backbone.dropout must lie in 0..1, 1 excluded")
        check(self.graph.folds != 1, "graph.num_folds must be 0 (off) or at least 2")
        check(decoding.num_beams >= 1, "decoding.num_beams must be at least 1")
        check(
            min(decoding.explanation_groups, decoding.explanation_beams) >= 1
            and decoding.explanation_beams % decoding.explanation_groups == 0,
            "decoding.explanation_beams must be a multiple of decoding.explanation_groups",
        )
        trained_folds = self.graph.features == "trained" and self.graph.folds > 0
        check(not trained_folds, "graph.num_folds needs frozen features: set graph.num_folds=0")


_PAPER_TRAINING = {"epochs": 100, "patience": 5, "batch_size": 64, "weight_decay": 0.01}


_SMALL_TRAINING = {
    "batch_size": 32,
    "learning_rate": 5e-4,
    "embedding_rate": 5.0,
    "schedule": "cosine",
    "warmup_steps": 50,
}


def _small(
    backbone: dict[str, object], rank: int, segments: str, training: dict[str, object]
) -> ELMRecConfig:
    """What a small T5 from scratch needs beyond the paper; docs/results.md has the measurements."""
    return updated(
        ELMRecConfig(),
        {
            "backbone": backbone,
            "prompts": {
                "direct_likelihood": "candidates",
                "pointer": True,
                "catalogue_pointer": True,
                "segments": segments,
                "num_negatives": 24,
                "wording_rate": 0.1,
            },
            "whole_words": {"sequential": "graph", "decoder_scale": 1.0},
            "graph": {"rank": rank, "normalize": True, "num_folds": 10},
            "training": {**_SMALL_TRAINING, **training},
        },
    )


def _tiny() -> ELMRecConfig:
    """For the demo and for tests: seconds to minutes on two cores."""
    backbone = {"name": "tiny", "vocab_size": 600, "dropout": 0.2, "similarity_start": False}
    training = {"epochs": 10, "learning_rate": 2e-3, "embedding_rate": 1.0}
    # Many passes over few users: cut anew each time, their histories are learned by heart later.
    return _small(backbone, 32, "prefix", training)


def _cpu() -> ELMRecConfig:
    """For data of Beauty's size on two cores."""
    return _small({"name": "cpu", "dropout": 0.0}, 64, "whole", {"epochs": 10})


def _paper(
    direct: float, sequential: float, sigma: float, extra: int, rate: float
) -> Callable[[], ELMRecConfig]:
    """ELMRec's settings (its Table 9; learning rates are POD's, see docs/ideas.md)."""

    def build() -> ELMRecConfig:
        return updated(
            ELMRecConfig(),
            {
                "backbone": {"name": "t5-small", "similarity_start": False},
                "prompts": {"wording_rate": 0.0, "unknown_user_rate": 0.0},
                "whole_words": {
                    "direct_scale": direct,
                    "explanation_scale": direct,
                    "sequential_scale": sequential,
                },
                "graph": {"features": "trained", "init_std": sigma, "num_propagation_layers": 4},
                "training": {**_PAPER_TRAINING, "learning_rate": rate},
                "decoding": {"num_extra_candidates": extra, "filtering": "after"},
            },
        )

    return build


def _plain(**changes: Mapping[str, object]) -> Callable[[], ELMRecConfig]:
    """A predecessor of ELMRec, made of the same parts, without the graph and the reranking."""

    def build() -> ELMRecConfig:
        base: dict[str, object] = {
            "backbone": {"name": "t5-small", "similarity_start": False},
            "training": {**_PAPER_TRAINING, "learning_rate": 1e-3},
            "decoding": {"num_extra_candidates": 0, "filtering": "after"},
        }
        return updated(ELMRecConfig(), base | changes)

    return build


_INCREMENTAL = {"direct": "incremental", "sequential": "incremental", "explanation": "incremental"}
_NONE = {"direct": "none", "sequential": "none", "explanation": "none"}
_NO_NEWCOMERS = {"unknown_user_rate": 0.0}

PRESETS: dict[str, Callable[[], ELMRecConfig]] = {
    "tiny": _tiny,
    "cpu": _cpu,
    "paper-beauty": _paper(9, 6, 6, 15, 5e-4),
    "paper-sports": _paper(5, 1, 5, 10, 1e-3),
    "paper-toys": _paper(11, 9, 5, 10, 1e-3),
    "pod": _plain(whole_words=_INCREMENTAL, prompts={**_NO_NEWCOMERS, "wording_rate": 0.0}),
    "p5": _plain(whole_words=_INCREMENTAL, prompts={**_NO_NEWCOMERS, "num_prompt_vectors": 0}),
    "t5": _plain(whole_words=_NONE, prompts={**_NO_NEWCOMERS, "num_prompt_vectors": 0}),
}


def preset(name: str) -> ELMRecConfig:
    """The settings of a preset.

    Raises:
        ConfigError: there is none of this name; the nearest is named.
    """
    check(name in PRESETS, f"unknown preset {name!r}.{nearest(name, PRESETS)}")
    return PRESETS[name]()
