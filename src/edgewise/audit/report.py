"""What an audit looks at, and what its checks say.

A :class:`Finding` is a verdict with its measurements, what they mean and how to repair it; an
:class:`Audit` is all of them. Nothing here needs a table library, since a command line checks names
of groups before anything heavy loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

if TYPE_CHECKING:
    import numpy as np

    from edgewise.audit.result_checks import Measured, TrainingLog
    from edgewise.data.item_lists import CandidateLists, Recommendations
    from edgewise.data.pairs import Pairs
    from edgewise.data.splits import Split
    from edgewise.evaluation.protocols import Protocol

Group = Literal["graph", "text", "ids", "probe", "candidates", "order", "results"]
Verdict = Literal["ok", "leak", "warning", "not applicable"]
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True)
class Measurement:
    """One measured number.

    Attributes:
        name: what was measured.
        value: the number.
        unit: ``share``, ``rows`` or the name of a metric.
        of: how many were looked at, where rows were counted and that says more.
    """

    name: str
    value: float
    unit: str = "share"
    of: float | None = None

    def __str__(self) -> str:
        if self.unit == "share":
            return f"{self.name} {self.value:.1%}".replace("%", " %")
        number = f"{self.value:,.0f}" if self.unit == "rows" else f"{self.value:.4f}"
        return f"{self.name} {number}" + ("" if self.of is None else f" of {self.of:,.0f}")


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes:
        check: the check's name.
        group: the kind of leak it looks for.
        verdict: ``leak``: the evaluation tells (a part of) the answer; ``warning``: something to
            know that no split or list can be blamed for; ``not applicable``: nothing to look at.
        measurements: the numbers behind the verdict.
        meaning: in words, for somebody who has read neither paper.
        repair: what to do; empty where nothing is to be done.
        sample: what was looked at, where it was not everything:
            ``200,000 of 1,000,000 users, seed 0``.
    """

    check: str
    group: Group
    verdict: Verdict
    meaning: str
    measurements: tuple[Measurement, ...] = ()
    repair: str = ""
    sample: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"measurements": [asdict(each) for each in self.measurements]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        measurements = tuple(Measurement(**each) for each in values["measurements"])
        return cls(**{**values, "measurements": measurements})


@dataclass(frozen=True)
class FindingBuilder:
    """Names a check, so that its code can say ``about.ok(...)`` and ``about.leak(...)``."""

    check: str
    group: Group

    def ok(self, meaning: str, *measurements: Measurement) -> Finding:
        """Looked, and found nothing."""
        return Finding(self.check, self.group, "ok", meaning, measurements)

    def leak(self, meaning: str, *measurements: Measurement, repair: str) -> Finding:
        """Found that the answer is told."""
        return Finding(self.check, self.group, "leak", meaning, measurements, repair)

    def warning(self, meaning: str, *measurements: Measurement, repair: str) -> Finding:
        """Found something that readers of the results must know."""
        return Finding(self.check, self.group, "warning", meaning, measurements, repair)

    def not_applicable(self, meaning: str) -> Finding:
        """There is nothing to look at."""
        return Finding(self.check, self.group, "not applicable", meaning)


@dataclass(frozen=True)
class Audit:
    """All findings, and what they are about.

    Attributes:
        findings: one a check, in the order of the registry.
        conditions: data set, checksum, protocol, split and which checks were made, as JSON values.
    """

    findings: tuple[Finding, ...]
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def leaks(self) -> list[Finding]:
        """Findings that the answer is told."""
        return [finding for finding in self.findings if finding.verdict == "leak"]

    @property
    def warnings(self) -> list[Finding]:
        """Findings that readers must know."""
        return [finding for finding in self.findings if finding.verdict == "warning"]

    def headline(self) -> str:
        """One line: what leaks and how much, or that nothing was found."""
        made = [finding for finding in self.findings if finding.verdict != "not applicable"]
        samples = dict.fromkeys(finding.sample for finding in made if finding.sample)
        looked_at = f" (of {', '.join(samples)})" if samples else ""
        if self.leaks:
            told = "; ".join(_in_short(finding) for finding in self.leaks)
            return f"LEAKS in {len(self.leaks)} of {len(made)} checks{looked_at}: {told}"
        warned = ", ".join(finding.check for finding in self.warnings)
        warned = f"; warnings: {warned}" if warned else ""
        return f"no leak in {len(made)} checks{looked_at}{warned}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; the verdict stands first for quick reading."""
        return {
            "kind": "edgewise audit",
            "version": 2,
            "verdict": "leaks" if self.leaks else "no leak found",
            "headline": self.headline(),
            **self.conditions,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def sample_text(drawn: int, of: int, what: str, seed: int) -> str:
    """How a finding says what it looked at."""
    return f"{drawn:,} of {of:,} {what}, seed {seed}"


def _in_short(finding: Finding) -> str:
    first = finding.measurements[:1]
    return f"{finding.check} ({first[0]})" if first else finding.check


@dataclass(frozen=True, eq=False)
class FittedRun:
    """What a run adds to its data.

    Attributes:
        log: what its training was handed; None where it kept no log.
        lists: of some users, as the model gives them; None where it was not asked.
        measured: the means in its saved reports.
        fitted_on: users whose validation rows fitted weights; None where the model was not asked.
    """

    log: TrainingLog | None = None
    lists: Recommendations | None = None
    measured: tuple[Measured, ...] = ()
    fitted_on: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class AuditInput:
    """Everything that the checks read.

    Attributes:
        split: all parts, made under the protocol: its graph edges are those in use, and its data
            set has the numbers in use.
        protocol: how candidates are drawn and lists are counted.
        texts: user and item of each text that is trained on; None where there are none.
        run: a fitted run, where there is one.
    """

    split: Split
    protocol: Protocol
    texts: Pairs | None = None
    run: FittedRun | None = None

    @property
    def edges(self) -> Pairs:
        """What the graph in use is built from."""
        return self.split.graph_edges()

    def of_users(self, chosen: np.ndarray) -> AuditInput:
        """What is known of some users alone, ``bool[U]``."""
        from edgewise.data.dataset import Interactions

        texts = self.texts
        if texts is not None:
            own = chosen[texts.user_index]
            texts = Interactions(texts.user_index[own], texts.item_index[own])
        return replace(self, split=self.split.of_users(chosen), texts=texts)

    @cached_property
    def lists(self) -> CandidateLists:
        """Candidates of every test row, as evaluation draws them; drawn when first read."""
        from edgewise.data.negatives import uniform_candidates

        return uniform_candidates(self.split, "test", self.protocol.num_negatives)

    @property
    def positives(self) -> np.ndarray:
        """The item to be found in each list, ``int[Q]``."""
        return self.split.test.item_index
