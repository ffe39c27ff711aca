"""Every setting of the graph-attentive GPT-2.

Named settings: sizes for this machine, and the paper's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin, get_type_hints

from edgewise.config import check, nearest, updated
from edgewise.training.config import TrainingConfig

Stage = Literal["content", "events", "predictive", "sequence"]
RECOMMENDING: tuple[Stage, ...] = ("events", "predictive", "sequence")


def check_choices(section: object, name: str) -> None:
    """Refuse a value that a ``Literal`` of the section does not list; the nearest is named."""
    for key, hint in get_type_hints(type(section)).items():
        if get_origin(hint) is Literal:
            check_choice(f"{name}.{key}", getattr(section, key), get_args(hint))


def check_choice(path: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not among the choices; the nearest is named."""
    check(value in choices, f"{path} = {value!r}.{nearest(str(value), choices)}")


@dataclass(frozen=True)
class BackboneConfig:
    """The language model.

    Attributes:
        name: ``tiny``, ``cpu`` or ``gpt2`` start from random weights of that size with a tokenizer
            trained on the data; anything else is a GPT-2 checkpoint, by local folder or hub name
            (``openai-community/gpt2``), with its own tokenizer.
        vocab_size: sub-words of a trained tokenizer.
        dropout: of embeddings and of every layer's outputs.
        attention_dropout: of attention weights; None = the same as ``dropout``. 0 saves a draw for
            every pair of tokens in every layer and head.
        init_std: standard deviation of the random weights, and of the user and item embeddings.
        item_start: where item embeddings start: ``random``, or ``transitions``, vectors that bring
            items of the same paths together, see :mod:`edgewise.graph.transitions`. Beyond the
            paper.
        max_tokens: the longest input; longer prompts keep the newest history.
    """

    name: str = "cpu"
    vocab_size: int = 2000
    dropout: float = 0.1
    attention_dropout: float | None = None
    init_std: float = 0.02
    item_start: Literal["random", "transitions"] = "random"
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        check_choices(self, "backbone")


@dataclass(frozen=True)
class AttentionConfig:
    """The graph's part in attention, ``R = R_conn + R_path`` (Eqs. 1-4).

    Attributes:
        kind: ``graph``; ``meaningless``, R = 1 for every pair of users or items (Fig. 5); ``none``.
        path: how R_path falls with the distance P: ``proximity``, delta ** (P - 1), does what the
            paper's text says; ``released`` is its code's, max(0, 6 - P) rescaled; ``printed`` is
            Eq. 4 to the letter, which grows with P. See :mod:`.attention_bias`.
        path_damping: delta.
        max_path: longest path that is followed; farther pairs get no R_path.
        connection: whether R_conn = 1 is added for pairs that an edge joins (Eq. 2).
        gates: learn a factor of R for each layer and head, starting at 1, which is the paper's
            model. Beyond the paper.
        own_edges: whether a user's own edges are paths between the items of that user's history
            (the paper), which makes P = 2 for all of them. False, beyond the paper: P = 2 where
            another user took both, and 4 elsewhere.
    """

    kind: Literal["graph", "meaningless", "none"] = "graph"
    path: Literal["proximity", "released", "printed"] = "proximity"
    path_damping: float = 0.5
    max_path: int = 5
    connection: bool = True
    gates: bool = False
    own_edges: bool = True

    def __post_init__(self) -> None:
        check_choices(self, "attention")


@dataclass(frozen=True)
class HistoryConfig:
    """How a user's items stand in a prompt.

    Attributes:
        order: ``set``, shuffled anew each epoch (the paper), or ``time``, oldest first. The
            sequence stage always reads in order of time.
        max_items: items of a prompt at most, the newest ones where there is an order.
        user_token: whether the user's own token stands before a time-ordered history.
        unknown_user_rate: share of the examples without the user's token, in every stage that
            recommends, so that people not in the data can be answered. Beyond the paper.
        mask_rate: share of the history left out at random in the predictive stage (Section 3.4).
        targets: of the predictive stage: ``all`` train items (the paper) or those ``masked`` out.
        selection: how the sequence stage tells its best epoch on validation rows: by ``likelihood``
            or by ``ndcg``, NDCG@10 among all items. On sparse data a model grows too sure of
            itself, so that its likelihood falls long before its ranking does.
    """

    order: Literal["set", "time"] = "set"
    max_items: int = 50
    user_token: bool = True
    unknown_user_rate: float = 0.1
    mask_rate: float = 0.2
    targets: Literal["all", "masked"] = "all"
    selection: Literal["likelihood", "ndcg"] = "likelihood"

    def __post_init__(self) -> None:
        check_choices(self, "history")


@dataclass(frozen=True)
class ContentConfig:
    """Crowd contextual prompts of stage 1 (Section 3.3).

    Attributes:
        contents: titles, brands, categories and descriptions of items.
        reviews: what users wrote of items, and their reasons for buying.
        second_order: items that share a brand or a category.
        events: who interacted with what, in words.
        window: items of a second-order list at most; longer lists are cut into windows.
        max_text_tokens: of one text, after which it is cut.
    """

    contents: bool = True
    reviews: bool = True
    second_order: bool = True
    events: bool = True
    window: int = 20
    max_text_tokens: int = 64


@dataclass(frozen=True)
class StageTraining:
    """How each stage learns; a stage that is not run does not read its section."""

    content: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=10))
    events: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=100))
    predictive: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=50))
    sequence: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=50))

    def of(self, stage: Stage) -> TrainingConfig:
        """The settings of a stage."""
        return getattr(self, stage)


@dataclass(frozen=True)
class DecodingConfig:
    """How explanations are written: token by token, the likeliest first.

    Attributes:
        explanation_tokens: an explanation is at most this long.
        min_explanation_tokens: and at least this long.
    """

    explanation_tokens: int = 20
    min_explanation_tokens: int = 5


@dataclass(frozen=True)
class GraphGPTConfig:
    """All settings of a run; ``seed`` fixes every random choice in it.

    Attributes:
        stages: what is trained, in this order: the paper's are content, events, predictive; the
            sequence stage is the time-ordered next-item loss at every position.
        content_weight: lambda_V of Section 3.3, the pull of user and item embeddings towards those
            that the content stage learned, in the stages after it. 0 = off.
    """

    seed: int = 0
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    history: HistoryConfig = field(default_factory=HistoryConfig)
    stages: tuple[Stage, ...] = ("content", "events", "predictive")
    content: ContentConfig = field(default_factory=ContentConfig)
    content_weight: float = 0.0
    training: StageTraining = field(default_factory=StageTraining)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)

    def __post_init__(self) -> None:
        self._check_stages()
        backbone, attention = self.backbone, self.attention
        check(0 <= backbone.dropout < 1, "backbone.dropout must lie in 0..1, 1 excluded")
        dropout = backbone.attention_dropout or 0.0
        check(0 <= dropout < 1, "backbone.attention_dropout must lie in 0..1, 1 excluded")
        check(backbone.init_std > 0, "backbone.init_std must be above 0")
        check(backbone.vocab_size >= 1, "backbone.vocab_size must be at least 1")
        check(
            0 < attention.path_damping < 1,
            f"attention.path_damping = {attention.path_damping} must lie between 0 and 1, both "
            "excluded: it is the factor by which each further step of a path counts less",
        )
        check(1 <= attention.max_path <= 20, "attention.max_path must lie in 1..20")
        self._check_prompts()

    def _check_stages(self) -> None:
        for stage in self.stages:
            check_choice("stages", stage, get_args(Stage))
        check(len(self.stages) > 0, "stages is empty: name at least one")
        check(len(set(self.stages)) == len(self.stages), "stages names a stage twice")
        check(
            any(stage in RECOMMENDING for stage in self.stages),
            f"stages = {', '.join(self.stages)}: add one that learns to recommend "
            f"({', '.join(RECOMMENDING)})",
        )
        check(self.content_weight >= 0, "content_weight must not be negative")
        tied = self.content_weight > 0
        check(
            not tied or self.stages[0] == "content",
            "content_weight ties the later stages to the content stage: put content first in "
            "stages, or set content_weight=0",
        )

    def _check_prompts(self) -> None:
        history, content, decoding = self.history, self.content, self.decoding
        check(history.max_items >= 1, "history.max_items must be at least 1")
        check(0 <= history.mask_rate < 1, "history.mask_rate must lie in 0..1, 1 excluded")
        check(
            not (history.targets == "masked" and history.mask_rate == 0),
            "history.targets=masked needs a history.mask_rate above 0",
        )
        check(0 <= history.unknown_user_rate <= 1, "history.unknown_user_rate must lie in 0..1")
        check(
            self.backbone.max_tokens >= 16,
            f"backbone.max_tokens = {self.backbone.max_tokens}: at least 16 are needed for a "
            "prompt's words and one item",
        )
        check(content.window >= 2, "content.window must be at least 2")
        check(content.max_text_tokens >= 1, "content.max_text_tokens must be at least 1")
        check(
            0 <= decoding.min_explanation_tokens <= decoding.explanation_tokens,
            "decoding.min_explanation_tokens must lie in 0..decoding.explanation_tokens",
        )


_SEQUENCE = {
    "epochs": 16,
    "patience": 3,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup_steps": 50,
}


def _tiny() -> GraphGPTConfig:
    """For the demo and for tests: seconds to minutes on two cores, explanations included."""
    return updated(
        GraphGPTConfig(),
        {
            "backbone": {"name": "tiny", "vocab_size": 600, "max_tokens": 256},
            "history": {"order": "time"},
            "stages": ("content", "sequence"),
            "training": {
                "content": {"epochs": 5, "batch_size": 32, "learning_rate": 2e-3},
                "sequence": {**_SEQUENCE, "batch_size": 32, "learning_rate": 2e-3},
            },
        },
    )


def _cpu() -> GraphGPTConfig:
    """For data of Beauty's size on two cores: a time-ordered recommender, trained in minutes."""
    return updated(
        GraphGPTConfig(),
        {
            "backbone": {
                "name": "cpu",
                "dropout": 0.5,
                "attention_dropout": 0.0,
                "init_std": 0.05,
                "item_start": "transitions",
            },
            "history": {"order": "time", "user_token": False, "selection": "ndcg"},
            "stages": ("sequence",),
            "training": {"sequence": {**_SEQUENCE, "schedule": "cosine", "patience": 5}},
        },
    )


def _cpu_stages() -> GraphGPTConfig:
    """The paper's three stages on unordered histories, at the size of two cores."""
    recommending = {"batch_size": 64, "learning_rate": 1e-3, "patience": 5, "warmup_steps": 50}
    return updated(
        GraphGPTConfig(),
        {
            "backbone": {"name": "cpu", "dropout": 0.4},
            "history": {"targets": "masked"},
            "training": {
                "content": {"epochs": 3, "batch_size": 64, "learning_rate": 1e-3},
                "events": {**recommending, "epochs": 30},
                "predictive": {**recommending, "epochs": 30},
            },
        },
    )


def _paper() -> GraphGPTConfig:
    """The paper's model, data and epochs; learning rates and batch sizes are its released code's.

    All epochs are run, without weight decay, as with the release's Adam; the epoch with the lowest
    validation loss is kept, of which both are silent.
    """
    adam = {"patience": 0, "weight_decay": 0.0}
    return updated(
        GraphGPTConfig(),
        {
            "backbone": {"name": "openai-community/gpt2", "dropout": 0.1},
            "history": {"max_items": 1000, "unknown_user_rate": 0.0},
            # The longest input is the only limit of texts, as in the paper.
            "content": {"max_text_tokens": 1000},
            # No source: the paper does not print lambda_V, and the release's sum over a batch is
            # another scale than our mean. A guess that nobody has tuned.
            "content_weight": 0.1,
            "training": {
                "content": {"epochs": 10, "batch_size": 4, "learning_rate": 1e-3, **adam},
                "events": {"epochs": 100, "batch_size": 32, "learning_rate": 1e-3, **adam},
                "predictive": {"epochs": 50, "batch_size": 32, "learning_rate": 1e-4, **adam},
            },
        },
    )


PRESETS: dict[str, Callable[[], GraphGPTConfig]] = {
    "tiny": _tiny,
    "cpu": _cpu,
    "cpu-stages": _cpu_stages,
    "paper": _paper,
}


def preset(name: str) -> GraphGPTConfig:
    """The settings of a preset.

    Raises:
        ConfigError: there is none of this name; the nearest is named.
    """
    check(name in PRESETS, f"unknown preset {name!r}.{nearest(name, PRESETS)}")
    return PRESETS[name]()
