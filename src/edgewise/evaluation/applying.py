"""Protocols applied to data: the split that a model is fitted on, and what it must satisfy."""

from __future__ import annotations

import numpy as np

from edgewise.configuration import check
from edgewise.data.interactions import Dataset, Histories
from edgewise.data.leaking import with_all_edges, with_explained_edges
from edgewise.data.split import Split
from edgewise.data.splitting import split_by_name
from edgewise.errors import DataError
from edgewise.evaluation.protocols import Protocol


def split_under(
    protocol: Protocol, dataset: Dataset, kind: str | None = None, seed: int = 0
) -> Split:
    """The parts of a data set, with the edges and texts of the protocol.

    Args:
        protocol: the conditions.
        dataset: imported as the protocol asks.
        kind: of split; the protocol's own where it is None.
        seed: of the split and of the deal of texts.

    Raises:
        ConfigError: the protocol does not allow such a split.
        DataError: the data set is not as the protocol asks, or cannot be split by time.
    """
    check_data(protocol, dataset)
    return parts_under(protocol, dataset, kind, seed)


def parts_under(
    protocol: Protocol, dataset: Dataset, kind: str | None = None, seed: int = 0
) -> Split:
    """:func:`split_under` for any data set: an audit looks at those, too, that are not as asked."""
    kind = kind or protocol.split_kind
    split = split_by_name(dataset, kind, seed)
    allowed = " or ".join(protocol.split_kinds)
    check(
        kind in protocol.split_kinds,
        f"split {kind!r}: the protocol {protocol.name} splits by {allowed}; leave the split out or "
        "name another protocol",
    )
    if protocol.graph_edges == "explanations":
        return with_explained_edges(split, protocol.edge_share, seed)
    return with_all_edges(split) if protocol.graph_edges == "all" else split


def check_data(protocol: Protocol, dataset: Dataset) -> None:
    """Refuse a data set whose numbers or rows are not as the protocol asks.

    Raises:
        DataError: says how to import it again.
    """
    _check_numbers(protocol, dataset)
    _check_ratings(protocol, dataset)
    _check_core(protocol, dataset)


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
        "with edgewise.evaluation.applying.split_under",
    )


def warning_on(protocol: Protocol, dataset: Dataset) -> str | None:
    """What leaks under a protocol on a data set, as a first line; None if nothing does."""
    texts = (dataset.interactions.review, dataset.interactions.summary)
    has_texts = any(column is not None and (column != "").any() for column in texts)
    return protocol.warning_where(has_texts=has_texts)


def known_under(protocol: Protocol, split: Split, part: str) -> Histories:
    """What a model is told of users when a part is predicted, and what lists leave out."""
    validation_counts = protocol.history_rows == "train and validation"
    return split.known_before(part if validation_counts else "valid")


def _check_numbers(protocol: Protocol, dataset: Dataset) -> None:
    numbered = dataset.source.get("item_numbers", "shuffled")
    if numbered == protocol.item_numbers:
        return
    if protocol.item_numbers == "source":
        raise DataError(
            f"data set {dataset.name!r}: the protocol {protocol.name} asks for the source's own "
            "numbers, and this one's are shuffled; import the P5 folder again with "
            "'edgewise data import SOURCE --item-numbers source --out DIR'"
        )
    raise DataError(
        f"data set {dataset.name!r} keeps its source's numbers, which follow the order of buying "
        f"and tell what comes next; the protocol {protocol.name} asks for shuffled ones: import it "
        "again without --item-numbers source, or name the protocol elmrec-released"
    )


def _check_ratings(protocol: Protocol, dataset: Dataset) -> None:
    lowest, ratings = protocol.filters.min_rating, dataset.interactions.rating
    if lowest is None:
        return
    if ratings is None or not (ratings >= lowest).all():
        raise DataError(
            f"data set {dataset.name!r} has rows rated below {lowest:g} or not rated at all, which "
            f"the protocol {protocol.name} leaves out: import it again with --min-rating {lowest:g}"
        )


def _check_core(protocol: Protocol, dataset: Dataset) -> None:
    least, rows = protocol.filters.k_core, dataset.interactions
    if least is None:
        return
    fewest = min(
        np.bincount(index, minlength=count).min(initial=least)
        for index, count in (
            (rows.user_index, dataset.num_users),
            (rows.item_index, dataset.num_items),
        )
    )
    if fewest < least:
        raise DataError(
            f"data set {dataset.name!r} has users or items with {fewest} rows, and the protocol "
            f"{protocol.name} asks for {least} of each: import it again with --k-core {least}"
        )
