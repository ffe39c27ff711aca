"""All checks by name, and an audit that makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgewise.audit.candidate_checks import (
    popular_negatives,
    positive_place,
    repeated_candidates,
    touched_negatives,
)
from edgewise.audit.report import Audit, AuditInput, Finding, FittedRun, Group
from edgewise.audit.result_checks import (
    epoch_choice,
    metric_pairs,
    padded_lists,
    repeated_items,
    sealed_figures,
)
from edgewise.audit.split_checks import (
    data_as_asked,
    held_out_edges,
    held_out_texts,
    later_events,
    repeated_rows,
    telling_numbers,
    tie_order,
    untrained_probe,
)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: as findings call it.
        group: as ``--fail-on`` calls it.
        make: from what is audited to a finding.
        fast: whether every ``fit`` makes it: seconds, not minutes, on a million rows.
    """

    name: str
    group: Group
    make: Callable[[AuditInput], Finding]
    fast: bool = True


def _run(audited: AuditInput) -> FittedRun:
    return audited.run or FittedRun()


CHECKS: tuple[Check, ...] = (
    Check("graph-edges", "graph", lambda m: held_out_edges(m.edges, m.split)),
    Check("text-pairs", "text", lambda m: held_out_texts(m.texts, m.split)),
    Check("data-as-asked", "ids", lambda m: data_as_asked(m.split.dataset, m.protocol)),
    Check(
        "item-numbers",
        "ids",
        lambda m: telling_numbers(
            m.split.test, m.split.known_before("test"), m.split.dataset.num_items
        ),
    ),
    Check(
        "untrained-probe",
        "probe",
        lambda m: untrained_probe(m.edges, m.split, m.lists, m.positives),
        fast=False,
    ),
    Check(
        "touched-negatives",
        "candidates",
        lambda m: touched_negatives(m.lists, m.positives, m.split),
        fast=False,
    ),
    Check(
        "positive-place",
        "candidates",
        lambda m: positive_place(m.lists, m.positives),
        fast=False,
    ),
    Check(
        "repeated-candidates",
        "candidates",
        lambda m: repeated_candidates(m.lists, m.positives, m.split.dataset.num_items),
        fast=False,
    ),
    Check(
        "popular-negatives",
        "candidates",
        lambda m: popular_negatives(m.lists, m.positives, m.split),
        fast=False,
    ),
    Check("later-events", "order", lambda m: later_events(m.split)),
    Check("tie-order", "order", lambda m: tie_order(m.split)),
    Check("repeated-rows", "order", lambda m: repeated_rows(m.split)),
    Check(
        "repeated-items",
        "results",
        lambda m: repeated_items(_run(m).lists, counted=m.protocol.count_repeats),
    ),
    Check(
        "padded-lists",
        "results",
        lambda m: padded_lists(
            _run(m).lists, m.split.dataset.num_items, padded=m.protocol.random_padding
        ),
    ),
    Check("metric-pairs", "results", lambda m: metric_pairs(list(_run(m).measured))),
    Check("sealed-figures", "results", lambda m: sealed_figures(list(_run(m).measured))),
    Check(
        "epoch-choice",
        "results",
        lambda m: epoch_choice(_run(m).log, m.split, fitted=m.run is not None),
    ),
)


def audit(
    audited: AuditInput,
    *,
    fast: bool = False,
    conditions: Mapping[str, Any] | None = None,
    on_check: Callable[[int, int], None] | None = None,
) -> Audit:
    """Make all checks, or the fast ones.

    Args:
        audited: what to look at.
        fast: leave out those that draw candidates or propagate features.
        conditions: what the audit should say about it.
        on_check: told (done, total) after each check.
    """
    chosen = [check for check in CHECKS if check.fast or not fast]
    findings = []
    for done, check in enumerate(chosen, 1):
        findings.append(check.make(audited))
        if on_check is not None:
            on_check(done, len(chosen))
    made = {"checks": "fast" if fast else "all"}
    return Audit(tuple(findings), {**(conditions or {}), **made})
