"""Every setting of ELMRec, P5 and POD, and named sets of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from edgewise.config import MethodConfig, Settings, check, section, setting
from edgewise.models.item_priors import USUAL, PriorsConfig
from edgewise.recommender import TASKS, Task
from edgewise.training.config import TrainingConfig

WholeWordKind = Literal["graph", "incremental", "random", "none"]


ItemGraphName = Literal["transitions", "attributes"]


class BackboneConfig(Settings):
    """The language model."""

    SECTION = "backbone"
    RENAMED: ClassVar = {"similarity_start": "mimetic_init"}

    name: str = setting(
        "cpu",
        "tiny, cpu or t5-small start from random weights of that size with a tokenizer trained on "
        "the data; anything else is a T5 checkpoint, by local folder or hub name "
        "(google-t5/t5-small), with its own tokenizer.",
    )
    vocab_size: int = setting(2000, "Sub-words of a trained tokenizer.", ge=1)
    dropout: float = setting(0.1, "In all layers.", ge=0, lt=1)
    mimetic_init: bool = setting(
        True,
        "Random weights start with attention that looks for similar vectors (query times key close "
        "to the identity) instead of attention without a preference.",
    )


class PromptConfig(Settings):
    """What the language model reads."""

    SECTION = "prompts"
    RENAMED: ClassVar = {
        "num_prompt_vectors": "num_prompt_embeddings",
        "wording_rate": "template_rate",
        "segments": "history_sampling",
        "pointer": "candidate_head",
        "catalogue_pointer": "item_head",
        "unknown_user_rate": "user_dropout",
    }

    ids: Literal["spelled", "one-token"] = setting(
        "spelled",
        "spelled: a user or item is several sub-words, read and written; or one-token: the encoder "
        "reads one vector each, the mean of these sub-words' embeddings plus one of its own plus "
        "the whole word's, and what is recommended is scored by candidate_head (direct) and "
        "item_head (sequential) without a decoder. Beyond the paper.",
    )
    user_vectors: bool = setting(
        False,
        "With ids = one-token give users a vector of their own, too; without one they are told by "
        "spelling, graph and history alone.",
    )
    tasks: tuple[Task, ...] = setting(
        TASKS, "Tasks that are trained, alternating batch by batch.", symbol="Section A.1.4"
    )
    num_prompt_embeddings: int = setting(
        3,
        "Distilled soft-prompt embeddings before each task's prompt; 0 = full templates only.",
        symbol="P, Section 3.1",
        ge=0,
        le=1000,
    )
    template_rate: float = setting(
        0.2,
        "Share of training batches that carry a full template beside the soft prompt.",
        ge=0,
        le=1,
    )
    text_prompt: bool = setting(
        True,
        "Off feeds whole-word embeddings alone.",
        symbol='Table 4, "w/o Text Prompt"',
    )
    max_history: int = setting(20, "Items of a sequential prompt at most.", ge=1, le=10_000)
    history_sampling: Literal["random", "prefix", "whole"] = setting(
        "random",
        "random stretches of the history (the paper), prefix: all of it up to a random target, or "
        "whole: up to the last train item, which leaves the earlier items to item_head.",
    )
    num_negatives: int = setting(
        99, "Candidates beside the positive while training direct recommendation.", ge=1, le=10_000
    )
    direct_likelihood: Literal["vocabulary", "candidates"] = setting(
        "vocabulary",
        "Of a candidate, over all token sequences or, beyond the paper, under the condition that "
        "the answer is one of the candidates; in training and in recommending alike.",
        symbol="Eq. 1",
    )
    candidate_head: bool = setting(
        False,
        "Add to a candidate's likelihood a learned match of the encoder's states of user and "
        "candidate, which the decoder alone must read out of a sum over all candidates; needs "
        "direct_likelihood = candidates. Beyond the paper.",
    )
    graph_match: bool = setting(
        False,
        "Add to that match the dot product of the graph features of user and candidate, at their "
        "own lengths, with a learned strength; graph.normalize hides the lengths from the language "
        "model, and with them who buys much and what sells. Beyond the paper.",
    )
    item_head: bool = setting(
        False,
        "Give every item a trained embedding, read in sequential prompts beside the item's "
        "spelling (with ids = one-token in all prompts) and matched with the encoder's state of "
        "the history; the answer is then normalised over the catalogue's items. Beyond the paper.",
    )
    item_dropout: float = setting(0.2, "Of those embeddings and of that state.", ge=0, lt=1)
    item_init: Literal["random", "transitions", "texts"] = setting(
        "random",
        "Where those embeddings start: random; transitions, vectors that bring items of the same "
        "paths together; or texts, half of the numbers those of transitions and half of the "
        "catalogue's texts by latent semantic analysis. Beyond the paper.",
    )
    explanation_tokens: int = setting(20, "Length of an explanation at most.", ge=0, le=1000)
    explanations: Literal["interaction", "random"] = setting(
        "interaction",
        "interaction keeps a text with its row's part; random is the papers' 80/10/10 split of "
        "texts, in which test pairs are trained on.",
    )
    user_dropout: float = setting(
        0.05, "Share of training examples whose user is spelled as unknown.", ge=0, le=1
    )


class WholeWordConfig(Settings):
    """Whole-word embeddings of each task and how they enter."""

    SECTION = "whole_words"
    RENAMED: ClassVar = {
        "direct_scale": "direct_alpha",
        "sequential_scale": "sequential_alpha",
        "explanation_scale": "explanation_alpha",
        "decoder_scale": "decoder_alpha",
    }

    direct: WholeWordKind = setting(
        "graph",
        "graph, incremental (by order of appearance), random (the same in disorder) or none.",
        symbol="Eqs. 8, 11; Table 6",
    )
    sequential: WholeWordKind = setting("incremental", "As for direct.", symbol="Eq. 11")
    explanation: WholeWordKind = setting("graph", "As for direct.", symbol="Eq. 8")
    direct_alpha: float = setting(
        1.0,
        "Strength of the direct task's whole-word embeddings.",
        symbol="alpha, Section 3.1",
        ge=-1000,
        le=1000,
    )
    sequential_alpha: float = setting(
        1.0, "Of the sequential task's.", symbol="alpha, Section 3.1", ge=-1000, le=1000
    )
    explanation_alpha: float = setting(
        1.0, "Of the explanation task's.", symbol="alpha, Section 3.1", ge=-1000, le=1000
    )
    decoder_alpha: float = setting(
        0.0,
        "Add the user's graph embedding, times this, to every input of the decoder where the "
        "task's kind is graph, so that its first cross-attention can already ask for what is near "
        "the user; 0 = off. Beyond the paper.",
        ge=-1000,
        le=1000,
    )
    injection: Literal["addition", "prepending"] = setting(
        "addition",
        "Addition to the token embeddings, or one embedding a word before the prompt.",
        symbol="Table 5",
    )

    def kind(self, task: Task) -> WholeWordKind:
        """The kind of whole-word embeddings of a task."""
        return getattr(self, task)

    def alpha(self, task: Task) -> float:
        """Alpha of a task."""
        return getattr(self, f"{task}_alpha")


class GraphConfig(Settings):
    """Features of users and items from the train graph."""

    SECTION = "graph"
    RENAMED: ClassVar = {"init_std": "sigma"}

    features: Literal["random", "trained", "spectral"] = setting(
        "spectral",
        "random propagation, frozen; trained, the same with layer 0 as a parameter; spectral, "
        "orthonormalised between steps (beyond the paper).",
        symbol="Eqs. 4-7",
    )
    num_propagation_layers: int = setting(
        4, "Layers of the random features.", symbol="L, Eq. 7", ge=0, le=100
    )
    sigma: float = setting(
        1.0, "Standard deviation of layer 0.", symbol="sigma, Eq. 4", gt=0, le=1000
    )
    variant: Literal["mean", "shifted"] = setting(
        "mean", "mean of layers 0..L, or shifted: of layers 1..L+1.", symbol="Eqs. 7, 15"
    )
    num_iterations: int = setting(8, "Round trips of the subspace iteration.", ge=1, le=1000)
    rank: int = setting(
        0,
        "Singular vectors that spectral features keep, in the first columns; the others stay zero "
        "and leave room for the tokens' own embeddings. 0 = as many as the model is wide.",
        ge=0,
        le=16_384,
    )
    power: float = setting(
        0.5, "Spectral features are scaled by the singular values to this power.", ge=0, le=4
    )
    normalize: bool = setting(
        False,
        "Give every node's vector the same length, so that users with few items are heard as well "
        "as the others. Beyond the paper.",
    )
    item_graphs: tuple[ItemGraphName, ...] = setting(
        (),
        "Graphs whose features are concatenated with those of the user-item graph and projected to "
        "the model's width: transitions, what follows what in train histories, and attributes, "
        "items that share a brand or a category. Beyond the paper, whose future work it is.",
    )
    num_folds: int | None = setting(
        None,
        "Edge folds of cross-fitting; 0 = off; none = 5 for spectral features, else off. Beyond "
        "the paper.",
        ge=0,
        le=127,
    )

    @property
    def folds(self) -> int:
        """The number of edge folds, 0 = off."""
        if self.num_folds is None:
            return 5 if self.features == "spectral" else 0
        return self.num_folds


class DecodingConfig(Settings):
    """How recommendations and explanations are searched."""

    SECTION = "decoding"
    RENAMED: ClassVar = {"num_extra_candidates": "rerank_extra"}

    weights: Literal["fp32", "int8"] = setting(
        "fp32",
        "Of the layers when recommending: int8 rounds their matrices to 8-bit integers, which is "
        "faster on a CPU where layers are wide; lists change a little.",
    )
    num_beams: int = setting(20, "Of the catalogue search.", ge=1, le=10_000)
    rerank_extra: int = setting(
        15,
        "Items searched beyond k before filtering and reranking.",
        symbol="N, Eq. 12",
        ge=0,
    )
    rerank: bool = setting(
        True,
        "Filter what the user already has and rerank; off shows the raw list, which may hold items "
        "of the history.",
        symbol='Table 4, "w/o Reranking"',
    )
    filtering: Literal["during", "after"] = setting(
        "during",
        "Leave out what the user has during the search, so that lists are full and rerank_extra "
        "decides about the width of the search alone, or after it, as the paper does: a list is "
        "short where more than rerank_extra of its items were seen.",
    )
    explanation_beams: int = setting(21, "Of the diverse beam search.", ge=1, le=1000)
    explanation_groups: int = setting(
        3, "Of these beams; one group is plain beam search.", ge=1, le=1000
    )
    diversity_penalty: float = setting(
        1.0, "Subtracted for each use of a token by an earlier group.", ge=0, le=1e6
    )
    min_explanation_tokens: int = setting(
        10, "An explanation is at least this long.", ge=0, le=1000
    )


class ELMRecConfig(MethodConfig):
    """All settings of a run."""

    backbone: BackboneConfig = section(BackboneConfig)
    prompts: PromptConfig = section(PromptConfig)
    whole_words: WholeWordConfig = section(WholeWordConfig)
    graph: GraphConfig = section(GraphConfig)
    training: TrainingConfig = section(TrainingConfig)
    decoding: DecodingConfig = section(DecodingConfig)
    priors: PriorsConfig = section(PriorsConfig)

    def model_post_init(self, context: Any) -> None:
        """Refuse settings that contradict each other."""
        prompts, decoding = self.prompts, self.decoding
        check(
            not prompts.candidate_head or prompts.direct_likelihood == "candidates",
            "prompts.candidate_head needs prompts.direct_likelihood=candidates",
        )
        check(
            not prompts.graph_match
            or (prompts.candidate_head and self.whole_words.direct == "graph"),
            "prompts.graph_match needs prompts.candidate_head=true and whole_words.direct=graph",
        )
        heads = {"direct": prompts.candidate_head, "sequential": prompts.item_head}
        lacking = [task for task, head in heads.items() if task in prompts.tasks and not head]
        check(
            prompts.ids == "spelled" or not lacking,
            f"prompts.ids=one-token spells no answer, and nothing else gives one in the "
            f"{' and '.join(lacking)} task: set prompts.candidate_head=true (with "
            "prompts.direct_likelihood=candidates) for direct, prompts.item_head=true for "
            "sequential",
        )
        check(len(prompts.tasks) > 0, "prompts.tasks is empty: name at least one task")
        check(len(set(prompts.tasks)) == len(prompts.tasks), "prompts.tasks names a task twice")
        check(
            decoding.min_explanation_tokens <= prompts.explanation_tokens,
            "decoding.min_explanation_tokens must lie in 0..prompts.explanation_tokens",
        )
        check(self.graph.folds != 1, "graph.num_folds must be 0 (off) or at least 2")
        check(
            decoding.explanation_groups >= 1
            and decoding.explanation_beams % decoding.explanation_groups == 0,
            "decoding.explanation_beams must be a multiple of decoding.explanation_groups",
        )
        trained_folds = self.graph.features == "trained" and self.graph.folds > 0
        check(not trained_folds, "graph.num_folds needs frozen features: set graph.num_folds=0")
        check(
            self.training.validation_metric == "loss",
            f"training.validation_metric = {self.training.validation_metric!r}: ELMRec, whose "
            "tasks have no metric of ranking in common, chooses its epoch by loss",
        )


_PAPER_TRAINING = {"epochs": 100, "patience": 5, "batch_size": 64, "weight_decay": 0.01}
_SMALL_TRAINING = {
    "batch_size": 32,
    "learning_rate": 5e-4,
    "embedding_lr_multiplier": 5.0,
    "schedule": "cosine",
    "warmup_steps": 50,
}
_PRETRAINED = {"name": "google-t5/t5-small", "mimetic_init": False}
_FROM_SCRATCH = {"name": "t5-small", "mimetic_init": False}


def _small(
    backbone: dict[str, Any], rank: int, history_sampling: str, training: dict[str, Any]
) -> dict[str, Any]:
    """What a small T5 from scratch needs beyond the paper; docs/results.md has the measurements."""
    return {
        "backbone": backbone,
        "prompts": {
            "direct_likelihood": "candidates",
            "candidate_head": True,
            "item_head": True,
            "history_sampling": history_sampling,
            "num_negatives": 24,
            "template_rate": 0.1,
        },
        "whole_words": {"sequential": "graph", "decoder_alpha": 1.0},
        "graph": {"rank": rank, "normalize": True, "num_folds": 10},
        "training": {**_SMALL_TRAINING, **training},
        "priors": {"names": USUAL},
    }


def _one_token() -> dict[str, Any]:
    values = _small(
        {"name": "cpu", "mimetic_init": False, "dropout": 0.2},
        64,
        "whole",
        {"epochs": 2, "batch_size": 64, "learning_rate": 1e-3, "embedding_lr_multiplier": 1.0},
    )
    values["prompts"] |= {
        "ids": "one-token",
        "graph_match": True,
        "item_init": "texts",
        "item_dropout": 0.3,
        "user_dropout": 0.5,
    }
    return values


def _paper(
    direct: float, sequential: float, sigma: float, extra: int, rate: float
) -> dict[str, Any]:
    """ELMRec's settings (its Table 9; learning rates are POD's, see docs/ideas.md)."""
    return {
        "backbone": _PRETRAINED,
        "prompts": {"template_rate": 0.0, "user_dropout": 0.0},
        "whole_words": {
            "direct_alpha": direct,
            "explanation_alpha": direct,
            "sequential_alpha": sequential,
        },
        "graph": {"features": "trained", "sigma": sigma, "num_propagation_layers": 4},
        "training": {**_PAPER_TRAINING, "learning_rate": rate},
        "decoding": {"rerank_extra": extra, "filtering": "after"},
    }


def _plain(kind: str, prompts: dict[str, Any]) -> dict[str, Any]:
    """A predecessor of ELMRec, made of the same parts, without the graph and the reranking."""
    return {
        "backbone": _PRETRAINED,
        "prompts": {"user_dropout": 0.0, **prompts},
        "whole_words": {"direct": kind, "sequential": kind, "explanation": kind},
        "training": {**_PAPER_TRAINING, "learning_rate": 1e-3},
        "decoding": {"rerank_extra": 0, "filtering": "after"},
    }


_AS_PUBLISHED = {
    "paper-beauty": _paper(9.0, 6.0, 6.0, 15, 5e-4),
    "paper-sports": _paper(5.0, 1.0, 5.0, 10, 1e-3),
    "paper-toys": _paper(11.0, 9.0, 5.0, 10, 1e-3),
    "pod": _plain("incremental", {"template_rate": 0.0}),
    "p5": _plain("incremental", {"num_prompt_embeddings": 0}),
    "t5": _plain("none", {"num_prompt_embeddings": 0}),
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # For the demo and for tests: seconds to minutes on two cores. Many passes over few users: cut
    # anew each time, their histories are learned by heart later.
    "tiny": _small(
        {"name": "tiny", "vocab_size": 600, "dropout": 0.2, "mimetic_init": False},
        32,
        "prefix",
        {"epochs": 10, "learning_rate": 2e-3, "embedding_lr_multiplier": 1.0},
    ),
    # For data of Beauty's size on two cores: users and items are one token each.
    "cpu": _one_token(),
    # The same size in the paper's form.
    "cpu-spelled": _small({"name": "cpu", "dropout": 0.0}, 64, "whole", {"epochs": 10}),
    **_AS_PUBLISHED,
    **{
        f"{name}-from-scratch": {**values, "backbone": _FROM_SCRATCH}
        for name, values in _AS_PUBLISHED.items()
    },
}
