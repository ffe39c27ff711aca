"""What an evaluation leaves behind: one row a user, means with intervals, and the conditions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from edgewise.evaluation.intervals import Estimate


@dataclass(frozen=True)
class RankingReport:
    """Accuracy of ranked lists.

    Attributes:
        per_user: ``user_index, user_id`` and one column a metric, one row a user.
        metrics: each metric's mean over users with its interval.
        num_users: rows of ``per_user``.
        settings: the conditions of the evaluation, equal for systems that may be compared.
    """

    per_user: pl.DataFrame
    metrics: dict[str, Estimate]
    num_users: int
    settings: dict[str, object]

    @property
    def rows(self) -> pl.DataFrame:
        """The units that were measured: users."""
        return self.per_user

    def to_dict(self) -> dict[str, object]:
        """What :meth:`save` writes as JSON."""
        return {"num_users": self.num_users, **_summary(self)}

    def save(self, json_path: str | Path, per_user_path: str | Path | None = None) -> None:
        """Write the means as JSON and, where a path is given, the users as Parquet."""
        _save(self, json_path, per_user_path)


@dataclass(frozen=True)
class TextReport:
    """Closeness of explanations to what users wrote, in percent.

    Attributes:
        per_pair: ``user_index, item_index, text, reference`` and one column a per-pair metric.
        metrics: each metric's value with its interval.
        num_pairs: rows of ``per_pair``.
        settings: the conditions of the evaluation.
    """

    per_pair: pl.DataFrame
    metrics: dict[str, Estimate]
    num_pairs: int
    settings: dict[str, object]

    @property
    def rows(self) -> pl.DataFrame:
        """The units that were measured: pairs."""
        return self.per_pair

    def to_dict(self) -> dict[str, object]:
        """What :meth:`save` writes as JSON."""
        return {"num_pairs": self.num_pairs, **_summary(self)}

    def save(self, json_path: str | Path, per_pair_path: str | Path | None = None) -> None:
        """Write the scores as JSON and, where a path is given, the pairs as Parquet."""
        _save(self, json_path, per_pair_path)


Report = RankingReport | TextReport


def _summary(report: Report) -> dict[str, object]:
    metrics = {name: asdict(estimate) for name, estimate in report.metrics.items()}
    return {"settings": report.settings, "metrics": metrics}


def _save(report: Report, json_path: str | Path, rows_path: str | Path | None) -> None:
    text = json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n"
    if rows_path is not None:
        _replace(Path(rows_path), report.rows.write_parquet)
    _replace(Path(json_path), lambda path: path.write_text(text, encoding="utf-8"))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside ``path`` and rename, so that a reader never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
