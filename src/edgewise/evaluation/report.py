"""What an evaluation leaves behind: one row a user, means with intervals, and the conditions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from edgewise.evaluation.intervals import Estimate
from edgewise.evaluation.protocols import HONEST, Protocol
from edgewise.evaluation.seal import rows_digest, sealed


@dataclass(frozen=True)
class RankingReport:
    """Accuracy of ranked lists.

    Attributes:
        per_user: ``user_index, user_id`` and one column a metric, one row a user.
        metrics: each metric's mean over users with its interval.
        num_users: rows of ``per_user``.
        settings: the conditions of the evaluation, equal for systems that may be compared.
        protocol: that model and data were measured under.
    """

    per_user: pl.DataFrame
    metrics: dict[str, Estimate]
    num_users: int
    settings: dict[str, object]
    protocol: Protocol = HONEST

    @property
    def rows(self) -> pl.DataFrame:
        """The units that were measured: users."""
        return self.per_user

    def to_dict(self) -> dict[str, object]:
        """What :meth:`save` writes as JSON, without the seal."""
        return {**stamp(self.protocol), "num_users": self.num_users, **_summary(self)}

    def save(self, json_path: str | Path, per_user_path: str | Path | None = None) -> None:
        """Write the means as sealed JSON and, where a path is given, the users as Parquet."""
        _save(self, json_path, per_user_path)


@dataclass(frozen=True)
class TextReport:
    """Closeness of explanations to what users wrote, in percent.

    Attributes:
        per_pair: ``user_index, item_index, text, reference`` and one column a per-pair metric.
        metrics: each metric's value with its interval.
        num_pairs: rows of ``per_pair``.
        settings: the conditions of the evaluation.
        protocol: that model and data were measured under.
    """

    per_pair: pl.DataFrame
    metrics: dict[str, Estimate]
    num_pairs: int
    settings: dict[str, object]
    protocol: Protocol = HONEST

    @property
    def rows(self) -> pl.DataFrame:
        """The units that were measured: pairs."""
        return self.per_pair

    def to_dict(self) -> dict[str, object]:
        """What :meth:`save` writes as JSON, without the seal."""
        return {**stamp(self.protocol), "num_pairs": self.num_pairs, **_summary(self)}

    def save(self, json_path: str | Path, per_pair_path: str | Path | None = None) -> None:
        """Write the scores as sealed JSON and, where a path is given, the pairs as Parquet."""
        _save(self, json_path, per_pair_path)


Report = RankingReport | TextReport


def stamp(protocol: Protocol) -> dict[str, object]:
    """What stands first in every result: the warning where the protocol leaks, and its name."""
    warning = {} if protocol.warning is None else {"warning": protocol.warning}
    return {**warning, "protocol": protocol.to_dict()}


def _summary(report: Report) -> dict[str, object]:
    metrics = {name: asdict(estimate) for name, estimate in report.metrics.items()}
    return {
        "settings": report.settings,
        "metrics": metrics,
        "rows_sha256": rows_digest(report.rows),
    }


def _save(report: Report, json_path: str | Path, rows_path: str | Path | None) -> None:
    text = json.dumps(sealed(report.to_dict()), indent=2, allow_nan=False) + "\n"
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
