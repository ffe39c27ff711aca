"""Named, versioned conditions under which a model is fitted and measured.

A protocol decides what the data, the graph and the lists hold; no model reads it. Two of them are
honest. The others repeat what the papers' released code does, leaks included, so that published
figures can be explained; everything measured under them says that it leaks.

Names and options come first and need no table library, since a command line checks them before
anything heavy loads. Then come the functions that apply a protocol to data, which import what they
need when they are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from edgewise.config import check, nearest
from edgewise.errors import DataError
from edgewise.parsing import Shape

if TYPE_CHECKING:
    from edgewise.data.dataset import Dataset, Interactions
    from edgewise.data.ragged import Ragged
    from edgewise.data.splits import Split

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
        min_rating: the lowest rating that a row of the data set may have; None for any.
        k_core: how many rows each user and item of the data set must have; None for any.
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
    min_rating: float | None = None
    k_core: int | None = None

    def __repr__(self) -> str:
        return f"Protocol({self.title}: {self.summary})"

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
    min_rating=4,
    k_core=5,
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


class RecordedProtocol(Shape):
    """A protocol as runs and reports keep it."""

    name: str
    version: int
    edge_share: float | None = None


def recorded_protocol(values: Any, where: str = "") -> Protocol:
    """The protocol that a run or report names; honest where it is older than protocols are.

    Its version is the recorded one, which :func:`check_version` compares with today's.

    Args:
        values: what :meth:`Protocol.to_dict` gave, or None.
        where: prefix for messages, such as a file.

    Raises:
        ConfigError: there is no such protocol, or a field of it has a value that none can have.
    """
    if values is None:
        return HONEST
    check(isinstance(values, Mapping), f"{where}protocol = {values!r}: name and version are wanted")
    share = values.get("edge_share")
    for key, kinds in (("name", str), ("version", int), ("edge_share", (int, float))):
        value = values.get(key)
        fits = isinstance(value, kinds) and not isinstance(value, bool)
        fits = fits or (key == "edge_share" and value is None)
        check(fits, f"{where}protocol.{key} = {value!r}: no protocol has such a {key}")
    found = find_protocol(values["name"], f"{where}protocol.name: ", edge_share=share)
    return replace(found, version=values["version"])


def check_version(protocol: Protocol, where: str) -> None:
    """Refuse a protocol that was recorded when it meant something else.

    Raises:
        ConfigError: this edgewise has another version of it.
    """
    today = PROTOCOLS[protocol.name].version
    check(
        protocol.version == today,
        f"{where}: fitted under {protocol.title}, but this edgewise measures by version {today} "
        "of it; fit again, or measure with the edgewise that fitted it",
    )


def split_under(
    protocol: Protocol,
    dataset: Dataset,
    kind: str | None = None,
    seed: int = 0,
    cold_share: float = 0.0,
) -> Split:
    """The parts of a data set, with the edges and texts of the protocol.

    Args:
        protocol: the conditions.
        dataset: imported as the protocol asks.
        kind: of split; the protocol's own where it is None.
        seed: of the split, of the deal of texts and of the draw of cold items.
        cold_share: of the items, kept out of training; none where it is 0.

    Raises:
        ConfigError: the protocol does not allow such a split.
        DataError: the data set is not as the protocol asks, or cannot be split by time.
    """
    check_data(protocol, dataset)
    return parts_under(protocol, dataset, kind, seed, cold_share)


def parts_under(
    protocol: Protocol,
    dataset: Dataset,
    kind: str | None = None,
    seed: int = 0,
    cold_share: float = 0.0,
) -> Split:
    """:func:`split_under` for any data set: an audit looks at those, too, that are not as asked."""
    from edgewise.data.splits import split_by_name, with_cold_items

    kind = kind or protocol.split_kind
    split = split_by_name(dataset, kind, seed)
    allowed = " or ".join(protocol.split_kinds)
    check(
        kind in protocol.split_kinds,
        f"split {kind!r}: the protocol {protocol.name} splits by {allowed}; leave the split out or "
        "name another protocol",
    )
    if protocol.graph_edges == "explanations":
        split = with_explained_edges(split, protocol.edge_share, seed)
    elif protocol.graph_edges == "all":
        split = with_all_edges(split)
    return with_cold_items(split, cold_share, seed) if cold_share else split


def with_explained_edges(split: Split, edge_share: float, seed: int = 0) -> Split:
    """Edges are the rows whose texts are trained on: a random 80 % of all rows with a text.

    A text is trained on whatever part its row stands in, and its row becomes an edge: so does
    ELMRec's release, which builds the graph from the train part of the explanation task.

    Args:
        split: parts of the rows.
        edge_share: the share of all rows that become edges in a data set without texts.
        seed: of the deal.
    """
    from edgewise.data.texts import deal_texts

    rows = split.dataset.interactions
    texts = deal_texts(rows, seed)
    edges = texts.train if len(texts.train) else random_share(rows, edge_share, seed)
    return replace(split, edges=edges, text_rows=texts)


def with_all_edges(split: Split) -> Split:
    """Edges are the rows of all parts, as in the release of the graph-attentive GPT-2."""
    return replace(split, edges=split.dataset.interactions)


def random_share(rows: Interactions, share: float, seed: int) -> Interactions:
    """A seeded random share of the rows, in their order."""
    import numpy as np

    check(0 < share <= 1, f"edge_share = {share}: a share above 0 and up to 1 is wanted")
    chosen = np.random.default_rng(seed).permutation(len(rows))[: round(share * len(rows))]
    return rows.take(np.sort(chosen))


def known_under(protocol: Protocol, split: Split, part: str) -> Ragged:
    """What a model is told of users when a part is predicted, and what lists leave out."""
    validation_counts = protocol.history_rows == "train and validation"
    return split.known_before(part if validation_counts else "valid")


def warning_on(protocol: Protocol, dataset: Dataset) -> str | None:
    """What leaks under a protocol on a data set, as a first line; None if nothing does."""
    texts = (dataset.interactions.review, dataset.interactions.summary)
    has_texts = any(column is not None and (column != "").any() for column in texts)
    return protocol.warning_where(has_texts=has_texts)


def check_split(protocol: Protocol, split: Split) -> None:
    """Refuse to measure on a split whose graph or texts another protocol asks for.

    Raises:
        ConfigError: they differ.
    """
    own_edges, own_texts = split.edges is None, split.text_rows is None
    fits = own_edges == (protocol.graph_edges == "train") and own_texts == (
        protocol.explanation_rows == "own part"
    )
    check(
        fits,
        f"the split's graph edges or texts are not those of the protocol {protocol.name} "
        f"({protocol.graph_edges} edges, texts of the {protocol.explanation_rows}): make the split "
        "with edgewise.evaluation.protocols.split_under",
    )


def check_data(protocol: Protocol, dataset: Dataset) -> None:
    """Refuse a data set whose numbers or rows are not as the protocol asks.

    Raises:
        DataError: says how to import it again.
    """
    _check_numbers(protocol, dataset)
    _check_ratings(protocol, dataset)
    _check_core(protocol, dataset)


def _check_numbers(protocol: Protocol, dataset: Dataset) -> None:
    numbered = dataset.source.get("item_numbers", "shuffled")
    if numbered == protocol.item_numbers:
        return
    if protocol.item_numbers == "source":
        raise DataError(
            f"data set {dataset.name!r}: the protocol {protocol.name} asks for the source's own "
            "numbers, and this one's are shuffled; import the P5 folder again with "
            "'edgewise data import SOURCE --id-order source --out DIR'"
        )
    raise DataError(
        f"data set {dataset.name!r} keeps its source's numbers, which follow the order of buying "
        f"and tell what comes next; the protocol {protocol.name} asks for shuffled ones: import it "
        "again without --id-order source, or name the protocol elmrec-released"
    )


def _check_ratings(protocol: Protocol, dataset: Dataset) -> None:
    lowest, ratings = protocol.min_rating, dataset.interactions.rating
    if lowest is None:
        return
    if ratings is None or not (ratings >= lowest).all():
        raise DataError(
            f"data set {dataset.name!r} has rows rated below {lowest:g} or not rated at all, which "
            f"the protocol {protocol.name} leaves out: import it again with --min-rating {lowest:g}"
        )


def _check_core(protocol: Protocol, dataset: Dataset) -> None:
    import numpy as np

    least, rows = protocol.k_core, dataset.interactions
    if least is None:
        return
    users = np.bincount(rows.user_index, minlength=dataset.num_users)
    items = np.bincount(rows.item_index, minlength=dataset.num_items)
    fewest = min(users.min(initial=least), items.min(initial=least))
    if fewest < least:
        raise DataError(
            f"data set {dataset.name!r} has users or items with {fewest} rows, and the protocol "
            f"{protocol.name} asks for {least} of each: import it again with --k-core {least}"
        )
