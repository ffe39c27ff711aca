"""What ``edgewise evaluate --json`` left under ``results/``, asked for by table cells."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# One run of several that differ by their seeds alone.
SEED = re.compile(r"-seed(\d+)$")
MODEL, POPULARITY, FREQUENT_TEXT = "ELMRec", "Popularity", "Most frequent text"
NOT_RUN = "not run"
EVALUATION = "edgewise evaluation"


@dataclass
class Results:
    """The result files of a folder, read when first asked for.

    Attributes:
        folder: where they stand.
        asked: paths below ``folder`` that tables have asked for, whether they exist or not.
    """

    folder: Path
    asked: set[str] = field(default_factory=set)

    def read(self, name: str) -> dict[str, Any] | None:
        """The file ``name.json``, None where it is missing."""
        self.asked.add(f"{name}.json")
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def seeded(self, name: str) -> list[dict[str, Any]]:
        """The runs behind a row: ``name-seed<N>.json`` by N, or ``name.json`` alone."""
        place = self.folder / name
        seeds = {
            int(match[1]): f"{name}{match[0]}"
            for path in place.parent.glob(f"{place.name}-seed*.json")
            if (match := SEED.search(path.stem)) and path.stem == place.name + match[0]
        }
        found = [self.read(seeds[seed]) for seed in sorted(seeds)] or [self.read(name)]
        return [result for result in found if result]

    def evaluations(self) -> list[dict[str, Any]]:
        """Every file that ``edgewise evaluate`` wrote; asking for all of them shows none."""
        files = [self.folder / name for name in self.names()]
        found = [json.loads(path.read_text(encoding="utf-8")) for path in files]
        return [result for result in found if result.get("kind") == EVALUATION]

    def names(self) -> list[str]:
        """All result files, as paths below the folder."""
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*.json"))

    def unasked(self) -> list[str]:
        """Result files that no table shows."""
        return [name for name in self.names() if name not in self.asked]

    def report(self, name: str, task: str, system: str | None = None) -> dict[str, Any] | None:
        """One system's report on one task; the run's own where none is named."""
        result = self.read(name)
        return result and report_of(result, task, system)

    def first_report(
        self, names: list[str], task: str, system: str | None
    ) -> dict[str, Any] | None:
        """A system's report from the first result that was measured on most users or pairs."""
        reports = [r for name in names if (r := self.report(name, task, system))]
        return max(reports, key=num_measured, default=None)


def report_of(
    result: dict[str, Any], task: str, system: str | None = None
) -> dict[str, Any] | None:
    """One system's report out of a result; the run's own, which stands first, if none is named."""
    systems = result["results"].get(task, {})
    return systems.get(next(iter(systems), "") if system is None else system)


def num_measured(report: dict[str, Any]) -> int:
    """Users or pairs of a report."""
    return report.get("num_users") or report["num_pairs"]


def share(report: dict[str, Any], metric: str) -> str:
    """A share with four digits."""
    return f"{report['metrics'][metric]['mean']:.4f}"


def percent(report: dict[str, Any], metric: str) -> str:
    """A percentage with two digits."""
    return f"{report['metrics'][metric]['mean']:.2f}"


def spread(reports: Sequence[dict[str, Any]], metric: str) -> str:
    """Mean and standard deviation over seeds; a single run has no deviation."""
    means = [report["metrics"][metric]["mean"] for report in reports]
    if len(means) == 1:
        return f"{means[0]:.4f}"
    return f"{statistics.mean(means):.4f} ± {statistics.stdev(means):.4f}"


def interval(report: dict[str, Any], metric: str, form: str = ".4f") -> str:
    """A mean and the ends of its 95 % interval."""
    value = report["metrics"][metric]
    return f"{value['mean']:{form}} ({value['low']:{form}} to {value['high']:{form}})"


def minutes(result: dict[str, Any]) -> str:
    """Training time of a run."""
    return f"{result['run']['training_seconds'] / 60:.0f}"


def epochs(*results: dict[str, Any]) -> str:
    """Epochs that were trained, stage by stage where there are stages; the mean over runs.

    Files older than this record have the epochs that were allowed.
    """
    if not all("learning" in result for result in results):
        config = results[0]["run"]["config"]
        training = config["training"]
        allowed = [training[stage] for stage in config.get("stages", ())] or [training]
        return " + ".join(f"≤ {stage['epochs']}" for stage in allowed)
    stages = [[stage["epochs"] for stage in result["learning"].values()] for result in results]
    return " + ".join(f"{statistics.mean(each):.0f}" for each in zip(*stages, strict=True))
