"""Named, versioned conditions under which a model is fitted and measured.

A protocol decides what the data, the graph and the lists hold; no model reads it. Two of them are
honest. The others repeat what the papers' released code does, leaks included, so that published
figures can be explained; everything measured under them says that it leaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from edgewise.configuration import check, nearest
from edgewise.data.filters import Filters

GraphEdges = Literal["train", "explanations", "all"]
ExplanationRows = Literal["own part", "random 80 %"]
ItemNumbers = Literal["shuffled", "source"]
HistoryRows = Literal["train and validation", "train"]

_OF_TEXTS = "texts of the test part, where there are texts, are trained on"


@dataclass(frozen=True)
class Protocol:
    """Everything that must be equal before two figures can be set side by side.

    Attributes:
        name: as it is typed.
        version: grows with every change that moves a figure.
        summary: one line for tables and help.
        leaks: what the conditions tell of the held-out rows, one sentence each; empty if honest.
        split_kinds: the splits it allows, its own first.
        graph_edges: rows that become edges: ``train``, those whose texts are trained on
            (``explanations``), or ``all``.
        edge_share: with ``explanations``, the share of all rows that become edges where the data
            set has no texts.
        explanation_rows: texts stay in their row's ``own part``, or are dealt 80/10/10 whatever
            the parts (``random 80 %``).
        item_numbers: by a seeded shuffle, or those of the ``source``, in order of appearance.
        num_negatives: uniform negatives beside each held-out item of the direct task.
        ks, metrics: measured where nobody asks for others; no metrics for the split's usual ones.
        history_rows: what a model is told of a user before the test, and what lists leave out.
        count_repeats: an item that fills several places of a list counts at each of them.
        random_padding: short lists are filled with random items.
        filters: what the rows of the data set must satisfy.
    """

    name: str
    version: int
    summary: str
    leaks: tuple[str, ...] = ()
    split_kinds: tuple[str, ...] = ("leave-one-out", "ratio", "time")
    graph_edges: GraphEdges = "train"
    edge_share: float = 0.535
    explanation_rows: ExplanationRows = "own part"
    item_numbers: ItemNumbers = "shuffled"
    num_negatives: int = 99
    ks: tuple[int, ...] = (5, 10)
    metrics: tuple[str, ...] = ()
    history_rows: HistoryRows = "train and validation"
    count_repeats: bool = False
    random_padding: bool = False
    filters: Filters = field(default_factory=Filters)

    @property
    def is_honest(self) -> bool:
        """Nothing that is measured tells of the rows to be found."""
        return not self.leaks

    @property
    def has_edge_share(self) -> bool:
        """Whether :attr:`edge_share` is read."""
        return self.graph_edges == "explanations"

    @property
    def split_kind(self) -> str:
        """The split where nobody asks for another."""
        return self.split_kinds[0]

    @property
    def title(self) -> str:
        """Name and version, as tables and messages call it."""
        return f"{self.name} v{self.version}"

    @property
    def warning(self) -> str | None:
        """The first line of everything that was measured under it; None if honest."""
        return self.warning_where(has_texts=True)

    def warning_where(self, *, has_texts: bool) -> str | None:
        """The same, without what is said of texts where a data set has none."""
        if self.is_honest:
            return None
        leaks = [leak for leak in self.leaks if has_texts or leak != _OF_TEXTS]
        return f"LEAKS: figures under {self.title} are too high, because {'; '.join(leaks)}"

    def to_dict(self) -> dict[str, object]:
        """What runs and reports keep: name, version, and the options that can be changed."""
        options = {"edge_share": self.edge_share} if self.has_edge_share else {}
        return {"name": self.name, "version": self.version, **options}


HONEST = Protocol(
    "honest", 1, "edges, texts and histories of train rows alone; items numbered by a shuffle"
)
TEMPORAL = replace(
    HONEST,
    name="temporal",
    summary="honest, and no row that trains is newer than one held out for any user",
    split_kinds=("time",),
)
ELMREC_RELEASED = Protocol(
    "elmrec-released",
    1,
    "as the released code of ELMRec, which takes the graph's edges from the explanation task",
    leaks=(
        "rows of the test part are edges of the graph",
        _OF_TEXTS,
        "items are numbered in the order in which they were bought, test rows included",
        "an item listed twice counts twice",
        "short lists are filled with random items",
    ),
    split_kinds=("leave-one-out",),
    graph_edges="explanations",
    explanation_rows="random 80 %",
    item_numbers="source",
    metrics=("HitRate", "NDCG"),
    count_repeats=True,
    random_padding=True,
)
LLM4REC_RELEASED = Protocol(
    "llm4rec-released",
    1,
    "as the released code of the graph-attentive GPT-2, whose graph has the edges of all parts",
    leaks=("all rows of the test part are edges of the graph",),
    split_kinds=("ratio",),
    graph_edges="all",
    ks=(20, 40, 100),
    metrics=("Recall", "NDCG"),
    history_rows="train",
    filters=Filters(min_rating=4, k_core=5),
)

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol for protocol in (HONEST, ELMREC_RELEASED, LLM4REC_RELEASED, TEMPORAL)
}


def find_protocol(name: str, where: str = "", *, edge_share: float | None = None) -> Protocol:
    """A protocol by its name.

    Args:
        name: as it was typed or read.
        where: prefix for the message, such as an option or a file.
        edge_share: see :class:`Protocol`; its own where it is None.

    Raises:
        ConfigError: there is no such protocol (the nearest is named), or it has no such option.
    """
    check(name in PROTOCOLS, f"{where}no such protocol: {name!r}.{nearest(name, PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    if edge_share is None:
        return protocol
    message = f"{where}edge_share belongs to protocols such as elmrec-released, not to {name}"
    check(protocol.has_edge_share, message)
    share = f"{where}edge_share = {edge_share}: a share above 0 and up to 1 is wanted"
    check(0 < edge_share <= 1, share)
    return replace(protocol, edge_share=edge_share)
