"""What an evaluation leaves behind: means with intervals, one row a user, and the conditions.

Reports are saved with two digests: ``rows_sha256`` of the users (or pairs) behind each mean, and a
``seal`` of everything in the file. They protect against slips and tidying up, not against somebody
who computes the digests anew; whoever doubts that far measures the run again. :func:`load_report`
refuses results that were changed or belong to other data, and :func:`comparison_table` those of
different conditions: a model is never printed without something to stand beside.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import polars as pl
import polars.selectors as cs
from pydantic import Field

from edgewise.data.dataset import Dataset, read_parquet
from edgewise.errors import EdgewiseError
from edgewise.evaluation.chance import spelled_sizes
from edgewise.evaluation.protocols import (
    HONEST,
    Protocol,
    RecordedProtocol,
    recorded_protocol,
)
from edgewise.evaluation.statistics import Bootstrap, Estimate, bootstrap_difference
from edgewise.files import replacing, write_text
from edgewise.parsing import Shape, check_shape, read_json
from edgewise.seals import SEAL, content_digest

if TYPE_CHECKING:
    from rich.table import Table

_ALGORITHM = "sha256"
_SHOWN = ("task", "part", "split", "num_negatives", "masked")
# Came with seals: no file that is older tells them.
_SEALED_ONLY = {"protocol", "rows_sha256"}
# Means in a file and of its rows differ by the order of addition at most.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Group:
    """Some of a report's users, see :mod:`edgewise.evaluation.groups`.

    Attributes:
        name: such as ``2-3`` rows.
        num_users: who they are.
        metrics: each metric's mean over them with its interval.
        chance: what guessing scores, where it differs from the report's.
    """

    name: str
    num_users: int
    metrics: dict[str, Estimate]
    chance: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RankingReport:
    """Accuracy of ranked lists.

    Attributes:
        per_user: ``user_index, user_id`` and one column a metric, one row a user.
        metrics: each metric's mean over users with its interval.
        num_users: rows of ``per_user``.
        settings: the conditions of the evaluation, equal for systems that may be compared.
        protocol: that model and data were measured under.
        groups: of users, by what makes them; empty where nobody asked.
    """

    per_user: pl.DataFrame
    metrics: dict[str, Estimate]
    num_users: int
    settings: dict[str, object]
    protocol: Protocol = HONEST
    groups: Mapping[str, tuple[Group, ...]] = field(default_factory=dict)

    @property
    def rows(self) -> pl.DataFrame:
        """The units that were measured: users."""
        return self.per_user

    def to_dict(self) -> dict[str, object]:
        """What :meth:`save` writes as JSON, without the seal."""
        groups = {by: [asdict(each) for each in found] for by, found in self.groups.items()}
        told = {"groups": groups} if groups else {}
        return {**stamp(self.protocol), "num_users": self.num_users, **_summary(self), **told}

    def save(self, json_path: str | Path, per_user_path: str | Path | None = None) -> None:
        """Write the means as sealed JSON and, where a path is given, the users as Parquet."""
        _save(self, json_path, per_user_path)

    def __repr__(self) -> str:
        return _in_lines(self)


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

    def __repr__(self) -> str:
        return _in_lines(self)


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
        with replacing(Path(rows_path)) as partial:
            report.rows.write_parquet(partial)
    write_text(Path(json_path), text)


_WIDTH = 99


def _in_lines(report: Report) -> str:
    """The conditions in one line, and each metric with its interval in another."""
    width = max(map(len, report.metrics), default=0)
    means = [
        f"  {name:{width}}  {_cell(estimate, _digits(report))}"
        for name, estimate in report.metrics.items()
    ]
    told = f"{type(report).__name__}({_conditions(report)})"
    return "\n".join([*wrap(told, _WIDTH, subsequent_indent="  "), *means])


def _conditions(report: Report) -> str:
    counted = f"{len(report.rows)} {'users' if isinstance(report, RankingReport) else 'pairs'}"
    protocol = report.protocol.title + ("" if report.protocol.is_honest else " (LEAKS)")
    told = {k: report.settings[k] for k in _SHOWN if k in report.settings}
    if "candidates_asked" in report.settings:
        asked = " asked" if report.settings["users_short"] else ""
        told["num_negatives"] = f"{told['num_negatives']}{asked}"
        told["candidates"] = spelled_sizes(report.settings)
    grown: Any = report.settings.get("growth")
    if grown and grown["days"] is not None:
        told["model"] = f"{grown['days']:,.1f} days old"
    return ", ".join([*(f"{k}: {v}" for k, v in told.items()), counted, f"protocol: {protocol}"])


def _digits(report: Report) -> str:
    """Shares have four digits, percentages two."""
    return ".4f" if isinstance(report, RankingReport) else ".2f"


def _cell(estimate: Estimate | None, form: str) -> str:
    if estimate is None:
        return "-"
    mean = format(estimate.mean, form)
    if estimate.low is None or estimate.high is None:
        return mean
    return f"{mean} ({format(estimate.low, form)} to {format(estimate.high, form)})"


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with a digest of all of them at the end; an older seal is replaced.

    Order of keys, white space and indentation do not count. Call it last: whatever is added later
    breaks the seal.
    """
    bare = {key: value for key, value in values.items() if key != SEAL}
    return bare | {SEAL: {"algorithm": _ALGORITHM, "digest": content_digest(bare)}}


def is_sealed(values: Mapping[str, Any]) -> bool:
    """Whether there is a seal, right or wrong."""
    return SEAL in values


def has_lost_its_seal(values: Mapping[str, Any]) -> bool:
    """Whether values without a seal once had one: they tell, at any depth, what came with it."""
    return not is_sealed(values) and _tells(values, _SEALED_ONLY)


def _tells(values: object, keys: set[str]) -> bool:
    if not isinstance(values, Mapping):
        return False
    return bool(keys & values.keys()) or any(_tells(part, keys) for part in values.values())


def check_seal(values: Mapping[str, Any], where: object) -> None:
    """Refuse values that are not those that were sealed.

    Args:
        values: read from a file.
        where: for the message.

    Raises:
        EdgewiseError: they differ, or the seal is none of ours.
    """
    found = values.get(SEAL)
    bare = {key: value for key, value in values.items() if key != SEAL}
    if found != {"algorithm": _ALGORITHM, "digest": content_digest(bare)}:
        raise EdgewiseError(
            f"{where}: its content is not what was sealed when it was measured: a figure, a "
            "condition or the seal was changed afterwards. Measure the run again with 'edgewise "
            "evaluate RUN --json FILE'"
        )


def rows_digest(rows: pl.DataFrame) -> str:
    """The SHA-256 of a table of numbers and texts, in hexadecimal: names, kinds, values, order."""
    digest = hashlib.sha256()
    for column in rows:
        kind, content = _content(column)
        digest.update(f"\0{column.name}\0{kind}\0{len(column)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _content(column: pl.Series) -> tuple[str, bytes]:
    if column.dtype == pl.String:
        encoded = [text.encode() for text in column.to_list()]
        lengths = np.array([len(text) for text in encoded], "<i8")
        return "text", lengths.tobytes() + b"".join(encoded)
    kind = "<f8" if column.dtype.is_float() else "<i8"
    return kind, column.to_numpy().astype(kind).tobytes()


EVALUATION = "edgewise evaluation"
"""The kind of a result file that holds a run's tasks."""


class _EstimateShape(Shape):
    mean: float
    low: float | None = None
    high: float | None = None


class ReportShape(Shape):
    """One system's report on one task, in a file."""

    settings: dict[str, Any]
    metrics: dict[str, _EstimateShape]
    rows_sha256: str | None = None


class _TaskShape(Shape):
    task: str


class _OneReport(ReportShape):
    settings: _TaskShape  # type: ignore[assignment]
    protocol: RecordedProtocol | None = None


class _DataShape(Shape):
    checksum: str


class _RunShape(Shape):
    data: _DataShape


class _Document(Shape):
    run: _RunShape | None = None
    results: dict[str, Annotated[dict[str, ReportShape], Field(min_length=1)]]
    protocol: RecordedProtocol | None = None


class _Figures(Shape):
    """Figures of a data set or a graph, which :mod:`edgewise.experiments` keeps."""

    kind: str
    results: dict[str, dict[str, float | None]]
    protocol: RecordedProtocol | None = None


ReportValues = Mapping[str, Any]
"""One system's means on one task: ``settings``, ``metrics``, ``rows_sha256``, ..."""


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
        """Of the content of the data set measured on; None where the file does not tell."""
        run, settings = self.values.get("run", {}), self.values.get("settings", {})
        grown = self.values.get("growth", {}).get("data_checksum")
        return grown or run.get("data", {}).get("checksum") or settings.get("data_checksum")

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
            was measured on other data, or under a protocol that there is not.
    """
    path = Path(path)
    values = _read(path)
    if is_sealed(values):
        check_seal(values, path)
    else:
        _refuse_unsealed(values, path, allow_unsealed)
    _check_protocols(values, f"{path}: ")
    report = StoredReport(path, values, is_sealed(values))
    if data is not None:
        _check_data(report, data)
    rows = path.with_suffix(".parquet")
    if "metrics" in values and rows.is_file() and report.is_sealed:
        load_rows(rows, values)
    return report


def read_report(path: str | Path) -> Report:
    """The report that :meth:`RankingReport.save` wrote together with its rows, checked.

    Raises:
        EdgewiseError: see :func:`load_report` and :func:`load_rows`.
    """
    stored = load_report(path)
    values = stored.values
    rows = load_rows(stored.path.with_suffix(".parquet"), values)
    metrics = {name: Estimate(**each) for name, each in values["metrics"].items()}
    told = (rows, metrics, len(rows), dict(values["settings"]), stored.protocol)
    if "num_users" not in values:
        return TextReport(*told)
    groups = {by: tuple(map(_group, found)) for by, found in values.get("groups", {}).items()}
    return RankingReport(*told, groups)


def _group(values: Mapping[str, Any]) -> Group:
    metrics = {name: Estimate(**each) for name, each in values["metrics"].items()}
    return Group(values["name"], values["num_users"], metrics, dict(values["chance"]))


def load_rows(path: str | Path, report: ReportValues) -> pl.DataFrame:
    """The users or pairs behind a report's figures.

    Args:
        path: a Parquet file, from a run's ``evaluation/``.
        report: one system's figures, out of :attr:`StoredReport.results`.

    Raises:
        OtherRowsError: these are not the rows that were measured.
        EdgewiseError: the rows cannot be read, or have other means than the report says.
    """
    repair = "measure the run again with 'edgewise evaluate'"
    rows = read_parquet(Path(path), EdgewiseError, repair)
    if rows_digest(rows) != report.get("rows_sha256"):
        raise OtherRowsError(
            f"{path}: these are not the rows that the report was computed from: they were changed, "
            "or belong to another evaluation. Measure the run again with 'edgewise evaluate'"
        )
    _check_means(rows, report, path)
    return rows


def _read(path: Path) -> dict[str, Any]:
    wanted = "give a file that 'edgewise evaluate RUN --json FILE' wrote"
    values = read_json(path, EdgewiseError, wanted)
    if "results" in values:
        shape = _Document if values.get("kind", EVALUATION) == EVALUATION else _Figures
    elif {"settings", "metrics"} <= values.keys():
        shape = _OneReport
    else:
        raise EdgewiseError(f"{path}: no result; {wanted}")
    check_shape(values, shape, path, EdgewiseError, wanted)
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


def _check_protocols(values: Mapping[str, Any], where: str) -> None:
    """Refuse protocols that there are not, and a result that names two."""
    own = recorded_protocol(values.get("protocol"), where)
    run = values.get("run", {})
    if isinstance(run, Mapping) and "protocol" in run and "protocol" in values:
        fitted = recorded_protocol(run["protocol"], f"{where}run.")
        if fitted.name != own.name:
            raise EdgewiseError(
                f"{where}protocol is {own.title}, but run.protocol is {fitted.title}: measure the "
                "run again with 'edgewise evaluate'"
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
        return data.checksum, repr(data.name)
    if re.fullmatch("[0-9a-f]{64}", str(data)):
        return str(data), "the one asked for"
    return Dataset.load(data).checksum, str(data)


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


def paired_differences(
    report: RankingReport, baseline: RankingReport, bootstrap: Bootstrap | None = None
) -> dict[str, Estimate]:
    """``report - baseline`` on the same users, for every metric that users have in both."""
    _require_same_conditions({"report": report, "baseline": baseline})
    both = report.per_user.join(baseline.per_user, on="user_index", suffix=" of baseline")
    names = [name for name in report.metrics if f"{name} of baseline" in both.columns]
    return {
        name: bootstrap_difference(
            both[name].to_numpy(), both[f"{name} of baseline"].to_numpy(), bootstrap
        )
        for name in names
    }


def comparison_table(reports: Mapping[str, Report], title: str | None = None) -> Table:
    """Systems side by side, one row a metric, each value with its interval.

    With exactly two ranking reports, a last column tells the first minus the second, paired by
    user: an interval that excludes zero is a difference. The last column is what guessing scores.

    Raises:
        EdgewiseError: the reports were made under different conditions.
    """
    from rich.table import Table

    _require_same_conditions(reports)
    first = next(iter(reports.values()))
    chance: Any = first.settings.get("chance", {})
    table = Table("metric", title=title, caption=_conditions(first))
    for name in reports:
        table.add_column(name, justify="right")
    differences = _differences_of_two(reports)
    if differences:
        table.add_column("difference", justify="right")
    if chance:
        table.add_column("chance", justify="right")
    for metric in dict.fromkeys(name for report in reports.values() for name in report.metrics):
        cells = [_cell(report.metrics.get(metric), _digits(report)) for report in reports.values()]
        extra = [_cell(differences.get(metric), "+.4f")] if differences else []
        if chance:
            extra.append(f"{chance[metric]:.4f}" if metric in chance else "-")
        table.add_row(metric, *cells, *extra)
    return table


def _differences_of_two(reports: Mapping[str, Report]) -> dict[str, Estimate]:
    ranked = [report for report in reports.values() if isinstance(report, RankingReport)]
    return paired_differences(ranked[0], ranked[1]) if len(ranked) == len(reports) == 2 else {}


def _require_same_conditions(reports: Mapping[str, Report]) -> None:
    if not reports:
        raise EdgewiseError("no reports to compare: give at least one")
    (first, expected), *others = reports.items()
    for name, report in others:
        _require_same_protocol(first, expected, name, report)
        for key in expected.settings.keys() | report.settings.keys():
            left, right = expected.settings.get(key), report.settings.get(key)
            if left != right:
                raise EdgewiseError(
                    f"{first} and {name} are not comparable: {key} is {left!r} for the one and "
                    f"{right!r} for the other; evaluate both under the same conditions"
                )
        if _units(report) != _units(expected):
            raise EdgewiseError(
                f"{first} and {name} measured different users or pairs; evaluate both on the same"
            )


def _require_same_protocol(first: str, expected: Report, name: str, report: Report) -> None:
    if report.protocol != expected.protocol:
        raise EdgewiseError(
            f"{first} and {name} are not comparable: one was measured under "
            f"{expected.protocol.title}, the other under {report.protocol.title}; fit and evaluate "
            "both under the same protocol"
        )


def _units(report: Report) -> set[tuple]:
    return set(report.rows.select(cs.by_name("user_index", "item_index", require_all=False)).rows())
