"""Results read back from files: refused where they were changed or belong to other data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from edgewise.data.checksum import content_checksum
from edgewise.data.interactions import Dataset
from edgewise.errors import EdgewiseError
from edgewise.evaluation.protocols import Protocol
from edgewise.evaluation.recorded import recorded_protocol
from edgewise.evaluation.seal import check_seal, has_lost_its_seal, is_sealed, rows_digest

ReportValues = Mapping[str, Any]
"""One system's figures on one task: ``settings``, ``metrics``, ``rows_sha256``, ..."""

# Means in the file and of the rows differ by the order of addition at most.
_ROUNDING = 1e-9


class OtherRowsError(EdgewiseError):
    """Rows are not those behind a report: they were changed, or belong to another evaluation."""


@dataclass(frozen=True, eq=False)
class StoredReport:
    """A result file, checked.

    Attributes:
        path: where it was read.
        values: all that it holds.
        is_sealed: False for files older than seals, whose figures nothing vouches for.
    """

    path: Path
    values: Mapping[str, Any]
    is_sealed: bool

    @property
    def protocol(self) -> Protocol:
        """Under which it was measured; honest where the file is older than protocols."""
        return recorded_protocol(self.values.get("protocol"))

    @property
    def data_checksum(self) -> str | None:
        """Of the data set's content; None where the file does not tell."""
        run, settings = self.values.get("run", {}), self.values.get("settings", {})
        return run.get("data", {}).get("checksum") or settings.get("data_checksum")

    @property
    def results(self) -> dict[str, dict[str, ReportValues]]:
        """Figures by task and system, the run's own system first.

        A file of one system on one task, as in a run's ``evaluation/``, has it under its stem.
        """
        if "results" in self.values:
            return self.values["results"]
        return {self.values["settings"]["task"]: {self.path.stem: self.values}}


def load_report(
    path: str | Path, data: Dataset | str | Path | None = None, *, allow_unsealed: bool = False
) -> StoredReport:
    """Read what ``edgewise evaluate`` or a report's ``save`` wrote.

    Args:
        path: the JSON file. A Parquet file of the same stem beside it is checked, too.
        data: the data set it should have been measured on: itself, its folder or its checksum.
        allow_unsealed: take files that are older than seals.

    Raises:
        EdgewiseError: the file cannot be read, was changed after it was measured, has no seal, or
            was measured on other data.
    """
    path = Path(path)
    values = _read(path)
    if is_sealed(values):
        check_seal(values, path)
    else:
        _refuse_unsealed(values, path, allow_unsealed)
    report = StoredReport(path, values, is_sealed(values))
    if data is not None:
        _check_data(report, data)
    rows = path.with_suffix(".parquet")
    if "metrics" in values and rows.is_file() and report.is_sealed:
        load_rows(rows, values)
    return report


def load_rows(path: str | Path, report: ReportValues) -> pl.DataFrame:
    """The users or pairs behind a report's figures.

    Args:
        path: a Parquet file, from a run's ``evaluation/``.
        report: one system's figures, out of :attr:`StoredReport.results`.

    Raises:
        OtherRowsError: these are not the rows that were measured.
        EdgewiseError: the rows cannot be read, or have other means than the report says.
    """
    try:
        rows = pl.read_parquet(path)
    except (OSError, PolarsError) as error:
        raise EdgewiseError(
            f"{path}: cannot be read ({error}); measure the run again with 'edgewise evaluate'"
        ) from None
    if rows_digest(rows) != report.get("rows_sha256"):
        raise OtherRowsError(
            f"{path}: these are not the rows that the report was computed from: they were changed, "
            "or belong to another evaluation. Measure the run again with 'edgewise evaluate'"
        )
    _check_means(rows, report, path)
    return rows


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EdgewiseError(f"{path}: cannot be read as a result ({error})") from None
    known = values.keys() if isinstance(values, dict) else ()
    if "results" not in known and not {"settings", "metrics"} <= {*known}:
        raise EdgewiseError(
            f"{path}: no result; give a file that 'edgewise evaluate RUN --json FILE' wrote"
        )
    return values


def _refuse_unsealed(values: Mapping[str, Any], path: Path, allow: bool) -> None:
    if has_lost_its_seal(values):
        raise EdgewiseError(
            f"{path}: its seal was removed; measure the run again with 'edgewise evaluate'"
        )
    if not allow:
        raise EdgewiseError(
            f"{path}: has no seal, so that nobody can tell whether its figures were changed: it "
            "was written by an older edgewise. Measure the run again, or take it as it is with "
            "--allow-unsealed"
        )


def _check_data(report: StoredReport, data: Dataset | str | Path) -> None:
    expected, where = _checksum(data)
    if report.data_checksum != expected:
        found = report.data_checksum or "none recorded"
        raise EdgewiseError(
            f"{report.path}: measured on other data (checksum {found[:12]}) than {where} (checksum "
            f"{expected[:12]}); figures of different data cannot be set side by side"
        )


def _checksum(data: Dataset | str | Path) -> tuple[str, str]:
    if isinstance(data, Dataset):
        return content_checksum(data), repr(data.name)
    if re.fullmatch("[0-9a-f]{64}", str(data)):
        return str(data), "the one asked for"
    return content_checksum(Dataset.load(data)), str(data)


def _check_means(rows: pl.DataFrame, report: ReportValues, path: str | Path) -> None:
    if "num_users" not in report:
        return
    for name, estimate in report["metrics"].items():
        if name not in rows.columns:
            continue
        mean = float(rows[name].to_numpy().mean())
        if not np.isclose(mean, estimate["mean"], rtol=0, atol=_ROUNDING):
            raise EdgewiseError(
                f"{path}: {name} of these rows is {mean:.6f} on average, and the report says "
                f"{estimate['mean']:.6f}: the figure was changed. Measure the run again"
            )
