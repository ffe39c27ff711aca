"""Every setting of the graph-attentive GPT-2, and named sets of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from edgewise.config import MethodConfig, Settings, Stages, check, section, setting
from edgewise.errors import ConfigError
from edgewise.models.item_priors import USUAL, PriorsConfig
from edgewise.training.config import TrainingConfig

StageName = Literal["content", "events", "predictive", "sequence"]
RECOMMENDING: tuple[StageName, ...] = ("events", "predictive", "sequence")


class BackboneConfig(Settings):
    """The language model."""

    SECTION = "backbone"
    RENAMED: ClassVar = {"item_start": "item_init"}

    name: str = setting(
        "cpu",
        "tiny, cpu or gpt2 start from random weights of that size with a tokenizer trained on the "
        "data; anything else is a GPT-2 checkpoint, by local folder or hub name "
        "(openai-community/gpt2), with its own tokenizer.",
    )
    vocab_size: int = setting(2000, "Sub-words of a trained tokenizer.", ge=1)
    dropout: float = setting(0.1, "Of embeddings and of every layer's outputs.", ge=0, lt=1)
    attention_dropout: float | None = setting(
        None,
        "Of attention weights; none = the same as dropout. 0 saves a draw for every pair of tokens "
        "in every layer and head.",
        ge=0,
        lt=1,
    )
    init_std: float = setting(
        0.02,
        "Standard deviation of the random weights, and of the user and item embeddings.",
        gt=0,
        le=100,
    )
    item_init: Literal["random", "transitions", "texts"] = setting(
        "random",
        "Where item embeddings start: random; transitions, vectors that bring items of the same "
        "paths together; or texts, half of the numbers those of transitions and half of the "
        "catalogue's texts by latent semantic analysis. Beyond the paper.",
    )
    user_tokens: bool = setting(
        True,
        "Whether every user has a token. false: people are what they took, and parameters do not "
        "grow with their number; for the stage sequence with history.user_token=false.",
    )
    max_tokens: int = setting(
        1024, "The longest input; longer prompts keep the newest history.", ge=16, le=65_536
    )


class AttentionConfig(Settings):
    """The graph's part in attention, ``R = R_conn + R_path`` (Eqs. 1-4)."""

    SECTION = "attention"
    RENAMED: ClassVar = {"path_damping": "delta", "own_edges": "include_own_edges"}

    kind: Literal["graph", "meaningless", "none"] = setting(
        "graph",
        "graph; meaningless: R = 1 for every pair of users or items; none.",
        symbol="R, Eq. 2; Fig. 5",
    )
    path: Literal["proximity", "released", "printed"] = setting(
        "proximity",
        "How R_path falls with the distance P: proximity, delta ** (P - 1), does what the paper's "
        "text says; released is its code's, max(0, 6 - P) rescaled; printed is Eq. 4 to the "
        "letter, which grows with P.",
        symbol="R_path, Eq. 4",
    )
    delta: float = setting(
        0.5,
        "The factor by which each further step of a path counts less.",
        symbol="delta, Eq. 4",
        gt=0,
        lt=1,
    )
    max_path: int = setting(
        5, "Longest path that is followed; farther pairs get no R_path.", ge=1, le=20
    )
    connection: bool = setting(
        True, "Whether R_conn = 1 is added for pairs that an edge joins.", symbol="R_conn, Eq. 3"
    )
    gates: bool = setting(
        False,
        "Learn a factor of R for each layer and head, starting at 1, which is the paper's model. "
        "Beyond the paper.",
    )
    include_own_edges: bool = setting(
        True,
        "Whether a user's own edges are paths between the items of that user's history (the "
        "paper), which makes P = 2 for all of them. false, beyond the paper: P = 2 where another "
        "user took both, and 4 elsewhere.",
    )


class HistoryConfig(Settings):
    """How a user's items stand in a prompt."""

    SECTION = "history"
    RENAMED: ClassVar = {
        "unknown_user_rate": "user_dropout",
        "selection": "training.sequence.validation_metric",
    }

    order: Literal["set", "time"] = setting(
        "set",
        "set, shuffled anew each epoch (the paper), or time, oldest first. The sequence stage "
        "always reads in order of time.",
    )
    max_items: int = setting(
        50, "Items of a prompt at most, the newest ones where there is an order.", ge=1, le=10_000
    )
    user_token: bool = setting(
        True, "Whether the user's own token stands before a time-ordered history."
    )
    user_dropout: float = setting(
        0.1,
        "Share of the examples without the user's token, in every stage that recommends, so that "
        "people not in the data can be answered. Beyond the paper.",
        ge=0,
        le=1,
    )
    mask_rate: float = setting(
        0.2,
        "Share of the history left out at random in the predictive stage.",
        symbol="Section 3.4",
        ge=0,
        lt=1,
    )
    targets: Literal["all", "masked"] = setting(
        "all", "Of the predictive stage: all train items (the paper) or those masked out."
    )


class SequenceConfig(Settings):
    """The loss of the time-ordered stage, beyond the paper."""

    SECTION = "sequence"

    label_smoothing: float = setting(
        0.0, "Share of each target that all items are given alike, while training.", ge=0, lt=1
    )
    residual: bool = setting(
        False,
        "Add what priors.names tell of each target, counted in other users' rows, to the logits as "
        "a constant, so that the network learns what the priors leave untold.",
    )


class ContentConfig(Settings):
    """Crowd contextual prompts of stage 1 (Section 3.3)."""

    SECTION = "content"

    contents: bool = setting(True, "Titles, brands, categories and descriptions of items.")
    reviews: bool = setting(True, "What users wrote of items, and their reasons for buying.")
    second_order: bool = setting(True, "Items that share a brand or a category.")
    events: bool = setting(True, "Who interacted with what, in words.")
    window: int = setting(
        20,
        "Items of a second-order list at most; longer lists are cut into windows.",
        ge=2,
        le=10_000,
    )
    max_text_tokens: int = setting(64, "Of one text, after which it is cut.", ge=1, le=65_536)


class SequenceLossConfig(Settings):
    """The loss of the sequence stage, of :mod:`edgewise.models.item_head`."""

    SECTION = "sequence_loss"

    name: Literal["auto", "softmax", "sampled_softmax", "in_batch_softmax"] = setting(
        "auto",
        "softmax over all items; sampled_softmax: over the target and items sampled by how often "
        "they are taken, with logQ correction; in_batch_softmax: over the targets of the batch, "
        "likewise; auto: softmax, and sampled_softmax above 50,000 items, unless sequence.residual "
        "or sequence.label_smoothing need all of them. Validation is by all items whatever the "
        "loss.",
    )
    num_negatives: int = setting(1000, "Sampled items of a batch, of sampled_softmax.", ge=1)


class StageTraining(Stages):
    """How each stage learns; a stage that is not run does not read its section."""

    SECTION = "training"

    content: TrainingConfig = section(TrainingConfig, epochs=10)
    events: TrainingConfig = section(TrainingConfig, epochs=100)
    predictive: TrainingConfig = section(TrainingConfig, epochs=50)
    sequence: TrainingConfig = section(TrainingConfig, epochs=50)

    def of(self, stage: StageName) -> TrainingConfig:
        """The settings of a stage."""
        return getattr(self, stage)


class DecodingConfig(Settings):
    """How the model is asked. Explanations are written token by token, the likeliest first."""

    SECTION = "decoding"

    weights: Literal["fp32", "int8"] = setting(
        "fp32",
        "Of the layers when recommending: int8 rounds their matrices to 8-bit integers, which is "
        "faster on a CPU where layers are wide; lists change a little.",
    )

    explanation_tokens: int = setting(20, "An explanation is at most this long.", ge=0, le=1000)
    min_explanation_tokens: int = setting(5, "And at least this long.", ge=0, le=1000)


class GraphGPTConfig(MethodConfig):
    """All settings of a run."""

    RENAMED: ClassVar = {"content_weight": "lambda_v"}

    stages: tuple[StageName, ...] = setting(
        ("content", "events", "predictive"),
        "What is trained, in this order: the paper's are content, events, predictive; the sequence "
        "stage is the time-ordered next-item loss at every position.",
        symbol="Sections 3.3, 3.4",
    )
    lambda_v: float = setting(
        0.0,
        "The pull of user and item embeddings towards those that the content stage learned, in the "
        "stages after it. 0 = off.",
        symbol="lambda_V, Section 3.3",
        ge=0,
        le=1e6,
    )
    backbone: BackboneConfig = section(BackboneConfig)
    attention: AttentionConfig = section(AttentionConfig)
    history: HistoryConfig = section(HistoryConfig)
    content: ContentConfig = section(ContentConfig)
    sequence: SequenceConfig = section(SequenceConfig)
    training: StageTraining = section(StageTraining)
    sequence_loss: SequenceLossConfig = section(SequenceLossConfig)
    decoding: DecodingConfig = section(DecodingConfig)
    priors: PriorsConfig = section(PriorsConfig)

    def model_post_init(self, context: Any) -> None:
        """Refuse settings that contradict each other."""
        history, decoding = self.history, self.decoding
        check(len(self.stages) > 0, "stages is empty: name at least one")
        check(len(set(self.stages)) == len(self.stages), "stages names a stage twice")
        check(
            any(stage in RECOMMENDING for stage in self.stages),
            f"stages = {', '.join(self.stages)}: add one that learns to recommend "
            f"({', '.join(RECOMMENDING)})",
        )
        check(
            self.backbone.user_tokens
            or (self.stages == ("sequence",) and not self.history.user_token),
            "backbone.user_tokens=false leaves no token for the users whom prompts name: set "
            "stages=sequence and history.user_token=false",
        )
        check(
            not self.lambda_v or self.stages[0] == "content",
            "lambda_v ties the later stages to the content stage: put content first in stages, or "
            "set lambda_v=0",
        )
        check(
            not (history.targets == "masked" and history.mask_rate == 0),
            "history.targets=masked needs a history.mask_rate above 0",
        )
        of_all = self.sequence_loss.name in ("auto", "softmax")
        check(
            of_all or not (self.sequence.residual or self.sequence.label_smoothing),
            f"sequence_loss.name={self.sequence_loss.name} reads some items, and sequence.residual "
            "and sequence.label_smoothing change the loss over all: set them to false and 0, or "
            "sequence_loss.name=softmax",
        )
        check(
            not self.sequence.residual or len(self.priors.names) > 0,
            "sequence.residual reads priors: name some in priors.names, or set "
            "sequence.residual=false",
        )
        check(
            self.backbone.max_tokens >= 16,
            f"backbone.max_tokens = {self.backbone.max_tokens}: at least 16 are needed for a "
            "prompt's words and one item",
        )
        check(
            decoding.min_explanation_tokens <= decoding.explanation_tokens,
            "decoding.min_explanation_tokens must lie in 0..decoding.explanation_tokens",
        )
        for stage in ("content", "events", "predictive"):
            metric = getattr(self.training, stage).validation_metric
            check(
                metric == "loss",
                f"training.{stage}.validation_metric = {metric!r}: this stage chooses its epoch by "
                "loss; that of the stage sequence may be one of ranking",
            )
        if (metric := self.training.sequence.validation_metric) != "loss":
            from edgewise.evaluation.metrics import parse_metric

            try:
                parse_metric(metric)
            except ConfigError as error:
                raise ConfigError(f"training.sequence.validation_metric: {error}") from None


_SEQUENCE = {
    "epochs": 16,
    "patience": 3,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup_steps": 50,
}
_RECOMMENDING = {"batch_size": 64, "learning_rate": 1e-3, "patience": 5, "warmup_steps": 50}
# All epochs are run, without weight decay, as with the release's Adam; the epoch with the lowest
# validation loss is kept, of which paper and release are silent.
_ADAM = {"patience": 0, "weight_decay": 0.0}


def _paper(backbone: str) -> dict[str, Any]:
    """The paper's model, data and epochs; rates and batch sizes are its released code's."""
    return {
        "backbone": {"name": backbone, "dropout": 0.1},
        "history": {"max_items": 1000, "user_dropout": 0.0},
        # The longest input is the only limit of texts, as in the paper.
        "content": {"max_text_tokens": 1000},
        # No source: the paper does not print lambda_V, and the release's sum over a batch is
        # another scale than our mean. A guess that nobody has tuned.
        "lambda_v": 0.1,
        "training": {
            "content": {"epochs": 10, "batch_size": 4, "learning_rate": 1e-3, **_ADAM},
            "events": {"epochs": 100, "batch_size": 32, "learning_rate": 1e-3, **_ADAM},
            "predictive": {"epochs": 50, "batch_size": 32, "learning_rate": 1e-4, **_ADAM},
        },
    }


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # For the demo and for tests: seconds to minutes on two cores, explanations included.
    "tiny": {
        "backbone": {"name": "tiny", "vocab_size": 600, "max_tokens": 256},
        "history": {"order": "time"},
        "priors": {"names": USUAL},
        "stages": ("content", "sequence"),
        "training": {
            "content": {"epochs": 5, "batch_size": 32, "learning_rate": 2e-3},
            "sequence": {**_SEQUENCE, "batch_size": 32, "learning_rate": 2e-3},
        },
    },
    # For data of Beauty's size on two cores: a time-ordered recommender, trained in minutes. On
    # sparse data a model grows too sure of itself: its likelihood falls long before its ranking.
    "cpu": {
        "backbone": {
            "name": "cpu",
            "dropout": 0.5,
            "attention_dropout": 0.0,
            "init_std": 0.05,
            "item_init": "transitions",
        },
        "history": {"order": "time", "user_token": False},
        "priors": {"names": USUAL},
        "stages": ("sequence",),
        "training": {
            "sequence": {
                **_SEQUENCE,
                "schedule": "cosine",
                "patience": 5,
                "validation_metric": "NDCG@10",
            }
        },
    },
    # The paper's three stages on unordered histories, at the size of two cores.
    "cpu-stages": {
        "backbone": {"name": "cpu", "dropout": 0.4},
        "history": {"targets": "masked"},
        "training": {
            "content": {"epochs": 3, "batch_size": 64, "learning_rate": 1e-3},
            "events": {**_RECOMMENDING, "epochs": 30},
            "predictive": {**_RECOMMENDING, "epochs": 30},
        },
    },
    "paper": _paper("openai-community/gpt2"),
    "paper-from-scratch": _paper("gpt2"),
}
