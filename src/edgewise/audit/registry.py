"""All checks by name, and an audit that makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgewise.audit.candidate_checks import (
    popular_negatives,
    positive_place,
    repeated_candidates,
    touched_negatives,
)
from edgewise.audit.report import Audit, AuditInput, Finding, FittedRun, Group, sample_text
from edgewise.audit.result_checks import (
    epoch_choice,
    metric_pairs,
    mixing_rows,
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

# The most users that the fast checks look at: seconds, however many there are.
_FAST_USERS = 200_000


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: as findings call it.
        group: as ``--fail-on`` calls it.
        make: from what is audited to a finding.
        fast: whether every ``fit`` makes it.
        by_user: whether users tell it one by one, so that the fast checks may look at some of them.
    """

    name: str
    group: Group
    make: Callable[[AuditInput], Finding]
    fast: bool = True
    by_user: bool = False


def _run(audited: AuditInput) -> FittedRun:
    return audited.run or FittedRun()


CHECKS: tuple[Check, ...] = (
    Check("graph-edges", "graph", lambda m: held_out_edges(m.edges, m.split), by_user=True),
    Check("text-pairs", "text", lambda m: held_out_texts(m.texts, m.split), by_user=True),
    Check("data-as-asked", "ids", lambda m: data_as_asked(m.split.dataset, m.protocol)),
    Check(
        "item-numbers",
        "ids",
        lambda m: telling_numbers(
            m.split.test, m.split.known_before("test"), m.split.dataset.num_items
        ),
        by_user=True,
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
    Check("later-events", "order", lambda m: later_events(m.split), by_user=True),
    Check("tie-order", "order", lambda m: tie_order(m.split), by_user=True),
    Check("repeated-rows", "order", lambda m: repeated_rows(m.split), by_user=True),
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
    Check(
        "mixing-rows",
        "results",
        lambda m: mixing_rows(_run(m).fitted_on, list(_run(m).measured), m.split),
        fast=False,
    ),
)


def audit(
    audited: AuditInput,
    *,
    fast: bool = False,
    seed: int = 0,
    conditions: Mapping[str, Any] | None = None,
    on_check: Callable[[int, int], None] | None = None,
) -> Audit:
    """Make all checks, or the fast ones.

    Args:
        audited: what to look at.
        fast: leave out those that draw candidates or propagate features, and look at no more than
            200,000 users where users tell a leak one by one.
        seed: of these users.
        conditions: what the audit should say about it.
        on_check: told (done, total) after each check.
    """
    chosen = [check for check in CHECKS if check.fast or not fast]
    some, sample = _some_users(audited, seed) if fast else (audited, "")
    findings = []
    for done, check in enumerate(chosen, 1):
        if check.by_user:
            findings.append(replace(check.make(some), sample=sample))
        else:
            findings.append(check.make(audited))
        if on_check is not None:
            on_check(done, len(chosen))
    made = {"checks": "fast" if fast else "all"}
    return Audit(tuple(findings), {**(conditions or {}), **made})


def _some_users(audited: AuditInput, seed: int) -> tuple[AuditInput, str]:
    """A seeded draw of the users, and what a finding says of it; all, and nothing, of few."""
    num_users = audited.split.dataset.num_users
    if num_users <= _FAST_USERS:
        return audited, ""
    chosen = np.zeros(num_users, dtype=bool)
    rng = np.random.default_rng(seed)
    chosen[rng.choice(num_users, _FAST_USERS, replace=False, shuffle=False)] = True
    return audited.of_users(chosen), sample_text(_FAST_USERS, num_users, "users", seed)
