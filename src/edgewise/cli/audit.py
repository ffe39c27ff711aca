"""What ``edgewise audit`` prints.

``edgewise audit``: does a data set, a split, a run or a published table tell the answer?
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from edgewise.cli.output import console, examples, progress_bar, say, warn
from edgewise.config import check, check_seed, nearest
from edgewise.files import check_target

if TYPE_CHECKING:
    from edgewise.audit.published_tables import TableRow
    from edgewise.audit.report import Audit
    from edgewise.runs.audit import Depth


_STYLES = {"ok": "green", "leak": "bold red", "warning": "yellow", "not applicable": "dim"}


def findings_table(found: Audit) -> Table:
    """One row a check, a line between groups."""
    table = Table("group", "check", "verdict", "figures", "what it means", "how to repair it")
    table.title, table.title_justify = _title(found), "left"
    groups = [finding.group for finding in found.findings]
    for number, finding in enumerate(found.findings):
        table.add_row(
            "" if groups[:number][-1:] == [finding.group] else finding.group,
            finding.check,
            Text(finding.verdict, _STYLES[finding.verdict]),
            "\n".join([*map(str, finding.measurements), *filter(None, [finding.sample])]),
            finding.meaning,
            finding.repair,
            end_section=groups[number + 1 : number + 2] != [finding.group],
        )
    return table


def rows_table(rows: Sequence[TableRow], title: str) -> Table:
    """The rows of a published table that no ranking can have, with the reason."""
    table = Table("row", "why no ranking has these figures", title=title, title_justify="left")
    for row in rows:
        if row.reasons:
            table.add_row(row.label, "\n".join(row.reasons))
    return table


def _title(found: Audit) -> str:
    """What was looked at, where it was more than a table."""
    told = found.conditions
    if "data" not in told:
        return "audit"
    protocol, split = told["protocol"], told["split"]["kind"]
    return f"audit of {told['data']}: {protocol['name']} v{protocol['version']}, {split} split"


FOUND = 1


def audit(
    data: Annotated[
        Path | None,
        typer.Option(help="A data set folder; with --run, where the run's data stand now."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="A run folder, audited with its data.")] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Conditions to look at: honest (the default), temporal, elmrec-released or "
            "llm4rec-released. A run has its own."
        ),
    ] = None,
    edge_share: Annotated[
        float | None,
        typer.Option(
            help="Of elmrec-released: the share of all rows that become edges where the data set "
            "has no texts."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="leave-one-out, ratio or time; the protocol's own if absent."),
    ] = None,
    split_seed: Annotated[int | None, typer.Option(help="Seed of split and texts; 0.")] = None,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast", help="Only what every 'fit' checks: no candidates, no probe, no model."
        ),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all findings into this file, too.")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            help="End with exit code 1 if such a leak is found: any, graph, text, ids, probe, "
            "candidates, order or results; repeatable. Warnings do not count."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="A published table as CSV: columns HR@k and NDCG@k, others label the rows. Names "
            "rows that no ranking can have."
        ),
    ] = None,
) -> None:
    """Look for leaks, say how large they are, what they mean and how to repair them."""
    _check_options(data, run, table, fail_on or [])
    check_seed(split_seed or 0, "--split-seed")
    if json_file is not None:
        check_target(json_file)
    from edgewise.audit.report import Audit

    found = Audit(())
    if run is not None:
        given = {"--split": split, "--split-seed": split_seed, "--edge-share": edge_share}
        found = _of_run(run, data, protocol, given, fast)
    elif data is not None:
        found = _of_data(data, protocol or "honest", edge_share, split, split_seed or 0, fast)
    if table is not None:
        found = _with_table(found, table)
    console().print(findings_table(found))
    say(found.headline())
    if json_file is not None:
        from edgewise.runs.audit import write_audit

        write_audit(json_file, found)
        say(f"wrote {json_file}")
    _fail(found, fail_on or [])


def _check_options(
    data: Path | None, run: Path | None, table: Path | None, fail_on: list[str]
) -> None:
    from edgewise.audit.report import GROUPS

    known = ("any", *GROUPS)
    for name in fail_on:
        check(name in known, f"--fail-on {name}: no such group.{nearest(name, known)}")
    given = data is not None or run is not None or table is not None
    check(given, "nothing to audit: name a data set with --data, a run with --run or a --table")


def _of_data(
    folder: Path,
    protocol: str,
    edge_share: float | None,
    split: str | None,
    split_seed: int,
    fast: bool,
) -> Audit:
    from edgewise.data.dataset import Dataset
    from edgewise.evaluation.protocols import find_protocol
    from edgewise.runs.audit import audit_dataset

    find_protocol(protocol, "--protocol: ")
    chosen = find_protocol(protocol, "--edge-share: ", edge_share=edge_share)
    dataset = Dataset.load(folder)
    with progress_bar("audit") as told:
        return audit_dataset(dataset, chosen, split, split_seed, _depth(fast, told, split_seed))


def _of_run(
    folder: Path, data: Path | None, protocol: str | None, given: dict[str, Any], fast: bool
) -> Audit:
    from edgewise.runs.audit import audit_run
    from edgewise.runs.run import read_info

    for option, value in given.items():
        check(value is None, f"{option} {value}: a run has its own; leave it out or name --data")
    fitted = read_info(folder).spec.protocol.name
    check(
        protocol in (None, fitted),
        f"--protocol {protocol}: {folder} was fitted under {fitted}; leave the protocol out, or "
        "audit the data set with --data",
    )
    with progress_bar("audit") as told:
        return audit_run(folder, data, _depth(fast, told))


def _depth(fast: bool, told: Any, seed: int = 0) -> Depth:
    from edgewise.runs.audit import Depth

    return Depth(fast, seed, told)


def _with_table(found: Audit, file: Path) -> Audit:
    from edgewise.audit.published_tables import published_figures, read_table
    from edgewise.audit.report import Audit

    rows = read_table(file)
    if rows and rows[0].unchecked:
        warn(f"{file}: not checked, being neither HR@k nor NDCG@k: {', '.join(rows[0].unchecked)}")
    if any(row.reasons for row in rows):
        console().print(rows_table(rows, file.name))
    listed = [{"row": row.label, "impossible": list(row.reasons)} for row in rows]
    conditions = {**found.conditions, "table": {"file": str(file), "rows": listed}}
    return Audit((*found.findings, published_figures(rows, file.name)), conditions)


def _fail(found: Audit, groups: list[str]) -> None:
    wanted = [leak for leak in found.leaks if "any" in groups or leak.group in groups]
    if wanted:
        names = ", ".join(leak.check for leak in wanted)
        say(f"failed on: {names}", colour="red", stderr=True)
        raise typer.Exit(FOUND)


COMMANDS = (
    (
        audit,
        examples(
            "edgewise audit --data data/mine",
            "edgewise audit --data data/mine --split time --fail-on any",
            "edgewise audit --data data/beauty-source --protocol elmrec-released --json audit.json",
            "edgewise audit --run runs/mine --fail-on graph --fail-on text",
            "edgewise audit --run runs/mine --json runs/mine/audit.json",
            "edgewise audit --table published.csv",
        ),
        {},
    ),
)
